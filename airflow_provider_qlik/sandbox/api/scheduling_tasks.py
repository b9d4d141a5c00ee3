"""The operations of `/api/scheduling/tasks` that v1 lacks: patches, graphs, and the creators of reload tasks.

Documented by Qlik: paths, parameters and errors; that a patch makes the caller the owner; that a missing app
is a 403 and no 404. Assumed: the members of a task that a creator makes (they follow from the examples of tasks),
that a creator whose status is left out waits for success, the default name of a task, and which of several
errors comes first. Switches for undocumented behaviour: `patch_response`, `edges`, `scheduling_error_form`. Errors
that need a concurrent change (CHO-004, CHO-013, CHO-018, CHO-024) can be injected by a fault with their code.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas
from airflow_provider_qlik.sandbox.api.tasks import (
    MAX_TASKS_ON_A_RESOURCE,
    SCHEDULING,
    replace_task,
    serialize,
    task_of,
    task_page,
)
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.json_patch import patched
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, no_content, ok, tier_of
from airflow_provider_qlik.sandbox.permissions import may_run, sees
from airflow_provider_qlik.sandbox.scheduling import DATASET_UPDATED, children, parents, topology
from airflow_provider_qlik.sandbox.state.chains import TASK_ENDED
from airflow_provider_qlik.sandbox.state.records import App, Task
from airflow_provider_qlik.sandbox.state.state import TenantState

MAX_LEVEL = 100

_RULE = re.compile(
    r"(RRULE:)?([A-Z]+=[^;=\s]+;)*FREQ=(SECONDLY|MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)(;[A-Z]+=[^;=\s]+)*", re.I
)
_Neighbours = Callable[[TenantState, Task], list[Task]]


def patch_task(request: ApiRequest) -> Response:
    """`PATCH /tasks/{id}`; the caller becomes the owner. All operations are applied, or none."""
    task = task_of(request)
    document = patched(serialize(request, task), request.body)
    schemas.check(document, schemas.SCHEDULING_TASK, "task")
    replace_task(request, task, document)
    return (
        no_content() if request.tenant_state.switches.patch_response == "no_content" else ok(serialize(request, task))
    )


# Graphs


def list_parents(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/graphs/parents`."""
    return task_page(request, parents(request.tenant_state, task_of(request)))


