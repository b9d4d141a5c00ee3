"""The Reload tasks family: schedules, which only `Tenant.execute_reload_task` carries out."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas
from airflow_provider_qlik.sandbox.api.reloads import app_named
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, no_content, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Paging, page
from airflow_provider_qlik.sandbox.state.records import ReloadTask

_PAGING = Paging("next", default=10, max_limit=100, previous_cursor="prev", has_self=True)


def list_reload_tasks(request: ApiRequest) -> Response:
    """`GET /reload-tasks`, oldest first."""
    app_id, is_partial = request.parameter("appId"), request.flag("partial")
    _refuse_removed(request)
    found = [
        task
        for task in request.tenant_state.apps.reload_tasks.values()
        if app_id in (None, task.app_id) and is_partial in (None, task.members["partial"])
    ]
    return page(request, _PAGING, found, request.tenant_state.apps.serializer.reload_task)


def create_reload_task(request: ApiRequest) -> Response:
    """`POST /reload-tasks`."""
    apps = request.tenant_state.apps
    if request.tenant_state.switches.reload_tasks != "supported":
        raise _gone()
    app = app_named(request, request.body["appId"])
    return ok(
        apps.serializer.reload_task(apps.add_reload_task(app, _writable_members(request), request.caller.user)), 201
    )


def get_reload_task(request: ApiRequest) -> Response:
    """`GET /reload-tasks/{taskId}`."""
    return ok(request.tenant_state.apps.serializer.reload_task(_task(request)))


def update_reload_task(request: ApiRequest) -> Response:
    """`PUT /reload-tasks/{taskId}`; members that the body lacks stay as they are."""
    task, changes = _changeable(request), _writable_members(request, "state")
    if "appId" in changes:
        app_named(request, changes["appId"])
    if changes.get("state") == "Disabled":
        changes["disabledCode"] = task.members.get("disabledCode", "MANUALLY")
    elif "state" in changes:
        for name in ("disabledCode", "log"):
            task.members.pop(name, None)
    task.members |= changes
    return ok(request.tenant_state.apps.serializer.reload_task(task))


def delete_reload_task(request: ApiRequest) -> Response:
    """`DELETE /reload-tasks/{taskId}`."""
    del request.tenant_state.apps.reload_tasks[_changeable(request).id]
    return no_content()


def _gone() -> ApiError:
    detail = "reload tasks are deprecated, use the Scheduling API"
    return ApiError(410, "Gone", detail, code="TASKS-011")


def _refuse_removed(request: ApiRequest) -> None:
    if request.tenant_state.switches.reload_tasks == "removed":
        raise _gone()


def _changeable(request: ApiRequest) -> ReloadTask:
    task = _task(request)
    if task.members.get("migrated") and request.tenant_state.switches.reload_tasks == "deprecated":
        raise ApiError(400, "Bad request", f"reload task {task.id} was migrated", code="TASKS-001")
    return task


def _task(request: ApiRequest) -> ReloadTask:
    _refuse_removed(request)
    task = request.tenant_state.apps.reload_tasks.get(request.params["taskId"])
    if task is None:
        raise ApiError(404, "Not found", f"there is no reload task {request.params['taskId']}")
    return task


def _writable_members(request: ApiRequest, *more: str) -> dict[str, Any]:
    """Return the members of the body that a caller may write; `more` names further ones."""
    names = (*schemas.RELOAD_TASK, *more)
    return {name: value for name, value in request.body.items() if name in names}


def _operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    return Operation(name, method, (f"/api/v1/reload-tasks{path}",), "reload-tasks", tier_of(method), handler, **more)


OPERATIONS = (
    _operation("list_reload_tasks", "GET", "", list_reload_tasks),
    _operation("create_reload_task", "POST", "", create_reload_task, body=schemas.RELOAD_TASK_CREATE),
    _operation("get_reload_task", "GET", "/{taskId}", get_reload_task),
    _operation("update_reload_task", "PUT", "/{taskId}", update_reload_task, body=schemas.RELOAD_TASK_UPDATE),
    _operation("delete_reload_task", "DELETE", "/{taskId}", delete_reload_task),
)
