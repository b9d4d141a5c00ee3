"""The Tasks family: the operations that `/api/v1/tasks` and `/api/scheduling/tasks` both have.

The same tasks and runs stand behind both paths [assumed; documented is that the second takes the place of the first].
Documented differences: rate limits, `filter` and the wider `sort`, that a new task may be enabled at once, and what the
metadata of a task tell. Assumed: that v1 overlooks `filter`, and the scheduling path `migrateFrom`, as either overlooks
what it does not know; see the switch `v1_filter`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import shapes
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Handler, Operation, Text, nothing, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, in_order, page
from airflow_provider_qlik.sandbox.records import Task, TaskRun
from airflow_provider_qlik.sandbox.rights import may_run
from airflow_provider_qlik.sandbox.scheduling import FIELDS, field_of, shown_task
from airflow_provider_qlik.sandbox.scim import parse
from airflow_provider_qlik.sandbox.statuses import task_run_status
from airflow_provider_qlik.sandbox.times import stamp
from airflow_provider_qlik.sandbox.world import World

MOST_TASKS_ON_A_RESOURCE = 10

V1 = "/api/v1/tasks"
SCHEDULING = "/api/scheduling/tasks"

_SERVICE_METADATA = (
    *("ownerId", "tenantId", "createdAt", "createdBy", "deletedAt", "updatedAt"),
    *("scriptOwnerId", "spaceType", "resourceName", "resourceType", "resourceSubType", "topology"),
)
_PAGING = Paging("page", default=20, most=100, has_self=True)
_V1_FIELDS: Fields[Task] = {"createdAt": lambda task: task.created, "updatedAt": lambda task: task.updated}


def list_tasks(asked: Asked) -> Response:
    """`GET /tasks`. Which order tasks have that are equal in the field of `sort` is assumed: the later one first."""
    resource_id = asked.parameter("resourceId")
    if resource_id is None and asked.world.switches.resource_id_required:
        raise Refused(400, "Bad request", "resourceId is missing")
    return task_page(asked, [task for task in asked.world.tasks.values() if resource_id in (None, task.resource_id)])


def task_page(asked: Asked, tasks: list[Task]) -> Response:
    """Return a page of tasks, filtered and sorted as far as the path has it."""
    world, text = asked.world, asked.parameter("filter")
    fields = _V1_FIELDS
    if is_scheduling(asked):
        fields = {name: partial(_field, world, name) for name in FIELDS}
    elif text is not None and world.switches.v1_filter == "refused":
        raise Refused(400, "Bad request", "there is no parameter filter")
    if text and is_scheduling(asked):
        is_wanted = parse(text, FIELDS)
        tasks = [task for task in tasks if is_wanted(partial(field_of, world, task))]
    return page(
        asked, _PAGING, in_order(asked, tasks, fields, "-updatedAt", is_signed=True), lambda task: shown(asked, task)
    )


def _field(world: World, name: str, task: Task) -> Any:
    return field_of(world, task, name)


def create_task(asked: Asked) -> Response:
    """`POST /tasks`; at v1 a new task is disabled, whatever was sent."""
    world, members = asked.world, written(asked.body)
    resource_id = members.get("resourceId")
    _check_may_run(asked, resource_id)
    on_resource = [task for task in world.tasks.values() if resource_id and task.resource_id == resource_id]
    if len(on_resource) >= MOST_TASKS_ON_A_RESOURCE:
        raise Refused(400, "Bad request", f"resource {resource_id} has {MOST_TASKS_ON_A_RESOURCE} tasks, no more fit")
    metadata = {name: value for name, value in members.get("metadata", {}).items() if name != "disabledCode"}
    migrated_from = asked.parameter("migrateFrom")
    if migrated_from and not is_scheduling(asked):
        metadata["migratedFrom"] = migrated_from
    is_enabled = is_scheduling(asked) and members.get("enabled", False)
    if not is_enabled:
        metadata["disabledCode"] = "MANUALLY"
    members |= {"enabled": is_enabled, "metadata": metadata}
    worker = "automations" if resource_id in world.automations else "reloads"
    return ok(shown(asked, world.add_task(members, asked.caller.user, worker=worker)), 201)


def get_task(asked: Asked) -> Response:
    """`GET /tasks/{id}`."""
    return ok(shown(asked, task_of(asked)))


def update_task(asked: Asked) -> Response:
    """`PUT /tasks/{id}`; the caller becomes the owner."""
    task = task_of(asked)
    replace_task(asked, task, asked.body)
    return ok(shown(asked, task))


def replace_task(asked: Asked, task: Task, body: dict[str, Any]) -> None:
    """Make what a caller wrote of a task the whole of it, and the caller its owner."""
    world, members = asked.world, written(body)
    _check_may_run(asked, members.get("resourceId"))
    old = task.members["metadata"]
    is_enabled = members.get("enabled", False)
    metadata = members.get("metadata", {}) | {
        "ownerId": asked.caller.user.id,
        "tenantId": old["tenantId"],
        "createdAt": old["createdAt"],
        "createdBy": old["createdBy"],
        "updatedAt": stamp(world.now, 3),
    }
    metadata.pop("disabledCode", None)
    if not is_enabled:
        metadata["disabledCode"] = old.get("disabledCode", "MANUALLY")
    if "resourceId" in task.members:
        members.setdefault("resourceId", task.resource_id)
    task.members = members | {"id": task.id, "enabled": is_enabled, "metadata": metadata}
    task.updated, task.updated_by = world.now, asked.caller.user.id


def _check_may_run(asked: Asked, resource_id: str | None) -> None:
    """Refuse a task that would work on what its writer may not run."""
    user = asked.caller.user
    if resource_id is not None and not may_run(asked.world, user, resource_id):
        raise Refused(403, "Forbidden", f"{user.name} may not run {resource_id}")


def delete_task(asked: Asked) -> Response:
    """`DELETE /tasks/{id}`."""
    del asked.world.tasks[task_of(asked).id]
    return nothing()


def start_task(asked: Asked) -> Response:
    """`POST /tasks/{id}/actions/start`."""
    world, task, source = asked.world, task_of(asked), asked.parameter("source")
    limit = world.switches.source_limit
    if source is not None and limit is not None and len(source) > limit:
        if not world.switches.source_cut:
            raise Refused(400, "Bad request", f"source is longer than {limit} characters")
        source = source[:limit]
    code = task.members["metadata"].get("disabledCode")
    is_running = any(run.life.is_active(world.now) for run in world.task_runs[task.id])
    why_disabled = None if task.is_enabled else f"the task is disabled ({code})"
    if asked.starts(why_disabled, "the task is already running" if is_running else None):
        world.start_task(task, asked.caller.user, source)
    return _started(asked)


def _started(asked: Asked) -> Response:
    form = asked.world.switches.start_reply
    if form == "empty":
        return nothing(200)
    if form == "documented":
        return ok({"message": "Task started successfully"})
    return ok(
        {
            "status_code": 200,
            "code": "CHO-000",
            "context": "StartTask",
            "timestamp": stamp(asked.world.now, 9),
            "value": None,
        }
    )


def list_task_runs(asked: Asked) -> Response:
    """`GET /tasks/{id}/runs`."""
    return _run_page(asked, asked.world.task_runs[task_of(asked).id])


def list_resource_task_runs(asked: Asked) -> Response:
    """`GET /tasks/resources/{id}/runs`."""
    return _run_page(asked, list(asked.world.resource_task_runs(asked.params["id"])))


def _run_page(asked: Asked, runs: list[TaskRun]) -> Response:
    world, now = asked.world, asked.world.now
    fields: Fields[TaskRun] = {
        "startedAt": lambda run: run.life.created,
        "endedAt": lambda run: run.life.ended_at(now),
        "status": lambda run: task_run_status(run.life, world.switches, now),
        "taskId": lambda run: run.task.id,
        "actionId": lambda run: run.action_id,
    }
    visible = [run for run in runs if world.is_visible(run)]
    return page(asked, _PAGING, in_order(asked, visible, fields, "-startedAt", is_signed=True), world.view.task_run)


def get_last_task_run(asked: Asked) -> Response:
    """`GET /tasks/{id}/runs/last`."""
    runs = [run for run in asked.world.task_runs[task_of(asked).id] if asked.world.is_visible(run)]
    if not runs:
        raise Refused(404, "Not found", "the task has no run")
    return ok(asked.world.view.task_run(max(reversed(runs), key=lambda run: run.life.created)))


def get_task_run_log(asked: Asked) -> Response:
    """`GET /tasks/{id}/runs/{runId}/log`."""
    world, run_id = asked.world, asked.params["runId"]
    found = [run for run in world.task_runs[task_of(asked).id] if run.id == run_id and world.is_visible(run)]
    if not found:
        raise Refused(404, "Not found", f"the task has no run {run_id}")
    life = found[0].life
    if world.switches.running_log == "missing" and life.is_active(world.now):
        raise Refused(404, "Not found", f"run {run_id} has no log yet")
    log = "\n".join(life.log(world.now))
    form = world.switches.log_form
    accept = asked.headers.get("accept", "*/*")
    if form == "text" or (form == "accept" and "text/plain" in accept and "json" not in accept):
        return Text(log)
    answer = ok({"logContent": log})
    if form == "text_json":
        answer.headers["content-type"] = "text/plain; charset=utf-8"
    return answer


def is_scheduling(asked: Asked) -> bool:
    """Return True if the request came by the scheduling path."""
    return asked.path.startswith(SCHEDULING)


def shown(asked: Asked, task: Task) -> dict[str, Any]:
    """Return a task as the path of the request shows it."""
    return shown_task(asked.world, task) if is_scheduling(asked) else asked.world.view.task(task)


def task_of(asked: Asked) -> Task:
    """Return the task that the path names. Raises Refused (404)."""
    task = asked.world.tasks.get(asked.params["id"])
    if task is None:
        raise Refused(404, "Not found", f"there is no task {asked.params['id']}")
    return task


def written(body: dict[str, Any]) -> dict[str, Any]:
    """What a caller may write of a task: `resourceId` follows from the states, the id is the service's."""
    members = {name: value for name, value in body.items() if name not in ("id", "resourceId")}
    if metadata := members.get("metadata"):
        kept = {name: value for name, value in metadata.items() if name not in _SERVICE_METADATA}
        if "orchestration" in kept:
            kept["orchestration"] = {name: of for name, of in kept["orchestration"].items() if name != "lastRun"}
        members["metadata"] = kept
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


