"""The Tasks family on both its paths, `/api/v1/tasks` and `/api/scheduling/tasks`. https://qlik.dev/apis/rest/tasks/

All paths begin with the tenant's tasks root, which is one of the two. First come the 10 operations that both have, in
the order of the reference, then the 9 that are documented for the scheduling path alone (`Call.scheduling_only`).
Every call can raise QlikCloudError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from airflow_provider_qlik.cloud.call import TASKS_ROOT, Call, Family, Tier
from airflow_provider_qlik.cloud.models.scheduling import (
    ChainedReloadTask,
    DatasetReloadTask,
    PatchedTask,
    ScheduledReloadTask,
    TaskGraph,
    TaskPatchOperation,
)
from airflow_provider_qlik.cloud.models.tasks import Task, TaskList, TaskRun, TaskRunList, TaskRunLog, TaskStarted
from airflow_provider_qlik.cloud.models.writing import bodies_of, body_of
from airflow_provider_qlik.cloud.parameters import page_size, word
from airflow_provider_qlik.validation import InvalidArgumentError, checked_count

V1_TASK_SORTS = ("+createdAt", "-createdAt", "+updatedAt", "-updatedAt")
TASK_FIELDS = (
    *("createdAt", "updatedAt", "updatedBy", "enabled", "name", "ownerId", "resourceId", "spaceId", "triggerType"),
    *("lastStatus", "lastTriggeredBy", "lastStartedAt", "lastEndedAt", "lastExecutedAs"),
)
"""The fields by which tasks can be filtered, and sorted on the scheduling path."""
TASK_SORTS = tuple(sign + field for field in TASK_FIELDS for sign in "+-")
RUN_SORTS = (
    *("+startedAt", "-startedAt", "+endedAt", "-endedAt", "+status", "-status"),
    *("+taskId", "-taskId", "+actionId", "-actionId"),
)
DEEPEST_LEVEL = 100
"""Steps from a task to the most distant one in its graph, at most."""

_FAMILY = Family(TASKS_ROOT, reading=Tier.TASKS, writing=Tier.TASKS)
_V1 = Family("/api/v1/tasks", reading=Tier.TASKS, writing=Tier.TASKS)


def list(
    *,
    resource_id: str | None = None,
    filter: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    page: str | None = None,
) -> Call[TaskList]:
    """List the tasks that the user may see, last update first; *limit* is the page size, 20 by default, at most 100.

    Give *resource_id* where it is known: Qlik refused the list without it until late 2025.

    *filter* is a SCIM expression over `TASK_FIELDS`, such as ``lastStatus eq "FAILED" and enabled eq true``. Tasks v1
    has none, so a list with a filter is `scheduling_only`: a filter that is ignored would list all tasks.
    *sort* is a sign and one of these fields, such as ``-lastEndedAt``. For Tasks v1 only `V1_TASK_SORTS` are
    documented; it is sent unchanged on either path.
    """
    parameters = {
        "filter": filter,
        "limit": page_size(limit),
        "page": page,
        "resourceId": resource_id,
        "sort": word("sort", sort, TASK_SORTS),
    }
    only = filter is not None
    return _FAMILY.call("list_tasks", "GET", "", TaskList, parameters=parameters, scheduling_only=only)


def create(task: Task | Mapping[str, Any], *, migrate_from: str | None = None) -> Call[Task]:
    """Create a task. Tasks v1 creates it disabled; on the scheduling path `enabled` decides, with disabled as default.

    *migrate_from* names a reload task to take over. Only Tasks v1 documents that, so such a call goes to
    `/api/v1/tasks` whatever the tenant's tasks root is.
    """
    family = _FAMILY if migrate_from is None else _V1
    body = body_of(Task, "task", task)
    return family.call("create_task", "POST", "", Task, parameters={"migrateFrom": migrate_from}, body=body)


def get(task_id: str) -> Call[Task]:
    """Get a task."""
    return _FAMILY.call("get_task", "GET", "/{task_id}", Task, ids={"task_id": task_id}, about={"id": task_id})


def update(task_id: str, task: Task | Mapping[str, Any]) -> Call[Task]:
    """Replace a task; members that are left out get their defaults. The caller becomes the owner of the task.

    A task from a response can be changed and sent back: members that this package does not know stay as they were.
    """
    return _FAMILY.call(
        "update_task",
        "PUT",
        "/{task_id}",
        Task,
        ids={"task_id": task_id},
        body=body_of(Task, "task", task),
        about={"id": task_id},
    )


def delete(task_id: str) -> Call[None]:
    """Delete a task."""
    return _FAMILY.call("delete_task", "DELETE", "/{task_id}", NoneType, ids={"task_id": task_id})


def start(task_id: str, *, source: str | None = None) -> Call[TaskStarted]:
    """Start a run. The response contains no run; *source* most likely becomes the run's `triggered_by`."""
    ids, parameters = {"task_id": task_id}, {"source": source}
    return _FAMILY.call("start_task", "POST", "/{task_id}/actions/start", TaskStarted, ids=ids, parameters=parameters)


