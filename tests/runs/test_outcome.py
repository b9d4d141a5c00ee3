"""The outcome of a run and its reason, as the user reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_qlik.runs import (
    ADAPTERS,
    Outcome,
    Run,
    RunSelector,
    RunState,
    StartableRunAdapter,
    Worker,
    outcome,
)
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.sandbox import Script
from tests.runs.conftest import AUTOMATION, TASK, Stage

both_kinds = pytest.mark.parametrize("kind", [TASK, AUTOMATION], ids=lambda kind: kind.name)
TENANT = "https://acme.eu.qlikcloud.com"
LAST_LINE = "Qlik Cloud gives no reason; the last line of its log: Error: disk full"
LOG = {"task": "get_task_run_log", "automation": "get_automation_run_debug"}


def ended(stage: Stage, kind: StartableRunAdapter[Any], script: Script, **task: Any) -> Run:
    """Return a run that has followed a script to its end."""
    resource_id = stage.sandbox.add_task("Refresh", **task) if kind is TASK else stage.sandbox.add_automation("Prepare")
    stage.sandbox.script(resource_id, script)
    run = stage.until_end(kind, RunSelector.of(stage.start(kind, resource_id)))
    stage.log_records.clear()
    return run


def outcome_of(stage: Stage, run: Run) -> Outcome:
    return stage.run(outcome(ADAPTERS[run.kind], run, TENANT, stage.write_log))


def lines(stage: Stage) -> list[str]:
    return [text for text in stage.messages if text.startswith("| ")]


# The log.


@both_kinds
def test_the_log_is_written_line_by_line(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = ended(stage, kind, Script(log=("Connect", "Load 5 rows", "Store")))

    outcome_of(stage, run)

    assert stage.messages == [
        f"Qlik's log of {kind.name} run {run.id}:",
        "| Connect",
        "| Load 5 rows",
        "| Store",
    ]


@pytest.mark.parametrize("form", ["accept", "json", "text", "text_json"])
def test_the_form_of_a_log_does_not_matter(stage: Stage, form: str) -> None:
    stage.sandbox.switch(log_form=form)

    outcome_of(stage, ended(stage, TASK, Script(log=("One", "Two"))))

    assert lines(stage) == ["| One", "| Two"]


@both_kinds
@pytest.mark.parametrize(("count", "first"), [(200, 1), (201, 2), (1000, 801)])
def test_of_a_long_log_the_last_200_lines_and_a_link_to_the_rest_are_written(
    stage: Stage, kind: StartableRunAdapter[Any], count: int, first: int
) -> None:
    run = ended(stage, kind, Script(log=tuple(f"line {number}" for number in range(1, count + 1))))

    link = outcome_of(stage, run).link

    assert lines(stage) == [f"| line {number}" for number in range(first, count + 1)]
    rest = f"the last 200 of {count} lines, all of it at {link}"
    assert (rest in stage.messages[0]) is (count > 200)


@both_kinds
def test_an_empty_log_is_not_mentioned(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    outcome_of(stage, ended(stage, kind, Script(log=())))

    assert stage.messages == []


@both_kinds
@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED"])
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "code": "RELOADS-013"},
        {"status": 404},
        {"status": 500},
        {"status": 401},
        {"reset": "before"},
        {"response": "html"},
        {"response": "cut"},
    ],
    ids=str,
)
def test_a_log_that_cannot_be_fetched_does_not_change_the_outcome(
    stage: Stage, kind: StartableRunAdapter[Any], end: str, fault: dict[str, Any]
) -> None:
    run = ended(stage, kind, Script(end=end, error=None if end == "SUCCEEDED" else "no such table"))
    stage.sandbox.fault(operation=LOG[kind.name], times=None, **fault)

    result = outcome_of(stage, run)

    assert result.succeeded is (end == "SUCCEEDED")
    assert result.run.state is run.state
    assert len(stage.warnings) == 1
    assert stage.warnings[0].startswith(f"The log of {kind.name} run {run.id} could not be fetched: ")
    assert end == "SUCCEEDED" or "no such table" in result.message


@both_kinds
def test_an_invalid_id_does_not_change_the_outcome(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = replace(ended(stage, kind, Script(end="FAILED")), id="a/b", worker=Worker("reloads", "c/d", "app"))

    assert not outcome_of(stage, run).succeeded
    assert "could not be fetched" in stage.warnings[0]


# The reason.


def test_the_reason_of_a_task_run_is_that_of_its_reload(stage: Stage) -> None:
    result = outcome_of(
        stage, ended(stage, TASK, Script(end="FAILED", error="Table 'Sales' not found", log=("Started",)))
    )

    assert result.run.reason == "EngineReloadFailed: Table 'Sales' not found"
    assert result.message == (
        f"Qlik Cloud task 'Refresh' {result.run.resource_id}, run {result.run.id}, ended as 'FAILED': "
        "EngineReloadFailed: Table 'Sales' not found"
    )


@pytest.mark.parametrize("form", ["objects", "strings", "object"])
def test_the_reason_of_an_automation_run_has_three_forms(stage: Stage, form: str) -> None:
    stage.sandbox.switch(error_form=form)

    result = outcome_of(stage, ended(stage, AUTOMATION, Script(end="failed", error="Connector refused")))

    assert result.run.reason == "Connector refused"
    assert result.message.endswith("ended as 'failed': Connector refused")


@pytest.mark.parametrize("form", ["objects", "strings", "object"])
def test_the_reason_of_a_task_run_behind_which_is_an_automation_is_that_of_its_run(stage: Stage, form: str) -> None:
    stage.sandbox.switch(error_form=form)

    result = outcome_of(
        stage, ended(stage, TASK, Script(end="FAILED", error="Connector refused"), worker="automations")
    )

    assert result.run.reason == "Connector refused"


@both_kinds
def test_where_qlik_gives_no_reason_the_last_line_of_the_log_is_it(
    stage: Stage, kind: StartableRunAdapter[Any]
) -> None:
    result = outcome_of(stage, ended(stage, kind, Script(end="FAILED", log=("Started", "Error: disk full", "  ", ""))))

    assert result.run.reason == LAST_LINE


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 404}, {"status": 500}, {"response": "html"}], ids=str)
@pytest.mark.parametrize("worker", ["reloads", "automations"])
def test_a_reason_that_cannot_be_fetched_does_not_change_the_outcome(
    stage: Stage, worker: str, fault: dict[str, Any]
) -> None:
    run = ended(stage, TASK, Script(end="FAILED", error="Never told", log=("Error: disk full",)), worker=worker)
    for operation in ("get_reload", "get_automation_run"):
        stage.sandbox.fault(operation=operation, times=None, **fault)

    result = outcome_of(stage, run)

    assert (result.run.state, result.run.reason) == (RunState.FAILED, LAST_LINE)


def test_behind_a_worker_of_another_type_the_log_tells_the_reason(stage: Stage) -> None:
    result = outcome_of(stage, ended(stage, TASK, Script(end="FAILED", log=("Error: disk full",)), worker="dataflows"))

    assert result.run.reason == LAST_LINE


@both_kinds
def test_a_missing_reason_is_stated(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    result = outcome_of(stage, ended(stage, kind, Script(end="FAILED", log=())))

    assert result.run.reason is None
    assert result.message.endswith(": Qlik Cloud gives no reason")


@both_kinds
def test_a_success_has_no_reason_and_none_is_requested(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = ended(stage, kind, Script(log=("Error: just kidding",)))
    stage.sandbox.clear_request_log()

    result = outcome_of(stage, run)

    assert (result.succeeded, result.run.reason) == (True, None)
    assert [entry.operation for entry in stage.sandbox.request_log()] == [LOG[kind.name]]
    assert result.message.endswith(f"ended as {run.status!r}")


@both_kinds
def test_a_cancelled_run_is_no_success(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    stage.sandbox.switch(cancelled_task_status="ABORTED")
    resource_id = stage.sandbox.add_task() if kind is TASK else stage.sandbox.add_automation()
    stage.sandbox.script(resource_id, Script(run=3600))
    run = stage.start(kind, resource_id)
    stage.run(cancel_polled(kind, run))

    result = outcome_of(stage, stage.until_end(kind, RunSelector.of(run)))

    assert result.run.state is RunState.CANCELLED
    assert not result.succeeded


# The link and the return value.


def test_the_link_leads_to_what_the_run_works_on(stage: Stage) -> None:
    app = stage.sandbox.add_task(id="on-app", resource_id="app-7")
    other = stage.sandbox.add_automation(id="automation-7")
    flow = stage.sandbox.add_task(id="on-automation", resource_id=other, worker="automations")

    assert outcome_of(stage, stage.start(TASK, app)).link == f"{TENANT}/sense/app/app-7"
    assert outcome_of(stage, stage.start(TASK, flow)).link == f"{TENANT}/automations/automation-7"
    assert outcome_of(stage, stage.start(AUTOMATION, other)).link == f"{TENANT}/automations/automation-7"


def test_without_a_worker_the_link_leads_to_the_tenant() -> None:
    run = Run(kind="task", resource_id="t", id="r", state=RunState.FAILED, status="FAILED")

    assert TENANT + TASK.page(run) == f"{TENANT}/"


@both_kinds
def test_the_return_value_is_the_run_with_its_link(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    result = outcome_of(stage, ended(stage, kind, Script()))

    assert result.to_json() == {**result.run.to_json(), "link": result.link}
    assert result.to_json()["state"] == "succeeded"
    assert result.to_json()["run_id"] == result.run.id