def _operations(
    name: str,
    method: str,
    path: str,
    handler: Handler,
    *,
    v1_body: shapes.Shape | None = None,
    body: shapes.Shape | None = None,
) -> tuple[Operation, Operation]:
    """Return the operation at either path: v1 has a limit of its own, the scheduling path those of most operations."""
    return (
        Operation(name, method, (f"{V1}{path}",), "tasks", "tasks", handler, v1_body or body),
        Operation(name, method, (f"{SCHEDULING}{path}",), "tasks", tier_of(method), handler, body),
    )


OPERATIONS = (
    *_operations("list_tasks", "GET", "", list_tasks),
    *_operations("create_task", "POST", "", create_task, v1_body=shapes.TASK, body=shapes.SCHEDULING_TASK),
    *_operations("list_resource_task_runs", "GET", "/resources/{id}/runs", list_resource_task_runs),
    *_operations("get_task", "GET", "/{id}", get_task),
    *_operations("update_task", "PUT", "/{id}", update_task, v1_body=shapes.TASK, body=shapes.SCHEDULING_TASK),
    *_operations("delete_task", "DELETE", "/{id}", delete_task),
    *_operations("start_task", "POST", "/{id}/actions/start", start_task),
    *_operations("list_task_runs", "GET", "/{id}/runs", list_task_runs),
    *_operations("get_last_task_run", "GET", "/{id}/runs/last", get_last_task_run),
    *_operations("get_task_run_log", "GET", "/{id}/runs/{runId}/log", get_task_run_log),
)
