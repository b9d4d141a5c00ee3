"""The Tasks family: 10 operations, in the order of the reference. https://qlik.dev/apis/rest/tasks/

All paths hang on the tenant's tasks root, since Qlik has announced another one. Errors of each: QlikCloudError.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from airflow_provider_qlik.cloud.call import TASKS_ROOT, Call, Family, Tier
from airflow_provider_qlik.cloud.models.shape import body_of
from airflow_provider_qlik.cloud.models.tasks import Task, TaskList, TaskRun, TaskRunList, TaskRunLog, TaskStarted
from airflow_provider_qlik.cloud.parameters import page_size, word

TASK_SORTS = ("+createdAt", "-createdAt", "+updatedAt", "-updatedAt")
RUN_SORTS = (
    *("+startedAt", "-startedAt", "+endedAt", "-endedAt", "+status", "-status"),
    *("+taskId", "-taskId", "+actionId", "-actionId"),
)


_FAMILY = Family(TASKS_ROOT, reading=Tier.TASKS, writing=Tier.TASKS)


def list(
    *, resource_id: str | None = None, sort: str | None = None, limit: int | None = None, page: str | None = None
) -> Call[TaskList]:
    """The tasks that one may see, newest update first; *limit* is the size of a page, 20 unless given, at most 100.

    Give *resource_id* where it is known: Qlik refused the list without it until late 2025.
    """
    parameters = {
        "limit": page_size(limit),
        "page": page,
        "resourceId": resource_id,
        "sort": word("sort", sort, TASK_SORTS),
    }
    return _FAMILY.call("list_tasks", "GET", "", TaskList, parameters=parameters)


def create(task: Task | Mapping[str, Any], *, migrate_from: str | None = None) -> Call[Task]:
    """The new task, which is disabled at first; *migrate_from* names a reload task to take over."""
    body = body_of(Task, "task", task)
    return _FAMILY.call("create_task", "POST", "", Task, parameters={"migrateFrom": migrate_from}, body=body)


def get(task_id: str) -> Call[Task]:
    """One task in full."""
    return _FAMILY.call("get_task", "GET", "/{task_id}", Task, ids={"task_id": task_id}, about={"id": task_id})


def update(task_id: str, task: Task | Mapping[str, Any]) -> Call[Task]:
    """The task as it now stands. Somebody else's task becomes the caller's own by this."""
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
    """Nothing: the task is gone."""
    return _FAMILY.call("delete_task", "DELETE", "/{task_id}", NoneType, ids={"task_id": task_id})


def start(task_id: str, *, source: str | None = None) -> Call[TaskStarted]:
    """That a run was set off. It names no run; *source* shows, most likely, as the run's `triggered_by`."""
    ids, parameters = {"task_id": task_id}, {"source": source}
    return _FAMILY.call("start_task", "POST", "/{task_id}/actions/start", TaskStarted, ids=ids, parameters=parameters)


def runs(
    task_id: str, *, sort: str | None = None, limit: int | None = None, page: str | None = None
) -> Call[TaskRunList]:
    """The runs of a task, latest start first; *limit* is the size of a page, 20 unless given, at most 100."""
    parameters = {"limit": page_size(limit), "page": page, "sort": word("sort", sort, RUN_SORTS)}
    ids = {"task_id": task_id}
    return _FAMILY.call(
        "list_task_runs", "GET", "/{task_id}/runs", TaskRunList, ids=ids, parameters=parameters, items_about=ids
    )


def run_log(task_id: str, run_id: str) -> Call[TaskRunLog]:
    """The log of one run."""
    ids = {"task_id": task_id, "run_id": run_id}
    return _FAMILY.call("get_task_run_log", "GET", "/{task_id}/runs/{run_id}/log", TaskRunLog, ids=ids)


def last_run(task_id: str) -> Call[TaskRun]:
    """The most recent run, which right after a start is still the one before. 404 if the task never ran."""
    ids = {"task_id": task_id}
    return _FAMILY.call("get_last_task_run", "GET", "/{task_id}/runs/last", TaskRun, ids=ids, about=ids)


def resource_runs(
    resource_id: str, *, sort: str | None = None, limit: int | None = None, page: str | None = None
) -> Call[TaskRunList]:
    """The runs of all tasks that act on one resource, such as an app; paged like `runs`."""
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
