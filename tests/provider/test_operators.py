from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def run_task(task_id: str, **arguments: Any) -> QlikRunTaskOperator:
    return QlikRunTaskOperator(task_id="refresh", qlik_task_id=task_id, **{**FAST, **arguments})


def run_automation(automation_id: str, **arguments: Any) -> QlikRunAutomationOperator:
    return QlikRunAutomationOperator(task_id="prepare", automation_id=automation_id, **{**FAST, **arguments})


def starts(tenant: Tenant) -> int:
    return sum(entry.carried_out for entry in tenant.request_log(method="POST", path="/api/*"))


@both_modes
def test_a_task_is_started_once_and_its_outcome_returned(tenant: Tenant, task: Task, deferrable: bool) -> None:
    qlik_task = tenant.add_task("Refresh", resource_id="sales-app")
    tenant.add_run(qlik_task)
    tenant.script(qlik_task, Script(wait=1, run=8))
    tenant.switch(show_after=2.0, competing_runs=1, competing_moment="after")

    result = finish(run_task(qlik_task, deferrable=deferrable), task.context)

    (ours,) = (run for run in tenant.runs(qlik_task) if run["id"] == result["run_id"])
    assert ours["triggered_by"].startswith("airflow-")
    assert starts(tenant) == 1
    assert (result["kind"], result["state"], result["status"]) == ("task", "succeeded", "SUCCEEDED")
    assert result["link"] == f"{tenant.url}/sense/app/sales-app"
    assert result["seconds"] == pytest.approx(8, abs=1.5)
    assert task.pushed["run_id"] == result["run_id"]


@both_modes
def test_an_automation_is_started_once_and_its_outcome_returned(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(wait=2, run=4, end="finished with warnings"))

    result = finish(run_automation(automation, deferrable=deferrable), task.context)

    assert [run["id"] for run in tenant.runs(automation)] == [result["run_id"]]
    assert (result["state"], result["status"]) == ("succeeded", "finished with warnings")
    assert result["link"] == f"{tenant.url}/automations/{automation}"


@both_modes
def test_a_failed_task_run_fails_the_task_with_the_reason_of_its_reload(
    tenant: Tenant, task: Task, deferrable: bool
) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(run=2, end="FAILED", error="Table 'ledger' not found"))

    with pytest.raises(AirflowException, match="'FAILED'.*Table 'ledger' not found"):
        finish(run_task(qlik_task, deferrable=deferrable), task.context)


@both_modes
@pytest.mark.parametrize("form", ["objects", "strings", "object"])
def test_a_failed_automation_run_fails_the_task_with_its_own_error(
    tenant: Tenant, task: Task, deferrable: bool, form: str
) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=2, end="failed", error="no connection to SAP"))
    tenant.switch(error_form=form)

    with pytest.raises(AirflowException, match="'failed'.*no connection to SAP"):
        finish(run_automation(automation, deferrable=deferrable), task.context)


@both_modes
def test_the_log_of_the_run_is_in_the_log_of_the_task(
    tenant: Tenant, task: Task, deferrable: bool, logged: Callable[[], str]
) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(run=1, log=tuple(f"line {number}" for number in range(1, 301))))

    result = finish(run_task(qlik_task, deferrable=deferrable), task.context)

    log = logged()
    assert "| line 300" in log
    assert "| line 101" in log
    assert not re.search(r"\| line 100\b", log)
    assert f"the last 200 of 300 lines, all of it at {result['link']}" in log


@both_modes
def test_each_change_of_status_is_said(tenant: Tenant, task: Task, deferrable: bool, logged: Callable[[], str]) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(wait=8, run=8))

    result = finish(run_automation(automation, deferrable=deferrable), task.context)

    log = logged()
    assert f"Started: automation run {result['run_id']} (not started" in log
    said = re.findall(rf"run {result['run_id']}(?:: |, ended as ')(\w+(?: \w+)?)", log)
    # A trigger leaves the end to the task that it wakes; a worker that waits has seen it, too.
    assert said == ["running", "finished", *(() if deferrable else ("finished",))]


@both_modes
def test_a_wait_that_takes_too_long_ends_and_leaves_nothing_running(
    tenant: Tenant, task: Task, deferrable: bool
) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(end=None))

    with pytest.raises(AirflowException, match="^The wait timed out: the run is .RUNNING."):
        finish(run_task(qlik_task, deferrable=deferrable, timeout=0.5), task.context)

    tenant.advance(5)
    assert tenant.active() == []


def test_a_shorter_execution_timeout_counts_while_deferred(tenant: Tenant, task: Task) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(end=None))

    operator = run_task(qlik_task, deferrable=True, execution_timeout=timedelta(seconds=0.5))
    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(operator, task.context)


@both_modes
def test_a_run_is_left_alone_if_the_user_wants_that(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(end=None))

    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(run_automation(automation, deferrable=deferrable, timeout=0.3, cancel_on_kill=False), task.context)

    assert len(tenant.active()) == 1