def runs(
    task_id: str, *, sort: str | None = None, limit: int | None = None, page: str | None = None
) -> Call[TaskRunList]:
    """List the runs of a task, latest start first; *limit* is the page size, 20 by default, at most 100."""
    parameters = {"limit": page_size(limit), "page": page, "sort": word("sort", sort, RUN_SORTS)}
    ids = {"task_id": task_id}
    return _FAMILY.call(
        "list_task_runs", "GET", "/{task_id}/runs", TaskRunList, ids=ids, parameters=parameters, items_about=ids
    )


def run_log(task_id: str, run_id: str) -> Call[TaskRunLog]:
    """Get the log of a run."""
    ids = {"task_id": task_id, "run_id": run_id}
    return _FAMILY.call("get_task_run_log", "GET", "/{task_id}/runs/{run_id}/log", TaskRunLog, ids=ids)


def last_run(task_id: str) -> Call[TaskRun]:
    """Get the last run, which right after a start is still the one before. 404 if the task never ran."""
    ids = {"task_id": task_id}
    return _FAMILY.call("get_last_task_run", "GET", "/{task_id}/runs/last", TaskRun, ids=ids, about=ids)


def resource_runs(
    resource_id: str, *, sort: str | None = None, limit: int | None = None, page: str | None = None
) -> Call[TaskRunList]:
    """List the runs of all tasks of one resource, such as an app; paged like `runs`."""
    parameters = {"limit": page_size(limit), "page": page, "sort": word("sort", sort, RUN_SORTS)}
    ids = {"resource_id": resource_id}
    return _FAMILY.call(
        "list_resource_task_runs",
        "GET",
        "/resources/{resource_id}/runs",
        TaskRunList,
        ids=ids,
        parameters=parameters,
        items_about=ids,
    )


# On the scheduling path alone


def patch(task_id: str, changes: Sequence[TaskPatchOperation | Mapping[str, Any]]) -> Call[PatchedTask]:
    """Patch a task; the response may be empty (see `PatchedTask`). The caller becomes the owner of the task.

    *changes* is a list of operations of RFC 6902, such as ``[{"op": "replace", "path": "/enabled", "value": True}]``.
    The flows of `runs.enabling` enable and disable a task on either path, and do not change one without need.
    """
    return _FAMILY.call(
        "patch_scheduling_task",
        "PATCH",
        "/{task_id}",
        PatchedTask,
        ids={"task_id": task_id},
        body=bodies_of(TaskPatchOperation, "changes", changes),
        about={"id": task_id},
        scheduling_only=True,
    )


def ancestors(task_id: str, *, level: int | None = None, with_task: bool | None = None) -> Call[TaskGraph]:
    """Get the graph of all tasks that lead to this one.

    *level* is how many steps to go, from 1 to 100; *with_task* puts the tasks themselves into the vertices.
    """
    return _graph("get_task_ancestors", "ancestors", task_id, level, with_task)


def descendants(task_id: str, *, level: int | None = None, with_task: bool | None = None) -> Call[TaskGraph]:
    """Get the graph of all tasks that follow from this one; arguments as for `ancestors`."""
    return _graph("get_task_descendants", "descendants", task_id, level, with_task)


