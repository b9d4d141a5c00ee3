"""The request for a start, and the marker by which a retry recognises its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class StartRequest(NamedTuple):
    """A start that a task is about to make.

    :param resource_id: the resource to run.
    :param marker: the text by which the run is recognised.
    :param parameters: what the start takes beyond the id.
    :param cleared: a user has cleared the task before this attempt.
    :param durable: an active run that carries the marker is resumed and no other is started.
    """

    resource_id: str
    marker: str
    parameters: Mapping[str, Any]
    cleared: bool
    durable: bool


def was_cleared(context: Context, retries: int | None) -> bool:
    """Return True if a user has cleared the task before this attempt: only a clear raises `max_tries`."""
    return int(getattr(context["ti"], "max_tries", None) or 0) > (retries or 0)


def start_marker(context: Context) -> str:
    """Return the marker of a start by this task: the same for all retries, another one after a clear."""
    from airflow_provider_qlik.runs import marker

    task_instance = context["ti"]
    names = ("dag_id", "run_id", "task_id", "map_index", "max_tries")
    return marker(*(str(getattr(task_instance, name, "")) for name in names))
