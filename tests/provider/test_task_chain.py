"""A task with its chain, on a worker and deferred: the outcome, a kill, a retry, a time-out, a restarted triggerer."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_qlik.compat import deferral_failures
from airflow_provider_qlik.lifecycle import task_chain as lifecycle
from airflow_provider_qlik.lifecycle.trigger_event import InvalidEventError, RunEvent
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import cancellation, task_chain
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.triggers.task_chain import QlikTaskChainTrigger
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish, fire

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


@pytest.fixture(autouse=True)
def _short_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a cancelled chain be watched for a moment only."""
    from airflow_provider_qlik.runs import chain_cancelling

    monkeypatch.setattr(lifecycle, "CANCEL_TIME", 1.5)
    monkeypatch.setattr(task_chain, "CANCEL_TIME", 1.5)
    monkeypatch.setattr(chain_cancelling, "PAUSE", 0.1)


def after(task_id: str) -> list[dict[str, Any]]:
    """Return the events of a task that starts after the success of another one."""
    values = {"id": task_id, "status": "succeeded"}
    correlation = [{"contextAttributeName": name, "contextAttributeValue": value} for name, value in values.items()]
    return [{"type": "com.qlik.v1.task.run.finished", "correlation": correlation}]


def add_chain(tenant: Tenant, *scripts: Script) -> list[str]:
    """Add the tasks first, second, third, each started by the one before it, with these scripts."""
    ids = ["first", "second", "third"]
    for number, id in enumerate(ids):
        members: dict[str, Any] = {"events": after(ids[number - 1])} if number else {}
        tenant.add_task(id.title(), id=id, **members)
        if number < len(scripts):
            tenant.script(id, scripts[number])
    return ids


def operator(**arguments: Any) -> QlikRunTaskOperator:
    given = {"qlik_task_id": "first", "wait_for_chain": True, "match_timeout": 3.0, "settle_time": 0.5}
    return QlikRunTaskOperator(task_id="refresh", **{**FAST, **given, **arguments})


def counts(tenant: Tenant) -> list[int]:
    return [len(tenant.runs(id)) for id in ("first", "second", "third")]


@both_modes
def test_the_task_ends_with_the_chain_and_returns_it(
    tenant: Tenant, task: Task, deferrable: bool, logged: Callable[[], str]
) -> None:
    add_chain(tenant, Script(run=2), Script(run=10), Script(run=4))

    result = finish(operator(deferrable=deferrable), task.context)

    assert [link["qlik_task_id"] for link in result["chain"]] == ["first", "second", "third"]
    assert [link["run_id"] for link in result["chain"]] == [
        tenant.runs(id)[0]["id"] for id in ("first", "second", "third")
    ]
    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3
    assert [link["seconds"] for link in result["chain"]] == pytest.approx([2, 10, 4], abs=0.1)
    assert result["chain"][0]["run_id"] == result["run_id"]
    assert json.loads(json.dumps(result)) == result
    assert tenant.active() == []
    log = logged()
    assert "The chain of the task: task 'Second' (second), task 'Third' (third)." in log
    assert "| task " in log
    (row,) = (line for line in log.splitlines() if "| Third" in line)
    assert "SUCCEEDED" in row


@both_modes
def test_a_failed_link_fails_the_task_and_a_retry_starts_the_chain_anew(
    tenant: Tenant, task: Task, deferrable: bool, logged: Callable[[], str]
) -> None:
    add_chain(tenant, Script(run=1), Script(run=1, end="FAILED", error="Table 'ledger' not found"))
    tenant.script("second", Script(run=1))

    with pytest.raises(AirflowException, match=r"fail_on_chain.*task 'Second' \(second\).*Table 'ledger' not found"):
        finish(operator(deferrable=deferrable), task.context)
    assert "| Second" in logged()

    result = finish(operator(deferrable=deferrable), task.try_again().context)
    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3
    assert counts(tenant) == [2, 2, 1]


@both_modes
def test_fail_on_chain_never_reports_a_failed_link_and_succeeds(
    tenant: Tenant, task: Task, deferrable: bool, logged: Callable[[], str]
) -> None:
    add_chain(tenant, Script(run=1), Script(run=1, end="FAILED"))

    result = finish(operator(deferrable=deferrable, fail_on_chain="never"), task.context)

    assert [link["state"] for link in result["chain"]] == ["succeeded", "failed", "not_started"]
    assert "The chain did not succeed" in logged()


@both_modes
def test_a_failed_first_run_fails_the_task_with_its_own_reason(tenant: Tenant, task: Task, deferrable: bool) -> None:
    add_chain(tenant, Script(run=1, end="FAILED", error="no space left"))

    with pytest.raises(AirflowException, match="no space left"):
        finish(operator(deferrable=deferrable), task.context)
    assert counts(tenant) == [1, 0, 0]