def subgraph(task_id: str, *, level: int | None = None, with_task: bool | None = None) -> Call[TaskGraph]:
    """Get the graph of all tasks that lead to this one or follow from it; arguments as for `ancestors`."""
    return _graph("get_task_subgraph", "subgraph", task_id, level, with_task)


def _graph(operation: str, which: str, task_id: str, level: int | None, with_task: bool | None) -> Call[TaskGraph]:
    if level is not None and checked_count("level", level) > DEEPEST_LEVEL:
        raise InvalidArgumentError("level", level, f"a whole number from 1 to {DEEPEST_LEVEL}")
    ids, parameters = {"task_id": task_id}, {"level": level, "withTask": with_task}
    template = "/{task_id}/graphs/" + which
    return _FAMILY.call(
        operation, "GET", template, TaskGraph, ids=ids, parameters=parameters, about=ids, scheduling_only=True
    )


def parents(
    task_id: str,
    *,
    filter: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    page: str | None = None,
) -> Call[TaskList]:
    """List the tasks that start this one directly; arguments as for `list`."""
    return _neighbours("list_task_parents", "parents", task_id, filter, sort, limit, page)


def children(
    task_id: str,
    *,
    filter: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    page: str | None = None,
) -> Call[TaskList]:
    """List the tasks that this one starts directly; arguments as for `list`."""
    return _neighbours("list_task_children", "children", task_id, filter, sort, limit, page)


def _neighbours(
    operation: str,
    which: str,
    task_id: str,
    filter: str | None,
    sort: str | None,
    limit: int | None,
    page: str | None,
) -> Call[TaskList]:
    parameters = {"filter": filter, "limit": page_size(limit), "page": page, "sort": word("sort", sort, TASK_SORTS)}
    ids, template = {"task_id": task_id}, "/{task_id}/graphs/" + which
    return _FAMILY.call(operation, "GET", template, TaskList, ids=ids, parameters=parameters, scheduling_only=True)


def create_reload_on_schedule(app_id: str, reload: ScheduledReloadTask | Mapping[str, Any]) -> Call[Task]:
    """Create a task that reloads an app by a rule of RFC 5545 (``recurrence``); disabled unless ``enabled`` is set.

    It never runs at once. Refused with 403 (CHO-003) if there is no such app or one may not reload it, with 400
    (CHO-017) for a rule, zone or end that cannot be, with 422 (CHO-014) if the app has 10 tasks. Takes the place of
    `reload_tasks.create`.
    """
    body = body_of(ScheduledReloadTask, "reload", reload)
    return _creator("create_time_schedule_reload_task", "on-time-schedule", app_id, body)


def create_reload_after_task(app_id: str, reload: ChainedReloadTask | Mapping[str, Any]) -> Call[Task]:
    """Create a task that reloads an app when another task (``onTaskId``) ends as ``onTaskStatus`` says.

    When the other task is deleted, this one stays and never runs. Refused with 400 (CHO-016) if there is no such other
    task, with 403 if one may not reload the app (CHO-003) or read that of the other task (CHO-015).
    """
    body = body_of(ChainedReloadTask, "reload", reload)
    return _creator("create_task_event_reload_task", "on-task-event", app_id, body)


def create_reload_on_dataset_update(
    app_id: str, reload: DatasetReloadTask | Mapping[str, Any] | None = None
) -> Call[Task]:
    """Create a task that reloads an app when a pipeline of Qlik Talend Cloud has written one of its datasets.

    The datasets are those of the app at this moment. Refused with 422 (CHO-030) if there are none, and with 409
    (CHO-031) if the app has such a task already: its id is in ``value.existingTaskId`` of the response.
    """
    body = body_of(DatasetReloadTask, "reload", {} if reload is None else reload)
    return _creator("create_dataset_updated_reload_task", "on-dataset-updated", app_id, body or None)


def _creator(operation: str, occasion: str, app_id: str, body: Mapping[str, Any] | None) -> Call[Task]:
    template, ids = "/resources/{app_id}/actions/reload/" + occasion, {"app_id": app_id}
    return _FAMILY.call(operation, "POST", template, Task, ids=ids, body=body, scheduling_only=True)
