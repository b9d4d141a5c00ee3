"""A task that is cleared while it is deferred, on an Airflow that has no task state store (before 3.3)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_qlik.lifecycle import cancellation
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import cancellation as trigger_cancellation
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests.provider.conftest import Task, finish
from tests.provider.test_durable import SUCCESS, operator, some

TOGETHER = pytest.mark.parametrize("kind", ["reload", "sharing_task"])


def without_store(task: Task) -> Any:
    """What an operator is told on such an Airflow."""
    return {"ti": task.context["ti"]}


def old_trigger(kind: str, resource: str, task: Task) -> QlikRunTrigger:
    """The trigger of the first try, which has deferred."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(kind, resource, deferrable=True).execute(without_store(task))
    arguments = deferred.value.trigger.serialize()[1]
    assert arguments["has_checkpoint"] is False
    return QlikRunTrigger(**arguments)


@TOGETHER
def test_the_new_try_begins_when_the_trigger_of_the_old_one_has_ended_its_run(
    tenant: Tenant, task: Task, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new try is there first, and waits."""
    resource = some(tenant, kind, Script(end=None), Script(run=1, end=SUCCESS[kind]))
    trigger = old_trigger(kind, resource, task)

    async def task_state(_: object) -> str:
        return "running"

    monkeypatch.setattr(trigger_cancellation, "task_state", task_state)
    looked = len(tenant.request_log(method="GET"))

    def clear() -> None:
        until = time.monotonic() + 20
        while len(tenant.request_log(method="GET")) < looked + 3 and time.monotonic() < until:
            time.sleep(0.01)
        asyncio.run(trigger.on_kill())

    cancelling = threading.Thread(target=clear)
    cancelling.start()
    result = finish(operator(kind, resource, timeout=30), without_store(task.try_again(cleared=True)))
    cancelling.join()

    old, new = tenant.runs(resource)
    assert result["state"] == "succeeded"
    assert (old["cancel_requested_at"] is not None, new["cancel_requested_at"]) == (True, None)
    assert old["ended_at"] <= new["created_at"]


@TOGETHER
def test_a_first_try_waits_for_nobody(tenant: Tenant, task: Task, kind: str) -> None:
    """Nor does a retry: what goes on is somebody else's."""
    # A tenant that shows the marker of a reload tells whose it is, see below.
    tenant.switch(reload_marker="hidden")
    resource = some(tenant, kind, Script(end=None), Script(run=1, end=SUCCESS[kind]))
    old_trigger(kind, resource, task)
    if kind == "reload":
        with pytest.raises(AirflowFailException, match="pending already"):
            finish(operator(kind, resource), without_store(task.try_again()))
    else:
        # Deferrable, since neither is seen to end before the other has: the sharing task is at work.
        with pytest.raises(TaskDeferred):
            operator(kind, resource, deferrable=True).execute(without_store(task.try_again()))
        assert len(tenant.runs(resource)) == 2


def test_a_retry_takes_up_the_reload_that_carries_its_marker(tenant: Tenant, task: Task) -> None:
    app = some(tenant, "reload", Script(run=5, end="succeeded"))
    old = old_trigger("reload", app, task)
    result = finish(operator("reload", app), without_store(task.try_again()))
    assert result["state"] == "succeeded"
    assert [run["id"] for run in tenant.runs(app)] == [old.run_id]


def test_what_goes_on_for_longer_does_not_keep_a_cleared_task(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "MAX_PREVIOUS_RUN_WAIT", 0.5)
    resource = some(tenant, "sharing_task", Script(end=None), Script(run=1, end=SUCCESS["sharing_task"]))
    old_trigger("sharing_task", resource, task)
    with pytest.raises(TaskDeferred):
        operator("sharing_task", resource, deferrable=True).execute(without_store(task.try_again(cleared=True)))
    assert len(tenant.runs(resource)) == 2


def test_a_cleared_sharing_task_does_not_wait_for_a_run_that_a_reload_has_started(
    tenant: Tenant, task: Task, logged: Callable[[], str]
) -> None:
    resource = some(tenant, "sharing_task", Script(run=1, end=SUCCESS["sharing_task"]))
    tenant.add_execution(resource, started_ago=1, script=Script(end=None), reload_id="some-reload")
    with pytest.raises(TaskDeferred):
        operator("sharing_task", resource, deferrable=True).execute(without_store(task.try_again(cleared=True)))
    assert "waiting until its previous run has ended" not in logged()


def test_a_reload_that_is_being_cancelled_is_waited_for(tenant: Tenant, task: Task) -> None:
    """Whoever has cancelled it, and on every Airflow: Qlik Cloud takes no other meanwhile."""
    app = some(tenant, "reload", Script(end=None, cancel_delay=60), Script(run=1, end="succeeded"))
    trigger = old_trigger("reload", app, task)
    (old,) = tenant.runs(app)
    tenant_call(tenant, "POST", f"/api/v1/reloads/{trigger.run_id}/actions/cancel")
    result = finish(operator("reload", app), task.context)
    assert result["state"] == "succeeded"
    assert result["run_id"] != old["id"]


def tenant_call(tenant: Tenant, method: str, path: str) -> None:
    """One request of somebody else."""
    import httpx

    headers = {"authorization": f"Bearer {tenant.api_key}"}
    httpx.request(method, tenant.url + path, headers=headers, trust_env=False).raise_for_status()
