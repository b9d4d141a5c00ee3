from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.reload_tasks import QlikReloadTaskSensor
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def reload(app_id: str | None = None, **arguments: Any) -> QlikReloadAppOperator:
    return QlikReloadAppOperator(task_id="reload", app_id=app_id, **{**FAST, **arguments})


def starts(tenant: Tenant) -> int:
    return sum(entry.carried_out for entry in tenant.request_log(method="POST", path="/api/v1/reloads"))


@both_modes
def test_an_app_is_reloaded_once_with_what_was_given(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(wait=1, run=4, log=("Fields found: 12",)))

    operator = reload(app, partial=True, weight=2, variables={"vYear": "2026"}, deferrable=deferrable)
    result = finish(operator, task.context)

    assert (result["kind"], result["status"], result["state"]) == ("reload", "SUCCEEDED", "succeeded")
    assert result["link"] == task.pushed["qlik_link"] == f"{tenant.url}/sense/app/{app}"
    (entry,) = tenant.request_log(method="POST", path="/api/v1/reloads")
    assert entry.body.pop("resourceType") == "api"
    assert entry.body.pop("resourceId").startswith("airflow-")
    assert entry.body == {"appId": app, "partial": True, "weight": 2, "variables": {"vYear": "2026"}}


@both_modes
def test_a_failed_reload_fails_the_task_with_its_error(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(run=2, end="FAILED", error="Table 'ledger' not found"))
    with pytest.raises(AirflowException, match="'FAILED'.*Table 'ledger' not found"):
        finish(reload(app, deferrable=deferrable), task.context)


@both_modes
def test_the_log_of_a_reload_is_in_the_log_of_the_task(
    tenant: Tenant, task: Task, deferrable: bool, logged: Callable[[], str]
) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(run=1, log=("Connected", "Fields found: 12")))
    finish(reload(app, deferrable=deferrable), task.context)
    assert "| Fields found: 12" in logged()


def test_a_pending_reload_fails_the_task_by_default(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app, started_ago=1, script=Script(run=600))
    with pytest.raises(AirflowFailException, match="pending already, and Qlik Cloud takes one at a time"):
        finish(reload(app), task.context)
    with pytest.raises(AirflowSkipException, match="pending already"):
        finish(reload(app, if_pending="skip"), task.try_again().context)
    assert starts(tenant) == 0


@both_modes
def test_a_pending_reload_can_be_waited_for(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    # Five seconds: the first operator of a process may be imported for some of them.
    pending = tenant.add_run(app, started_ago=1, script=Script(run=100))

    result = finish(reload(app, if_pending="wait", deferrable=deferrable), task.context)

    assert (result["run_id"], result["adopted"], result["state"]) == (pending, True, "succeeded")
    assert starts(tenant) == 0


@both_modes
def test_a_reload_of_somebody_else_is_waited_for_but_never_cancelled(
    tenant: Tenant, task: Task, deferrable: bool
) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app, started_ago=1, script=Script(end=None))
    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(reload(app, if_pending="wait", timeout=0.3, deferrable=deferrable), task.context)
    assert tenant.request_log(operation="cancel_reload") == []


@both_modes
def test_a_reload_that_takes_too_long_is_cancelled(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(end=None))
    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(reload(app, timeout=0.3, deferrable=deferrable), task.context)
    tenant.advance(5)
    assert tenant.active() == []


