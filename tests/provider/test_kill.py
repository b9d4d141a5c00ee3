"""A cancel while Airflow itself does not answer, and a wait whose connection cannot be read: what is done and said."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_qlik import compat
from airflow_provider_qlik.hooks import qlik_cloud
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.runs import Run, RunState
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import airflow_requests, cancellation
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests import virtual_time
from tests.provider.conftest import Task


class Lines:
    """The log of a trigger."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []

    def log(self, level: int, text: str, *values: Any) -> None:
        self.said.append((level, text % values))

    def of(self, level: int) -> list[str]:
        return [text for each, text in self.said if each == level]


class Airflow:
    """Airflow as a trigger sees it: what it answers is on two lists, the last of which is repeated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: list[str | Exception] = ["failed"]
        self.connections: list[Exception | None] = [None]
        self.asked_states = self.asked_connections = 0

        async def task_state(_: object) -> str:
            self.asked_states += 1
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            if isinstance(state, Exception):
                raise state
            return state

        async def read_connection(name: str) -> Any:
            self.asked_connections += 1
            error = self.connections.pop(0) if len(self.connections) > 1 else self.connections[0]
            if error is not None:
                raise error
            return await compat.read_connection(name)

        monkeypatch.setattr(cancellation, "task_state", task_state)
        monkeypatch.setattr(qlik_cloud, "read_connection", read_connection)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    monkeypatch.setattr(airflow_requests, "RETRY_PAUSE", 0.01)
    return Airflow(monkeypatch)


def going_on(tenant: Tenant, kind: str = "automation", **arguments: Any) -> tuple[QlikRunTrigger, Lines]:
    """A trigger whose run goes on until somebody stops it, and its log."""
    if kind == "automation":
        resource = tenant.add_automation("Prepare")
        run = tenant.add_run(resource, started_ago=1, script=Script(end=None))
    else:
        resource, run = tenant.add_sharing_task("Weekly"), "workflow"
        tenant.add_execution(resource, started_ago=1, workflow_id=run, script=Script(end=None))
    trigger = QlikRunTrigger(kind=kind, resource_id=resource, run_id=run, cancel_on_kill=True, **arguments)
    lines = trigger.log_writer._log = Lines()
    return trigger, lines


def kill(trigger: QlikRunTrigger, *, patience: float | None = None) -> list[Any]:
    """Ends a trigger as Airflow does, which interrupts it if it takes longer; what the event loop complained of."""
    complaints: list[Any] = []

    async def as_airflow_does() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        try:
            await asyncio.wait_for(trigger.on_kill(), patience)
        except TimeoutError:
            while cancellation._active:
                await asyncio.sleep(0.01)
        trigger.cancellation = None
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(as_airflow_does())
    return complaints


OUTAGE = [OSError("Airflow is away"), TimeoutError()]


def test_a_cancel_outlasts_that_airflow_does_not_tell_the_state_of_the_task(tenant: Tenant, airflow: Airflow) -> None:
    trigger, lines = going_on(tenant)
    airflow.states = [*OUTAGE, "failed"]
    assert kill(trigger) == []
    assert tenant.active() == []
    assert lines.of(logging.ERROR) == []


def test_a_cancel_outlasts_that_airflow_does_not_give_the_connection(tenant: Tenant, airflow: Airflow) -> None:
    # The end of the wait is no end of the cancel.
    trigger, lines = going_on(tenant, deadline=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    airflow.connections = [*OUTAGE, None]
    assert kill(trigger) == []
    assert tenant.active() == []
    assert lines.of(logging.ERROR) == []


def test_an_interrupted_cancel_outlasts_it_as_well(tenant: Tenant, airflow: Airflow) -> None:
    trigger, _ = going_on(tenant)
    airflow.states = [*OUTAGE * 5, "failed"]
    assert kill(trigger, patience=0.02) == []
    assert tenant.active() == []


@pytest.mark.parametrize("patience", [None, 0.02], ids=["", "interrupted"])
def test_where_the_state_of_the_task_is_never_learned_nothing_is_cancelled_and_that_is_said(
    tenant: Tenant, airflow: Airflow, patience: float | None
) -> None:
    trigger, lines = going_on(tenant)
    airflow.states = [OSError("Airflow is away")]
    assert kill(trigger, patience=patience) == []
    assert tenant.request_log(method="POST") == []
    assert len(tenant.active()) == 1
    assert airflow.asked_states == airflow_requests.MAX_ATTEMPTS
    assert lines.of(logging.ERROR) == [
        "The state of its task could not be read: Airflow is away. Stop the run in Qlik Cloud: automation run"
        f" {trigger.run_id} could not be cancelled and may still be active."
    ]


def test_a_cancel_whose_connection_is_never_had_says_that_the_run_goes_on(tenant: Tenant, airflow: Airflow) -> None:
    trigger, lines = going_on(tenant)
    airflow.connections = [TimeoutError()]
    assert kill(trigger) == []
    assert airflow.asked_connections == airflow_requests.MAX_ATTEMPTS
    (said,) = lines.of(logging.ERROR)
    assert said.startswith("The connection could not be read: TimeoutError. Stop the run in Qlik Cloud")
    assert said.endswith(f"automation run {trigger.run_id} could not be cancelled and may still be active.")


def test_a_connection_that_is_gone_is_said_at_once(tenant: Tenant, airflow: Airflow) -> None:
    trigger, lines = going_on(tenant)
    airflow.connections = [AirflowNotFoundException("there is no such connection")]
    assert kill(trigger) == []
    assert airflow.asked_connections == 1
    (said,) = lines.of(logging.ERROR)
    assert "could not be cancelled and may still be active" in said
    assert "there is no such connection" in said


def test_a_connection_that_is_no_good_is_said_at_once(
    tenant: Tenant, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger, lines = going_on(tenant)
    broken = {"conn_type": "qlik_cloud", "host": tenant.url}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(broken))
    assert kill(trigger) == []
    assert airflow.asked_connections == 1
    (said,) = lines.of(logging.ERROR)
    assert "could not be cancelled and may still be active" in said
    assert "password: must be given" in said


def test_a_task_that_is_cleared_while_the_connection_cannot_be_had_keeps_its_new_run(
    tenant: Tenant, airflow: Airflow
) -> None:
    """A cancel of a sharing task ends all its runs there are by then."""
    trigger, _ = going_on(tenant, "sharing_task", has_checkpoint=True)
    airflow.states = ["failed", "failed", "running"]
    airflow.connections = [*OUTAGE, None]
    kill(trigger)
    assert tenant.request_log(method="POST") == []


def test_a_cleared_sharing_task_is_cancelled_here_where_its_next_try_would_not_find_it(
    tenant: Tenant, airflow: Airflow
) -> None:
    """Without a task state store: on Airflow before 3.3, and with durable=False."""
    trigger, _ = going_on(tenant, "sharing_task")
    airflow.states = ["running"]
    kill(trigger)
    tenant.advance(30)
    assert tenant.active() == []


def test_a_cleared_sharing_task_is_not_cancelled_beside_another_run_of_it(tenant: Tenant, airflow: Airflow) -> None:
    trigger, lines = going_on(tenant, "sharing_task")
    tenant.add_execution(trigger.resource_id, workflow_id="another", script=Script(end=None))
    airflow.states = ["running"]
    kill(trigger)
    assert tenant.request_log(method="POST") == []
    (said,) = lines.of(logging.ERROR)
    assert "workflow" in said
    assert "another" in said


def test_a_sharing_task_that_was_not_cleared_is_cancelled_after_all(tenant: Tenant, airflow: Airflow) -> None:
    trigger, _ = going_on(tenant, "sharing_task")
    airflow.connections = [*OUTAGE, None]
    kill(trigger)
    assert [entry.operation for entry in tenant.request_log(method="POST")] == ["cancel_sharing_task"]


def test_a_cancel_that_is_broken_off_ends_with_the_run_named(tenant: Tenant, airflow: Airflow) -> None:
    """As when its triggerer is told to end."""
    trigger, lines = going_on(tenant)
    airflow.states = [OSError("Airflow is away")]

    async def break_off() -> None:
        killing = asyncio.ensure_future(trigger.on_kill())
        while not airflow.asked_states:
            await asyncio.sleep(0.005)
        (cancelling,) = cancellation._active
        cancelling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killing

    asyncio.run(break_off())
    assert airflow.asked_states < airflow_requests.MAX_ATTEMPTS
    (said,) = lines.of(logging.ERROR)
    assert said.startswith(f"The triggerer stops: automation run {trigger.run_id} could not be cancelled")


# What is said meanwhile


async def wait() -> Lines:
    trigger = QlikRunTrigger(kind="automation", resource_id="prepare", run_id="run")
    lines = trigger.log_writer._log = Lines()
    with pytest.raises(Exception, match="Airflow is away"):
        await anext(trigger.run())
    return lines


async def end() -> Lines:
    trigger = QlikRunTrigger(kind="automation", resource_id="prepare", run_id="run", cancel_on_kill=True)
    lines = trigger.log_writer._log = Lines()
    await trigger.on_kill()
    return lines


@pytest.mark.parametrize("work", [wait, end])
def test_ten_minutes_without_a_connection_are_told_once_and_every_five_minutes(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], Coroutine[Any, Any, Lines]]
) -> None:
    airflow = Airflow(monkeypatch)
    airflow.connections = [OSError("Airflow is away")]
    lines = virtual_time.run(work())
    assert airflow.asked_connections == airflow_requests.MAX_ATTEMPTS
    said = lines.of(logging.WARNING)
    assert len(said) == 2
    assert all(line.startswith("The connection could not be read: Airflow is away. Trying again") for line in said)


def test_a_wait_goes_on_when_the_connection_can_be_read_again(tenant: Tenant, airflow: Airflow) -> None:
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=0, script=Script(run=1))
    airflow.connections = [*OUTAGE, None]
    trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run, poll_interval=0.1)
    lines = trigger.log_writer._log = Lines()

    async def event() -> Any:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(event())
    assert payload["run"]["status"] == "finished"
    assert lines.of(logging.WARNING) == ["The connection could not be read: Airflow is away. Trying again"]


def test_a_wait_whose_deadline_has_passed_does_not_go_on_asking_for_its_connection(
    tenant: Tenant, airflow: Airflow
) -> None:
    airflow.connections = [OSError("Airflow is away")]
    trigger = QlikRunTrigger(
        kind="automation", resource_id="prepare", run_id="run", deadline=datetime.now(UTC).isoformat()
    )
    with pytest.raises(Exception, match="Airflow is away"):
        asyncio.run(anext(trigger.run()))  # type: ignore[arg-type]
    assert airflow.asked_connections == 1


MARKER = "airflow-0123456789abcdef"


def a_strangers_run_followed_for_ours(tenant: Tenant) -> tuple[str, str, str]:
    """A task, a colleague's run of it that was alone when ours was started, and ours that shows our marker since."""
    task = tenant.add_task("Refresh")
    colleagues = tenant.add_run(task, started_ago=60, triggered_by="manual", script=Script(end=None))
    ours = tenant.add_run(task, started_ago=10, triggered_by=MARKER, script=Script(end=None))
    return task, colleagues, ours


