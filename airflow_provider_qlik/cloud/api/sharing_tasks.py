"""The Sharing tasks family: 13 operations, in the order of the reference. https://qlik.dev/apis/rest/sharing-tasks/

Sharing tasks are reports and subscriptions. Errors of each: QlikCloudError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from airflow_provider_qlik.cloud.call import Call, Family, Tier, segment
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution, SharingTaskExecutionList
from airflow_provider_qlik.cloud.models.sharing_tasks import (
    TASK_TYPES,
    SharingSettings,
    SharingSettingsPatchOperation,
    SharingSettingsUpdate,
    SharingTask,
    SharingTaskCreate,
    SharingTaskExecute,
    SharingTaskList,
    SharingTaskPatchOperation,
)
from airflow_provider_qlik.cloud.models.writing import bodies_of, body_of
from airflow_provider_qlik.cloud.parameters import both_ways, only_one_cursor, page_size, several, skipped, word
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.validation import checked_id

ROLES = ("owner", "recipient")
TASK_SORTS = both_ways(
    *("datecreated", "name", "ownername", "enabled", "status", "type", "sent", "scheduled", "appname", "appid")
)
EXECUTION_SORTS = both_ways("starttime")
KEPT_STATUSES = ("successful", "failed")
LATEST_STATUSES = ("successful", "failed", "cancelled")

_FAMILY = Family("/api/v1/sharing-tasks", reading=Tier.ONE, writing=Tier.TWO)


def list(
    *,
    app_id: str | None = None,
    exclude_deleting: bool | None = None,
    owner: str | None = None,
    owner_name: str | None = None,
    role: str | Sequence[str] | None = None,
    sort: str | Sequence[str] | None = None,
    template_id: str | Sequence[str] | None = None,
    type: str | Sequence[str] | None = None,
    limit: int | None = None,
    offset: int | None = None,
    page: str | None = None,
    next: str | None = None,
    prev: str | None = None,
) -> Call[SharingTaskList]:
    """List the sharing tasks that the user may see; *limit* is the page size, 20 by default, at most 100.

    *owner* is a user id; *role* is what one is oneself. *offset* skips entries. *page* is the cursor; *next* and
    *prev* are older ones that exclude each other. Other users than admins may have to give *app_id*.
    """
    only_one_cursor(next, prev)
    parameters = {
        "appid": app_id,
        "excludeDeleting": exclude_deleting,
        "limit": page_size(limit),
        "offset": skipped(offset),
        "owner": owner,
        "ownername": owner_name,
        "page": page,
        "role": several("role", role, ROLES),
        "sort": several("sort", sort, TASK_SORTS),
        "templateId": several("template_id", template_id),
        "type": several("type", type, TASK_TYPES),
        "next": next,
        "prev": prev,
    }
    return _FAMILY.call("list_sharing_tasks", "GET", "", SharingTaskList, parameters=parameters)


def create(sharing_task: SharingTaskCreate | Mapping[str, Any]) -> Call[SharingTask]:
    """Create a sharing task."""
    body = body_of(SharingTaskCreate, "sharing_task", sharing_task)
    return _FAMILY.call("create_sharing_task", "POST", "", SharingTask, body=body)


def get(sharing_task_id: str, *, is_view_chart: bool | None = None) -> Call[SharingTask]:
    """Get a sharing task; *is_view_chart* also updates the time at which it was last viewed."""
    ids, parameters = {"sharing_task_id": sharing_task_id}, {"isViewChart": is_view_chart}
    return _FAMILY.call(
        "get_sharing_task",
        "GET",
        "/{sharing_task_id}",
        SharingTask,
        ids=ids,
        parameters=parameters,
        about={"id": sharing_task_id},
    )


def patch(sharing_task_id: str, changes: Sequence[SharingTaskPatchOperation | Mapping[str, Any]]) -> Call[None]:
    """Patch a sharing task by a list of operations of RFC 6902."""
    ids, body = {"sharing_task_id": sharing_task_id}, bodies_of(SharingTaskPatchOperation, "changes", changes)
    return _FAMILY.call("patch_sharing_task", "PATCH", "/{sharing_task_id}", NoneType, ids=ids, body=body)


def delete(sharing_task_id: str) -> Call[None]:
    """Delete a sharing task."""
    ids = {"sharing_task_id": sharing_task_id}
    return _FAMILY.call("delete_sharing_task", "DELETE", "/{sharing_task_id}", NoneType, ids=ids)


def cancel(sharing_task_id: str) -> Call[None]:
    """Cancel all active executions of a sharing task. The response is a 404 also if there are none."""
    ids = {"sharing_task_id": sharing_task_id}
    return _FAMILY.call("cancel_sharing_task", "POST", "/{sharing_task_id}/actions/cancel", NoneType, ids=ids)


def executions(
    sharing_task_id: str,
    *,
    sort: str | Sequence[str] | None = None,
    status: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
    next: str | None = None,
    prev: str | None = None,
) -> Call[SharingTaskExecutionList]:
    """List the executions of a sharing task; *limit* is the page size, 20 by default, at most 200.

    *sort* is such as ``-starttime``, for the newest first; *status* keeps those that were ``successful``, or
    ``failed``. *offset* skips entries; *next* and *prev* exclude each other.
    """
    only_one_cursor(next, prev)
    parameters = {
        "limit": page_size(limit),
        "next": next,
        "offset": skipped(offset),
        "prev": prev,
        "sort": several("sort", sort, EXECUTION_SORTS),
        "status": word("status", status, KEPT_STATUSES),
    }
    return _FAMILY.call(
        "list_sharing_task_executions",
        "GET",
        "/{sharing_task_id}/executions",
        SharingTaskExecutionList,
        ids={"sharing_task_id": sharing_task_id},
        parameters=parameters,
        items_about={"sharing_task_id": sharing_task_id},
    )


def execution(sharing_task_id: str, execution_id: str, *, status: str | None = None) -> Call[SharingTaskExecution]:
    """Get an execution. The id ``latest`` stands for the most recent one, of those with *status* if it is set."""
    return _FAMILY.call(
        "get_sharing_task_execution",
        "GET",
        "/{sharing_task_id}/executions/{execution_id}",
        SharingTaskExecution,
        ids={"sharing_task_id": sharing_task_id, "execution_id": execution_id},
        parameters={"status": word("status", status, LATEST_STATUSES)},
        # "latest" stands for whichever execution that is.
        about={"sharing_task_id": sharing_task_id} | ({} if execution_id == "latest" else {"id": execution_id}),
    )


def execution_file(
    sharing_task_id: str, execution_id: str, file_alias: str, *, status: str | None = None
) -> Call[Download]:
    """Download a file of an execution, by its alias in `files`; *status* is as in `execution`.

    An alias may hold any character, such as a slash, and is sent as it is.
    """
    alias = segment("file_alias", file_alias)
    return _FAMILY.call(
        "get_sharing_task_execution_file",
        "GET",
        "/{sharing_task_id}/executions/{execution_id}/files/" + alias,
        Download,
        ids={"sharing_task_id": sharing_task_id, "execution_id": execution_id},
        parameters={"status": word("status", status, LATEST_STATUSES)},
        accept="*/*",
    )


def execute(sharing_task_id: str) -> Call[None]:
    """Execute a sharing task: queue one execution for each recipient, which `executions` then lists."""
    body = body_of(
        SharingTaskExecute, "sharing_task_id", {"sharingTaskID": checked_id("sharing_task_id", sharing_task_id)}
    )
    return _FAMILY.call("execute_sharing_task", "POST", "/actions/execute", NoneType, body=body)


def settings() -> Call[SharingSettings]:
    """Get the settings of the tenant for sharing and reports."""
    return _FAMILY.call("get_sharing_settings", "GET", "/settings", SharingSettings)


def patch_settings(changes: Sequence[SharingSettingsPatchOperation | Mapping[str, Any]]) -> Call[None]:
    """Patch these settings by a list of operations of RFC 6902. For tenant administrators."""
    body = bodies_of(SharingSettingsPatchOperation, "changes", changes)
    return _FAMILY.call("patch_sharing_settings", "PATCH", "/settings", NoneType, body=body)


def update_settings(settings: SharingSettingsUpdate | Mapping[str, Any]) -> Call[None]:
    """Enable or disable sharing for the tenant. For tenant administrators."""
    body = body_of(SharingSettingsUpdate, "settings", settings)
    return _FAMILY.call("update_sharing_settings", "PUT", "/settings", NoneType, body=body)
