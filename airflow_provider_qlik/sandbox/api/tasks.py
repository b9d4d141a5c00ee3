"""The Tasks family."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import shapes
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Handler, Operation, Text, nothing, ok
from airflow_provider_qlik.sandbox.paging import Fields, Paging, in_order, page
from airflow_provider_qlik.sandbox.records import Task, TaskRun
from airflow_provider_qlik.sandbox.statuses import task_run_status
from airflow_provider_qlik.sandbox.times import stamp

MOST_TASKS_ON_A_RESOURCE = 10

_SERVICE_METADATA = ("ownerId", "tenantId", "createdAt", "createdBy", "deletedAt", "updatedAt")
_PAGING = Paging("page", default=20, most=100, has_self=True)
_TASK_FIELDS: Fields[Task] = {"createdAt": lambda task: task.created, "updatedAt": lambda task: task.updated}


def list_tasks(asked: Asked) -> Response:
    """`GET /tasks`."""
    resource_id = asked.parameter("resourceId")
    if resource_id is None and asked.world.switches.resource_id_required:
        raise Refused(400, "Bad request", "resourceId is missing")
    tasks = [task for task in asked.world.tasks.values() if resource_id in (None, task.resource_id)]
    return page(
        asked,
        _PAGING,
        in_order(asked, tasks, _TASK_FIELDS, "-updatedAt", is_signed=True),
        asked.world.view.task,
    )


def create_task(asked: Asked) -> Response:
    """`POST /tasks`; a new task is disabled, whatever was sent."""
    world, members = asked.world, _written(asked.body)
    resource_id = members.get("resourceId")
    on_resource = [task for task in world.tasks.values() if resource_id and task.resource_id == resource_id]
    if len(on_resource) >= MOST_TASKS_ON_A_RESOURCE:
        raise Refused(400, "Bad request", f"resource {resource_id} has {MOST_TASKS_ON_A_RESOURCE} tasks, no more fit")
    metadata = members.get("metadata", {})
    if migrated_from := asked.parameter("migrateFrom"):
        metadata = metadata | {"migratedFrom": migrated_from}
    members |= {"enabled": False, "metadata": metadata | {"disabledCode": "MANUALLY"}}
    worker = "automations" if resource_id in world.automations else "reloads"
    return ok(world.view.task(world.add_task(members, asked.caller.user, worker=worker)), 201)


def get_task(asked: Asked) -> Response:
    """`GET /tasks/{id}`."""
    return ok(asked.world.view.task(_task(asked)))


def update_task(asked: Asked) -> Response:
    """`PUT /tasks/{id}`; the caller becomes the owner."""
    world, task, members = asked.world, _task(asked), _written(asked.body)
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
    task.updated = world.now
    return ok(world.view.task(task))


def delete_task(asked: Asked) -> Response:
    """`DELETE /tasks/{id}`."""
    del asked.world.tasks[_task(asked).id]
    return nothing()


def start_task(asked: Asked) -> Response:
    """`POST /tasks/{id}/actions/start`."""
    world, task, source = asked.world, _task(asked), asked.parameter("source")
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
    return _run_page(asked, asked.world.task_runs[_task(asked).id])


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
    runs = [run for run in asked.world.task_runs[_task(asked).id] if asked.world.is_visible(run)]
    if not runs:
        raise Refused(404, "Not found", "the task has no run")
    return ok(asked.world.view.task_run(max(reversed(runs), key=lambda run: run.life.created)))


def get_task_run_log(asked: Asked) -> Response:
    """`GET /tasks/{id}/runs/{runId}/log`."""
    world, run_id = asked.world, asked.params["runId"]
    found = [run for run in world.task_runs[_task(asked).id] if run.id == run_id and world.is_visible(run)]
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


def _task(asked: Asked) -> Task:
    task = asked.world.tasks.get(asked.params["id"])
    if task is None:
        raise Refused(404, "Not found", f"there is no task {asked.params['id']}")
    return task


def _written(body: dict[str, Any]) -> dict[str, Any]:
    """What a caller may write of a task: `resourceId` follows from the states, the id is the service's."""
    members = {name: value for name, value in body.items() if name not in ("id", "resourceId")}
    if metadata := members.get("metadata"):
        members["metadata"] = {name: value for name, value in metadata.items() if name not in _SERVICE_METADATA}
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


def _operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    paths = (f"/api/v1/tasks{path}", f"/api/scheduling/tasks{path}")
    return Operation(name, method, paths, "tasks", "tasks", handler, **more)


OPERATIONS = (
    _operation("list_tasks", "GET", "", list_tasks),
    _operation("create_task", "POST", "", create_task, body=shapes.TASK),
    _operation("list_resource_task_runs", "GET", "/resources/{id}/runs", list_resource_task_runs),
    _operation("get_task", "GET", "/{id}", get_task),
    _operation("update_task", "PUT", "/{id}", update_task, body=shapes.TASK),
    _operation("delete_task", "DELETE", "/{id}", delete_task),
    # The announced successor counts a start in Tier 2.
    Operation("start_task", "POST", ("/api/v1/tasks/{id}/actions/start",), "tasks", "tasks", start_task),
    Operation("start_task", "POST", ("/api/scheduling/tasks/{id}/actions/start",), "tasks", "tier_2", start_task),
    _operation("list_task_runs", "GET", "/{id}/runs", list_task_runs),
    _operation("get_last_task_run", "GET", "/{id}/runs/last", get_last_task_run),
    _operation("get_task_run_log", "GET", "/{id}/runs/{runId}/log", get_task_run_log),
)