def asked_to_stop(tenant: Tenant, task: str) -> dict[str, bool]:
    """Which runs of a task were asked to stop, by the reload that works for them."""
    return {run["id"]: not run["active"] for run in tenant.runs(task)}


def test_a_killed_trigger_cancels_the_run_that_shows_our_marker_since_and_not_a_strangers(
    tenant: Tenant, airflow: Airflow
) -> None:
    task, colleagues, ours = a_strangers_run_followed_for_ours(tenant)
    since = datetime.now(UTC) - timedelta(hours=1)
    trigger = QlikRunTrigger(
        kind="task",
        resource_id=task,
        run_id=colleagues,
        unconfirmed_since=since.isoformat(),
        marker=MARKER,
        cancel_on_kill=True,
    )
    trigger.log_writer._log = Lines()
    assert kill(trigger) == []
    tenant.advance(60)
    assert asked_to_stop(tenant, task) == {colleagues: False, ours: True}


def test_a_killed_worker_cancels_the_run_that_shows_our_marker_since_and_not_a_strangers(
    tenant: Tenant, airflow: Airflow, task: Task
) -> None:
    qlik_task, colleagues, ours = a_strangers_run_followed_for_ours(tenant)
    operator = QlikRunTaskOperator(task_id="refresh", qlik_task_id=qlik_task)
    with qlik_cloud.QlikCloudHook() as hook:
        hook.get_conn()
        operator._lifecycle = operator._new_lifecycle(hook, task.context)
        operator._lifecycle.run = Run(
            kind="task",
            resource_id=qlik_task,
            id=colleagues,
            state=RunState.ACTIVE,
            status="RUNNING",
            unconfirmed_since=datetime.now(UTC) - timedelta(hours=1),
            marker=MARKER,
        )
        operator.on_kill()
    tenant.advance(60)
    assert asked_to_stop(tenant, qlik_task) == {colleagues: False, ours: True}


def test_a_cancel_that_waits_says_which_run_may_be_left(
    tenant: Tenant, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "NOTICE_DELAY", 0.05)
    trigger, lines = going_on(tenant)
    tenant.fault(operation="stop_automation_run", delay=0.5)
    assert kill(trigger) == []
    assert tenant.active() == []
    (waits,) = lines.of(logging.ERROR)
    assert f"run {trigger.run_id} waits" in waits
    assert "stop it in Qlik Cloud" in waits


def test_a_cancel_that_a_stopping_triggerer_breaks_off_names_its_run(tenant: Tenant, airflow: Airflow) -> None:
    trigger, lines = going_on(tenant)
    tenant.fault(operation="stop_automation_run", reset="before", times=None)

    async def stop_the_triggerer() -> None:
        ending = asyncio.ensure_future(trigger.on_kill())
        while not tenant.request_log(operation="stop_automation_run"):
            await asyncio.sleep(0.01)
        for cancel in tuple(cancellation._active):
            cancel.cancel()
        await asyncio.gather(ending, *cancellation._active, return_exceptions=True)

    asyncio.run(stop_the_triggerer())
    assert any(f"The triggerer stops: automation run {trigger.run_id}" in line for line in lines.of(logging.ERROR))
