"""Enabling and disabling a task, on either path of the Tasks family.

The scheduling path takes a PATCH of the one member. Tasks v1 has no PATCH: there the task is read, changed and sent
back as a whole. The path of a call is chosen when it is sent, not here, so the PATCH is tried first, and the task is
replaced if there is no such operation: then the call is refused before it is sent (`Call.scheduling_only`), or by Qlik
Cloud with 404 or 405, though the task itself was just read.

Either way Qlik Cloud makes the caller the owner of another user's task. So the task is read first, and a task that has
the right state already is not changed.
"""

from __future__ import annotations

from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.errors import (
    IntermediaryResponseError,
    InvalidArgumentError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.models.tasks import Task

NO_SUCH_OPERATION = frozenset({404, 405})
"""HTTP statuses of an operation that a path does not have."""
ATTEMPTS = 2
"""Attempts to send the patch while its outcome is unknown; it is idempotent."""


def enable_task(task_id: str) -> Flow[Task]:
    """Enable a task and return it. A task that is enabled already is not changed.

    The caller becomes the owner of a task that is changed. Raises QlikCloudError.
    """
    return (yield from _set_enabled(task_id, True))


def disable_task(task_id: str) -> Flow[Task]:
    """Disable a task and return it. A task that is disabled already is not changed.

    The caller becomes the owner of a task that is changed. Raises QlikCloudError.
    """
    return (yield from _set_enabled(task_id, False))


def _set_enabled(task_id: str, enabled: bool) -> Flow[Task]:
    task = yield from send(tasks.get(task_id))
    for attempt in range(1, ATTEMPTS + 1):
        if task.enabled is enabled:
            break
        # RFC 6902: only a member that exists can be replaced.
        change = {"op": "replace" if task.enabled is not None else "add", "path": "/enabled", "value": enabled}
        try:
            patched = yield from send(tasks.patch(task_id, [change]))
        except (QlikCloudError, InvalidArgumentError) as error:
            if _has_no_patch_operation(error):
                return (yield from send(tasks.update(task_id, _with(task, enabled))))
            unknown = isinstance(error, QlikCloudError) and error.outcome_unknown
            if not unknown or attempt == ATTEMPTS:
                raise
        else:
            if patched.enabled is enabled:
                return patched
        # The response to a patch may have no body, and after a broken connection its outcome is unknown.
        task = yield from send(tasks.get(task_id))
    return task


def _has_no_patch_operation(error: Exception) -> bool:
    if isinstance(error, InvalidArgumentError):
        return error.argument == "tasks_api"
    return isinstance(error, (StatusError, IntermediaryResponseError)) and error.status in NO_SUCH_OPERATION


def _with(task: Task, enabled: bool) -> Task:
    """Return the task with the new state; an enabled task has no reason for being disabled."""
    metadata = task.metadata
    if enabled and metadata is not None and metadata.disabled_code is not None:
        metadata = metadata.model_copy(update={"disabled_code": None})
    return task.model_copy(update={"enabled": enabled, "metadata_json": metadata})
