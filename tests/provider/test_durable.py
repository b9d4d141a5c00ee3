from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_qlik.compat import deferral_failures
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import runs as trigger_module
from airflow_provider_qlik.triggers.runs import QlikRunTrigger
from tests.provider.conftest import FAST, Task, finish

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
    return cls(task_id="run", **{name: resource}, settle=0.2, **FAST, **arguments)


def starts(tenant: Tenant, resource: str) -> int:
    return len([run for run in tenant.runs(resource) if run.get("via") not in {"added", "rival"}])


def killed(task: Task, an_operator: Any, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Runs an operator on a worker that is killed at some moment."""
    from airflow_provider_qlik.memory import Memory

    keep = Memory.keep

    def keep_and_die(memory: Memory, intent: Any, run: Any = None) -> None:
        if moment == "before its id is kept" and run is not None:
            raise WorkerKilled
        keep(memory, intent, run)
        if moment == "before the start" or (moment == "while waiting" and run is not None):
            raise WorkerKilled

    with monkeypatch.context() as patch:
        patch.setattr(Memory, "keep", keep_and_die)
        with pytest.raises(WorkerKilled):
            an_operator.execute(task.context)


@every_kind
@both_modes
@pytest.mark.parametrize("moment", ["before the start", "before its id is kept", "while waiting"])
def test_a_retry_after_a_killed_worker_starts_nothing_twice(
    tenant: Tenant, task: Task, kind: str, deferrable: bool, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.runs import find

    monkeypatch.setattr(find.Search.__init__, "__defaults__", (300.0, 0.2, 0.2, 0.2, 0.1, 0.2))
    resource = some(tenant, kind)
    killed(task, operator(kind, resource, deferrable=deferrable), monkeypatch, moment)
    assert starts(tenant, resource) == (0 if moment == "before the start" else 1)

    result = finish(operator(kind, resource, deferrable=deferrable), task.try_again().context)

    assert result["state"] == "succeeded"
    assert starts(tenant, resource) == 1
    assert task.store.kept == {}


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
def test_a_cleared_task_starts_anew_and_leaves_nothing_of_the_old_run(
    tenant: Tenant, task: Task, kind: str, deferrable: bool
) -> None:
    resource = some(tenant, kind)
    with pytest.raises(TaskDeferred):
        operator(kind, resource, deferrable=True).execute(task.context)

    result = finish(operator(kind, resource, deferrable=deferrable), task.try_again(cleared=True).context)

    old, new = tenant.runs(resource)
    assert (old["stop_asked_at"] is not None, new["stop_asked_at"]) == (True, None)
    assert result["state"] == "succeeded"
    assert tenant.active() == []


def test_a_cleared_task_that_had_succeeded_runs_again(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation", Script(run=1))
    finish(operator("automation", resource), task.context)
    finish(operator("automation", resource), task.try_again(cleared=True).context)
    assert starts(tenant, resource) == 2


def test_without_durable_nothing_is_kept(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation")
    with pytest.raises(TaskDeferred):
        operator("automation", resource, deferrable=True, durable=False).execute(task.context)
    assert task.store.kept == {}


def test_on_an_older_airflow_the_marker_finds_the_run_of_the_last_try(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "task")
    for this_try in (task, task.try_again()):
        context = {"ti": this_try.context["ti"]}
        with pytest.raises(TaskDeferred):
            operator("task", resource, deferrable=True).execute(context)
    assert starts(tenant, resource) == 1


def test_what_is_kept_holds_no_inputs(tenant: Tenant, task: Task) -> None:
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
    trigger: QlikRunTrigger, monkeypatch: pytest.MonkeyPatch, *, still_deferred: bool, patience: float = 5
) -> None:
    async def is_deferred(_: object) -> bool:
        return still_deferred

    async def as_airflow_does() -> None:
        try:
            await asyncio.wait_for(trigger.on_kill(), timeout=patience)
        except TimeoutError:
            # Airflow interrupts it after about a second: what was begun goes on all the same.
            while trigger_module._cancels:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(trigger_module, "is_deferred", is_deferred)
    asyncio.run(as_airflow_does())


@every_kind
def test_a_run_is_cancelled_when_a_user_ends_its_deferred_task(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind)
    kill(deferred_trigger(task, operator(kind, resource, deferrable=True)), monkeypatch, still_deferred=False)
    tenant.advance(5)
    assert tenant.active() == []


@every_kind
def test_an_interrupted_cancel_is_finished(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind)
    trigger = deferred_trigger(task, operator(kind, resource, deferrable=True))
    tenant.fault(method="GET", times=2, delay=0.3)
    kill(trigger, monkeypatch, still_deferred=False, patience=0.1)
    tenant.advance(5)
    assert tenant.active() == []


@every_kind
def test_a_trigger_that_another_triggerer_takes_over_cancels_nothing(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = some(tenant, kind)
    kill(deferred_trigger(task, operator(kind, resource, deferrable=True)), monkeypatch, still_deferred=True)
    assert tenant.runs(resource)[-1]["stop_asked_at"] is None


def test_a_run_that_is_to_be_left_alone_is(tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = some(tenant, "automation")
    trigger = deferred_trigger(task, operator("automation", resource, deferrable=True, cancel_on_kill=False))
    kill(trigger, monkeypatch, still_deferred=False)
    assert tenant.runs(resource)[0]["stop_asked_at"] is None


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


def test_an_error_that_a_retry_mends_keeps_the_run_for_it(tenant: Tenant, task: Task) -> None:
    resource = some(tenant, "automation")
    with pytest.raises(AirflowException, match="Gave up waiting") as error:
        finish(operator("automation", resource, timeout=0.2, cancel_on_kill=False), task.context)
    assert not isinstance(error.value, AirflowFailException)
    assert finish(operator("automation", resource), task.try_again().context)["state"] == "succeeded"
    assert starts(tenant, resource) == 1
