"""The Tasks family: the operations that `/api/v1/tasks` and `/api/scheduling/tasks` share.

Both paths serve the same tasks and runs [assumed; documented is that the second replaces the first].
Documented differences: rate limits, `filter` and the wider `sort`, that a new task may be enabled at once, and the
metadata of a task. Assumed: that v1 ignores `filter`, and the scheduling path `migrateFrom`, as either ignores unknown
parameters; see the switch `v1_filter`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, no_content, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, page, sort_items
from airflow_provider_qlik.sandbox.permissions import may_run
from airflow_provider_qlik.sandbox.scheduling import FIELDS, field_of, serialize_task
from airflow_provider_qlik.sandbox.scim import parse
from airflow_provider_qlik.sandbox.state.records import Task
from airflow_provider_qlik.sandbox.state.state import TenantState
from airflow_provider_qlik.sandbox.state.times import stamp

MAX_TASKS_ON_A_RESOURCE = 10

V1 = "/api/v1/tasks"
SCHEDULING = "/api/scheduling/tasks"

_READ_ONLY_METADATA = (
    *("ownerId", "tenantId", "createdAt", "createdBy", "deletedAt", "updatedAt"),
    *("scriptOwnerId", "spaceType", "resourceName", "resourceType", "resourceSubType", "topology"),
)
PAGING = Paging("page", default=20, max_limit=100, has_self=True)
_V1_SORT_FIELDS: Fields[Task] = {"createdAt": lambda task: task.created, "updatedAt": lambda task: task.updated}


def list_tasks(request: ApiRequest) -> Response:
    """`GET /tasks`. Assumed: of two tasks with equal values of `sort` the later one comes first."""
    resource_id = request.parameter("resourceId")
    if resource_id is None and request.tenant_state.switches.resource_id_required:
        raise ApiError(400, "Bad request", "resourceId is missing")
    return task_page(
        request, [task for task in request.tenant_state.tasks.values() if resource_id in (None, task.resource_id)]
    )


def task_page(request: ApiRequest, tasks: list[Task]) -> Response:
    """Return a page of tasks, filtered and sorted as the path supports it."""
    tenant_state, text = request.tenant_state, request.parameter("filter")
    fields = _V1_SORT_FIELDS
    if is_scheduling(request):
        fields = {name: partial(_field, tenant_state, name) for name in FIELDS}
    elif text is not None and tenant_state.switches.v1_filter == "refused":
        raise ApiError(400, "Bad request", "there is no parameter filter")
    if text and is_scheduling(request):
        matches = parse(text, FIELDS)
        tasks = [task for task in tasks if matches(partial(field_of, tenant_state, task))]
    return page(
        request,
        PAGING,
        sort_items(request, tasks, fields, "-updatedAt", is_signed=True),
        lambda task: serialize(request, task),
    )


def _field(tenant_state: TenantState, name: str, task: Task) -> Any:
    return field_of(tenant_state, task, name)


def create_task(request: ApiRequest) -> Response:
    """`POST /tasks`; at v1 a new task is disabled, whatever the body says."""
    tenant_state, members = request.tenant_state, writable_members(request.body)
    resource_id = members.get("resourceId")
    _check_may_run(request, resource_id)
    on_resource = [task for task in tenant_state.tasks.values() if resource_id and task.resource_id == resource_id]
    if len(on_resource) >= MAX_TASKS_ON_A_RESOURCE:
        raise ApiError(
            400, "Bad request", f"resource {resource_id} has {MAX_TASKS_ON_A_RESOURCE} tasks, which is the maximum"
        )
    metadata = {name: value for name, value in members.get("metadata", {}).items() if name != "disabledCode"}
    migrated_from = request.parameter("migrateFrom")
    if migrated_from and not is_scheduling(request):
        metadata["migratedFrom"] = migrated_from
    is_enabled = is_scheduling(request) and members.get("enabled", False)
    if not is_enabled:
        metadata["disabledCode"] = "MANUALLY"
    members |= {"enabled": is_enabled, "metadata": metadata}
    worker = "automations" if resource_id in tenant_state.automations else "reloads"
    return ok(serialize(request, tenant_state.add_task(members, request.caller.user, worker=worker)), 201)


def get_task(request: ApiRequest) -> Response:
    """`GET /tasks/{id}`."""
    return ok(serialize(request, task_of(request)))


def update_task(request: ApiRequest) -> Response:
    """`PUT /tasks/{id}`; the caller becomes the owner."""
    task = task_of(request)
    replace_task(request, task, request.body)
    return ok(serialize(request, task))


def replace_task(request: ApiRequest, task: Task, body: dict[str, Any]) -> None:
    """Replace the writable members of a task by those of a body, and make the caller its owner."""
    tenant_state, members = request.tenant_state, writable_members(body)
    _check_may_run(request, members.get("resourceId"))
    old = task.members["metadata"]
    is_enabled = members.get("enabled", False)
    metadata = members.get("metadata", {}) | {
        "ownerId": request.caller.user.id,
        "tenantId": old["tenantId"],
        "createdAt": old["createdAt"],
        "createdBy": old["createdBy"],
        "updatedAt": stamp(tenant_state.now, 3),
    }
    metadata.pop("disabledCode", None)
    if not is_enabled:
        metadata["disabledCode"] = old.get("disabledCode", "MANUALLY")
    if "resourceId" in task.members:
        members.setdefault("resourceId", task.resource_id)
    task.members = members | {"id": task.id, "enabled": is_enabled, "metadata": metadata}
    task.updated, task.updated_by = tenant_state.now, request.caller.user.id
    tenant_state.chains.add_task(task.members)


def _check_may_run(request: ApiRequest, resource_id: str | None) -> None:
    """Raise ApiError (403) unless the caller may run the resource that a task would work on."""
    user = request.caller.user
    if resource_id is not None and not may_run(request.tenant_state, user, resource_id):
        raise ApiError(403, "Forbidden", f"{user.name} may not run {resource_id}")


def delete_task(request: ApiRequest) -> Response:
    """`DELETE /tasks/{id}`."""
    del request.tenant_state.tasks[task_of(request).id]
    return no_content()


def start_task(request: ApiRequest) -> Response:
    """`POST /tasks/{id}/actions/start`."""
    tenant_state, task, source = request.tenant_state, task_of(request), request.parameter("source")
    limit = tenant_state.switches.source_limit
    if source is not None and limit is not None and len(source) > limit:
        if not tenant_state.switches.source_truncated:
            raise ApiError(400, "Bad request", f"source is longer than {limit} characters")
        source = source[:limit]
    code = task.members["metadata"].get("disabledCode")
    is_running = any(run.progress.is_active(tenant_state.now) for run in tenant_state.task_runs[task.id])
    why_disabled = None if task.is_enabled else f"the task is disabled ({code})"
    if request.starts(why_disabled, "the task is already running" if is_running else None):
        tenant_state.start_task(task, request.caller.user, source)
    return _started(request)


def _started(request: ApiRequest) -> Response:
    form = request.tenant_state.switches.start_response
    if form == "empty":
        return no_content(200)
    if form == "documented":
        return ok({"message": "Task started successfully"})
    return ok(
        {
            "status_code": 200,
            "code": "CHO-000",
            "context": "StartTask",
            "timestamp": stamp(request.tenant_state.now, 9),
            "value": None,
        }
    )


def is_scheduling(request: ApiRequest) -> bool:
    """Return True if the request uses the scheduling path."""
    return request.path.startswith(SCHEDULING)


def serialize(request: ApiRequest, task: Task) -> dict[str, Any]:
    """Return a task in the form of the requested path."""
    return (
        serialize_task(request.tenant_state, task)
        if is_scheduling(request)
        else request.tenant_state.serializer.task(task)
    )


def task_of(request: ApiRequest) -> Task:
    """Return the task that the path names. Raises ApiError (404)."""
    task = request.tenant_state.tasks.get(request.params["id"])
    if task is None:
        raise ApiError(404, "Not found", f"there is no task {request.params['id']}")
    return task


def writable_members(body: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a task that a caller may write; `resourceId` is derived from the states."""
    members = {name: value for name, value in body.items() if name not in ("id", "resourceId")}
    if metadata := members.get("metadata"):
        writable = {name: value for name, value in metadata.items() if name not in _READ_ONLY_METADATA}
        if "orchestration" in writable:
            writable["orchestration"] = {
                name: of for name, of in writable["orchestration"].items() if name != "lastRun"
            }
        members["metadata"] = writable
    if resource_id := _resource_of(members.get("states", [])):
        members["resourceId"] = resource_id
    return members


