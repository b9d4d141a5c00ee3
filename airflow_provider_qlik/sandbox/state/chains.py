"""Chains of tasks: the end of a run starts the tasks that wait for it.

Documented by Qlik: a task has events of the type `com.qlik.v1.task.run.finished`, which name the task, and the status
that they wait for. Assumed: that a state with `exclusive` starts at any of its events and one without at the last of
them, that an event without a status is met by any end, and that runs which had ended when they were added started
nothing. Switches for undocumented behaviour: `chained_triggered_by`, `chain_delay`, and `running_start` where the task
is running already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.sandbox.state.records import Task, TaskRun
from airflow_provider_qlik.sandbox.state.shared import OTHER
from airflow_provider_qlik.sandbox.state.statuses import task_run_status

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.state.state import TenantState

TASK_ENDED = "com.qlik.v1.task.run.finished"


class Chains:
    """Starts the tasks that wait for the end of other tasks, in the order of these ends."""

    def __init__(self, tenant_state: TenantState) -> None:
        self._tenant_state = tenant_state
        self._exist = False
        self._runs: list[TaskRun] = []
        """The runs whose end was not handled yet."""
        self._due: list[tuple[datetime, Task, TaskRun]] = []
        """The runs to be started: when, of which task, and after which run."""
        self._met: defaultdict[str, set[int]] = defaultdict(set)
        """The numbers of the events that are met since the last start, by the id of the waiting task."""

    def add_task(self, members: dict[str, Any]) -> None:
        """Note the members of a new or changed task: without any task that waits there is nothing to do."""
        if not self._exist and members.get("events"):
            self._exist = True
            self._runs = [run for run in self._runs if run.progress.is_active(self._tenant_state.now)]

    def add_run(self, run: TaskRun) -> None:
        """Note a run whose end may start others."""
        if run.via != "added" or run.progress.is_active(self._tenant_state.now):
            self._runs.append(run)

    def advance(self) -> None:
        """Start the runs that are due by now, and those that follow from their ends."""
        while self._exist:
            now = self._tenant_state.now
            ended = [(run.progress.finish, run) for run in self._runs if not run.progress.is_active(now)]
            ends = [(end, run) for end, run in ended if end is not None]
            end, run = min(ends, key=lambda end: end[0], default=(None, None))
            due = min((due for due in self._due if due[0] <= now), key=lambda due: due[0], default=None)
            if due is not None and (end is None or due[0] <= end):
                self._due.remove(due)
                self._start(*due)
            elif end is not None and run is not None:
                self._runs.remove(run)
                self._handle_end(run, end)
            else:
                return

    def _handle_end(self, run: TaskRun, end: datetime) -> None:
        status = task_run_status(run.progress, self._tenant_state.switches, end).casefold()
        moment = end + timedelta(seconds=self._tenant_state.switches.chain_delay)
        for task in self._tenant_state.tasks.values():
            conditions = list(_conditions(task))
            met = {
                number
                for number, (task_id, wanted) in enumerate(conditions)
                if task_id == run.task.id and wanted in (None, "any", status)
            }
            if not met or not task.is_enabled:
                continue
            self._met[task.id] |= met
            if _waits_for_any(task) or len(self._met[task.id]) == len(conditions):
                self._met[task.id].clear()
                self._due.append((moment, task, run))

    def _start(self, moment: datetime, task: Task, after: TaskRun) -> None:
        tenant_state = self._tenant_state
        runs = tenant_state.task_runs[task.id]
        if tenant_state.switches.running_start != "parallel" and any(run.progress.is_active(moment) for run in runs):
            return
        owner = tenant_state.users.get(task.members["metadata"].get("ownerId", ""), OTHER)
        tenant_state.add_task_run(
            task,
            owner,
            {"task_id": after.task.id, "run_id": after.id, "word": "task-event", "absent": None}[
                tenant_state.switches.chained_triggered_by
            ],
            created=moment,
            via="chain",
            visible_after=tenant_state.switches.show_after,
        )


def _conditions(task: Task) -> Iterator[tuple[str, str | None]]:
    """Yield the id of a task and the status of its end, in lower case, for each event that a task waits for."""
    for event in task.members.get("events", ()):
        if event.get("type", TASK_ENDED) != TASK_ENDED:
            continue
        values = {
            match.get("contextAttributeName"): match.get("contextAttributeValue", "")
            for match in event.get("correlation", ())
        }
        if "id" in values:
            yield values["id"], values["status"].casefold() if values.get("status") else None


def _waits_for_any(task: Task) -> bool:
    return all(state.get("exclusive", True) for state in task.members.get("states", ()))
