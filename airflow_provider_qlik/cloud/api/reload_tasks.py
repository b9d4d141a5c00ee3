"""The Reload tasks family: 5 operations, in the order of the reference. https://qlik.dev/apis/rest/reload-tasks/

A reload task says when an app reloads; it cannot be started. **Deprecated** by Qlik since 26 June 2026, to be removed
on or after 29 September 2026: use `tasks`, which have schedules, too. Today's tenants refuse `create` (410 TASKS-011),
and `update` and `delete` of a migrated one (400 TASKS-001). A tenant that still takes them migrates one by
`migrate_from` of `tasks.create`. Errors of each: QlikCloudError.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.reload_tasks import (
    ReloadTask,
    ReloadTaskCreate,
    ReloadTaskList,
    ReloadTaskUpdate,
)
from airflow_provider_qlik.cloud.models.writing import body_of
from airflow_provider_qlik.cloud.parameters import only_one_cursor, page_size

_FAMILY = Family("/api/v1/reload-tasks", reading=Tier.ONE, writing=Tier.TWO)


def list(
    *,
    app_id: str | None = None,
    partial: bool | None = None,
    limit: int | None = None,
    next: str | None = None,
    prev: str | None = None,
) -> Call[ReloadTaskList]:
    """List the reload tasks that the user may see; *limit* is the page size, 10 by default, at most 100.

    *partial* keeps those that reload partially, or fully; *next* and *prev* exclude each other.
    """
    only_one_cursor(next, prev)
    parameters = {"appId": app_id, "limit": page_size(limit, 100), "next": next, "partial": partial, "prev": prev}
    return _FAMILY.call("list_reload_tasks", "GET", "", ReloadTaskList, parameters=parameters)


def create(reload_task: ReloadTaskCreate | Mapping[str, Any]) -> Call[ReloadTask]:
    """Create a reload task of an app. Today's tenants respond with 410 (TASKS-011): use `tasks.create`."""
    body = body_of(ReloadTaskCreate, "reload_task", reload_task)
    return _FAMILY.call("create_reload_task", "POST", "", ReloadTask, body=body)


def get(reload_task_id: str) -> Call[ReloadTask]:
    """Get a reload task."""
    ids = {"reload_task_id": reload_task_id}
    return _FAMILY.call(
        "get_reload_task", "GET", "/{reload_task_id}", ReloadTask, ids=ids, about={"id": reload_task_id}
    )


def update(reload_task_id: str, reload_task: ReloadTaskUpdate | Mapping[str, Any]) -> Call[ReloadTask]:
    """Update a reload task; by the documentation, members that are left out stay as they are.

    A migrated one is refused with 400 (TASKS-001): use `tasks.update` for the task that it became.
    """
    ids, body = {"reload_task_id": reload_task_id}, body_of(ReloadTaskUpdate, "reload_task", reload_task)
    return _FAMILY.call(
        "update_reload_task", "PUT", "/{reload_task_id}", ReloadTask, ids=ids, body=body, about={"id": reload_task_id}
    )


def delete(reload_task_id: str) -> Call[None]:
    """Delete a reload task. A migrated one is refused with 400 (TASKS-001): use `tasks.delete`."""
    ids = {"reload_task_id": reload_task_id}
    return _FAMILY.call("delete_reload_task", "DELETE", "/{reload_task_id}", NoneType, ids=ids)