def test_a_reload_whose_answer_was_lost_is_found_and_not_started_again(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app)
    tenant.script(app, Script(run=40))
    tenant.fault(method="POST", path="/api/v1/reloads", reset="after")
    result = finish(reload(app, settle_time=0.3), task.context)
    assert result["state"] == "succeeded"
    assert starts(tenant) == 1
    assert result["run_id"] == tenant.runs(app)[-1]["id"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "app_id"),
        ({"app_id": "1", "app_name": "Sales"}, "app_name"),
        ({"app_name": " "}, "app_name"),
        ({"app_id": "1", "variables": {str(number): "x" for number in range(21)}}, "variables"),
        ({"app_id": "1", "variables": {"v": "x" * 257}}, "variables"),
        ({"app_id": "1", "variables": {"v" * 257: "x"}}, "variables"),
        ({"app_id": "1", "variables": {" ": "x"}}, "variables"),
        ({"app_id": "1", "if_pending": "queue"}, "if_pending"),
        ({"app_id": "1", "partial": "yes"}, "partial"),
        ({"app_id": "1", "weight": "heavy"}, "weight"),
        ({"app_id": "1", "weight": 0}, "weight"),
        ({"app_id": "1", "weight": 11}, "weight"),
        ({"app_id": "1", "weight": 1.5}, "weight"),
        ({"app_id": "1", "weight": True}, "weight"),
        ({"app_id": "1", "variables": {"v": 1.5}}, "variables"),
        ({"app_id": "1", "variables": {"v": True}}, "variables"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: "):
        reload(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"partial_reload": "yes"}, "partial"),
        ({"partial_reload": None}, "partial"),
        ({"weight": "heavy"}, "weight"),
        ({"weight": "11"}, "weight"),
        ({"variables": {"v": 1.5}}, "variables"),
        ({"variables": {"v": True}}, "variables"),
        ({"variables": {True: "v"}}, "variables"),
        ({"variables": {"v": None}}, "variables"),
        ({"variables": ["v"]}, "variables"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_before_anything_is_started(
    tenant: Tenant, task: Task, arguments: dict[str, Any], name: str
) -> None:
    operator = reload("some-app")
    for attribute, rendered in arguments.items():
        setattr(operator, attribute, rendered)
    with pytest.raises(AirflowFailException, match=f"^{name}: "):
        operator.execute(task.context)
    assert tenant.request_log() == []


@both_modes
def test_a_sensor_waits_for_a_reload(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app, started_ago=7200, script=Script(end="FAILED"))
    last = tenant.add_run(app, started_ago=1, script=Script(run=10))
    sensor = QlikReloadSensor(task_id="wait", app_name="Sales", poke_interval=0.1, timeout=30, deferrable=deferrable)
    assert finish(sensor, task.context)["run_id"] == last


@both_modes
def test_a_reload_task_is_waited_for_until_it_has_executed(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    schedule = tenant.add_reload_task(app)
    tenant.execute_reload_task(schedule, started_ago=7200)
    moment = tenant.now()
    tenant.fault(operation="get_reload_task", status=503, times=2)
    sensor = QlikReloadTaskSensor(
        task_id="wait",
        reload_task_id=schedule,
        started_after=moment,
        poke_interval=0.1,
        timeout=1,
        deferrable=deferrable,
    )
    with pytest.raises(AirflowException):
        finish(sensor, task.context)
    tenant.execute_reload_task(schedule)
    sensor.timeout = 30
    result = finish(sensor, task.context)
    assert (result["kind"], result["state"], result["status"]) == ("reload_task", "succeeded", "executed")


@both_modes
def test_a_disabled_reload_task_fails_at_once_with_the_reason(tenant: Tenant, task: Task, deferrable: bool) -> None:
    schedule = tenant.add_reload_task(tenant.add_app("Sales"), state="Disabled", disabledCode="CONSECUTIVE-FAILURES")
    sensor = QlikReloadTaskSensor(
        task_id="wait", reload_task_id=schedule, started_after=tenant.now(), timeout=30, deferrable=deferrable
    )
    with pytest.raises(AirflowFailException, match=r"disabled \(CONSECUTIVE-FAILURES\)"):
        finish(sensor, task.context)


def waits_for(tenant: Tenant, schedule: str, deferrable: bool) -> QlikReloadTaskSensor:
    return QlikReloadTaskSensor(
        task_id="wait", reload_task_id=schedule, started_after=tenant.now(), timeout=30, deferrable=deferrable
    )


@both_modes
def test_a_migrated_reload_task_fails_at_once_with_its_successor(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    schedule = tenant.add_reload_task(app, migrated=True)
    successor = tenant.add_task("Nightly", resource_id=app, metadata={"migratedFrom": schedule})

    with pytest.raises(AirflowFailException, match="was migrated to a task.*QlikTaskRunSensor") as raised:
        finish(waits_for(tenant, schedule, deferrable), task.context)

    assert f"It became task Nightly {successor}" in str(raised.value)


def test_what_became_of_a_migrated_reload_task_need_not_be_readable(tenant: Tenant, task: Task) -> None:
    schedule = tenant.add_reload_task(tenant.add_app("Sales"), migrated=True)
    tenant.fault(operation="list_tasks", times=None, status=403)

    with pytest.raises(AirflowFailException, match="was migrated to a task.*QlikTaskRunSensor"):
        finish(waits_for(tenant, schedule, False), task.context)


def test_a_migrated_reload_task_that_has_executed_since_is_no_failure(tenant: Tenant, task: Task) -> None:
    schedule = tenant.add_reload_task(tenant.add_app("Sales"), migrated=True)
    sensor = waits_for(tenant, schedule, False)
    tenant.execute_reload_task(schedule, started_ago=-1.0)

    assert finish(sensor, task.context)["state"] == "succeeded"


@both_modes
@pytest.mark.parametrize("gone", ["deleted", "the whole family"])
def test_a_reload_task_that_is_gone_fails_at_once_with_what_to_use(
    tenant: Tenant, task: Task, deferrable: bool, gone: str
) -> None:
    schedule = tenant.add_reload_task(tenant.add_app("Sales"))
    if gone == "deleted":
        schedule = "no-such-task"
    else:
        tenant.switch(reload_tasks="removed")

    with pytest.raises(AirflowFailException, match="does not have the reload task any more.*QlikTaskRunSensor"):
        finish(waits_for(tenant, schedule, deferrable), task.context)


def test_the_log_says_what_to_use_in_place_of_a_reload_task(
    tenant: Tenant, task: Task, logged: Callable[[], str]
) -> None:
    schedule = tenant.add_reload_task(tenant.add_app("Sales"))
    sensor = waits_for(tenant, schedule, False)
    tenant.execute_reload_task(schedule, started_ago=-1.0)
    finish(sensor, task.context)

    said = logged()
    assert "has deprecated reload tasks" in said
    assert "QlikTaskRunSensor" in said


def test_a_reload_task_sensor_needs_a_moment() -> None:
    with pytest.raises(InvalidArgumentError, match="started_after"):
        QlikReloadTaskSensor(task_id="wait", reload_task_id="1")
    with pytest.raises(InvalidArgumentError, match="reload_task_id"):
        QlikReloadTaskSensor(task_id="wait", started_after="2026-11-22")
