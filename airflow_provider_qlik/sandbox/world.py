"""The tenant's content, and what starting and stopping does to it."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox.clock import Clock
from airflow_provider_qlik.sandbox.records import Automation, AutomationRun, Reload, Task, TaskRun, User, Via
from airflow_provider_qlik.sandbox.script import Life, Script
from airflow_provider_qlik.sandbox.switches import Switches
from airflow_provider_qlik.sandbox.times import stamp
from airflow_provider_qlik.sandbox.views import TENANT_ID, View

MOST_CONCURRENT_RUNS = 50
"""The tenant's setting for all automations until it is changed."""

USER = User("user-sandbox", "Sandbox User", "user@sandbox.example", "auth0|sandbox-user")
CLIENT = User("user-client", "Sandbox OAuth Client", "client@sandbox.example", "qlikbot|sandbox-client")
OTHER = User("user-other", "Somebody Else", "other@sandbox.example", "auth0|somebody-else")

_NEVER = datetime.max.replace(tzinfo=UTC)


class World:
    """All tasks, automations and runs, and the rules by which they change."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.switches = Switches()
        self.users = {user.id: user for user in (USER, CLIENT, OTHER)}
        self.tasks: dict[str, Task] = {}
        self.automations: dict[str, Automation] = {}
        self.task_runs: defaultdict[str, list[TaskRun]] = defaultdict(list)
        self.automation_runs: defaultdict[str, list[AutomationRun]] = defaultdict(list)
        self.reloads: dict[str, Reload] = {}
        self.most_concurrent_runs = MOST_CONCURRENT_RUNS
        self._scripts: defaultdict[str, deque[Script]] = defaultdict(deque)
        self._standing_scripts: dict[str, Script] = {}

    @property
    def now(self) -> datetime:
        """The tenant's time."""
        return self.clock.now()

    @property
    def view(self) -> View:
        """The content as the API shows it now."""
        return View(self.switches, self.now)

    # Scripts

    def add_scripts(self, resource_id: str, scripts: list[Script]) -> None:
        """Queue scripts for the next runs; the last one stays for all further ones."""
        self._scripts[resource_id].extend(scripts)

    def _next_script(self, *resource_ids: str) -> Script:
        for resource_id in resource_ids:
            if self._scripts[resource_id]:
                self._standing_scripts[resource_id] = self._scripts[resource_id].popleft()
            if resource_id in self._standing_scripts:
                return self._standing_scripts[resource_id]
        return Script()

    # Tasks

    def add_task(self, members: dict[str, Any], owner: User, *, id: str | None = None, worker: str = "reloads") -> Task:
        """A new task with these members; what the service itself sets is set here."""
        now, task_id = self.now, id or str(uuid4())
        metadata = {
            "usage": "ANALYTICS",
            "ownerId": owner.id,
            "tenantId": TENANT_ID,
            "createdAt": stamp(now, 3),
            "createdBy": owner.id,
            "updatedAt": stamp(now, 3),
        }
        shown = {"specVersion": "0.8", "version": "1.0", **members, "id": task_id}
        shown["metadata"] = metadata | members.get("metadata", {})
        self.tasks[task_id] = task = Task(task_id, shown, worker, now, now)
        return task

    def start_task(self, task: Task, by: User, source: str | None) -> TaskRun:
        """The run that a start through the API sets off, with its rivals beside it."""
        now, rivals = self.now, self.switches.rivals
        before, after = (rivals, 0) if self.switches.rival_moment == "before" else (0, rivals)
        for moment in _moments_beside(now, -before):
            self.add_task_run(task, OTHER, "manual", created=moment, via="rival", script=Script())
        run = self.add_task_run(
            task,
            by,
            (source or "manual") if self.switches.echo_source else "manual",
            created=now,
            via="api",
            source=source,
            shown_after=self.switches.show_after,
        )
        for moment in _moments_beside(now, after):
            self.add_task_run(task, OTHER, "manual", created=moment, via="rival", script=Script())
        return run

    def add_task_run(
        self,
        task: Task,
        by: User,
        triggered_by: str,
        *,
        created: datetime,
        via: Via,
        script: Script | None = None,
        id: str | None = None,
        source: str | None = None,
        shown_after: float = 0.0,
    ) -> TaskRun:
        """A run of the task that was made at that moment, with its worker."""
        script = script or self._next_script(task.id, task.resource_id)
        worker: Reload | AutomationRun | None = None
        automation = self.automations.get(task.resource_id)
        if task.worker == "automations" and automation:
            worker = self.add_automation_run(
                automation, by, self.switches.api_context, created=created, via=via, script=script
            )
        elif task.worker == "reloads":
            worker = Reload(str(uuid4()), task.resource_id, by.id, Life(script, created, created))
            self.reloads[worker.id] = worker
        run = TaskRun(
            id=id or str(uuid4()),
            task=task,
            life=worker.life if worker else Life(script, created, created),
            action_id=str(uuid4()),
            meta=dict(task.members["metadata"]),
            worker_type=task.worker,
            worker_id=worker.id if worker else str(uuid4()),
            triggered_by=triggered_by,
            source=source,
            by=by,
            via=via,
            visible_from=created + timedelta(seconds=shown_after) if shown_after else min(created, self.now),
        )
        self.task_runs[task.id].append(run)
        return run

    def is_visible(self, run: TaskRun | AutomationRun) -> bool:
        """Whether the API shows the run yet."""
        now = self.now
        if isinstance(run, TaskRun) and self.switches.waiting_task_run == "hidden":
            return run.visible_from <= now and bool(run.life.started_at(now) or not run.life.is_active(now))
        return run.visible_from <= now

    # Automations

    def add_automation(self, members: dict[str, Any], owner: User, *, id: str | None = None) -> Automation:
        """A new automation with these members; what the service itself sets is set here."""
        now, automation_id = self.now, id or str(uuid4())
        shown = {
            "state": "available",
            "runMode": "scheduled" if members.get("schedules") else "manual",
            "description": "",
            "workspace": {},
            "snippetIds": [],
            "endpointIds": [],
            "connectorIds": [],
            "schedules": [],
            "executionToken": secrets.token_urlsafe(48),
            "ownerId": owner.id,
            "maxConcurrentRuns": self.most_concurrent_runs,
            **members,
            "id": automation_id,
        }
        self.automations[automation_id] = automation = Automation(automation_id, shown, now, now)
        return automation

    def start_automation(
        self,
        automation: Automation,
        by: User,
        context: str,
        via: Via,
        *,
        inputs: Any = None,
        is_told: bool = False,
    ) -> AutomationRun:
        """The run that a start through the API sets off, with its rivals beside it.

        A run whose caller is told of it (`is_told`) shows at once.
        """
        now, rivals = self.now, self.switches.rivals
        before, after = (rivals, 0) if self.switches.rival_moment == "before" else (0, rivals)
        for moment in _moments_beside(now, -before):
            self.add_automation_run(automation, OTHER, "detail", created=moment, via="rival", script=Script())
        run = self.add_automation_run(
            automation,
            by,
            context,
            created=now,
            via=via,
            inputs=inputs,
            shown_after=0.0 if is_told else self.switches.show_after,
        )
        for moment in _moments_beside(now, after):
            self.add_automation_run(automation, OTHER, "detail", created=moment, via="rival", script=Script())
        return run

    def add_automation_run(
        self,
        automation: Automation,
        by: User,
        context: str,
        *,
        created: datetime,
        via: Via,
        script: Script | None = None,
        id: str | None = None,
        inputs: Any = None,
        shown_after: float = 0.0,
    ) -> AutomationRun:
        """A run of the automation that was made at that moment; the concurrency limit may hold it back."""
        is_new = via != "added"
        run = AutomationRun(
            id=id or str(uuid4()),
            automation_id=automation.id,
            life=Life(script or self._next_script(automation.id), created, None if is_new else created),
            context=context,
            owner_id=automation.members["ownerId"],
            by=by,
            via=via,
            visible_from=created + timedelta(seconds=shown_after) if shown_after else min(created, self.now),
            inputs=inputs,
            space_id=automation.members.get("spaceId"),
        )
        self.automation_runs[automation.id].append(run)
        self.admit_runs(automation, created if is_new else None)
        return run

    def admit_runs(self, automation: Automation, at: datetime | None = None) -> None:
        """Give every run that is held back its moment to begin, now or later, as far as it can be foreseen.

        `at` stands for now, so that a run can begin at the very moment it was made.
        """
        now = at or self.now
        runs = self.automation_runs[automation.id]
        held = [run.life for run in runs if run.life.begin is None or run.life.created < run.life.begin > now]
        held = [life for life in held if not (life.stop_asked and life.script.stops)]
        is_held = {id(life) for life in held}
        ends = [run.life.finish or _NEVER for run in runs if id(run.life) not in is_held]
        ends = [end for end in ends if end > now]
        heapify(ends)
        most = min(automation.members.get("maxConcurrentRuns", MOST_CONCURRENT_RUNS), self.most_concurrent_runs)
        for life in held:
            free = now if len(ends) < max(1, most) else heappop(ends)
            life.begin = None if free == _NEVER else max(free, life.created)
            heappush(ends, life.finish or _NEVER)

    # Runs of every kind

    def stop_worker(self, worker: Reload | AutomationRun) -> bool:
        """Whether there was something to stop; a task run ends with its worker."""
        is_stopped = worker.life.stop(self.now)
        if isinstance(worker, AutomationRun) and worker.automation_id in self.automations:
            self.admit_runs(self.automations[worker.automation_id])
        return is_stopped

    def has_runs(self, resource_id: str) -> bool:
        """Whether there are runs of a task or automation, which may be gone itself."""
        return bool(self.task_runs.get(resource_id) or self.automation_runs.get(resource_id))

    def resource_task_runs(self, resource_id: str) -> Iterator[TaskRun]:
        """The runs of every task that works on the resource."""
        for task in self.tasks.values():
            if task.resource_id == resource_id:
                yield from self.task_runs[task.id]


def _moments_beside(now: datetime, count: int) -> list[datetime]:
    """So many moments just before (negative) or after now, a microsecond apart."""
    step = -1 if count < 0 else 1
    return [now + timedelta(microseconds=step * (place + 1)) for place in range(abs(count))]
