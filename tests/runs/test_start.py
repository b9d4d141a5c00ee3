"""Starting exactly once: whatever the response, a start that may have been executed is not repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ConnectError, StatusError
from airflow_provider_qlik.runs import (
    AmbiguousRunError,
    CannotStartError,
    MatchTimeouts,
    RunNotFoundError,
    StartableRunAdapter,
)
from airflow_provider_qlik.runs.starting import start
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.runs.conftest import AUTOMATION, MARKER, OTHER_MARKER, TASK, Stage, staged

both_kinds = pytest.mark.parametrize("kind", [TASK, AUTOMATION], ids=lambda kind: kind.name)
START = {"task": "start_task", "automation": "create_automation_run"}

LOST_AND_CARRIED_OUT: list[dict[str, Any]] = [
    {"reset": "after"},
    {"status": 500, "carried_out": True},
    {"status": 502, "carried_out": True},
    {"status": 503, "carried_out": True},
    {"status": 504, "carried_out": True},
    {"status": 408, "carried_out": True},
    {"response": "html", "carried_out": True},
    {"response": "truncated"},
    {"response": "cut"},
    {"response": "nonsense"},
]
LOST_AND_NOT_CARRIED_OUT: list[dict[str, Any]] = [
    {"reset": "before"},
    {"status": 500},
    {"status": 502},
    {"status": 503},
    {"response": "html"},
]
SURELY_NOT_ARRIVED: list[dict[str, Any]] = [
    {"status": 429, "code": "HTTP-429", "retry_after": 0},
    {"status": 503, "retry_after": 0},
]


def added(sandbox: SandboxTenant, kind: StartableRunAdapter[Any], **members: Any) -> str:
    """Add a task or an automation that ran last night, and whose next run takes an hour."""
    resource_id = sandbox.add_task("It", **members) if kind is TASK else sandbox.add_automation("It", **members)
    sandbox.add_run(resource_id, started_ago=36000)
    sandbox.script(resource_id, Script(run=3600))
    return resource_id


def test_an_automation_says_which_run_it_started(stage: Stage) -> None:
    automation = added(stage.sandbox, AUTOMATION)
    stage.sandbox.switch(competing_runs=2, show_after=60)

    found = stage.start(AUTOMATION, automation)

    assert found.id == stage.own_run_id(automation)
    assert (stage.elapsed, found.unconfirmed_since) == (0, None)


@both_kinds
@pytest.mark.parametrize("fault", LOST_AND_CARRIED_OUT, ids=str)
def test_a_run_whose_response_was_lost_is_found(
    stage: Stage, kind: StartableRunAdapter[Any], fault: dict[str, Any]
) -> None:
    resource_id = added(stage.sandbox, kind)
    stage.sandbox.fault(operation=START[kind.name], times=None, **fault)

    found = stage.start(kind, resource_id)

    assert found.id == stage.own_run_id(resource_id)
    assert stage.starts() == 1
    assert any("Looking for the run instead of starting again" in text for text in stage.warnings)


@both_kinds
@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
@pytest.mark.parametrize("fault", LOST_AND_NOT_CARRIED_OUT, ids=str)
def test_a_start_that_was_lost_is_an_error_and_never_repeated(
    stage: Stage, kind: StartableRunAdapter[Any], echo: bool, fault: dict[str, Any]
) -> None:
    resource_id = added(stage.sandbox, kind)
    stage.sandbox.switch(echo_source=echo)
    stage.sandbox.fault(operation=START[kind.name], times=None, **fault)

    with pytest.raises(RunNotFoundError) as raised:
        stage.start(kind, resource_id)

    said = str(raised.value)
    assert said.startswith(f"The {kind.name} may have been started, but no run of it showed up within 60 s")
    assert f"({kind.name} {resource_id})" in said
    assert "The response to the start: " in said.partition("was not started again")[2]
    assert stage.starts() == 1
    assert [run["via"] for run in stage.sandbox.runs(resource_id)] == ["added"]


@both_kinds
def test_after_a_lost_start_another_users_run_is_not_matched(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    resource_id = added(stage.sandbox, kind)
    stage.sandbox.switch(echo_source=False, competing_runs=1)
    stage.sandbox.fault(operation=START[kind.name], reset="after")

    with pytest.raises(AmbiguousRunError, match="2 runs"):
        stage.start(kind, resource_id)


@both_kinds
@pytest.mark.parametrize("fault", SURELY_NOT_ARRIVED, ids=str)
def test_a_start_that_surely_did_not_arrive_is_sent_again(
    stage: Stage, kind: StartableRunAdapter[Any], fault: dict[str, Any]
) -> None:
    resource_id = added(stage.sandbox, kind)
    stage.sandbox.fault(operation=START[kind.name], times=2, **fault)

    assert stage.start(kind, resource_id).id == stage.own_run_id(resource_id)
    assert stage.starts() == 3


@both_kinds
@pytest.mark.parametrize("fault", SURELY_NOT_ARRIVED, ids=str)
def test_a_start_that_was_not_executed_raises_its_error_without_a_search(
    stage: Stage, kind: StartableRunAdapter[Any], fault: dict[str, Any]
) -> None:
    resource_id = added(stage.sandbox, kind)
    stage.sandbox.fault(operation=START[kind.name], times=None, **fault)

    with pytest.raises(StatusError, match=str(fault["status"])) as raised:
        stage.start(kind, resource_id)

    assert raised.value.transient
    assert stage.elapsed == 0


@pytest.fixture
def impatient(still: SandboxTenant) -> Iterator[Stage]:
    """Yield a stage whose client has a time-out of 0.1 s."""
    with staged(still, read_timeout=0.1) as stage:
        yield stage


@both_kinds
def test_a_run_whose_response_came_too_late_is_found(impatient: Stage, kind: StartableRunAdapter[Any]) -> None:
    sandbox = impatient.sandbox
    resource_id = added(sandbox, kind)
    sandbox.fault(operation=START[kind.name], delay=0.3)

    def until_it_happened() -> None:
        until = time.monotonic() + 10
        while len(sandbox.runs(resource_id)) < 2 and time.monotonic() < until:
            time.sleep(0.01)

    impatient.after(1, until_it_happened)
    found = impatient.start(kind, resource_id)

    assert found.id == impatient.own_run_id(resource_id)
    assert impatient.starts() == 1
    assert "ReadTimeout" in impatient.warnings[0]


@both_kinds
def test_a_failed_connection_is_reported_as_such(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    resource_id = added(stage.sandbox, kind)
    intent = stage.intend(kind, resource_id)
    flow = start(kind, intent, MatchTimeouts(), stage.write_log)
    call = next(flow)

    with pytest.raises(ConnectError, match="no route"):
        flow.throw(ConnectError("no route"))

    assert str(call).startswith("POST ")


def test_an_outage_after_a_lost_start_does_not_count_as_search_time(stage: Stage) -> None:
    """The response is lost in an outage of two minutes: the run is still found."""
    task = added(stage.sandbox, TASK)
    stage.sandbox.fault(operation="start_task", reset="after")
    stage.after(120, stage.sandbox.clear_faults)

    def away() -> None:
        stage.sandbox.fault("GET", times=None, status=503)

    assert stage.start(TASK, task, between=away).id == stage.own_run_id(task)
    assert stage.elapsed >= 120


def test_an_outage_after_a_lost_start_does_not_extend_the_search_without_limit(stage: Stage) -> None:
    task = added(stage.sandbox, TASK)
    stage.sandbox.fault(operation="start_task", reset="after")

    with pytest.raises(RunNotFoundError, match="may have been started"):
        stage.start(TASK, task, between=lambda: stage.sandbox.fault("GET", times=None, status=503))

    assert 300 <= stage.elapsed < 330
    assert stage.starts() == 1


def test_a_run_that_shows_up_late_after_a_lost_start_is_given_time_to_settle(stage: Stage) -> None:
    task = added(stage.sandbox, TASK)
    stage.sandbox.switch(echo_source=False, show_after=50)
    stage.sandbox.fault(operation="start_task", reset="after")

    assert stage.start(TASK, task).id == stage.own_run_id(task)


# Refused.


def test_a_source_that_is_too_long_is_left_out(stage: Stage) -> None:
    task = added(stage.sandbox, TASK)
    stage.sandbox.switch(source_limit=10)

    found = stage.start(TASK, task)

    assert found.id == stage.own_run_id(task)
    assert [entry.query for entry in stage.sandbox.request_log("start_task")] == [[("source", MARKER)], []]
    assert [entry.carried_out for entry in stage.sandbox.request_log("start_task")] == [False, True]
    assert "source is longer than 10 characters" in stage.messages[0]
    assert "Starting the task without a marker" in stage.messages[0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
@both_kinds
def test_a_start_that_is_refused_says_so_and_why(stage: Stage, kind: StartableRunAdapter[Any], status: int) -> None:
    resource_id = added(stage.sandbox, kind)
    stage.sandbox.fault(operation=START[kind.name], times=None, status=status, code="ABC-1")

    with pytest.raises(CannotStartError) as raised:
        stage.start(kind, resource_id)

    said = str(raised.value)
    assert said.startswith("Fault: injected by tenant.fault().")
    assert f"The {kind.name} was not started ({kind.name} {resource_id};" in said
    assert f"HTTP {status} for POST" in said
    assert "ABC-1" in said
    assert not any(entry.carried_out for entry in stage.sandbox.request_log(method="POST"))
    assert stage.elapsed == 0


@pytest.mark.parametrize("code", ["MANUALLY", "CONSECUTIVE-FAILURES", "OWNER-DELETED", None])
def test_a_disabled_task_says_why_it_is_and_what_to_do(stage: Stage, code: str | None) -> None:
    task = added(stage.sandbox, TASK, enabled=False, metadata={"disabledCode": code})

    with pytest.raises(CannotStartError) as raised:
        stage.start(TASK, task)

    assert f"disabled ({code or 'Qlik does not say why'}): enable it in Qlik Cloud" in str(raised.value)
    assert len(stage.sandbox.runs(task)) == 1


@pytest.mark.parametrize("state", ["disabled", "unavailable"])
def test_a_disabled_automation_says_its_state_and_what_to_do(stage: Stage, state: str) -> None:
    automation = added(stage.sandbox, AUTOMATION, state=state)

    with pytest.raises(CannotStartError, match=f"disabled .its state is '{state}'.: enable it in Qlik Cloud"):
        stage.start(AUTOMATION, automation)

    assert len(stage.sandbox.runs(automation)) == 1


def test_a_disabled_task_that_accepts_a_start_says_why_no_run_appears(stage: Stage) -> None:
    task = added(stage.sandbox, TASK, enabled=False, metadata={"disabledCode": "OWNER-DELETED"})
    stage.sandbox.switch(disabled_start="ignored")

    with pytest.raises(RunNotFoundError, match=r"no run of it showed up within 300 s: it is disabled .OWNER-DELETED."):
        stage.start(TASK, task)


def test_a_task_that_runs_already_and_is_not_started_again_says_so(stage: Stage) -> None:
    task = added(stage.sandbox, TASK)
    stage.sandbox.add_run(task, started_ago=60, script=Script(run=3600))
    stage.sandbox.switch(running_start="refused")

    with pytest.raises(CannotStartError, match="the task is already running"):
        stage.start(TASK, task)


@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
def test_the_run_that_prevented_the_start_is_not_matched(stage: Stage, echo: bool) -> None:
    """Qlik accepts a further start and does not execute it: the active run is not matched."""
    task = added(stage.sandbox, TASK)
    stage.sandbox.add_run(task, started_ago=60, script=Script(run=3600), triggered_by=OTHER_MARKER)
    stage.sandbox.switch(running_start="ignored", echo_source=echo)

    with pytest.raises(RunNotFoundError, match="was started, but no run of it showed up"):
        stage.start(TASK, task)


def test_an_error_of_the_list_before_the_start_prevents_the_start(stage: Stage) -> None:
    task = added(stage.sandbox, TASK)
    stage.sandbox.fault(operation="list_task_runs", times=None, status=403)

    with pytest.raises(StatusError, match="403"):
        stage.start(TASK, task)

    assert stage.starts() == 0