def _resource_of(states: list[dict[str, Any]]) -> str | None:
    for state in states:
        for on_event in state.get("onEvents", []):
            for action in on_event.get("actions", []):
                function = action.get("functionRef")
                arguments = function.get("arguments") if isinstance(function, dict) else None
                for name in ("appId", "id", "resourceId"):
                    if isinstance(arguments, dict) and isinstance(arguments.get(name), str):
                        return str(arguments[name])
    return None


def operations(
    name: str,
    method: str,
    path: str,
    handler: Handler,
    *,
    v1_body: schemas.Schema | None = None,
    body: schemas.Schema | None = None,
) -> tuple[Operation, Operation]:
    """Return the operation at both paths: v1 has a rate limit of its own, the scheduling path the usual ones."""
    return (
        Operation(name, method, (f"{V1}{path}",), "tasks", "tasks", handler, v1_body or body),
        Operation(name, method, (f"{SCHEDULING}{path}",), "tasks", tier_of(method), handler, body),
    )


OPERATIONS = (
    *operations("list_tasks", "GET", "", list_tasks),
    *operations("create_task", "POST", "", create_task, v1_body=schemas.TASK, body=schemas.SCHEDULING_TASK),
    *operations("get_task", "GET", "/{id}", get_task),
    *operations("update_task", "PUT", "/{id}", update_task, v1_body=schemas.TASK, body=schemas.SCHEDULING_TASK),
    *operations("delete_task", "DELETE", "/{id}", delete_task),
    *operations("start_task", "POST", "/{id}/actions/start", start_task),
)