@pytest.mark.parametrize("make", [run_task, run_automation], ids=["task", "automation"])
def test_a_task_killed_on_its_worker_cancels_its_run(tenant: Tenant, task: Task, make: Any) -> None:
    resource = tenant.add_task("Refresh") if make is run_task else tenant.add_automation("Prepare")
    tenant.script(resource, Script(end=None))
    operator = make(resource)

    def kill_it_once_started() -> None:
        while "run_id" not in task.pushed:
            time.sleep(0.01)
        operator.on_kill()

    with ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_it_once_started)
        with pytest.raises(AirflowException, match="ended as"):
            operator.execute(task.context)
        killed.result()

    assert tenant.active() == []


def test_without_waiting_the_task_ends_when_the_run_has_started(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(end=None))

    result = finish(run_automation(automation, wait_for_completion=False), task.context)

    assert result["state"] == "active"
    assert [run["id"] for run in tenant.runs(automation)] == [result["run_id"]]


@both_modes
def test_an_outage_while_waiting_ends_no_wait(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=10))
    faults: list[dict[str, Any]] = [{"status": 503}, {"reset": "before"}, {"response": "html"}]
    for fault in (*faults, {"status": 429, "retry_after": 1}):
        tenant.fault(operation="get_automation_run", times=2, **fault)

    assert finish(run_automation(automation, deferrable=deferrable), task.context)["state"] == "succeeded"
    assert starts(tenant) == 1


@both_modes
def test_what_no_retry_can_mend_fails_for_good(tenant: Tenant, task: Task, deferrable: bool) -> None:
    with pytest.raises(AirflowFailException, match="404"):
        finish(run_task("nobody-knows-it", deferrable=deferrable), task.context)
    automation = tenant.add_automation("Prepare", state="disabled")
    with pytest.raises(AirflowFailException, match=r"disabled.*enable it in Qlik Cloud"):
        finish(run_automation(automation, deferrable=deferrable), task.context)
    assert starts(tenant) == 0


def test_two_runs_that_could_be_ours_are_an_error_and_none_is_cancelled(tenant: Tenant, task: Task) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(end=None))
    tenant.switch(echo_source=False, competing_runs=1, competing_moment="after")
    with pytest.raises(AirflowFailException, match="2 runs began .* which of them this task has started.*task "):
        finish(run_task(qlik_task, match_timeout=0.5), task.context)
    assert [run["cancel_requested_at"] for run in tenant.runs(qlik_task)] == [None, None]
    assert starts(tenant) == 1


@pytest.mark.parametrize("given", ["", "  ", "a/b", "a?b", "..", None, 1.5, True])
def test_a_bad_id_is_refused_when_the_dag_is_parsed(given: Any) -> None:
    for make, name in ((run_task, "qlik_task_id"), (run_automation, "automation_id")):
        with pytest.raises(InvalidArgumentError, match=name):
            make(given)


@pytest.mark.parametrize("given", ["", "a/b", "a?b", "..", 1.5, True])
def test_a_bad_id_from_a_template_is_refused_before_anything_is_sent(tenant: Tenant, task: Task, given: Any) -> None:
    operator = run_task("{{ params.id }}")
    operator.qlik_task_id = given

    with pytest.raises(AirflowFailException, match="qlik_task_id"):
        operator.execute(task.context)
    assert tenant.request_log() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"poll_interval": -1},
        {"poll_interval": 0},
        {"poll_interval": "soon"},
        {"poll_interval": None},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"match_timeout": -0.1},
        {"match_timeout": True},
    ],
    ids=str,
)
def test_a_bad_number_of_seconds_is_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(arguments))}: a number of seconds"):
        run_task("some-task", **arguments)


def test_intervals_may_be_timedeltas() -> None:
    assert run_task("some-task", poll_interval=timedelta(minutes=1), timeout=timedelta(hours=1)).timeout == 3600


@pytest.mark.parametrize(
    "event",
    [None, {}, {"version": 0}, {"version": 2, "run": None}, "done", {"version": 1, "run": None, "error": None}],
    ids=str,
)
def test_an_event_that_cannot_be_read_fails_loudly(tenant: Tenant, task: Task, event: Any) -> None:
    with pytest.raises(AirflowException, match=r"The trigger sent|The event of the trigger"):
        run_task("some-task").execute_complete(task.context, event)


def test_the_marker_is_the_same_for_a_retry_and_another_after_a_clear() -> None:
    from airflow_provider_qlik.lifecycle.start_request import start_marker as marker

    first, retry = marker(Task().context), marker(Task(try_number=2).context)
    assert first == retry
    others: list[dict[str, Any]] = [
        {"max_tries": 1},
        {"map_index": 3},
        {"run_id": "b"},
        {"task_id": "b"},
        {"dag_id": "b"},
    ]
    assert len({first, *(marker(Task(**other).context) for other in others)}) == 6


def test_a_deferral_holds_ids_and_numbers_only(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    with pytest.raises(TaskDeferred) as deferred:
        run_automation(automation, deferrable=True, timeout=60).execute(task.context)
    _, arguments = deferred.value.trigger.serialize()
    assert arguments["run_id"] == task.pushed["run_id"]
    assert set(map(type, arguments.values())) <= {str, float, bool, type(None)}
    assert tenant.api_key not in str(arguments)
    assert timedelta(minutes=5) < deferred.value.timeout < timedelta(minutes=7)
