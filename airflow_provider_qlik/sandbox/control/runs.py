"""Commands that add and script runs, and that return snapshots of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.sandbox.control.command import command, slow_command
from airflow_provider_qlik.sandbox.state import snapshot
from airflow_provider_qlik.sandbox.state.records import ReloadType
from airflow_provider_qlik.sandbox.state.script import Script, SharingScript
from airflow_provider_qlik.sandbox.state.shared import OTHER

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


def _unknown_resource(resource_id: str) -> ValueError:
    return ValueError(f"there is no task, automation, app or sharing task {resource_id}")


@command
def add_run(
    app: TenantApp,
    resource_id: str,
    started_ago: float,
    script: dict[str, Any] | None,
    triggered_by: str,
    context: str,
    id: str | None,
    inputs: Any,
    origin: ReloadType = "external",
    by: str | None = None,
) -> str:
    """Add a run that another user started, and return its id."""
    tenant_state = app.tenant_state
    created = tenant_state.now - timedelta(seconds=started_ago)
    user = tenant_state.users.get(by or "", OTHER)
    if resource_id in tenant_state.sharing.tasks:
        return add_execution(app, resource_id, started_ago, script, None, None, id)
    parsed = Script.from_json(script) if script else Script()
    if resource_id in tenant_state.tasks:
        task = tenant_state.tasks[resource_id]
        return tenant_state.add_task_run(
            task, user, triggered_by, created=created, via="added", script=parsed, id=id
        ).id
    if resource_id in tenant_state.automations:
        automation = tenant_state.automations[resource_id]
        return tenant_state.add_automation_run(
            automation, user, context, created=created, via="added", script=parsed, id=id, inputs=inputs
        ).id
    if resource_id in tenant_state.apps.apps:
        return tenant_state.apps.add_reload(
            resource_id, user, origin, created=created, via="added", script=parsed, id=id
        ).id
    raise _unknown_resource(resource_id)


@command
def add_execution(
    app: TenantApp,
    task_id: str,
    started_ago: float,
    script: dict[str, Any] | None,
    reload_id: str | None,
    workflow_id: str | None,
    id: str | None,
) -> str:
    """Add an execution that the caller did not start, and return its id."""
    tenant_state = app.tenant_state
    if task_id not in tenant_state.sharing.tasks:
        raise ValueError(f"there is no sharing task {task_id}")
    sharing = SharingScript.from_json(script) if script else SharingScript()
    if not sharing.scripts(1):
        raise ValueError("sharing recipients: an execution needs the script of one recipient")
    return tenant_state.sharing.add_execution(
        tenant_state.sharing.tasks[task_id],
        OTHER,
        sharing,
        request=tenant_state.now - timedelta(seconds=started_ago),
        via="reload" if reload_id else "added",
        workflow_id=workflow_id,
        reload_id=reload_id,
        id=id,
    ).id


@command
def execute_reload_task(app: TenantApp, id: str, started_ago: float) -> str:
    """Add the reload that the schedule started, and return its id."""
    apps = app.tenant_state.apps
    if id not in apps.reload_tasks:
        raise ValueError(f"there is no reload task {id}")
    task = apps.reload_tasks[id]
    if task.members["state"] != "Enabled":
        raise ValueError(f"reload task {id} is {task.members['state']}")
    return apps.execute_reload_task(task, started_ago).id


@command
def script(app: TenantApp, resource_id: str, scripts: list[dict[str, Any]]) -> None:
    """Queue scripts for the next runs."""
    tenant_state = app.tenant_state
    if resource_id in tenant_state.sharing.tasks:
        tenant_state.sharing.scripts.add(resource_id, [SharingScript.from_json(members) for members in scripts])
    elif tenant_state.has_resource(resource_id):
        tenant_state.scripts.add(resource_id, [Script.from_json(members) for members in scripts])
    else:
        raise _unknown_resource(resource_id)


@command
def runs(app: TenantApp, resource_id: str) -> list[dict[str, Any]]:
    """Return a snapshot of every run of a task, automation, app or sharing task."""
    if not app.tenant_state.has_resource(resource_id) and not app.tenant_state.has_runs(resource_id):
        raise _unknown_resource(resource_id)
    return list(snapshot.of_resource(app.tenant_state, resource_id))


@command
def reloads(app: TenantApp) -> list[dict[str, Any]]:
    """Return a snapshot of every reload."""
    return [snapshot.reload(app.tenant_state, reload) for reload in app.tenant_state.apps.reloads.values()]


@command
def active(app: TenantApp) -> list[dict[str, Any]]:
    """Return a snapshot of every run that has not ended."""
    return [run for run in snapshot.of_all_resources(app.tenant_state) if run["active"]]


@slow_command
def file_sha256(app: TenantApp, execution_id: str, alias: str) -> str:
    """Return the SHA-256 of a file, which need not exist yet."""
    for executions in list(app.tenant_state.sharing.executions.values()):
        for execution in list(executions):
            for file in execution.files:
                if (execution.id, file.alias) == (execution_id, alias):
                    return file.sha256(execution_id)
    raise ValueError(f"there is no file {alias} of an execution {execution_id}")
