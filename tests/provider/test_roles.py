"""Each operator and sensor as the least that docs/roles.md names for it, and as one role lower."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_qlik.cloud.transport import credential_rotation
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.reload_tasks import QlikReloadTaskSensor
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor
from airflow_provider_qlik.sensors.sharing_tasks import QlikSharingTaskSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from tests.provider.conftest import Task, finish
from tests.test_roles_page import classes

TENANT_ROLES = {"TenantAdmin", "AnalyticsAdmin"}
OWNER, RECIPIENT, NOBODY = "owner", "recipient", "nobody"


@dataclass(frozen=True)
class Case:
    """An operator, what it is given besides an id, which roles are the least, and which are one lower."""

    make: Callable[..., Any]
    resource: str
    least: tuple[str, ...]
    lower: tuple[str, ...]
    space: str = "shared"
    arguments: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.make.__name__, self.name)))


EDITORS = ("producer", "codeveloper", "facilitator")
CASES = (
    Case(QlikRunTaskOperator, "qlik_task_id", EDITORS, ("consumer", "operator")),
    Case(QlikRunTaskOperator, "qlik_task_id", ("operator", "facilitator"), ("consumer",), "managed", name="managed"),
    Case(QlikTaskRunSensor, "qlik_task_id", EDITORS, ("consumer", "operator")),
    Case(QlikRunAutomationOperator, "automation_id", ("producer", "operator"), ("consumer", "TenantAdmin")),
    Case(
        QlikRunAutomationOperator,
        "automation_id",
        (OWNER,),
        ("producer", "operator"),
        arguments={"inputs": {}},
        name="with inputs",
    ),
    Case(
        QlikAutomationRunSensor,
        "automation_id",
        ("producer", "operator"),
        ("consumer",),
        arguments={"run_id": "of-last-night"},
        name="with run_id",
    ),
    Case(
        QlikAutomationRunSensor,
        "automation_id",
        (OWNER, "TenantAdmin", "AnalyticsAdmin"),
        ("producer", "operator"),
    ),
    Case(QlikReloadAppOperator, "app_id", EDITORS, ("consumer", "operator")),
    Case(QlikReloadAppOperator, "app_id", ("operator", "facilitator"), ("consumer",), "managed", name="managed"),
    Case(QlikReloadSensor, "app_id", ("consumer",), (NOBODY,)),
    Case(QlikRunSharingTaskOperator, "sharing_task_id", (OWNER,), (RECIPIENT, "producer")),
    Case(QlikSharingTaskSensor, "sharing_task_id", (OWNER, RECIPIENT), (NOBODY,)),
    Case(
        QlikReloadTaskSensor,
        "reload_task_id",
        EDITORS,
        ("consumer", "operator"),
        arguments={"started_after": "2020-01-01T00:00:00Z"},
    ),
    Case(
        QlikCallOperator,
        "automations.disable",
        (OWNER, "TenantAdmin", "AnalyticsAdmin"),
        ("producer", "operator"),
    ),
)
LEAST = [pytest.param(case, role, id=f"{case} as {role}") for case in CASES for role in case.least]
LOWER = [pytest.param(case, role, id=f"{case} as {role}") for case in CASES for role in case.lower]


@pytest.fixture
def acting(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case, str], str]:
    """Make the default connection that of a user with a role; returns the id of what the case is about."""

    def prepare(case: Case, role: str) -> str:
        user = tenant.add_user("Airflow", roles=[role] if role in TENANT_ROLES else [])
        space = tenant.add_space("Finance", type="managed" if case.space == "managed" else "shared")
        if role not in TENANT_ROLES | {OWNER, RECIPIENT, NOBODY}:
            tenant.grant_role(space, user.id, role)
        connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": user.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
        # As in a process of its own: a key that worked for this connection before would be used where this one may not.
        monkeypatch.setattr(credential_rotation, "_accepted_credentials", {})
        return resource(tenant, case, space, user.id if role == OWNER else None, user.id if role == RECIPIENT else "")

    return prepare


def resource(tenant: Tenant, case: Case, space: str, owner: str | None, recipient: str) -> str:
    """Return the id of a new resource, with a run of last night."""
    app = tenant.add_app("Sales", space_id=space)
    match case.resource:
        case "qlik_task_id":
            made = tenant.add_task("Refresh", resource_id=app)
        case "automation_id" | "automations.disable":
            members: dict[str, Any] = {"ownerId": owner} if owner else {}
            if "inputs" in case.arguments:
                members["run_mode"] = "triggered"
            made = tenant.add_automation("Export", spaceId=space, **members)
        case "app_id":
            made = app
        case "sharing_task_id":
            recipients = [recipient or "anna@example.com"]
            made = tenant.add_sharing_task("Weekly", recipients=recipients, **({"owner": owner} if owner else {}))
        case _:
            made = tenant.add_reload_task(app)
            tenant.execute_reload_task(made, started_ago=3600)
            return made
    tenant.add_run(made, started_ago=36000, id="of-last-night", script=Script(run=1))
    return made


def operator_of(case: Case, resource_id: str, **more: Any) -> Any:
    if case.make is QlikCallOperator:
        arguments = {"automation_id": resource_id}
        return QlikCallOperator(task_id="task", operation=case.resource, arguments=arguments)
    quick = (
        {"poke_interval": 0.1} if case.make.__name__.endswith("Sensor") else {"poll_interval": 0.1, "settle_time": 0.2}
    )
    return case.make(task_id="task", **{case.resource: resource_id}, **case.arguments, **quick, **more)


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
@pytest.mark.parametrize(("case", "role"), LEAST)
def test_the_least_that_the_page_names_is_enough(
    tenant: Tenant, task: Task, acting: Callable[[Case, str], str], case: Case, role: str, deferrable: bool
) -> None:
    resource_id = acting(case, role)

    finish(operator_of(case, resource_id, deferrable=deferrable), task.context)

    assert not tenant.active()


@pytest.mark.parametrize(("case", "role"), LOWER)
def test_one_role_lower_is_an_error_that_says_so_and_nothing_is_started(
    tenant: Tenant, task: Task, acting: Callable[[Case, str], str], case: Case, role: str
) -> None:
    resource_id = acting(case, role)
    before = {run["id"] for run in runs(tenant, case, resource_id)}

    with pytest.raises(AirflowException) as raised:
        finish(operator_of(case, resource_id), task.context)

    said = str(raised.value)
    assert said.startswith(("Forbidden: Airflow may not do this", "This user", "automation ")), said
    assert resource_id in said
    assert {run["id"] for run in runs(tenant, case, resource_id)} == before


def runs(tenant: Tenant, case: Case, resource_id: str) -> list[dict[str, Any]]:
    return [] if case.resource == "reload_task_id" else tenant.runs(resource_id)


def test_every_operator_and_sensor_is_tried() -> None:
    assert {case.make.__name__ for case in CASES} == set(classes())
