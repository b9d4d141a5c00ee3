"""Events that tell of another run: after a clear, Airflow hands a task the event of the try before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    TaskDeferred,
)

from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.lifecycle.deferral import MAX_FOREIGN_EVENTS, Deferral
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from tests.provider.conftest import FAST, Task, finish, fire


def run_automation(automation: str, **arguments: Any) -> QlikRunAutomationOperator:
    return QlikRunAutomationOperator(
        task_id="run", automation_id=automation, **{"deferrable": True, **FAST, **arguments}
    )


def sensor_of(automation: str, **arguments: Any) -> QlikAutomationRunSensor:
    return QlikAutomationRunSensor(
        task_id="wait", automation_id=automation, **{"deferrable": True, "poke_interval": 0.1, **arguments}
    )


def deferred(work: Any, *arguments: Any) -> Any:
    with pytest.raises(TaskDeferred) as raised:
        work(*arguments)
    return raised.value


def event_of_another_run(tenant: Tenant, automation: str, **script: Any) -> dict[str, Any]:
    """The event of a trigger that has waited for a run of somebody else."""
    other = tenant.add_run(automation, started_ago=5, script=Script(run=1, **script))
    return fire(deferred(sensor_of(automation, run_id=other).execute, Task().context).trigger)


@pytest.fixture
def automation(tenant: Tenant) -> str:
    automation = tenant.add_automation("Prepare", maxConcurrentRuns=50)
    tenant.script(automation, Script(run=100_000))
    return automation


def cancel_requested(tenant: Tenant, automation: str) -> list[bool]:
    return [run["cancel_requested_at"] is not None for run in tenant.runs(automation) if run["via"] != "added"]


def test_the_wait_goes_on_until_its_first_deadline(tenant: Tenant, task: Task, automation: str) -> None:
    operator = run_automation(automation, timeout=60)
    first = deferred(operator.execute, task.context)
    event = event_of_another_run(tenant, automation)
    again = deferred(run_automation(automation, timeout=60).execute_complete, task.context, event)
    assert again.trigger.run_id == first.trigger.run_id
    assert again.trigger.deadline == first.trigger.deadline
    assert again.timeout < first.timeout


def test_a_wait_without_a_limit_stays_one(tenant: Tenant, task: Task, automation: str) -> None:
    deferred(run_automation(automation, timeout=None).execute, task.context)
    event = event_of_another_run(tenant, automation)
    again = deferred(run_automation(automation, timeout=None).execute_complete, task.context, event)
    assert (again.trigger.deadline, again.timeout) == (None, None)


def test_a_wait_whose_deadline_has_passed_ends_and_its_run_is_cancelled(
    tenant: Tenant, task: Task, automation: str
) -> None:
    operator = run_automation(automation, timeout=60)
    deferred(operator.execute, task.context)
    task.pushed["qlik_run"]["deadline"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    event = event_of_another_run(tenant, automation)
    with pytest.raises(AirflowException, match="The wait timed out. A trigger event was for") as ended:
        operator.execute_complete(task.context, event)
    assert not isinstance(ended.value, AirflowFailException)
    assert cancel_requested(tenant, automation) == [True]
    assert task.store.get("qlik_run")["cancelled"]


def test_after_ten_such_events_the_run_is_left_to_the_retry(tenant: Tenant, task: Task, automation: str) -> None:
    deferred(run_automation(automation).execute, task.context)
    event = event_of_another_run(tenant, automation)
    for _ in range(MAX_FOREIGN_EVENTS):
        deferred(run_automation(automation).execute_complete, task.context, event)
    with pytest.raises(AirflowException, match="^11 trigger events were for other runs") as ended:
        run_automation(automation).execute_complete(task.context, event)
    assert not isinstance(ended.value, AirflowFailException)
    for said in ("was not cancelled", "A retry resumes it", task.pushed["run_id"], task.pushed["qlik_link"]):
        assert said in str(ended.value)
    assert cancel_requested(tenant, automation) == [False]

    again = deferred(run_automation(automation).execute, task.try_again().context)
    assert again.trigger.run_id == task.pushed["run_id"]


def test_a_failed_wait_for_another_run_says_nothing_about_ours(
    tenant: Tenant, task: Task, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    deferred(run_automation(automation).execute, task.context)
    event = {
        **event_of_another_run(tenant, automation),
        "error": "The wait timed out",
        "error_type": "WaitTimeoutError",
    }
    deferred(run_automation(automation).execute_complete, task.context, event)
    assert cancel_requested(tenant, automation) == [False]


def test_an_event_that_nobody_can_read_cancels_nothing_and_a_retry_resumes_the_run(
    tenant: Tenant, task: Task, automation: str
) -> None:
    deferred(run_automation(automation).execute, task.context)
    with pytest.raises(
        AirflowException,
        match=r"^The event of the trigger has version 99.*it is not known how the run ended\..*\. The run may still",
    ):
        run_automation(automation).execute_complete(task.context, {"version": 99})
    assert cancel_requested(tenant, automation) == [False]
    again = deferred(run_automation(automation).execute, task.try_again().context)
    assert again.trigger.run_id == task.pushed["run_id"]


@pytest.mark.parametrize("pushed", [None, "text", {}, {"deadline": "soon", "foreign_events": 0}, {"deadline": None}])
def test_where_nothing_of_a_deferral_is_known_the_wait_begins_now(pushed: Any) -> None:
    deferral = Deferral.from_json(pushed, 60.0)
    assert deferral.deadline is not None
    assert timedelta(seconds=50) < deferral.deadline - datetime.now(UTC) <= timedelta(seconds=60)


# Sensors.


def test_a_sensor_waits_on_for_the_run_that_it_was_given(tenant: Tenant, task: Task, automation: str) -> None:
    ours = tenant.add_run(automation, started_ago=5, script=Script(run=10))
    first = deferred(sensor_of(automation, run_id=ours, timeout=60).execute, task.context)
    event = event_of_another_run(tenant, automation)
    again = deferred(sensor_of(automation, run_id=ours, timeout=60).execute_complete, task.context, event)
    assert (again.trigger.run_id, again.trigger.deadline) == (ours, first.trigger.deadline)
    result = sensor_of(automation, run_id=ours).execute_complete(task.context, fire(again.trigger))
    assert result["run_id"] == ours


def test_a_sensor_takes_no_run_of_something_else_and_none_of_before_its_moment(tenant: Tenant, task: Task) -> None:
    ours, another = (tenant.add_automation(name) for name in ("Prepare", "Another"))
    # In the future, since a run that is added now begins a few seconds ago, by a clock that goes fast.
    sensor = sensor_of(ours, started_after=tenant.now() + timedelta(hours=1), timeout=60)
    deferred(sensor.execute, task.context)
    for automation in (another, ours):
        deferred(sensor.execute_complete, task.context, event_of_another_run(tenant, automation))


def test_a_sensor_does_not_wait_on_without_end(tenant: Tenant, task: Task, automation: str) -> None:
    ours = tenant.add_run(automation, started_ago=5, script=Script(run=10_000))
    sensor = sensor_of(automation, run_id=ours, timeout=60)
    deferred(sensor.execute, task.context)
    event = event_of_another_run(tenant, automation)
    for _ in range(MAX_FOREIGN_EVENTS):
        deferred(sensor.execute_complete, task.context, event)
    with pytest.raises(AirflowException, match="11 trigger events were for other runs"):
        sensor.execute_complete(task.context, event)
    task.pushed["qlik_deferral"]["deadline"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    with pytest.raises(AirflowSensorTimeout, match="The wait timed out"):
        sensor.execute_complete(task.context, event)


def test_a_sensor_still_takes_the_run_that_it_waited_for(tenant: Tenant, task: Task, automation: str) -> None:
    last = tenant.add_run(automation, started_ago=5, script=Script(run=1))
    assert finish(sensor_of(automation), task.context)["run_id"] == last
