from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_qlik.links.run import LINK_KEY, QlikRunLink
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor
from airflow_provider_qlik.sensors.sharing_tasks import QlikSharingTaskSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def a_run_that_fails(tenant: Tenant, kind: str, deferrable: bool) -> tuple[Any, str]:
    """An operator for it, and the path of the page that it leads to."""
    app = tenant.add_app("Sales")
    common: dict[str, Any] = {"task_id": "run", "deferrable": deferrable, "settle_time": 0.2, **FAST}
    if kind == "task":
        resource = tenant.add_task("Refresh", resource_id=app)
        operator: Any = QlikRunTaskOperator(qlik_task_id=resource, **common)
    elif kind == "automation":
        resource = tenant.add_automation("Prepare")
        operator = QlikRunAutomationOperator(automation_id=resource, **common)
    elif kind == "reload":
        resource = app
        operator = QlikReloadAppOperator(app_id=app, **common)
    else:
        resource = tenant.add_sharing_task("Weekly", app_id=app)
        operator = QlikRunSharingTaskOperator(sharing_task_id=resource, **common)
    tenant.script(resource, Script(run=8, end="failed"))
    return operator, f"/automations/{resource}" if kind == "automation" else f"/sense/app/{app}"


@both_modes
@pytest.mark.parametrize("kind", ["task", "automation", "reload", "sharing_task"])
def test_the_link_is_there_once_the_run_has_started_and_when_it_has_failed(
    tenant: Tenant, task: Task, kind: str, deferrable: bool
) -> None:
    operator, path = a_run_that_fails(tenant, kind, deferrable)
    with pytest.raises(AirflowException, match=tenant.url):
        finish(operator, task.context)
    assert task.pushed[LINK_KEY] == tenant.url + path
    # What Airflow asks for when the task ends is the same.
    assert QlikRunLink().get_link(operator, ti_key=None) == tenant.url + path


@pytest.mark.parametrize(
    "operator",
    [
        *(QlikRunTaskOperator, QlikRunAutomationOperator, QlikReloadAppOperator, QlikRunSharingTaskOperator),
        *(QlikTaskRunSensor, QlikAutomationRunSensor, QlikReloadSensor, QlikSharingTaskSensor),
    ],
)
def test_every_operator_and_sensor_has_the_button(operator: type[Any]) -> None:
    assert [link.xcom_key for link in operator.operator_extra_links] == [LINK_KEY]


@pytest.mark.parametrize(
    ("operator", "argument"),
    [
        (QlikRunTaskOperator, "qlik_task_id"),
        (QlikRunAutomationOperator, "automation_id"),
        (QlikReloadAppOperator, "app_id"),
        (QlikReloadAppOperator, "app_name"),
        (QlikRunSharingTaskOperator, "sharing_task_id"),
        (QlikTaskRunSensor, "qlik_task_id"),
        (QlikAutomationRunSensor, "automation_id"),
        (QlikReloadSensor, "app_id"),
        (QlikSharingTaskSensor, "sharing_task_id"),
    ],
)
def test_every_operator_and_sensor_can_be_mapped(operator: Any, argument: str) -> None:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("mapped", schedule=None, start_date=datetime(2026, 1, 1)):
        mapped = operator.partial(task_id="mapped").expand(**{argument: ["one", "two"]})
    single = mapped.unmap({argument: "two"})
    assert getattr(single, argument) == "two"
    assert single.resource_label == "two"


def test_any_operation_can_be_mapped() -> None:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("mapped", schedule=None, start_date=datetime(2026, 1, 1)):
        mapped = QlikCallOperator.partial(task_id="mapped", operation="tasks.get").expand(
            arguments=[{"task_id": "1"}, {"task_id": "2"}]
        )
    single: Any = mapped.unmap({"arguments": {"task_id": "2"}})
    assert single.arguments == {"task_id": "2"}


def test_a_mapped_task_is_named_unless_the_dag_does_so(tenant: Tenant) -> None:
    app = tenant.add_app("Sales")
    for context, expected in (({}, "{{ qlik_label }}"), ({"map_index_template": "{{ own }}"}, "{{ own }}")):
        task = Task(map_index=1)
        whole = {**task.context, **context}
        finish(QlikReloadAppOperator(task_id="reload", app_name="Sales", **FAST), whole)
        assert whole["map_index_template"] == expected
        assert whole.get("qlik_label", "Sales") == "Sales"
    assert len(tenant.runs(app)) == 2
