"""Commands that add resources to the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.sandbox.control.command import command
from airflow_provider_qlik.sandbox.state.shared import USER

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


def _check_id_is_free(app: TenantApp, id: str | None) -> None:
    tenant_state = app.tenant_state
    if id is not None and (
        tenant_state.has_resource(id) or id in tenant_state.apps.spaces or id in tenant_state.apps.reload_tasks
    ):
        raise ValueError(f"id: {id} exists already")


@command
def add_task(
    app: TenantApp, name: str, id: str | None, resource_id: str | None, worker: str, members: dict[str, Any]
) -> str:
    """Add a task, and return its id."""
    tenant_state = app.tenant_state
    if worker == "automations" and resource_id is None:
        resource_id = tenant_state.add_automation({"name": f"Automation of {name}"}, USER).id
    if worker == "automations" and resource_id not in tenant_state.automations:
        raise ValueError(f"resource_id: there is no automation {resource_id}")
    _check_id_is_free(app, id)
    resource_id = resource_id or f"app-{len(tenant_state.tasks) + 1}"
    if worker == "reloads" and not tenant_state.has_resource(resource_id):
        tenant_state.apps.add_app(f"App of {name}", USER, id=resource_id)
    task_members = {"name": name, "enabled": True, "resourceId": resource_id, **members}
    if not task_members["enabled"]:
        task_members["metadata"] = {"disabledCode": "MANUALLY"} | task_members.get("metadata", {})
    return tenant_state.add_task(task_members, USER, id=id, worker=worker).id


@command
def add_automation(app: TenantApp, name: str, id: str | None, run_mode: str, members: dict[str, Any]) -> str:
    """Add an automation, and return its id."""
    _check_id_is_free(app, id)
    return app.tenant_state.add_automation({"name": name, "runMode": run_mode, **members}, USER, id=id).id


@command
def add_app(
    app: TenantApp,
    name: str,
    id: str | None,
    space_id: str | None,
    datasets: list[str],
    owner_id: str | None = None,
) -> str:
    """Add an app, and return its id."""
    _check_id_is_free(app, id)
    if owner_id not in (None, *app.tenant_state.users):
        raise ValueError(f"owner_id: there is no user {owner_id}")
    owner = app.tenant_state.users[owner_id or USER.id]
    return app.tenant_state.apps.add_app(name, owner, id=id, space_id=space_id, datasets=tuple(datasets)).id


@command
def add_space(app: TenantApp, name: str, id: str | None, type: str) -> str:
    """Add a space, and return its id."""
    _check_id_is_free(app, id)
    return app.tenant_state.apps.add_space(name, type, USER, id=id).id


@command
def add_reload_task(app: TenantApp, app_id: str, id: str | None, members: dict[str, Any]) -> str:
    """Add a reload task, and return its id."""
    apps = app.tenant_state.apps
    if app_id not in apps.apps:
        raise ValueError(f"app_id: there is no app {app_id}")
    _check_id_is_free(app, id)
    task_members = {"timeZone": "UTC", "recurrence": ["RRULE:FREQ=DAILY;INTERVAL=1"], **members}
    return apps.add_reload_task(apps.apps[app_id], task_members, USER, id=id).id


@command
def add_sharing_task(
    app: TenantApp, name: str, id: str | None, recipients: list[str], app_id: str | None, members: dict[str, Any]
) -> str:
    """Add a sharing task, and return its id."""
    tenant_state = app.tenant_state
    if app_id is None:
        app_id = tenant_state.apps.add_app(f"App of {name}", USER).id
    if app_id not in tenant_state.apps.apps:
        raise ValueError(f"app_id: there is no app {app_id}")
    _check_id_is_free(app, id)
    template = {"type": "multi-sheet", "subType": "pdf", "fileName": name, "fileAlias": "report"}
    task_members = {
        "name": name,
        "type": "template-sharing",
        "state": {},
        "templates": [{**template, "multiSheetData": [{"appId": app_id, "sheetId": "sheet-1"}]}],
        "appId": app_id,
        "appName": tenant_state.apps.apps[app_id].name,
        "recipients": {
            "userIds": [{"value": value} for value in recipients if "@" not in value],
            "emailAddresses": [value for value in recipients if "@" in value],
        },
        **members,
    }
    return tenant_state.sharing.add_task(task_members, USER, id=id).id
