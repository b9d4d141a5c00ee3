"""Runs that end with warnings, and what results tell of what ran."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
WITH_WARNINGS = Script(run=1, end="finished with warnings")


def automation(automation_id: str, **arguments: Any) -> QlikRunAutomationOperator:
    return QlikRunAutomationOperator(task_id="run", automation_id=automation_id, **{**FAST, **arguments})


def reload(app_id: str, **arguments: Any) -> QlikReloadAppOperator:
    return QlikReloadAppOperator(task_id="run", app_id=app_id, **{**FAST, **arguments})


@both_modes
def test_an_automation_with_warnings_fails_the_task_with_fail_on_warnings(
    tenant: Tenant, task: Task, deferrable: bool
) -> None:
    it = tenant.add_automation("Export")
    tenant.script(it, WITH_WARNINGS)

    with pytest.raises(AirflowException, match="^The run ended as 'finished with warnings' with warnings") as raised:
        finish(automation(it, fail_on_warnings=True, deferrable=deferrable), task.context)

    assert "(fail_on_warnings)" in str(raised.value)
    assert it in str(raised.value)


def test_without_the_wish_warnings_are_a_success(tenant: Tenant, task: Task) -> None:
    it = tenant.add_automation("Export")
    tenant.script(it, WITH_WARNINGS)

    assert finish(automation(it), task.context)["status"] == "finished with warnings"


def test_a_run_without_warnings_is_a_success(tenant: Tenant, task: Task) -> None:
    assert finish(automation(tenant.add_automation(), fail_on_warnings=True), task.context)["state"] == "succeeded"
    assert finish(reload(tenant.add_app(), fail_on_warnings=True), task.context)["state"] == "succeeded"


@both_modes
@pytest.mark.parametrize(
    "line",
    [
        "Warning: field CITY was not found",
        "2026-11-27 06:00:01 WARNING: syn keys",
        "Finished with warnings",
        "2 forced error(s)",
    ],
)
def test_a_reload_whose_log_warns_fails_the_task_with_fail_on_warnings(
    tenant: Tenant, task: Task, deferrable: bool, line: str
) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(run=1, log=("Connected", line, "Finished")))

    with pytest.raises(AirflowException) as raised:
        finish(reload(app, fail_on_warnings=True, deferrable=deferrable), task.context)

    assert str(raised.value).startswith(f"The run ended as 'SUCCEEDED' with warnings (fail_on_warnings): {line}")


@pytest.mark.parametrize(
    "line", ["0 forced error(s)", "STORE warnings INTO x.qvd", "10 lines fetched of table Forewarning", "Finished"]
)
def test_a_line_that_only_sounds_like_a_warning_is_none(tenant: Tenant, task: Task, line: str) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(run=1, log=(line,)))

    assert finish(reload(app, fail_on_warnings=True), task.context)["state"] == "succeeded"


@pytest.mark.parametrize("sensor", [QlikAutomationRunSensor, QlikReloadSensor])
def test_a_sensor_fails_for_warnings_with_fail_on_warnings(tenant: Tenant, task: Task, sensor: Any) -> None:
    if sensor is QlikReloadSensor:
        arguments = {"app_id": tenant.add_app("Sales")}
        tenant.add_run(arguments["app_id"], started_ago=60, script=Script(run=1, log=("Warning: x",)))
    else:
        arguments = {"automation_id": tenant.add_automation("Export")}
        tenant.add_run(arguments["automation_id"], started_ago=60, script=WITH_WARNINGS)
    it = sensor(task_id="wait", poke_interval=0.1, timeout=30, fail_on_warnings=True, deferrable=False, **arguments)

    with pytest.raises(AirflowFailException, match="with warnings"):
        finish(it, task.context)


@pytest.mark.parametrize("maker", [automation, reload])
def test_the_wish_is_true_or_false(maker: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="fail_on_warnings"):
        maker("1", fail_on_warnings="perhaps")


# Name and space


def in_a_space(tenant: Tenant) -> dict[str, tuple[Any, str]]:
    """An operator of each kind on something in the space, and the name of what it runs."""
    space = tenant.add_space("Finance", id="finance")
    app = tenant.add_app("Sales", space_id=space)
    task_id = tenant.add_task("Refresh", resource_id=app, metadata={"spaceId": space})
    report = tenant.add_sharing_task("Weekly", app_id=app, spaceId=space)
    return {
        "automation": (automation(tenant.add_automation("Export", spaceId=space)), "Export"),
        "reload": (reload(app), "Sales"),
        "task": (QlikRunTaskOperator(task_id="run", qlik_task_id=task_id, **FAST), "Refresh"),
        "sharing_task": (
            QlikRunSharingTaskOperator(task_id="run", sharing_task_id=report, settle_time=0.3, **FAST),
            "Weekly",
        ),
    }


@pytest.mark.parametrize("kind", ["automation", "reload", "task", "sharing_task"])
def test_the_result_tells_name_and_space_of_what_ran(tenant: Tenant, task: Task, kind: str) -> None:
    operator, name = in_a_space(tenant)[kind]

    result = finish(operator, task.context)

    assert (result["name"], result["space_id"]) == (name, "finance")
    assert json.loads(json.dumps(result)) == result


def test_a_name_that_may_not_be_read_is_no_failure(tenant: Tenant, task: Task) -> None:
    operators = in_a_space(tenant)
    for operation in ("get_automation", "list_items"):
        tenant.fault(operation=operation, times=None, status=403)

    told = finish(operators["automation"][0], task.context)
    assert (told["state"], told["name"], told["space_id"]) == ("succeeded", None, "finance")
    told = finish(operators["reload"][0], task.context)
    assert (told["state"], told["name"], told["space_id"]) == ("succeeded", None, None)


def test_for_a_name_nobody_waits(tenant: Tenant, task: Task) -> None:
    operator, _ = in_a_space(tenant)["reload"]
    tenant.fault(operation="list_items", times=None, status=503)

    assert finish(operator, task.context)["name"] is None
    assert len(tenant.request_log("list_items")) == 1
