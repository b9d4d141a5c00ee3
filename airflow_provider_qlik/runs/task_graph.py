"""The tasks that follow from one task, made of the graph that Qlik Cloud shows.

Edges have no documented direction, and no status. So the direction is taken from the tasks themselves, whose events
name the tasks that they wait for. Of a task that the user may not see, Qlik Cloud shows the id alone: there the edges
count, with the neighbour as its parent that does not wait for it, or is nearer to the first task.

An edge that leads back, in a cycle, is cut off: a wait for its runs would never end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from airflow_provider_qlik.cloud.models.scheduling import TaskGraph
from airflow_provider_qlik.runs.run import RunState

TASK_ENDED = "com.qlik.v1.task.run.finished"


class Expectation(Enum):
    """The answer to the question if Qlik Cloud starts a task, after the ends of runs so far."""

    STARTS = "starts"
    MAY_START = "may start"
    DOES_NOT_START = "does not start"


@dataclass(frozen=True, slots=True)
class TaskTrigger:
    """An event that a task waits for: the end of a run of another task, with a status in lower case or with any."""

    task_id: str
    status: str | None = None

    def met_by(self, state: RunState) -> bool | None:
        """Return True if a run that ended in this state is such an event, None if that is not documented."""
        if self.status in (None, "any"):
            return True
        if self.status == "succeeded":
            return state is RunState.SUCCEEDED
        if self.status == "failed":
            return None if state is RunState.CANCELLED else state is RunState.FAILED
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedTask:
    """One task of a chain.

    - `enabled` is None, and `triggers` is empty, for a task that the user may not see.
    - `any_trigger` is True if one of several events is enough, False if all are needed, None if that is not known.
    - `parents` are the ids of the tasks of the chain that start it, `cut_parents` of those that do so in a cycle.
    """

    id: str
    name: str | None = None
    visible: bool = True
    enabled: bool | None = None
    triggers: tuple[TaskTrigger, ...] = ()
    any_trigger: bool | None = None
    parents: tuple[str, ...] = ()
    cut_parents: tuple[str, ...] = ()

    def expectation(self, ends: Mapping[str, Sequence[RunState]]) -> Expectation:
        """Return whether Qlik Cloud starts the task after these ends of runs, by the id of their task."""
        if not self.triggers:
            return Expectation.MAY_START if any(ends.values()) else Expectation.DOES_NOT_START
        met = [self._met(trigger, ends) for trigger in self.triggers]
        inside = [fact for fact, trigger in zip(met, self.triggers, strict=True) if trigger.task_id in self.parents]
        if True not in inside and None not in inside:
            return Expectation.DOES_NOT_START
        if all(met) or (self.any_trigger is True and True in inside):
            return Expectation.STARTS
        if self.any_trigger is False and False in met:
            return Expectation.DOES_NOT_START
        return Expectation.MAY_START

    def _met(self, trigger: TaskTrigger, ends: Mapping[str, Sequence[RunState]]) -> bool | None:
        if trigger.task_id not in self.parents:
            # Its runs are not followed, so what became of them is not known.
            return None
        facts = [trigger.met_by(state) for state in ends.get(trigger.task_id, ())]
        return True if True in facts else None if None in facts else False

    def __str__(self) -> str:
        return f"task '{self.name}' ({self.id})" if self.name else f"task {self.id}"


def chained_tasks(graph: TaskGraph, root_id: str) -> list[ChainedTask]:
    """Return the tasks of a chain, parents before their children, beginning with the first task.

    At the end come tasks of which the graph does not show what starts them; these have no parents.
    """
    depths: dict[str, int] = {}
    tasks: dict[str, ChainedTask] = {root_id: ChainedTask(id=root_id, visible=False)}
    for vertex in graph.vertices or ():
        if vertex.task_id is None:
            continue
        depth = (vertex.attrs or {}).get("depth")
        depths[vertex.task_id] = depth if isinstance(depth, int) else len(graph.vertices or ())
        document = vertex.task
        task = ChainedTask(id=vertex.task_id, visible=False)
        if document is not None:
            triggers, any_trigger = _triggers(document.events), _any_trigger(document.states)
            task = ChainedTask(
                id=vertex.task_id,
                name=document.name,
                enabled=document.enabled,
                triggers=triggers,
                any_trigger=True if len(triggers) < 2 else any_trigger,
            )
        tasks[vertex.task_id] = task
    depths[root_id] = 0
    pairs = {(edge.source, edge.target) for edge in graph.edges or () if edge.source in tasks and edge.target in tasks}
    neighbours: dict[str, list[str]] = {id: [] for id in tasks}
    for source, target in sorted(pairs | {(target, source) for source, target in pairs}, key=str):
        neighbours[str(source)].append(str(target))
    parents = {task.id: _parents(task, tasks, neighbours[task.id], depths) for task in tasks.values()}
    return _in_order(tasks, parents, root_id)


def _parents(
    task: ChainedTask, tasks: Mapping[str, ChainedTask], neighbours: Sequence[str], depths: Mapping[str, int]
) -> list[str]:
    if task.triggers:
        return list(dict.fromkeys(trigger.task_id for trigger in task.triggers if trigger.task_id in tasks))

    def starts(other: ChainedTask) -> bool:
        if other.triggers:
            return all(trigger.task_id != task.id for trigger in other.triggers)
        return depths[other.id] < depths[task.id]

    return [id for id in neighbours if id != task.id and starts(tasks[id])]


def _in_order(
    tasks: Mapping[str, ChainedTask], parents: Mapping[str, Sequence[str]], root_id: str
) -> list[ChainedTask]:
    """Return the tasks in the reverse order of a depth-first search, which finds the edges that lead back."""
    children: dict[str, list[str]] = {id: [] for id in tasks}
    for id in sorted(tasks, key=lambda id: (tasks[id].name or "", id), reverse=True):
        for parent in parents[id]:
            children[parent].append(id)
    kept: dict[str, list[str]] = {id: [] for id in tasks}
    cut: dict[str, list[str]] = {id: [] for id in tasks}
    ordered: list[str] = []
    open_ids, stack = {root_id}, [(root_id, iter(children[root_id]))]
    visited = {root_id}
    while stack:
        id, remaining = stack[-1]
        child = next(remaining, None)
        if child is None:
            stack.pop()
            open_ids.discard(id)
            ordered.append(id)
            continue
        (cut if child in open_ids else kept)[child].append(id)
        if child not in visited:
            visited.add(child)
            open_ids.add(child)
            stack.append((child, iter(children[child])))
    ordered = [*reversed(ordered), *(id for id in tasks if id not in visited)]
    return [replace(tasks[id], parents=tuple(kept[id]), cut_parents=tuple(cut[id])) for id in ordered]


def _triggers(events: Any) -> tuple[TaskTrigger, ...]:
    triggers = []
    for event in _objects(events):
        values: dict[Any, Any] = {}
        for match in _objects(event.get("correlation")):
            values[match.get("contextAttributeName")] = match.get("contextAttributeValue")
        task_id, status = values.get("id"), values.get("status")
        if event.get("type", TASK_ENDED) == TASK_ENDED and isinstance(task_id, str):
            triggers.append(TaskTrigger(task_id, status.casefold() if isinstance(status, str) and status else None))
    return tuple(triggers)


def _any_trigger(states: Any) -> bool | None:
    words = {state.get("exclusive") for state in _objects(states)}
    return words.pop() is True if words in ({True}, {False}) else None


def _objects(items: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in (items if isinstance(items, list) else ()) if isinstance(item, Mapping))
