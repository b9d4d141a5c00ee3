"""Sensors that Airflow starts in the triggerer: no worker calls their `execute`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_qlik.compat import renders_in_triggerer
from airflow_provider_qlik.lifecycle.deferral import DEFERRAL_TIMEOUT_MARGIN
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.reload_tasks import QlikReloadTaskSensor
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor
from airflow_provider_qlik.sensors.sharing_tasks import QlikSharingTaskSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.triggers.sensor import QlikSensorTrigger
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import Task, fire

in_triggerer = pytest.mark.skipif(
    not renders_in_triggerer(), reason="Airflow before 3.3 starts no sensor in the triggerer"
)
SENSORS: dict[Any, dict[str, Any]] = {
    QlikTaskRunSensor: {"qlik_task_id": "1"},
    QlikAutomationRunSensor: {"automation_id": "1"},
    QlikReloadSensor: {"app_id": "1"},
    QlikSharingTaskSensor: {"sharing_task_id": "1"},
    QlikReloadTaskSensor: {"reload_task_id": "1"},
}


def sensor_of(automation: str | None = "prepare", **arguments: Any) -> QlikAutomationRunSensor:
    ids = {} if automation is None else {"automation_id": automation}
    return QlikAutomationRunSensor(
        task_id="wait", **{"deferrable": True, "poke_interval": 0.1, "timeout": 60, **ids, **arguments}
    )


def started(sensor: QlikAutomationRunSensor, began: datetime | None = None) -> QlikSensorTrigger:
    """The trigger as Airflow makes it: from the arguments in the stored Dag, with the time-out of the deferral."""
    arguments: Any = sensor.start_trigger_args
    assert arguments.trigger_cls == f"{QlikSensorTrigger.__module__}.{QlikSensorTrigger.__qualname__}"
    trigger = QlikSensorTrigger(**json.loads(json.dumps(arguments.trigger_kwargs)))
    trigger.timeout_after = (began or datetime.now(UTC)) + arguments.timeout
    return trigger


def deferred_by_airflow(began: datetime | None = None, try_number: int = 1) -> Task:
    """The task instance of such a sensor, for which no worker has pushed anything."""
    return Task(start_date=began or datetime.now(UTC), try_number=try_number)


async def event_of(trigger: QlikSensorTrigger) -> Any:
    return [event.payload async for event in trigger.run()]


def fired(trigger: QlikSensorTrigger) -> dict[str, Any]:
    import asyncio

    (payload,) = asyncio.run(event_of(trigger))
    found: dict[str, Any] = json.loads(json.dumps(payload))
    return found


@in_triggerer
@pytest.mark.parametrize("sensor", SENSORS)
def test_every_sensor_starts_in_the_triggerer_as_a_worker_would_start_it(sensor: Any) -> None:
    made = sensor(
        task_id="wait",
        deferrable=True,
        started_after="2026-11-01T06:00:00",
        qlik_conn_id="other",
        poke_interval=7,
        exponential_backoff=True,
        max_wait=timedelta(seconds=90),
        timeout=300,
        **SENSORS[sensor],
    )
    assert made.start_from_trigger
    arguments = made.start_trigger_args
    trigger = QlikSensorTrigger(**arguments.trigger_kwargs)
    worker = QlikRunTrigger(
        kind=made.kind,
        resource_id="1",
        started_after="2026-11-01T06:00:00+00:00",
        poll_interval=7,
        max_poll_interval=90,
        qlik_conn_id="other",
    )
    assert trigger.serialize()[1] == worker.serialize()[1]
    assert (arguments.next_method, arguments.timeout) == (
        "execute_complete",
        timedelta(seconds=300) + DEFERRAL_TIMEOUT_MARGIN,
    )


@in_triggerer
def test_the_arguments_survive_the_stored_dag() -> None:
    from airflow.serialization.serialized_objects import DagSerialization  # type: ignore[attr-defined,unused-ignore]

    with DAG("d", schedule=None) as dag:
        made: Any = sensor_of(run_id="7")
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    assert stored == json.loads(json.dumps(DagSerialization.to_dict(dag)))
    task: Any = DagSerialization.from_dict(stored).get_task("wait")
    assert task.start_from_trigger
    assert task.start_trigger_args.timeout == made.start_trigger_args.timeout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"deferrable": False}, id="not deferrable"),
        pytest.param({"start_from_trigger": False}, id="not wanted"),
        pytest.param({"automation": "{{ params.id }}"}, id="templated id"),
        pytest.param({"run_id": "{{ ti.xcom_pull('run') }}"}, id="templated run"),
        pytest.param({"started_after": "{{ ts }}"}, id="templated moment"),
        pytest.param({"qlik_conn_id": "{{ params.conn }}"}, id="templated connection"),
        pytest.param({"automation": None, "automation_name": "Prepare"}, id="a name"),
        pytest.param({"execution_timeout": timedelta(minutes=1)}, id="execution_timeout"),
        pytest.param({"pre_execute": print}, id="pre_execute"),
        pytest.param({"on_execute_callback": print}, id="on_execute_callback"),
        pytest.param({"timeout": 1e11}, id="a time-out beyond all dates"),
    ],
)
def test_what_needs_a_worker_is_started_by_one(arguments: dict[str, Any]) -> None:
    made = sensor_of(**{"automation": "prepare", **arguments})
    assert made.start_from_trigger is False
    assert made.start_trigger_args is None


def test_a_subclass_that_does_something_before_is_started_by_a_worker() -> None:
    class Own(QlikAutomationRunSensor):
        def pre_execute(self, context: Any) -> None:
            pass

    assert Own(task_id="wait", automation_id="1", deferrable=True).start_from_trigger is False


def test_a_triggerer_with_queues_starts_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    assert sensor_of().start_from_trigger is False


def test_mapped_sensors_are_started_by_workers() -> None:
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)):
        mapped: Any = QlikAutomationRunSensor.partial(task_id="wait", deferrable=True).expand(automation_id=["1", "2"])
    assert mapped.start_from_trigger is False
    assert mapped.start_trigger_args is None


@pytest.mark.parametrize("value", ["yes", None, 1])
def test_the_argument_is_checked(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="start_from_trigger"):
        sensor_of(start_from_trigger=value)


@in_triggerer
def test_a_cluster_policy_may_change_the_sensor() -> None:
    sensor: Any = sensor_of(timeout=600)
    sensor.timeout = 120
    sensor.qlik_conn_id = "other"
    assert sensor.start_trigger_args.timeout == timedelta(seconds=120) + DEFERRAL_TIMEOUT_MARGIN
    assert sensor.start_trigger_args.trigger_kwargs["qlik_conn_id"] == "other"
    sensor.execution_timeout = timedelta(minutes=1)
    assert (sensor.start_from_trigger, sensor.start_trigger_args) == (False, None)
    sensor.execution_timeout = None
    assert sensor.start_from_trigger is False


@in_triggerer
def test_no_connection_is_read_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import BaseHook

    def refuse(*_: Any) -> None:
        raise AssertionError("no connection is needed")

    monkeypatch.setattr(BaseHook, "get_connection", refuse)
    assert sensor_of().start_from_trigger


@in_triggerer
def test_return_value_and_link_are_those_of_a_sensor_that_a_worker_starts(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=2, script=Script(run=10))
    sensor, task = sensor_of(automation), deferred_by_airflow()

    result = sensor.execute_complete(task.context, fired(started(sensor)))

    other, by_worker = sensor_of(automation, start_from_trigger=False), Task()
    with pytest.raises(TaskDeferred) as deferred:
        other.execute(by_worker.context)
    assert result == other.execute_complete(by_worker.context, fire(deferred.value.trigger))
    assert (result["run_id"], result["state"]) == (run, "succeeded")
    assert task.pushed["qlik_link"] == by_worker.pushed["qlik_link"] == result["link"] == sensor.link


@in_triggerer
def test_a_failed_run_fails_the_task_with_its_reason(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, started_ago=60, script=Script(end="failed", error="no connection to SAP"))
    sensor, task = sensor_of(automation), deferred_by_airflow()
    event = fired(started(sensor))
    with pytest.raises(AirflowFailException, match="no connection to SAP"):
        sensor.execute_complete(task.context, event)
    assert task.pushed["qlik_link"].startswith(tenant.url)


@in_triggerer
def test_the_wait_ends_at_the_deadline_that_began_with_the_deferral(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, started_ago=2, script=Script(run=100_000))
    sensor = sensor_of(automation, timeout=60)
    # As after a restart of the triggerer: the wait began long ago.
    began = datetime.now(UTC) - timedelta(seconds=59)
    trigger = started(sensor, began)

    event = fired(trigger)

    assert trigger.deadline is not None
    assert datetime.fromisoformat(trigger.deadline) == began + timedelta(seconds=60)
    assert datetime.now(UTC) - began < timedelta(seconds=75)
    with pytest.raises(AirflowSensorTimeout, match="timed out"):
        sensor.execute_complete(deferred_by_airflow(began).context, event)


@in_triggerer
def test_a_moment_without_a_zone_is_utc(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, started_ago=60)
    trigger = started(sensor_of(automation))
    assert trigger.timeout_after is not None
    began = trigger.timeout_after
    trigger.timeout_after = began.replace(tzinfo=None)
    fired(trigger)
    assert trigger.deadline == (began - DEFERRAL_TIMEOUT_MARGIN).isoformat()


@in_triggerer
def test_after_the_event_of_another_run_it_waits_until_its_first_deadline(tenant: Tenant) -> None:
    automation, other = tenant.add_automation("Prepare"), tenant.add_automation("Other")
    for each in (automation, other):
        tenant.add_run(each, started_ago=60)
    began = datetime.now(UTC) - timedelta(seconds=20)
    task = deferred_by_airflow(began)
    event = fired(started(sensor_of(other)))

    with pytest.raises(TaskDeferred) as again:
        sensor_of(automation).execute_complete(task.context, event)

    assert again.value.trigger.resource_id == automation
    assert datetime.fromisoformat(again.value.trigger.deadline) == began + timedelta(seconds=60)
    assert task.pushed["qlik_deferral"]["foreign_events"] == 1
    # The same attempt counts on; a later one finds the XCom too, for no worker has deleted it, and begins anew.
    with pytest.raises(TaskDeferred):
        sensor_of(automation).execute_complete(task.context, event)
    assert task.pushed["qlik_deferral"]["foreign_events"] == 2
    later = deferred_by_airflow(began + timedelta(seconds=60), try_number=2)
    later.pushed.update(task.pushed)
    with pytest.raises(TaskDeferred) as anew:
        sensor_of(automation).execute_complete(later.context, event)
    assert datetime.fromisoformat(anew.value.trigger.deadline) == began + timedelta(seconds=120)
    assert later.pushed["qlik_deferral"]["foreign_events"] == 1


@in_triggerer
def test_a_foreign_event_after_the_deadline_ends_the_wait(tenant: Tenant) -> None:
    other = tenant.add_automation("Other")
    tenant.add_run(other, started_ago=60)
    event = fired(started(sensor_of(other)))
    task = deferred_by_airflow(datetime.now(UTC) - timedelta(seconds=61))
    with pytest.raises(AirflowSensorTimeout, match="The wait timed out"):
        sensor_of("prepare").execute_complete(task.context, event)
