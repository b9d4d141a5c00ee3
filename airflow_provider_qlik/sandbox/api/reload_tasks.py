"""The Reload tasks family: schedules, which nothing here carries out unless `Tenant.execute_reload_task` does."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import shapes
from airflow_provider_qlik.sandbox.api.reloads import app_named
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Handler, Operation, nothing, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Paging, page
from airflow_provider_qlik.sandbox.records import ReloadTask

_PAGING = Paging("next", default=10, most=100, back="prev", has_self=True)


def list_reload_tasks(asked: Asked) -> Response:
    """`GET /reload-tasks`, in the order they were made."""
    app_id, is_partial = asked.parameter("appId"), asked.flag("partial")
    _refuse_removed(asked)
    found = [
        task
        for task in asked.world.apps.reload_tasks.values()
        if app_id in (None, task.app_id) and is_partial in (None, task.members["partial"])
    ]
    return page(asked, _PAGING, found, asked.world.apps.view.reload_task)


def create_reload_task(asked: Asked) -> Response:
    """`POST /reload-tasks`."""
    apps = asked.world.apps
    if asked.world.switches.reload_tasks != "supported":
        raise _gone()
    app = app_named(asked, asked.body["appId"])
    return ok(apps.view.reload_task(apps.add_reload_task(app, _written(asked), asked.caller.user)), 201)


def get_reload_task(asked: Asked) -> Response:
    """`GET /reload-tasks/{taskId}`."""
    return ok(asked.world.apps.view.reload_task(_task(asked)))


def update_reload_task(asked: Asked) -> Response:
    """`PUT /reload-tasks/{taskId}`; what is not named stays as it is."""
    task, changes = _changeable(asked), _written(asked, "state")
    if "appId" in changes:
        app_named(asked, changes["appId"])
    if changes.get("state") == "Disabled":
        changes["disabledCode"] = task.members.get("disabledCode", "MANUALLY")
    elif "state" in changes:
        for name in ("disabledCode", "log"):
            task.members.pop(name, None)
    task.members |= changes
    return ok(asked.world.apps.view.reload_task(task))


def delete_reload_task(asked: Asked) -> Response:
    """`DELETE /reload-tasks/{taskId}`."""
    del asked.world.apps.reload_tasks[_changeable(asked).id]
    return nothing()


def _gone() -> Refused:
    detail = "reload tasks are deprecated, use the Scheduling API"
    return Refused(410, "Gone", detail, code="TASKS-011")


def _refuse_removed(asked: Asked) -> None:
    if asked.world.switches.reload_tasks == "removed":
        raise _gone()


def _changeable(asked: Asked) -> ReloadTask:
    task = _task(asked)
    if task.members.get("migrated") and asked.world.switches.reload_tasks == "deprecated":
        raise Refused(400, "Bad request", f"reload task {task.id} was migrated", code="TASKS-001")
    return task


def _task(asked: Asked) -> ReloadTask:
    _refuse_removed(asked)
    task = asked.world.apps.reload_tasks.get(asked.params["taskId"])
    if task is None:
        raise Refused(404, "Not found", f"there is no reload task {asked.params['taskId']}")
    return task


def _written(asked: Asked, *more: str) -> dict[str, Any]:
    """What a caller may write of a reload task."""
    names = (*shapes.RELOAD_TASK, *more)
    return {name: value for name, value in asked.body.items() if name in names}


def _operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    return Operation(name, method, (f"/api/v1/reload-tasks{path}",), "reload-tasks", tier_of(method), handler, **more)


OPERATIONS = (
    _operation("list_reload_tasks", "GET", "", list_reload_tasks),
    _operation("create_reload_task", "POST", "", create_reload_task, body=shapes.RELOAD_TASK_CREATE),
    _operation("get_reload_task", "GET", "/{taskId}", get_reload_task),
    _operation("update_reload_task", "PUT", "/{taskId}", update_reload_task, body=shapes.RELOAD_TASK_UPDATE),
    _operation("delete_reload_task", "DELETE", "/{taskId}", delete_reload_task),
)
