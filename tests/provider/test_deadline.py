"""A wait ends at its deadline, also while a request of it is under way; and a hook may be used in a second loop."""

from __future__ import annotations

import asyncio
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_qlik.cloud.api import users
from airflow_provider_qlik.cloud.transport import client
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from tests.provider.conftest import FAST, Task, finish

A_LONG_TIME = 25.0
"""Seconds for which the tenant says nothing: far longer than the test may take, and shorter than any time-out."""


@pytest.fixture(autouse=True)
def _short_last_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LAST_POLL", 0.3)


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
@pytest.mark.parametrize("fault", [{"delay": A_LONG_TIME}, {"trickle": "body"}, {"trickle": "headers"}], ids=str)
def test_a_deadline_passes_while_a_poll_is_under_way(
    tenant: Tenant, task: Task, deferrable: bool, fault: dict[str, object]
) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(end=None))
    operator = QlikRunTaskOperator(
        task_id="refresh", qlik_task_id=qlik_task, deferrable=deferrable, timeout=1.5, **FAST
    )
    # The runs are listed before the start and once after it.
    tenant.fault(operation="list_task_runs", times=2, headers={"x-well": "yes"})
    tenant.fault(operation="list_task_runs", times=None, **fault)  # type: ignore[arg-type]
    began = time.monotonic()

    with pytest.raises(AirflowException, match="^The wait timed out") as raised:
        finish(operator, task.context)

    assert not isinstance(raised.value, AirflowFailException)
    assert time.monotonic() - began < A_LONG_TIME / 2
    tenant.advance(60)
    assert tenant.active() == []


def test_a_deferred_sensor_ends_at_its_deadline_while_a_poll_is_under_way(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, script=Script(run=10_000))
    tenant.fault("GET", times=None, delay=A_LONG_TIME)
    sensor = QlikAutomationRunSensor(task_id="wait", automation_id=automation, deferrable=True, timeout=1)
    began = time.monotonic()

    with pytest.raises(AirflowSensorTimeout, match="^The wait timed out"):
        finish(sensor, task.context)

    assert time.monotonic() - began < A_LONG_TIME / 2


def test_a_hook_opens_anew_in_a_second_event_loop(tenant: Tenant) -> None:
    hook = QlikCloudHook()

    async def call_and_leave_open() -> str:
        return (await hook.acall(users.me())).id

    async def call_and_close() -> str:
        user = await hook.acall(users.me())
        await hook.aclose()
        return user.id

    assert asyncio.run(call_and_leave_open()) == tenant.user_id
    assert asyncio.run(call_and_leave_open()) == tenant.user_id
    assert asyncio.run(call_and_close()) == tenant.user_id
