from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish


def start(operator: type, **arguments: Any) -> Any:
    return operator(task_id="start", **{**FAST, "wait_for_completion": False, "settle_time": 0.2, **arguments})


def posts(tenant: Tenant) -> int:
    return len(tenant.request_log(method="POST", path="/api/*"))


def test_an_app_is_found_by_its_exact_name(tenant: Tenant, task: Task) -> None:
    tenant.add_app("Sales 2025")
    app = tenant.add_app("Sales")
    tenant.add_app("sales")
    assert finish(start(QlikReloadAppOperator, app_name="Sales"), task.context)["resource_id"] == app


def test_the_space_tells_apps_of_one_name_apart(tenant: Tenant, task: Task) -> None:
    finance, sales = tenant.add_space("Finance"), tenant.add_space("Sales")
    apps = [tenant.add_app("Budget", space_id=space) for space in (finance, sales)]
    with pytest.raises(AirflowFailException, match="app_name: 2 have that name") as error:
        finish(start(QlikReloadAppOperator, app_name="Budget"), task.context)
    assert all(app in str(error.value) for app in apps)
    assert posts(tenant) == 0
    result = finish(start(QlikReloadAppOperator, app_name="Budget", space_name="Sales"), task.context)
    assert result["resource_id"] == apps[1]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("given", ["NFC", "NFD"])
def test_a_name_is_found_in_whichever_form_it_is_written(tenant: Tenant, task: Task, stored: Any, given: Any) -> None:
    name = "Verk\u00e4ufe"
    app = tenant.add_app(unicodedata.normalize(stored, name))
    automation = tenant.add_automation(unicodedata.normalize(stored, name))
    asked = unicodedata.normalize(given, name)
    assert finish(start(QlikReloadAppOperator, app_name=asked), task.context)["resource_id"] == app
    assert finish(start(QlikRunAutomationOperator, automation_name=asked), task.context)["resource_id"] == automation


@pytest.mark.parametrize("name", ["Personal", "personal"])
def test_the_personal_space_can_be_named(tenant: Tenant, task: Task, name: str) -> None:
    mine = tenant.add_app("Budget")
    tenant.add_app("Budget", space_id=tenant.add_space("Finance"))
    result = finish(start(QlikReloadAppOperator, app_name="Budget", space_name=name), task.context)
    assert result["resource_id"] == mine


def test_a_space_that_is_called_personal_comes_first(tenant: Tenant, task: Task) -> None:
    tenant.add_app("Budget")
    app = tenant.add_app("Budget", space_id=tenant.add_space("Personal"))
    result = finish(start(QlikReloadAppOperator, app_name="Budget", space_name="Personal"), task.context)
    assert result["resource_id"] == app


def test_twins_are_listed_with_their_spaces(tenant: Tenant, task: Task) -> None:
    finance = tenant.add_space("Finance")
    mine, theirs = tenant.add_app("Budget"), tenant.add_app("Budget", space_id=finance)
    with pytest.raises(AirflowFailException) as error:
        finish(start(QlikReloadAppOperator, app_name="Budget"), task.context)
    assert f"{mine} in the personal space" in str(error.value)
    assert f"{theirs} in space 'Finance'" in str(error.value)
    tenant.fault("GET", path="/api/v1/spaces*", status=403, times=None)
    with pytest.raises(AirflowFailException, match=f"{theirs} in space {finance}"):
        finish(start(QlikReloadAppOperator, app_name="Budget"), task.context)
    assert posts(tenant) == 0


def test_a_name_that_nothing_has_lists_what_comes_near(tenant: Tenant, task: Task) -> None:
    near = tenant.add_app("Sales 2026")
    for number in range(25):
        tenant.add_app(f"Other {number}")
    with pytest.raises(
        AirflowFailException,
        match=f"app_name: nothing .* exactly that name.*'Sales 2026' is {near}",
    ):
        finish(start(QlikReloadAppOperator, app_name="Sales"), task.context)
    with pytest.raises(AirflowFailException, match="space_name: nothing that this user can see has exactly that name"):
        finish(start(QlikReloadAppOperator, app_name="Sales 2026", space_name="Nowhere"), task.context)
    assert posts(tenant) == 0