@both_modes
def test_without_the_argument_the_chain_is_not_waited_for(tenant: Tenant, task: Task, deferrable: bool) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))

    result = finish(operator(deferrable=deferrable, wait_for_chain=False), task.context)

    assert "chain" not in result
    assert tenant.request_log(operation="get_task_descendants") == []


@both_modes
@pytest.mark.parametrize("where", ["connection", "tenant"])
def test_tasks_v1_is_refused_before_anything_is_started(
    tenant: Tenant, task: Task, deferrable: bool, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_chain(tenant)
    if where == "tenant":
        tenant.switch(tasks_paths="v1")
    else:
        extra = {"tasks_api": "/api/v1/tasks"}
        connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))

    with pytest.raises(AirflowFailException, match="^wait_for_chain: only the Scheduling API shows the chain"):
        finish(operator(deferrable=deferrable), task.context)
    assert counts(tenant) == [0, 0, 0]


def test_a_chain_that_cannot_be_read_starts_nothing(tenant: Tenant, task: Task) -> None:
    add_chain(tenant)
    tenant.fault(operation="get_task_descendants", status=403, times=None)
    with pytest.raises(AirflowFailException):
        operator().execute(task.context)
    assert counts(tenant) == [0, 0, 0]


def test_a_chain_cannot_be_waited_for_without_its_first_run() -> None:
    with pytest.raises(InvalidArgumentError, match="^wait_for_chain: needs wait_for_completion=True"):
        operator(wait_for_completion=False)
    with pytest.raises(InvalidArgumentError, match="^fail_on_chain: "):
        operator(fail_on_chain="sometimes")


# Ends before the chain has ended


@both_modes
def test_a_time_out_leaves_nothing_running(tenant: Tenant, task: Task, deferrable: bool) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))

    with pytest.raises(AirflowException, match=r"^The wait timed out: .* its chain has not \(active: Second\)"):
        finish(operator(deferrable=deferrable, timeout=2.0), task.context)

    tenant.advance(5)
    assert tenant.active() == []
    assert counts(tenant) == [1, 1, 0]


def test_a_killed_worker_leaves_nothing_running(tenant: Tenant, task: Task) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))
    kill_while_waiting(tenant, operator(), task)

    tenant.advance(5)
    assert tenant.active() == []
    # The run was cancelled, so the retry starts the chain anew.
    tenant.script("second", Script(run=1))
    result = finish(operator(), task.try_again().context)
    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3
    assert counts(tenant) == [2, 2, 1]


def kill_while_waiting(tenant: Tenant, an_operator: QlikRunTaskOperator, task: Task) -> None:
    """Run an operator on a worker that gets a SIGTERM while the second task runs."""

    class Killed(BaseException):
        pass

    def terminate(*_: object) -> None:
        if not any(
            entry.path.endswith("/second/runs") for entry in tenant.request_log(operation="list_task_runs")[:-3]
        ):
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        an_operator.on_kill()
        raise Killed

    before = signal.signal(signal.SIGALRM, terminate)
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.1)
    try:
        with pytest.raises(Killed):
            an_operator.execute(task.context)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class WorkerLost(BaseException):
    """A SIGKILL: nothing is cleaned up."""


@both_modes
def test_a_retry_resumes_the_chain_of_a_lost_worker(
    tenant: Tenant, task: Task, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_chain(tenant, Script(run=1), Script(run=10))

    def lose(*_: object) -> None:
        raise WorkerLost

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_qlik.runs.task_chain.ChainWait._poll_runs", lose)
        with pytest.raises(WorkerLost):
            operator().execute(task.context)

    result = finish(operator(deferrable=deferrable), task.try_again().context)
    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3
    assert counts(tenant) == [1, 1, 1]


def test_a_clear_cancels_the_previous_chain(tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))

    def lose(*_: object) -> None:
        raise WorkerLost

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_qlik.runs.task_chain.ChainWait._poll_runs", lose)
        with pytest.raises(WorkerLost):
            operator().execute(task.context)
    tenant.script("second", Script(run=1))

    result = finish(operator(), task.try_again(cleared=True).context)

    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3
    assert counts(tenant)[:2] == [2, 2]
    tenant.advance(5)
    assert tenant.active() == []


# Deferred


def deferred(task: Task, an_operator: QlikRunTaskOperator) -> QlikTaskChainTrigger:
    """Return the trigger to which the operator defers, made anew from what Airflow stores of it."""
    with pytest.raises(TaskDeferred) as raised:
        an_operator.execute(task.context)
    arguments = json.loads(json.dumps(raised.value.trigger.serialize()[1]))
    return QlikTaskChainTrigger(**arguments)


def until_second_runs(tenant: Tenant) -> None:
    for _ in range(100):
        if any(run["active"] for run in tenant.runs("second")):
            return
        time.sleep(0.05)
    raise AssertionError("the second task was not started")