def list_children(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/graphs/children`: tasks on any status of this one."""
    return task_page(request, children(request.tenant_state, task_of(request)))


def get_ancestors(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/graphs/ancestors`."""
    return _graph(request, parents)


def get_descendants(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/graphs/descendants`."""
    return _graph(request, children)


def get_subgraph(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/graphs/subgraph`: ancestors and descendants, without their other neighbours."""
    return _graph(request, parents, children)


def _graph(request: ApiRequest, *directions: _Neighbours) -> Response:
    tenant_state, root = request.tenant_state, task_of(request)
    max_depth, with_task = _level(request), request.flag("withTask")
    depths = {root.id: 0}
    edges: dict[tuple[str, str], dict[str, Any]] = {}
    for neighbours in directions:
        queue, visited = deque([(root, 0)]), {root.id}
        while queue:
            task, depth = queue.popleft()
            for other in neighbours(tenant_state, task) if depth < max_depth else ():
                edge = (other.id, task.id)
                if tenant_state.switches.edges == "downstream" and neighbours is children:
                    edge = (task.id, other.id)
                edges.setdefault(edge, {"source": edge[0], "target": edge[1], "attrs": {"depth": depth + 1}})
                if other.id not in visited:
                    visited.add(other.id)
                    depths.setdefault(other.id, depth + 1)
                    queue.append((other, depth + 1))
    vertices = []
    for id, depth in depths.items():
        task = tenant_state.tasks[id]
        vertex = {"taskId": id, "attrs": {"depth": depth, **topology(tenant_state, task)}}
        is_shown = with_task and may_run(tenant_state, request.caller.user, task.resource_id)
        vertices.append(vertex | ({"task": serialize(request, task)} if is_shown else {}))
    return ok({"taskId": root.id, "vertices": vertices, "edges": list(edges.values())})


def _level(request: ApiRequest) -> int:
    text = request.parameter("level")
    if text is None:
        return MAX_LEVEL
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_LEVEL):
        raise ApiError(400, "Bad request", f"level must be a number from 1 to {MAX_LEVEL}, not {text!r}")
    return int(text)


# Creators


def create_reload_on_schedule(request: ApiRequest) -> Response:
    """`POST /tasks/resources/{id}/actions/reload/on-time-schedule`."""
    body, app = _read(request, schemas.RELOAD_ON_SCHEDULE)
    if problem := _schedule_error(body, request.tenant_state.now):
        raise ApiError(400, "Bad request", problem, code="CHO-017")
    rules = body["recurrence"]
    schedule: dict[str, Any] = {
        "recurrence": rules if isinstance(rules, str) else "\n".join(rules),
        "timezone": body.get("timezone", "UTC"),
        **{name: body[name] for name in ("startDateTime", "endDateTime") if name in body},
    }
    return _create_task(request, app, body, "time-schedule", {"start": {"schedule": schedule}})


def create_reload_after_task(request: ApiRequest) -> Response:
    """`POST /tasks/resources/{id}/actions/reload/on-task-event`. That an id must be a UUID is not checked."""
    tenant_state = request.tenant_state
    body, app = _read(request, schemas.RELOAD_AFTER_TASK)
    upstream = tenant_state.tasks.get(body["onTaskId"])
    if upstream is None:
        raise ApiError(400, "Bad request", f"onTaskId: there is no task {body['onTaskId']}", code="CHO-016")
    upstream_app = tenant_state.apps.apps.get(upstream.resource_id)
    is_readable = upstream_app is not None and sees(tenant_state, request.caller.user, upstream_app)
    if upstream.worker == "reloads" and not is_readable:
        raise ApiError(403, "Forbidden", f"app {upstream.resource_id} cannot be read", code="CHO-015")
    status = body.get("onTaskStatus", "succeeded")
    matches = {"id": upstream.id, "appId": upstream.resource_id}
    if status != "any":
        matches["status"] = status
    if upstream_app is not None and upstream_app.space_id:
        matches["spaceId"] = upstream_app.space_id
    event = _event("after-upstream", TASK_ENDED, "system-events.task", [*matches.items()])
    return _create_task(request, app, body, "after-upstream", {"events": [event]})


def create_reload_on_dataset_update(request: ApiRequest) -> Response:
    """`POST /tasks/resources/{id}/actions/reload/on-dataset-updated`."""
    request.body = {} if request.body is None else request.body
    body, app = _read(request, schemas.RELOAD_ON_DATASET_UPDATE)
    if not app.datasets:
        raise ApiError(422, "Unprocessable entity", f"app {app.id} reads no dataset of a pipeline", code="CHO-030")
    for task in _tasks_of(request.tenant_state, app):
        if any(event.get("type") == DATASET_UPDATED for event in task.members.get("events", ())):
            value = {"existingTaskId": task.id}
            raise ApiError(409, "Conflict", f"app {app.id} has task {task.id}", code="CHO-031", value=value)
    matches = [*(("datasetId", dataset) for dataset in app.datasets), ("appId", app.id)]
    event = _event("dataset-updated", DATASET_UPDATED, "dataset.updated", matches)
    return _create_task(request, app, body, "dataset-updated", {"events": [event]})


def _read(request: ApiRequest, schema: schemas.Schema) -> tuple[dict[str, Any], App]:
    """Return the body and the app that the path names. Raises ApiError with a code of the creators."""
    try:
        schemas.check(request.body, schema)
    except ApiError as error:
        raise ApiError(400, error.title, error.detail, code="CHO-001") from None
    app = request.tenant_state.apps.apps.get(request.params["id"])
    if app is None or not may_run(request.tenant_state, request.caller.user, app.id):
        raise ApiError(403, "Forbidden", f"there is no app {request.params['id']} that may be reloaded", code="CHO-003")
    return request.body, app


def _schedule_error(body: dict[str, Any], now: datetime) -> str | None:
    rules = [body["recurrence"]] if isinstance(body["recurrence"], str) else body["recurrence"]
    if not rules or not all(_RULE.fullmatch(rule) for rule in rules):
        return f"recurrence is not a valid rule: {body['recurrence']!r}"
    try:
        zone = ZoneInfo(body.get("timezone", "UTC"))
    except (ValueError, OSError, KeyError):
        return f"timezone is unknown: {body['timezone']!r}"
    moments = {}
    for name in ("startDateTime", "endDateTime"):
        try:
            moment = datetime.fromisoformat(body[name]) if name in body else None
        except ValueError:
            return f"{name} is not a time: {body[name]!r}"
        moments[name] = moment if moment is None or moment.tzinfo else moment.replace(tzinfo=zone)
    start, end = moments["startDateTime"], moments["endDateTime"]
    if end is not None and (end <= now.astimezone(UTC) or (start is not None and end <= start)):
        return "endDateTime must be after startDateTime and in the future"
    return None


def _event(name: str, type: str, source: str, matches: list[tuple[str, str]]) -> dict[str, Any]:
    correlation = [{"contextAttributeName": name, "contextAttributeValue": value} for name, value in matches]
    return {"name": name, "type": type, "source": source, "dataOnly": True, "correlation": correlation}


def _create_task(request: ApiRequest, app: App, body: dict[str, Any], event: str, trigger: dict[str, Any]) -> Response:
    """Create the task and return the response. Raises ApiError (422) if the app has as many tasks as it may have."""
    tenant_state = request.tenant_state
    if len(_tasks_of(tenant_state, app)) >= MAX_TASKS_ON_A_RESOURCE:
        detail = f"app {app.id} has {MAX_TASKS_ON_A_RESOURCE} tasks, which is the maximum"
        raise ApiError(422, "Unprocessable entity", detail, code="CHO-014")
    is_enabled = body.get("enabled", False)
    arguments = {"appId": app.id, "partial": body.get("partial", False)}
    action = {"name": "app.reload", "functionRef": {"refName": "app.reload", "arguments": arguments}}
    state = {
        "name": "Reload",
        "type": "EVENT",
        "end": True,
        "exclusive": True,
        "onEvents": [{"eventRefs": [event], "actions": [action]}],
    }
    members = {
        "name": body.get("name", f"Reload of {app.name}"),
        **({"description": body["description"]} if "description" in body else {}),
        "version": "1.0.0",
        "specVersion": "1.16.0",
        "enabled": is_enabled,
        "resourceId": app.id,
        **trigger,
        "states": [state],
        "metadata": {} if is_enabled else {"disabledCode": "MANUALLY"},
    }
    return ok(serialize(request, tenant_state.add_task(members, request.caller.user)), 201)


def _tasks_of(tenant_state: TenantState, app: App) -> list[Task]:
    return [task for task in tenant_state.tasks.values() if task.resource_id == app.id]


def _operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    return Operation(name, method, (f"{SCHEDULING}{path}",), "tasks", tier_of(method), handler, **more)


_CREATORS = "/resources/{id}/actions/reload"

OPERATIONS = (
    _operation("patch_scheduling_task", "PATCH", "/{id}", patch_task, body=schemas.TASK_PATCH),
    _operation("get_task_ancestors", "GET", "/{id}/graphs/ancestors", get_ancestors),
    _operation("get_task_descendants", "GET", "/{id}/graphs/descendants", get_descendants),
    _operation("get_task_subgraph", "GET", "/{id}/graphs/subgraph", get_subgraph),
    _operation("list_task_parents", "GET", "/{id}/graphs/parents", list_parents),
    _operation("list_task_children", "GET", "/{id}/graphs/children", list_children),
    _operation("create_time_schedule_reload_task", "POST", f"{_CREATORS}/on-time-schedule", create_reload_on_schedule),
    _operation("create_task_event_reload_task", "POST", f"{_CREATORS}/on-task-event", create_reload_after_task),
    _operation(
        "create_dataset_updated_reload_task", "POST", f"{_CREATORS}/on-dataset-updated", create_reload_on_dataset_update
    ),
)
"""The rate limit of the creators is [likely] the second tier, as for all writes."""
