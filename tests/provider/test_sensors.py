from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["poking", "deferred"])


def task_sensor(task_id: str, **arguments: Any) -> QlikTaskRunSensor:
    return QlikTaskRunSensor(task_id="wait", qlik_task_id=task_id, **{"poke_interval": 0.1, "timeout": 30, **arguments})


def automation_sensor(automation_id: str, **arguments: Any) -> QlikAutomationRunSensor:
    return QlikAutomationRunSensor(
        task_id="wait", automation_id=automation_id, **{"poke_interval": 0.1, "timeout": 30, **arguments}
    )


@pytest.fixture(params=["task", "automation"])
def resource(request: pytest.FixtureRequest, tenant: Tenant) -> tuple[str, Any]:
    """Something that runs, and how a sensor for it is made."""
    if request.param == "task":
        return tenant.add_task("Refresh"), task_sensor
    return tenant.add_automation("Prepare"), automation_sensor


@both_modes
def test_a_given_run_is_waited_for(tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool) -> None:
    resource_id, sensor = resource
    ours = tenant.add_run(resource_id, started_ago=1, script=Script(run=10))
    tenant.add_run(resource_id, started_ago=0, script=Script(run=0))

    result = finish(sensor(resource_id, run_id=ours, deferrable=deferrable), task.context)

    assert (result["run_id"], result["state"]) == (ours, "succeeded")


@both_modes
def test_the_last_run_is_waited_for(tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool) -> None:
    resource_id, sensor = resource
    tenant.add_run(resource_id, started_ago=7200)
    last = tenant.add_run(resource_id, started_ago=2, script=Script(run=10))

    assert finish(sensor(resource_id, deferrable=deferrable), task.context)["run_id"] == last


@both_modes
def test_the_first_run_after_a_moment_is_waited_for_though_there_are_later_ones(
    tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool
) -> None:
    resource_id, sensor = resource
    tenant.add_run(resource_id, started_ago=7200, script=Script(end="FAILED"))
    first = tenant.add_run(resource_id, started_ago=3000)
    for ago in range(2900, 100, -25):
        tenant.add_run(resource_id, started_ago=ago, script=Script(end="FAILED"))
    moment = tenant.now() - timedelta(seconds=3600)

    result = finish(sensor(resource_id, started_after=moment.isoformat(), deferrable=deferrable), task.context)

    assert result["run_id"] == first


@both_modes
def test_a_run_that_qlik_starts_later_is_waited_for(tenant: Tenant, task: Task, deferrable: bool) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.add_run(qlik_task, started_ago=600)
    sensor = task_sensor(qlik_task, started_after=tenant.now(), deferrable=deferrable)
    tenant.fault(operation="list_task_runs", times=3, status=503)
    scheduled = tenant.add_run(qlik_task, started_ago=-2, script=Script(run=1))

    assert finish(sensor, task.context)["run_id"] == scheduled


@both_modes
@pytest.mark.parametrize("end", ["failed", "stopped", "exceeded limit"])
def test_a_run_that_did_not_succeed_fails_the_sensor_with_the_reason(
    tenant: Tenant, task: Task, deferrable: bool, end: str
) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, started_ago=60, script=Script(end=end, error="disk full"))

    with pytest.raises(AirflowFailException, match=f"'{end}': disk full"):
        finish(automation_sensor(automation, deferrable=deferrable), task.context)


def test_with_soft_fail_a_failed_run_skips_in_both_modes(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, started_ago=60, script=Script(end="failed"))

    with pytest.raises(AirflowSkipException):
        automation_sensor(automation, soft_fail=True).execute(task.context)
    with pytest.raises(AirflowSkipException):
        _defer_and_resume(automation_sensor(automation, soft_fail=True, deferrable=True), task)


def _defer_and_resume(sensor: Any, task: Task) -> Any:
    from airflow.providers.common.compat.sdk import TaskDeferred

    from tests.provider.conftest import fire

    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(task.context)
    return sensor.resume_execution(deferred.value.method_name, {"event": fire(deferred.value.trigger)}, task.context)


