"""Switching a task on and off, on either path of the Tasks family.

The scheduling path takes a patch of the one member. Tasks v1 has no PATCH: there the task is read and sent back as a
whole, changed. Which path a call takes is known when it is sent, not here, so the patch is tried, and the task is
replaced where there is no such operation: it is refused before it is sent (`Call.scheduling_only`), or by Qlik with 404
or 405, though the task itself was just read.

Either way Qlik makes the caller the owner of a task that somebody else owned. So the task is read first, and one that
is as it should be is left alone.
"""

from __future__ import annotations

from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.call import Flow, send
from airflow_provider_qlik.cloud.errors import (
    IntermediaryResponseError,
    InvalidArgumentError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.models.tasks import Task

NO_SUCH_OPERATION = frozenset({404, 405})
"""Statuses by which a path says that it does not have an operation."""
ATTEMPTS = 2
"""How often the patch is sent where nobody knows whether it was made; to make it twice does no harm."""


def enable_task(task_id: str) -> Flow[Task]:
    """Switch a task on, and return it as it then stands. One that is on already is not touched.

    The caller becomes its owner. Raises QlikCloudError.
    """
    return (yield from _switched(task_id, True))


def disable_task(task_id: str) -> Flow[Task]:
    """Switch a task off, and return it as it then stands. One that is off already is not touched.

    The caller becomes its owner. Raises QlikCloudError.
    """
    return (yield from _switched(task_id, False))


def _switched(task_id: str, enabled: bool) -> Flow[Task]:
    task = yield from send(tasks.get(task_id))
    for attempt in range(1, ATTEMPTS + 1):
        if task.enabled is enabled:
            break
        # RFC 6902: only what is there can be replaced.
        change = {"op": "replace" if task.enabled is not None else "add", "path": "/enabled", "value": enabled}
        try:
            patched = yield from send(tasks.patch(task_id, [change]))
        except (QlikCloudError, InvalidArgumentError) as error:
            if _says_that_there_is_no_patch(error):
                return (yield from send(tasks.update(task_id, _with(task, enabled))))
            unknown = isinstance(error, QlikCloudError) and error.outcome_unknown
            if not unknown or attempt == ATTEMPTS:
                raise
        else:
            if patched.enabled is enabled:
                return patched
        # Qlik may answer a patch with nothing, and after a broken connection nobody knows whether it was made.
        task = yield from send(tasks.get(task_id))
    return task


def _says_that_there_is_no_patch(error: Exception) -> bool:
    if isinstance(error, InvalidArgumentError):
        return error.argument == "tasks_api"
    return isinstance(error, (StatusError, IntermediaryResponseError)) and error.status in NO_SUCH_OPERATION


def _with(task: Task, enabled: bool) -> Task:
    """Return the task as it is to be sent: one that is on has no reason why it is off."""
    metadata = task.metadata
    if enabled and metadata is not None and metadata.disabled_code is not None:
        metadata = metadata.model_copy(update={"disabled_code": None})
    return task.model_copy(update={"enabled": enabled, "metadata": metadata})