def test_an_automation_is_found_by_name_also_with_quotes_in_it(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation('Say "hello" \\ twice')
    tenant.add_automation("Say hello")
    operator = start(QlikRunAutomationOperator, automation_name='Say "hello" \\ twice')
    assert finish(operator, task.context)["resource_id"] == automation


def test_a_task_is_found_by_name_within_its_app(tenant: Tenant, task: Task) -> None:
    app, other = tenant.add_app("Sales"), tenant.add_app("Stock")
    qlik_task = tenant.add_task("Reload", resource_id=app)
    tenant.add_task("Reload", resource_id=other)
    for within in ({"app_id": app}, {"app_name": "Sales"}):
        operator = start(QlikRunTaskOperator, qlik_task_name="Reload", **within)
        assert finish(operator, task.context)["resource_id"] == qlik_task


def test_a_sharing_task_is_found_by_name(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    sharing_task = tenant.add_sharing_task("Weekly", app_id=app)
    tenant.add_sharing_task("Daily", app_id=app)
    for within in ({}, {"app_id": app}, {"app_name": "Sales"}):
        operator = start(QlikRunSharingTaskOperator, sharing_task_name="Weekly", **within)
        assert finish(operator, task.context)["resource_id"] == sharing_task


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_sensor_takes_a_name_as_well(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=1, script=Script(run=2))
    sensor = QlikAutomationRunSensor(
        task_id="wait", automation_name="Prepare", poke_interval=0.1, timeout=30, deferrable=deferrable
    )
    assert finish(sensor, task.context)["run_id"] == run


@pytest.mark.parametrize(
    ("operator", "arguments", "name"),
    [
        (QlikRunTaskOperator, {}, "qlik_task_id"),
        (QlikRunTaskOperator, {"qlik_task_name": "Reload"}, "app_id"),
        (QlikRunTaskOperator, {"qlik_task_id": "1", "qlik_task_name": "Reload", "app_id": "1"}, "qlik_task_name"),
        (QlikRunAutomationOperator, {}, "automation_id"),
        (QlikRunAutomationOperator, {"automation_id": "1", "automation_name": "A"}, "automation_name"),
        (QlikAutomationRunSensor, {}, "automation_id"),
    ],
    ids=str,
)
def test_exactly_one_of_id_and_name_is_given(operator: type, arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: "):
        operator(task_id="start", **arguments)


def test_a_name_of_an_app_given_twice_over_is_refused_before_anything_is_started(tenant: Tenant, task: Task) -> None:
    operator = start(QlikRunTaskOperator, qlik_task_name="Reload", app_id="1", app_name="Sales")
    with pytest.raises(AirflowException, match="give app_id or app_name, not both"):
        finish(operator, task.context)
    assert tenant.request_log() == []


# Automations with inputs


@pytest.mark.parametrize("deferrable", [False, True])
def test_inputs_go_through_the_execution_token_of_a_triggered_automation(
    tenant: Tenant, task: Task, deferrable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    automation = tenant.add_automation("Mail", run_mode="triggered", executionToken="the-token-of-mail")
    tenant.add_run(automation)
    tenant.script(automation, Script(run=10))
    tenant.switch(show_after=2)
    operator = QlikRunAutomationOperator(
        task_id="mail", automation_id=automation, inputs={"month": "11"}, deferrable=deferrable, settle_time=0.2, **FAST
    )

    result = finish(operator, task.context)

    (ours,) = (run for run in tenant.runs(automation) if run["via"] == "execute")
    assert (result["run_id"], ours["inputs"]) == (ours["id"], {"month": "11"})
    assert posts(tenant) == 1
    assert "the-token-of-mail" not in capfd.readouterr().out


def test_an_automation_in_another_run_mode_takes_no_inputs(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Mail")
    operator = start(QlikRunAutomationOperator, automation_id=automation, inputs={"month": "11"})
    with pytest.raises(
        AirflowFailException, match="run mode 'manual' and takes no inputs: set the run mode .*Triggered"
    ):
        finish(operator, task.context)
    assert posts(tenant) == 0


@pytest.mark.parametrize("inputs", ["month", ["month"], {"when": {1, 2}}, {"x": float("nan")}], ids=str)
def test_inputs_that_are_no_json_are_refused_before_anything_is_sent(tenant: Tenant, task: Task, inputs: Any) -> None:
    operator = start(QlikRunAutomationOperator, automation_id="some-automation", inputs=inputs)
    with pytest.raises(AirflowFailException, match="inputs"):
        finish(operator, task.context)
    assert tenant.request_log() == []
