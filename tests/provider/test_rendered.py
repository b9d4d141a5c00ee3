"""Arguments as Airflow renders them: with render_template_as_native_obj digits arrive as numbers."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator, converted
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.reload_tasks import QlikReloadTaskSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def rendered(cls: type, params: dict[str, Any], **arguments: Any) -> Any:
    """An operator whose templates are rendered as native objects."""
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1), render_template_as_native_obj=True):
        operator = cls(task_id="run", **arguments)
    operator.render_template_fields({"params": params})
    return operator


@both_modes
def test_an_id_of_digits_is_used_as_text_everywhere(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales", id="20261127")
    tenant.script(app, Script(run=4))
    operator = rendered(
        QlikReloadAppOperator,
        {"app": "20261127", "day": "20261128", "partial": "True", "weight": "7"},
        app_id="{{ params.app }}",
        partial="{{ params.partial }}",
        weight="{{ params.weight }}",
        variables={"vDay": "{{ params.day }}"},
        deferrable=deferrable,
        **FAST,
    )
    assert (operator.app_id, operator.partial_reload, operator.weight) == (20261127, True, 7)
    result = finish(operator, task.context)
    assert result["resource_id"] == operator.app_id == "20261127"
    assert result["link"] == task.pushed["qlik_link"] == f"{tenant.url}/sense/app/20261127"
    (entry,) = tenant.request_log(method="POST", path="/api/v1/reloads")
    asked = {name: given for name, given in entry.body.items() if not name.startswith("resource")}  # the marker
    assert asked == {"appId": "20261127", "partial": True, "weight": 7, "variables": {"vDay": "20261128"}}


def test_the_arguments_of_a_trigger_are_texts(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("2026", id="77")
    run = tenant.add_run(automation, id="5")
    sensor = rendered(
        QlikAutomationRunSensor,
        {"automation": "77", "run": "5"},
        automation_id="{{ params.automation }}",
        run_id="{{ params.run }}",
        deferrable=True,
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(task.context)
    arguments = deferred.value.trigger.serialize()[1]
    assert (arguments["resource_id"], arguments["run_id"]) == ("77", run) == ("77", "5")


def test_names_of_digits_are_found(tenant: Tenant, task: Task) -> None:
    space = tenant.add_space("2025")
    app = tenant.add_app("2026", space_id=space)
    qlik_task = tenant.add_task("2027", resource_id=app)
    operator = rendered(
        QlikRunTaskOperator,
        {"task": "2027", "app": "2026", "space": "2025"},
        qlik_task_name="{{ params.task }}",
        app_name="{{ params.app }}",
        space_name="{{ params.space }}",
        **FAST,
    )
    assert operator.resource_label == "2027"
    assert finish(operator, task.context)["resource_id"] == qlik_task


@pytest.mark.parametrize("given", [1.5, True, ["a"], {"a": 1}], ids=repr)
@pytest.mark.parametrize(
    ("cls", "name", "others"),
    [
        (QlikReloadAppOperator, "app_id", {}),
        (QlikReloadAppOperator, "app_name", {}),
        (QlikReloadAppOperator, "space_name", {"app_name": "Sales"}),
        (QlikReloadAppOperator, "variables", {"app_id": "a"}),
        (QlikRunTaskOperator, "app_id", {"qlik_task_name": "Refresh"}),
        (QlikTaskRunSensor, "qlik_task_id", {}),
        (QlikTaskRunSensor, "run_id", {"qlik_task_id": "t"}),
        (QlikTaskRunSensor, "started_after", {"qlik_task_id": "t"}),
        (QlikReloadTaskSensor, "started_after", {"reload_task_id": "t"}),
        (QlikRunSharingTaskOperator, "sharing_task_id", {}),
        (QlikRunSharingTaskOperator, "file_name", {"sharing_task_id": "t"}),
    ],
)
def test_what_was_no_text_and_no_whole_number_is_refused_before_anything_is_sent(
    tenant: Tenant, task: Task, cls: type, name: str, others: dict[str, Any], given: Any
) -> None:
    variables = name == "variables"
    operator = rendered(
        cls, {"it": given}, **{name: {"v": "{{ params.it }}"} if variables else "{{ params.it }}"}, **others
    )
    with pytest.raises(AirflowFailException, match=f"^{name}: "):
        finish(operator, task.context)
    assert tenant.request_log() == []


@pytest.mark.parametrize("given", [1.5, True], ids=repr)
def test_a_folder_is_no_float_and_no_boolean(tenant: Tenant, task: Task, given: Any) -> None:
    operator = rendered(
        QlikRunSharingTaskOperator, {"it": given}, sharing_task_id="t", download_to="{{ params.it }}", **FAST
    )
    with pytest.raises(AirflowFailException, match="^download_to: a text"):
        finish(operator, task.context)
    assert tenant.request_log() == []


def test_a_folder_may_be_of_digits_or_a_path(
    tenant: Tenant, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders: list[Any] = ["20260101", tmp_path / "reports"]
    for number, folder in enumerate(folders):
        sharing_task = tenant.add_sharing_task("Weekly")
        tenant.script(sharing_task, Script(run=1, end="successful"))
        operator = rendered(
            QlikRunSharingTaskOperator,
            {"it": folder},
            sharing_task_id=sharing_task,
            download_to="{{ params.it }}",
            settle_time=0.2,
            **FAST,
        )
        result = finish(operator, Task(map_index=number).context)
        assert len(list((tmp_path / folder).iterdir())) == len(result["files"]) == 1


@pytest.mark.parametrize(
    "given",
    [
        20260101,
        "20260101",
        "2026-01-01",
        date(2026, 1, 1),
        datetime(2026, 1, 1),
        pendulum.datetime(2026, 1, 1, 1, tz="Europe/Berlin"),
        pendulum.date(2026, 1, 1),
    ],
    ids=repr,
)
def test_a_moment_may_be_given_in_many_ways(tenant: Tenant, task: Task, given: Any) -> None:
    sensor = rendered(
        QlikTaskRunSensor,
        {"it": given},
        qlik_task_id=tenant.add_task("Refresh"),
        started_after="{{ params.it }}",
        deferrable=True,
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(task.context)
    assert deferred.value.trigger.started_after == datetime(2026, 1, 1, tzinfo=UTC).isoformat()


@pytest.mark.parametrize("given", [5, 2026, 202601011, 20261301, "20260101112", True, 1.5, "0001-01-01T00:00:00+14:00"])
def test_a_number_that_is_no_day_is_refused(tenant: Tenant, task: Task, given: Any) -> None:
    sensor = rendered(QlikTaskRunSensor, {"it": given}, qlik_task_id="t", started_after="{{ params.it }}")
    with pytest.raises(AirflowFailException, match="started_after: a datetime or an ISO 8601 text"):
        sensor.execute(task.context)
    assert tenant.request_log() == []


def test_arguments_of_calls_take_digits_for_texts_and_texts_for_numbers() -> None:
    assert converted("automations.get", {"automation_id": 61}) == {"automation_id": "61"}
    assert converted("automations.list", {"limit": "5"}) == {"limit": 5}
    given = {"app_id": 20261127, "partial": "true", "weight": "3", "variables": {"vDay": 20261127, 5: "x"}}
    assert converted("reloads.start", given) == {
        "app_id": "20261127",
        "partial": True,
        "weight": 3,
        "variables": {"vDay": "20261127", "5": "x"},
    }


@pytest.mark.parametrize("given", [1.5, True, None], ids=repr)
def test_arguments_of_calls_take_no_floats_and_no_booleans_for_texts(tenant: Tenant, task: Task, given: Any) -> None:
    operator = rendered(
        QlikCallOperator, {"it": given}, operation="automations.get", arguments={"automation_id": "{{ params.it }}"}
    )
    with pytest.raises(AirflowFailException, match="automation_id: automations.get takes a string here"):
        operator.execute(task.context)
    assert tenant.request_log() == []


def test_a_call_takes_an_id_of_digits(tenant: Tenant, task: Task) -> None:
    tenant.add_automation("Prepare", id="61")
    operator = rendered(
        QlikCallOperator, {"it": 61}, operation="automations.get", arguments={"automation_id": "{{ params.it }}"}
    )
    assert operator.execute(task.context)["id"] == "61"


# Booleans given as text.

FLAGS = ("wait_for_completion", "deferrable", "cancel_on_kill", "durable")


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize(("given", "means"), [("False", False), ("true", True), (" TRUE ", True), (False, False)])
def test_a_boolean_may_be_given_as_text(flag: str, given: Any, means: bool) -> None:
    operator = QlikRunAutomationOperator(task_id="run", automation_id="a", **{flag: given})
    assert getattr(operator, flag) is means


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("given", ["", "no", "0", 0, 1, "{{ params.it }}", []])
def test_what_is_no_boolean_is_refused_by_name(flag: str, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{flag}: True or False"):
        QlikRunAutomationOperator(task_id="run", automation_id="a", **{flag: given})


def test_the_deferrable_of_a_sensor_may_be_given_as_text() -> None:
    assert QlikAutomationRunSensor(task_id="wait", automation_id="a", deferrable="False").deferrable is False
    with pytest.raises(InvalidArgumentError, match="^deferrable: True or False"):
        QlikAutomationRunSensor(task_id="wait", automation_id="a", deferrable="{{ it }}")


@pytest.mark.parametrize(("partial", "weight"), [("False", "1"), ("{{ params.no }}", "{{ params.one }}"), (False, 1)])
def test_partial_and_weight_may_be_templates(tenant: Tenant, task: Task, partial: Any, weight: Any) -> None:
    app = tenant.add_app("Sales")
    operator = QlikReloadAppOperator(task_id="run", app_id=app, partial=partial, weight=weight, **FAST)
    operator.render_template_fields({"params": {"no": "false", "one": "1"}})
    finish(operator, task.context)
    (entry,) = tenant.request_log(method="POST", path="/api/v1/reloads")
    assert (entry.body["partial"], entry.body["weight"]) == (False, 1)


def test_a_mapped_reload_may_have_partial_and_weight_as_templates() -> None:
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        mapped = QlikReloadAppOperator.partial(
            task_id="run", partial="{{ params.partial }}", weight="{{ 1 + 1 }}"
        ).expand(app_id=["a", "b"])
    operator: Any = mapped.unmap({"app_id": "a"})
    operator.render_template_fields({"params": {"partial": True}})
    assert (operator.partial_reload, operator.weight) == ("True", "2")
    assert operator.parameters()["partial"] is True
    assert "partial_reload" in mapped.template_fields
    assert dag.task_dict["run"] is mapped


def test_a_reload_with_templates_survives_the_way_to_the_scheduler() -> None:
    from airflow.serialization import serialized_objects

    # Before Airflow 3.2 it has another name.
    name = "DagSerialization" if hasattr(serialized_objects, "DagSerialization") else "SerializedDAG"
    serialization: Any = getattr(serialized_objects, name)
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        QlikReloadAppOperator(task_id="run", app_id="a", partial="{{ params.partial }}", weight="{{ 1 + 1 }}")
    stored = json.dumps(serialization.to_dict(dag))
    assert "{{ params.partial }}" in stored
    serialization.from_dict(json.loads(stored))


# What narrows a look-up by name may come from default_args.


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (QlikReloadAppOperator, {"app_id": "a"}),
        (QlikRunAutomationOperator, {"automation_id": "a"}),
        (QlikRunTaskOperator, {"qlik_task_id": "t"}),
        (QlikRunSharingTaskOperator, {"sharing_task_id": "t"}),
        (QlikAutomationRunSensor, {"automation_id": "a"}),
        (QlikTaskRunSensor, {"qlik_task_id": "t"}),
    ],
)
@pytest.mark.parametrize(
    "default_args", [{"space_name": "Finance"}, {"space_name": "F", "app_name": "Sales"}, {"space_name": ""}], ids=str
)
def test_what_narrows_a_look_up_by_name_is_ignored_beside_an_id(
    cls: Any, arguments: dict[str, str], default_args: dict[str, Any]
) -> None:
    if "app_id" in arguments:
        default_args = {"space_name": default_args["space_name"]}
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1), default_args=default_args):
        operator = cls(task_id="run", **arguments)
    assert operator.resolve_resource(None) == next(iter(arguments.values()))