@pytest.mark.parametrize(
    ("given", "longest"),
    [
        ({}, None),
        ({"max_wait": 300}, None),
        ({"exponential_backoff": True}, None),
        ({"exponential_backoff": True, "max_wait": 300}, 300.0),
    ],
)
def test_a_deferred_sensor_looks_less_often_in_time_where_airflow_is_told_so(
    tenant: Tenant, task: Task, given: dict[str, Any], longest: float | None
) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    sensor = automation_sensor(tenant.add_automation("Prepare"), deferrable=True, poke_interval=30, **given)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(task.context)
    _, arguments = deferred.value.trigger.serialize()
    assert (arguments["poll_interval"], arguments["max_poll_interval"]) == (30, longest)


@both_modes
def test_a_sensor_times_out_and_cancels_nothing(
    tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool
) -> None:
    resource_id, sensor = resource
    tenant.add_run(resource_id, started_ago=1, script=Script(end=None))

    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(resource_id, timeout=0.3, deferrable=deferrable), task.context)

    (run,) = tenant.runs(resource_id)
    assert run["active"]
    assert run["cancel_requested_at"] is None


@both_modes
def test_what_does_not_exist_is_said_at_once(
    tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool
) -> None:
    _, sensor = resource
    with pytest.raises(AirflowFailException, match="^Not found: there is no .* no-such-thing. Check the id"):
        finish(sensor("no-such-thing", deferrable=deferrable), task.context)


@both_modes
def test_something_that_never_ran_is_waited_for_until_the_timeout(
    tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool
) -> None:
    resource_id, sensor = resource
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(resource_id, timeout=0.3, deferrable=deferrable), task.context)


@both_modes
def test_a_sensor_starts_nothing(tenant: Tenant, task: Task, resource: tuple[str, Any], deferrable: bool) -> None:
    resource_id, sensor = resource
    tenant.add_run(resource_id, started_ago=60)
    finish(sensor(resource_id, deferrable=deferrable), task.context)
    assert tenant.request_log(method="POST") == []


def test_either_a_run_or_a_moment_can_be_given() -> None:
    with pytest.raises(InvalidArgumentError, match="started_after: give run_id or started_after, not both"):
        task_sensor("some-task", run_id="some-run", started_after="2026-11-22T08:00:00Z")


@pytest.mark.parametrize("given", ["", "a/b", "a?b"])
def test_a_bad_id_is_refused_when_the_dag_is_parsed(given: str) -> None:
    with pytest.raises(InvalidArgumentError, match="qlik_task_id"):
        task_sensor(given)
    with pytest.raises(InvalidArgumentError, match="run_id"):
        automation_sensor("some-automation", run_id=given)


@both_modes
@pytest.mark.parametrize("given", ["yesterday", "", 5, "None"])
def test_a_moment_that_is_none_is_refused_before_anything_is_asked(
    tenant: Tenant, task: Task, deferrable: bool, given: Any
) -> None:
    with pytest.raises(AirflowFailException, match="started_after: a datetime or an ISO 8601 text"):
        finish(task_sensor("some-task", started_after=given, deferrable=deferrable), task.context)
    assert tenant.request_log() == []


@both_modes
def test_with_soft_fail_a_name_that_nothing_has_skips_in_both_modes(
    tenant: Tenant, task: Task, deferrable: bool
) -> None:
    sensor = QlikAutomationRunSensor(task_id="wait", automation_name="Nope", soft_fail=True, deferrable=deferrable)
    with pytest.raises(AirflowSkipException):
        finish(sensor, task.context)


def test_a_name_that_cannot_be_looked_up_just_now_is_asked_for_again(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation)
    tenant.fault(operation="list_automations", status=503, times=12)
    sensor = QlikAutomationRunSensor(task_id="wait", automation_name="Prepare", poke_interval=0.1, timeout=30)
    assert finish(sensor, task.context)["state"] == "succeeded"
