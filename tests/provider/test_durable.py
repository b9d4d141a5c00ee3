from __future__ import annotations

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_qlik.compat import deferral_failures
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.runs import ADAPTERS
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import cancellation
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests.provider.conftest import FAST, Store, Task, finish, fire

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
every_kind = pytest.mark.parametrize("kind", ["task", "automation", "reload", "sharing_task"])


class WorkerKilled(BaseException):
    """A SIGKILL: nothing is cleaned up."""


SUCCESS = {"task": "SUCCEEDED", "automation": "finished", "reload": "SUCCEEDED", "sharing_task": "successful"}


def some(tenant: Tenant, kind: str, *scripts: Script) -> str:
    """Something that runs for long, unless its scripts say otherwise."""
    make: dict[str, Any] = {
        "task": lambda: tenant.add_task("Refresh"),
        "automation": lambda: tenant.add_automation("Prepare"),
        "reload": lambda: tenant.add_app("Sales"),
        "sharing_task": lambda: tenant.add_sharing_task("Weekly"),
    }
    resource: str = make[kind]()
    tenant.script(resource, *(scripts or (Script(run=60, end=SUCCESS[kind]),)))
    return resource


def operator(kind: str, resource: str, **arguments: Any) -> Any:
    cls, name = {
        "task": (QlikRunTaskOperator, "qlik_task_id"),
        "automation": (QlikRunAutomationOperator, "automation_id"),
        "reload": (QlikReloadAppOperator, "app_id"),
        "sharing_task": (QlikRunSharingTaskOperator, "sharing_task_id"),
    }[kind]
    patience = {"settle_time": 0.2, "unknown_outcome_timeout": 0.2}
    return cls(task_id="run", **{name: resource}, **{**FAST, **patience, **arguments})


def starts(tenant: Tenant, resource: str) -> int:
    return len([run for run in tenant.runs(resource) if run.get("via") not in {"added", "competing"}])