def test_the_trigger_holds_ids_and_numbers_alone(tenant: Tenant, task: Task) -> None:
    add_chain(tenant)
    path, arguments = deferred(task, operator(deferrable=True)).serialize()
    assert path == "airflow_provider_qlik.triggers.task_chain.QlikTaskChainTrigger"
    assert arguments["resource_id"] == "first"
    assert (arguments["match_timeout"], arguments["settle_time"]) == (3.0, 0.5)
    assert all(isinstance(value, str | float | bool | None) for value in arguments.values())


def test_a_restarted_triggerer_continues_in_the_middle_of_the_chain(tenant: Tenant, task: Task) -> None:
    add_chain(tenant, Script(run=1), Script(run=20))
    an_operator = operator(deferrable=True)
    trigger = deferred(task, an_operator)

    async def stop_in_the_middle() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.to_thread(until_second_runs, tenant)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    trigger.cancel_on_kill = False
    asyncio.run(stop_in_the_middle())
    assert any(run["active"] for run in tenant.runs("second"))

    again = QlikTaskChainTrigger(**trigger.serialize()[1])
    result = an_operator.execute_complete(task.context, fire(again))
    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3
    assert counts(tenant) == [1, 1, 1]


@pytest.mark.parametrize("state", ["failed", "deferred"])
def test_a_user_who_ends_the_deferred_task_ends_the_chain(
    tenant: Tenant, task: Task, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))
    trigger = deferred(task, operator(deferrable=True))
    until_second_runs(tenant)

    async def task_state(_: object) -> str:
        return state

    monkeypatch.setattr(cancellation, "task_state", task_state)
    asyncio.run(trigger.on_kill())

    tenant.advance(5)
    # A triggerer that loses the trigger to another one cancels nothing.
    assert bool(tenant.active()) is (state == "deferred")


def test_a_user_who_ends_the_deferred_task_during_the_first_run_ends_that(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_chain(tenant, Script(end=None))
    trigger = deferred(task, operator(deferrable=True))

    async def task_state(_: object) -> str:
        return "failed"

    monkeypatch.setattr(cancellation, "task_state", task_state)
    asyncio.run(trigger.on_kill())

    tenant.advance(5)
    assert tenant.active() == []
    assert counts(tenant) == [1, 0, 0]


def test_a_deferral_that_times_out_cancels_the_chain(tenant: Tenant, task: Task) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))
    an_operator = operator(deferrable=True)
    deferred(task, an_operator)
    until_second_runs(tenant)

    with pytest.raises(deferral_failures()):
        an_operator.resume_execution("__fail__", {"error": "Trigger timeout"}, task.context)

    tenant.advance(5)
    assert tenant.active() == []


def test_without_cancel_on_kill_the_chain_goes_on(tenant: Tenant, task: Task) -> None:
    add_chain(tenant, Script(run=1), Script(end=None))
    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(operator(timeout=2.0, cancel_on_kill=False), task.context)
    tenant.advance(5)
    assert len(tenant.active()) == 2  # the run of the task, and the reload that works for it


def test_after_a_trigger_that_waited_for_the_run_alone_the_chain_is_followed_on_the_worker(
    tenant: Tenant, task: Task
) -> None:
    add_chain(tenant, Script(run=1), Script(run=5))
    plain = operator(deferrable=True, wait_for_chain=False)
    with pytest.raises(TaskDeferred) as raised:
        plain.execute(task.context)
    assert type(raised.value.trigger) is QlikRunTrigger

    result = operator(deferrable=True).execute_complete(task.context, fire(raised.value.trigger))

    assert [link["state"] for link in result["chain"]] == ["succeeded"] * 3


def test_an_event_with_a_damaged_chain_is_refused(tenant: Tenant, task: Task) -> None:
    add_chain(tenant)
    event = fire(deferred(task, operator(deferrable=True)))
    assert RunEvent.from_json(event).to_json() == event
    event["chain"] = [{"state": "succeeded"}]
    with pytest.raises(InvalidEventError, match="cannot be read"):
        RunEvent.from_json(event)


@both_modes
def test_the_example_dag_waits_for_a_chain(tenant: Tenant, task: Task, deferrable: bool) -> None:
    from airflow_provider_qlik.example_dags.qlik_run_task_chain import dag

    tenant.add_task("Refresh", id="demo-task")
    tenant.add_task("Forecast", id="demo-forecast", events=after("demo-task"))
    refresh: Any = dag.get_task("refresh")
    refresh.qlik_task_id, refresh.deferrable = "demo-task", deferrable

    result = finish(refresh, task.context)

    report: Any = dag.get_task("report")
    assert report.python_callable(result) == ["Refresh: SUCCEEDED", "Forecast: SUCCEEDED"]
