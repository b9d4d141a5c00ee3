"""The shapes that only `/api/scheduling/tasks` has: patches, graphs, and the bodies of the three creators.

The creators are documented on the page of Qlik's command line client: names and errors, hardly any types.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field

from airflow_provider_qlik.cloud.models.members import Needed, one_of
from airflow_provider_qlik.cloud.models.patches import PatchOperation
from airflow_provider_qlik.cloud.models.reading import READING
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.models.tasks import Task


class TaskPatchOperation(PatchOperation):
    """One change of a task: an operation of RFC 6902, but for ``test``, which Qlik does not list.

    `from_` is where ``move`` and ``copy`` take the value; Qlik's specification leaves it out, RFC 6902 needs it.
    """

    op: Annotated[Annotated[str, one_of("add", "remove", "replace", "move", "copy")] | None, Needed()] = None
    path: Annotated[str | None, Needed()] = None
    from_: Annotated[str | None, Field(alias="from")] = None


class PatchedTask(Task):
    """A task after a patch. It has no member if the response was empty (204): get the task then."""

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        if reply.content.strip():
            return super().from_reply(reply)
        return cls.model_validate_json(b"{}", context=READING)


class TaskGraphVertex(Shape):
    """A task in a graph. `attrs` has its depth, counted from the requested task; `task` is set on request."""

    task_id: str | None = None
    attrs: dict[str, Any] | None = None
    task: Task | None = None


class TaskGraphEdge(Shape):
    """An edge of a graph of tasks: one of the two starts the other.

    Qlik does not document which one; the depth of the vertices shows it.
    """

    source: str | None = None
    target: str | None = None
    attrs: dict[str, Any] | None = None


class TaskGraph(Shape):
    """The part of the dependencies around one task."""

    task_id: str | None = None
    vertices: list[TaskGraphVertex] | None = None
    edges: list[TaskGraphEdge] | None = None


class ReloadTaskCreation(Shape):
    """The members that the bodies of all three creators of reload tasks have.

    A task that is not `enabled` is created disabled.
    """

    name: str | None = None
    description: str | None = None
    enabled: bool | None = None
    partial: bool | None = None


class ScheduledReloadTask(ReloadTaskCreation):
    """A reload task that runs by a rule of RFC 5545 in a time zone; it never runs at once."""

    # Documented as one rule. Reload tasks, which this replaces, take a list, and no document rules that out here.
    recurrence: Annotated[str | list[str] | None, Needed()] = None
    timezone: str | None = None
    start_date_time: str | None = None
    end_date_time: str | None = None


class ChainedReloadTask(ReloadTaskCreation):
    """A reload task that runs when another task ends with a certain status."""

    on_task_id: Annotated[str | None, Needed()] = None
    on_task_status: Annotated[str, one_of("succeeded", "failed", "any")] | None = None


class DatasetReloadTask(ReloadTaskCreation):
    """A reload task that runs when a pipeline has written a dataset of the app."""