def killed(task: Task, an_operator: Any, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Runs an operator on a worker that is killed at some moment."""
    from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore

    save = CheckpointStore.save

    def save_and_die(checkpoint: CheckpointStore, intent: Any, run: Any = None) -> None:
        if moment == "before its id is kept" and run is not None:
            raise WorkerKilled
        save(checkpoint, intent, run)
        if moment == "before the start" or (moment == "while waiting" and run is not None):
            raise WorkerKilled

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "save", save_and_die)
        with pytest.raises(WorkerKilled):
            an_operator.execute(task.context)


@every_kind
@both_modes
@pytest.mark.parametrize("moment", ["before the start", "before its id is kept", "while waiting"])
def test_a_retry_after_a_killed_worker_starts_nothing_twice(
    tenant: Tenant, task: Task, kind: str, deferrable: bool, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.runs import matching as find

    monkeypatch.setattr(find.MatchTimeouts.__init__, "__defaults__", (300.0, 0.2, 0.2, 0.2, 0.1, 0.2))
    resource = some(tenant, kind, Script(run=16, end=SUCCESS[kind]))
    killed(task, operator(kind, resource, deferrable=deferrable), monkeypatch, moment)
    assert starts(tenant, resource) == (0 if moment == "before the start" else 1)

    result = finish(operator(kind, resource, deferrable=deferrable), task.try_again().context)

    assert result["state"] == "succeeded"
    assert starts(tenant, resource) == 1
    assert task.store.get("qlik_run")["done"]


@every_kind
@both_modes
def test_a_retry_after_a_failed_run_starts_a_new_one(tenant: Tenant, task: Task, kind: str, deferrable: bool) -> None:
    resource = some(tenant, kind, Script(run=12, end="failed"), Script(run=12, end=SUCCESS[kind]))
    with pytest.raises(AirflowException, match="(?i)ended as 'failed'"):
        finish(operator(kind, resource, deferrable=deferrable), task.context)
    assert task.store.kept == {}
    finish(operator(kind, resource, deferrable=deferrable), task.try_again().context)
    assert starts(tenant, resource) == 2


@every_kind
@both_modes
def test_a_cleared_task_starts_a_new_run_and_cancels_the_old_one(
    tenant: Tenant, task: Task, kind: str, deferrable: bool
) -> None:
    resource = some(tenant, kind, Script(end=None), Script(run=12, end=SUCCESS[kind]))
    with pytest.raises(TaskDeferred):
        operator(kind, resource, deferrable=True).execute(task.context)

    result = finish(operator(kind, resource, deferrable=deferrable), task.try_again(cleared=True).context)

    old, new = tenant.runs(resource)
    assert (old["cancel_requested_at"] is not None, new["cancel_requested_at"]) == (True, None)
    assert result["state"] == "succeeded"
    assert tenant.active() == []


@pytest.mark.parametrize("kind", ["automation", "reload", "sharing_task"])
def test_the_trigger_of_a_cleared_task_does_not_cancel_what_the_new_attempt_has_cancelled(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes second, and the cancel of a sharing task would hit the run that the new try has started since."""
    resource = some(tenant, kind, Script(end=None, cancel_delay=600))
    trigger = deferred_trigger(task, operator(kind, resource, deferrable=True))
    kill(trigger, monkeypatch)
    cancels = len(tenant.request_log(method="POST"))
    kill(trigger, monkeypatch)
    assert len(tenant.request_log(method="POST")) == cancels


@pytest.mark.parametrize("state", ["None", "scheduled", "queued", "running", "up_for_retry"])
def test_the_trigger_of_a_cleared_sharing_task_leaves_its_run_to_the_next_attempt(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """While the task works for the next try, Qlik shows no difference, and a cancel hits both runs."""
    resource = some(tenant, "sharing_task", Script(end=None, cancel_delay=1), Script(end=None))
    trigger = deferred_trigger(task, operator("sharing_task", resource, deferrable=True))
    new_try = operator("sharing_task", resource, deferrable=True)
    with pytest.raises(TaskDeferred):
        new_try.execute(task.try_again(cleared=True).context)
    kill(trigger, monkeypatch, state=state)
    old, new = tenant.runs(resource)
    assert (old["cancel_requested_at"] is not None, new["cancel_requested_at"]) == (True, None)


@every_kind
def test_a_cancelled_trigger_cancels_the_run_if_airflow_never_calls_on_kill(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind, Script(end=None))
    trigger = deferred_trigger(task, operator(kind, resource, deferrable=True))

    async def task_state(_: object) -> str:
        return "success"

    async def break_off() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        while not tenant.request_log(method="GET"):
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while cancellation._active:
            await asyncio.sleep(0.01)

    tenant.clear_request_log()
    monkeypatch.setattr(cancellation, "task_state", task_state)
    asyncio.run(break_off())
    tenant.advance(5)
    assert tenant.active() == []


@pytest.mark.parametrize("kind", ["reload", "sharing_task"])
def test_if_a_cancel_could_hit_the_new_run_it_starts_after_the_old_one_has_ended(
    tenant: Tenant, task: Task, kind: str
) -> None:
    resource = some(tenant, kind, Script(end=None, cancel_delay=40), Script(run=1, end=SUCCESS[kind]))
    with pytest.raises(TaskDeferred):
        operator(kind, resource, deferrable=True).execute(task.context)
    finish(operator(kind, resource), task.try_again(cleared=True).context)
    old, new = tenant.runs(resource)
    assert old["ended_at"] < new["created_at"]


def test_a_cleared_task_that_had_succeeded_runs_again(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation", Script(run=1))
    finish(operator("automation", resource), task.context)
    finish(operator("automation", resource), task.try_again(cleared=True).context)
    assert starts(tenant, resource) == 2


@every_kind
@both_modes
def test_a_success_that_airflow_could_not_store_is_no_second_run(
    tenant: Tenant, task: Task, kind: str, deferrable: bool
) -> None:
    """As where its API server is away at that moment: Airflow tries again, though nobody has cleared the task."""
    resource = some(tenant, kind, Script(run=1, end=SUCCESS[kind]))
    first = finish(operator(kind, resource, deferrable=deferrable), task.context)
    second = finish(operator(kind, resource, deferrable=deferrable), task.try_again().context)
    assert first["run_id"] == second["run_id"]
    assert second["state"] == "succeeded"
    assert starts(tenant, resource) == 1


@pytest.mark.parametrize("going_on", [True, False], ids=["going on", "done"])
def test_a_task_whose_resource_has_changed_starts_a_run_of_the_new_one(
    tenant: Tenant, task: Task, going_on: bool
) -> None:
    """Its Dag was changed between two tries: to another automation, or to another operator."""
    old, app = some(tenant, "automation", Script(end=None if going_on else "finished", run=1)), some(tenant, "reload")
    new = tenant.add_automation("Another")
    tenant.script(new, Script(run=1, end="finished"))
    if going_on:
        with pytest.raises(TaskDeferred):
            operator("automation", old, deferrable=True).execute(task.context)
    else:
        finish(operator("automation", old), task.context)
    task = task.try_again()
    assert finish(operator("automation", new), task.context)["resource_id"] == new
    assert finish(operator("reload", app), task.try_again().context)["resource_id"] == app
    tenant.advance(5)
    assert tenant.active() == []


def test_a_start_that_airflow_could_not_store_is_no_second_run(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation")
    for each in (task, task.try_again()):
        operator("automation", resource, wait_for_completion=False).execute(each.context)
    assert starts(tenant, resource) == 1


def test_without_durable_no_checkpoint_is_stored(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation")
    with pytest.raises(TaskDeferred):
        operator("automation", resource, deferrable=True, durable=False).execute(task.context)
    assert task.store.kept == {}


def test_on_an_older_airflow_the_marker_finds_the_run_of_the_previous_attempt(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "task")
    for this_try in (task, task.try_again()):
        context = {"ti": this_try.context["ti"]}
        with pytest.raises(TaskDeferred):
            operator("task", resource, deferrable=True).execute(context)
    assert starts(tenant, resource) == 1


def test_a_checkpoint_holds_no_inputs(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Mail", run_mode="triggered", executionToken="the-token-of-mail")
    tenant.script(automation, Script(run=60))
    with pytest.raises(TaskDeferred):
        operator("automation", automation, inputs={"password": "do-not-keep-me"}, deferrable=True).execute(task.context)
    kept = str(task.store.kept)
    assert "qlik_run" in kept
    assert "do-not-keep-me" not in kept
    assert "the-token-of-mail" not in kept


# Ending with the task, while it is deferred


def deferred_trigger(task: Task, an_operator: Any) -> QlikRunTrigger:
    with pytest.raises(TaskDeferred) as deferred:
        an_operator.execute(task.context)
    trigger: QlikRunTrigger = deferred.value.trigger
    return QlikRunTrigger(**trigger.serialize()[1])


def kill(
    trigger: QlikRunTrigger, monkeypatch: pytest.MonkeyPatch, *, state: str = "failed", patience: float = 5
) -> None:
    """Ends a trigger as Airflow does when its task has come to that state."""
    trigger = QlikRunTrigger(**trigger.serialize()[1])

    async def task_state(_: object) -> str:
        return state

    async def as_airflow_does() -> None:
        try:
            await asyncio.wait_for(trigger.on_kill(), timeout=patience)
        except TimeoutError:
            # Airflow interrupts it after about a second: what was begun goes on all the same.
            while cancellation._active:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(cancellation, "task_state", task_state)
    asyncio.run(as_airflow_does())


@every_kind
def test_a_run_is_cancelled_when_a_user_ends_its_deferred_task(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind)
    kill(deferred_trigger(task, operator(kind, resource, deferrable=True)), monkeypatch)
    tenant.advance(5)
    assert tenant.active() == []


@every_kind
def test_an_interrupted_cancel_is_finished(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind)
    trigger = deferred_trigger(task, operator(kind, resource, deferrable=True))
    tenant.fault(method="GET", times=2, delay=0.3)
    kill(trigger, monkeypatch, patience=0.1)
    tenant.advance(5)
    assert tenant.active() == []


@every_kind
def test_a_trigger_that_another_triggerer_takes_over_cancels_nothing(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind)
    kill(deferred_trigger(task, operator(kind, resource, deferrable=True)), monkeypatch, state="deferred")
    assert tenant.runs(resource)[-1]["cancel_requested_at"] is None


def test_without_cancel_on_kill_a_run_is_not_cancelled(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, "automation")
    trigger = deferred_trigger(task, operator("automation", resource, deferrable=True, cancel_on_kill=False))
    kill(trigger, monkeypatch)
    assert tenant.runs(resource)[0]["cancel_requested_at"] is None


@every_kind
def test_a_deferral_that_times_out_cancels_the_run(tenant: Tenant, task: Task, kind: str) -> None:
    resource = some(tenant, kind)
    an_operator = operator(kind, resource, deferrable=True)
    with pytest.raises(TaskDeferred):
        an_operator.execute(task.context)
    with pytest.raises(deferral_failures()):
        an_operator.resume_execution("__fail__", {"error": "Trigger timeout"}, task.context)
    tenant.advance(5)
    assert tenant.active() == []


def test_a_transient_error_keeps_the_run_for_a_retry(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation")
    with pytest.raises(AirflowException, match="The wait timed out") as error:
        finish(operator("automation", resource, timeout=0.2, cancel_on_kill=False), task.context)
    assert not isinstance(error.value, AirflowFailException)
    assert finish(operator("automation", resource), task.try_again().context)["state"] == "succeeded"
    assert starts(tenant, resource) == 1


# What a review found


def test_an_event_of_the_run_before_a_clear_is_ignored(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation")
    old = deferred_trigger(task, operator("automation", resource, deferrable=True))
    again = task.try_again(cleared=True)
    an_operator = operator("automation", resource, deferrable=True)
    deferred_trigger(again, an_operator)
    event = fire(old)
    assert event["run"]["status"] == "stopped"

    with pytest.raises(TaskDeferred) as deferred:
        an_operator.execute_complete(again.context, event)
    event = fire(deferred.value.trigger)
    assert an_operator.execute_complete(again.context, event)["run_id"] == again.pushed["run_id"]


def test_a_deferral_that_times_out_leaves_a_reload_of_somebody_else_alone(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app, started_ago=1, script=Script(run=600))
    an_operator = operator("reload", app, if_pending="wait", deferrable=True)
    with pytest.raises(TaskDeferred):
        an_operator.execute(task.context)
    with pytest.raises(deferral_failures()):
        an_operator.resume_execution("__fail__", {"error": "Trigger timeout"}, task.context)
    assert tenant.request_log(operation="cancel_reload") == []


@every_kind
@both_modes
def test_an_outage_from_the_start_to_the_deadline_leaves_nothing_running(
    tenant: Tenant, task: Task, kind: str, deferrable: bool
) -> None:
    resource = some(tenant, kind, Script(end=None))
    an_operator = operator(kind, resource, deferrable=deferrable, timeout=0.5)
    show = an_operator._publish_run

    def show_then_outage(*given: Any) -> None:
        show(*given)
        tenant.fault(method="GET", status=503, times=None)

    an_operator._publish_run = show_then_outage
    with pytest.raises(AirflowException, match="polls failed"):
        finish(an_operator, task.context)
    tenant.clear_faults()
    tenant.advance(5)
    assert tenant.active() == []


def test_what_could_not_be_read_before_a_start_is_no_start(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    automation = tenant.add_automation("Mail", run_mode="triggered")
    tenant.fault(operation="get_automation", status=500, times=None)
    with pytest.raises(AirflowException, match="Nothing was started") as error:
        finish(operator("automation", automation, inputs={}), task.context)
    assert not isinstance(error.value, AirflowFailException)
    assert tenant.request_log(method="POST", path="/api/*") == []


@both_modes
def test_a_retry_does_not_resume_a_cancelled_run(tenant: Tenant, task: Task, deferrable: bool) -> None:
    resource = some(tenant, "task", Script(end=None, cancel_delay=600), Script(run=2))
    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(operator("task", resource, timeout=0.3, deferrable=deferrable), task.context)
    result = finish(operator("task", resource, deferrable=deferrable), task.try_again().context)
    assert result["state"] == "succeeded"
    assert starts(tenant, resource) == 2


def test_a_task_killed_while_its_run_is_looked_for_cancels_it(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "task", Script(end=None))
    tenant.switch(show_after=60)
    an_operator = operator("task", resource)

    def kill_it_once_started() -> None:
        while not tenant.runs(resource):
            time.sleep(0.01)
        tenant.advance(61)
        an_operator.on_kill()

    with ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_it_once_started)
        with pytest.raises(AirflowException):
            an_operator.execute(task.context)
        killed.result()
    tenant.advance(5)
    assert tenant.active() == []


def wait_and_kill(tenant: Tenant, an_operator: Any, resource: str, task: Task) -> None:
    """Runs an operator on a worker that gets a SIGTERM while it waits, and a SIGKILL before the run has ended."""

    class Killed(BaseException):
        pass

    def terminate(*_: object) -> None:
        if "run_id" not in task.pushed:
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
    assert [run["cancel_requested_at"] is not None for run in tenant.runs(resource)] == [True]


@every_kind
def test_a_run_cancelled_by_a_kill_is_not_resumed_by_the_retry(tenant: Tenant, task: Task, kind: str) -> None:
    resource = some(tenant, kind, Script(end=None, cancel_delay=10), Script(run=2, end=SUCCESS[kind]))
    wait_and_kill(tenant, operator(kind, resource), resource, task)
    result = finish(operator(kind, resource), task.try_again().context)
    assert result["state"] == "succeeded"
    assert starts(tenant, resource) == 2
    tenant.advance(10)
    assert tenant.active() == []


@pytest.mark.parametrize("kind", ["automation", "reload"])
def test_a_kill_while_the_run_of_the_previous_attempt_is_resumed_cancels_it(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind, Script(end=None))
    killed(task, operator(kind, resource), monkeypatch, "while waiting")
    again = operator(kind, resource)

    def poll(*_: object) -> Any:
        again.on_kill()
        raise WorkerKilled
        yield

    monkeypatch.setattr(type(ADAPTERS[kind]), "poll", poll)
    with pytest.raises(WorkerKilled):
        again.execute(task.try_again().context)
    tenant.advance(10)
    assert tenant.active() == []


def test_a_kill_needs_no_lock_of_airflow_that_the_interrupted_attempt_may_hold(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, "automation", Script(end=None))
    an_operator = operator("automation", resource)
    store = task.store
    supervisor = threading.Lock()  # as in Airflow, it is not re-entrant

    class Supervised(Store):
        def get(self, key: str, default: Any = None) -> Any:
            with supervisor:
                return store.get(key, default)

    def no_connection(*_: object) -> None:
        raise AssertionError("asked for the connection")

    def poll_interrupted_in_airflow(*_: object, **__: object) -> None:
        monkeypatch.setattr("airflow_provider_qlik.hooks.qlik_cloud.QlikCloudHook.get_connection", no_connection)
        with supervisor:
            an_operator.on_kill()
        raise WorkerKilled

    task.store = Supervised()
    task.store.kept = store.kept
    monkeypatch.setattr(type(an_operator), "_publish_run", poll_interrupted_in_airflow)
    with pytest.raises(WorkerKilled):
        an_operator.execute(task.context)
    assert tenant.runs(resource)[0]["cancel_requested_at"] is not None


@both_modes
def test_a_retry_after_a_failed_download_only_downloads(
    tenant: Tenant, task: Task, deferrable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    resource = some(tenant, "sharing_task", Script(run=8, end="successful"))
    tenant.fault(operation="get_sharing_task_execution_file", status=503, times=5)
    arguments: dict[str, Any] = {"download_to": str(tmp_path), "deferrable": deferrable}
    with pytest.raises(AirflowException, match="503"):
        finish(operator("sharing_task", resource, **arguments), task.context)
    result = finish(operator("sharing_task", resource, **arguments), task.try_again().context)
    assert len(result["files"]) == len(list(tmp_path.iterdir())) == 1
    assert len(tenant.request_log(operation="execute_sharing_task")) == 1


def test_without_a_checkpoint_a_failed_download_fails_without_retries(
    tenant: Tenant, task: Task, tmp_path: Path
) -> None:
    resource = some(tenant, "sharing_task", Script(run=8, end="successful"))
    tenant.fault(operation="get_sharing_task_execution_file", status=404)
    with pytest.raises(AirflowFailException, match="The run succeeded, but a later step of the task failed"):
        finish(operator("sharing_task", resource, download_to=str(tmp_path), durable=False), task.context)


def test_what_goes_wrong_in_airflow_after_a_start_leaves_nothing_running(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation", Script(end=None))
    context = task.context

    def refuse(**_: Any) -> None:
        raise RuntimeError("no database")

    context["ti"].xcom_push = refuse
    with pytest.raises(RuntimeError, match="no database"):
        operator("automation", resource).execute(context)
    tenant.advance(5)
    assert tenant.active() == []


def test_a_clear_leaves_a_reload_of_somebody_else_alone(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app, started_ago=1, script=Script(run=600))
    for this_try in (task, task.try_again(cleared=True)):
        with pytest.raises(TaskDeferred):
            operator("reload", app, if_pending="wait", deferrable=True).execute(this_try.context)
    assert tenant.request_log(operation="cancel_reload") == []


# What is remembered has a version.


def remembered(tenant: Tenant, task: Task) -> str:
    resource = some(tenant, "automation", Script(end=None))
    deferred_trigger(task, operator("automation", resource, deferrable=True))
    return resource


def rewrite(task: Task, **members: Any) -> None:
    entry = {**task.store.get("qlik_run"), **members}
    task.store.set("qlik_run", {name: given for name, given in entry.items() if given is not None})


def test_the_checkpoint_of_an_older_release_is_resumed(tenant: Tenant, task: Task) -> None:
    resource = remembered(tenant, task)
    assert task.store.get("qlik_run")["version"] == 1
    rewrite(task, version=None)
    trigger = deferred_trigger(task.try_again(), operator("automation", resource, deferrable=True))
    assert trigger.run_id == task.pushed["run_id"]
    assert starts(tenant, resource) == 1


@pytest.mark.parametrize("version", [2, 99, 0, "1", True, [1]], ids=repr)
def test_the_checkpoint_of_a_newer_release_is_refused_with_advice(tenant: Tenant, task: Task, version: Any) -> None:
    resource = remembered(tenant, task)
    rewrite(task, version=version)
    with pytest.raises(AirflowFailException, match="cannot be read.* of version .*reads version 1") as refused:
        operator("automation", resource, deferrable=True).execute(task.try_again().context)
    assert repr(version) in str(refused.value)
    assert "clear this task to start a new run" in str(refused.value)
    assert starts(tenant, resource) == 1
    assert task.store.get("qlik_run")["version"] == version


def test_a_cleared_task_ignores_the_checkpoint_of_a_newer_release(tenant: Tenant, task: Task) -> None:
    resource = remembered(tenant, task)
    rewrite(task, version=99)
    again = task.try_again(cleared=True)
    deferred_trigger(again, operator("automation", resource, deferrable=True))
    assert starts(tenant, resource) == 2
    assert again.store.get("qlik_run")["version"] == 1
