"""The tenant's content, and what starting and stopping does to it."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox.serializers.base import TENANT_ID
from airflow_provider_qlik.sandbox.serializers.runs import RunSerializer
from airflow_provider_qlik.sandbox.state.admission import admit
from airflow_provider_qlik.sandbox.state.apps import Apps
from airflow_provider_qlik.sandbox.state.base import OTHER, StateBase
from airflow_provider_qlik.sandbox.state.clock import Clock
from airflow_provider_qlik.sandbox.state.records import Automation, AutomationRun, Reload, Task, TaskRun, User, Via
from airflow_provider_qlik.sandbox.state.script import Life, Script
from airflow_provider_qlik.sandbox.state.sharing import SharingTasks
from airflow_provider_qlik.sandbox.state.times import stamp

MAX_CONCURRENT_RUNS = 50
"""The tenant's setting for all automations until it is changed."""


class TenantState(StateBase):
    """All tasks, automations, apps, sharing tasks and runs, and the rules by which they change."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.apps = Apps(self)
        self.sharing = SharingTasks(self)
        self.tasks: dict[str, Task] = {}
        self.automations: dict[str, Automation] = {}
        self.task_runs: defaultdict[str, list[TaskRun]] = defaultdict(list)
        self.automation_runs: defaultdict[str, list[AutomationRun]] = defaultdict(list)
        self.most_concurrent_runs = MAX_CONCURRENT_RUNS

    @property
    def view(self) -> RunSerializer:
        """Tasks, automations and users as the API shows them now."""
        return RunSerializer(self.switches, self.now)

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
        self.tasks[task_id] = task = Task(task_id, shown, worker, now, now, owner.id)
        return task

    def start_task(self, task: Task, by: User, source: str | None) -> TaskRun:
        """The run that a start through the API sets off, with its competing runs beside it."""
        before, after = self.rival_moments()
        for moment in before:
            self.add_task_run(task, OTHER, "manual", created=moment, via="rival", script=Script())
        run = self.add_task_run(
            task,
            by,
            (source or "manual") if self.switches.echo_source else "manual",
            created=self.now,
            via="api",
            source=source,
            shown_after=self.switches.show_after,
        )
        for moment in after:
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
        script = script or self.scripts.next(task.id, task.resource_id) or Script()
        worker: Reload | AutomationRun | None = None
        automation = self.automations.get(task.resource_id)
        if task.worker == "automations" and automation:
            worker = self.add_automation_run(
                automation, by, self.switches.api_context, created=created, via=via, script=script
            )
        elif task.worker == "reloads":
            worker = self.apps.add_reload(
                task.resource_id, by, "choreographer", created=created, via=via, script=script, resource_id=task.id
            )
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
            visible_from=self.shown_from(created, shown_after),
        )
        self.task_runs[task.id].append(run)
        return run

    def is_visible(self, run: TaskRun | AutomationRun, at: datetime | None = None) -> bool:
        """Whether the API shows the run yet, or showed it at a moment."""
        now = at or self.now
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
        """The run that a start through the API sets off, with its competing runs beside it.

        A run whose caller is told of it (`is_told`) shows at once.
        """
        before, after = self.rival_moments()
        rival = by if self.switches.competing_by == "caller" else OTHER
        for moment in before:
            self.add_automation_run(
                automation, rival, self.switches.competing_context, created=moment, via="rival", script=Script()
            )
        run = self.add_automation_run(
            automation,
            by,
            context,
            created=self.now,
            via=via,
            inputs=inputs,
            shown_after=0.0 if is_told else self.switches.show_after,
        )
        for moment in after:
            self.add_automation_run(
                automation, rival, self.switches.competing_context, created=moment, via="rival", script=Script()
            )
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
        script = script or self.scripts.next(automation.id) or Script()
        run = AutomationRun(
            id=id or str(uuid4()),
            automation_id=automation.id,
            life=Life(script, created, None if is_new else created),
            context=context,
            owner_id=automation.members["ownerId"],
            by=by,
            via=via,
            visible_from=self.shown_from(created, shown_after),
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
        most = min(automation.members.get("maxConcurrentRuns", MAX_CONCURRENT_RUNS), self.most_concurrent_runs)
        admit((run.life for run in self.automation_runs[automation.id]), most, at or self.now)

    # Runs of every kind

    def stop_worker(self, worker: Reload | AutomationRun) -> bool:
        """Whether there was something to stop; a task run ends with its worker."""
        is_stopped = worker.life.stop(self.now)
        if isinstance(worker, Reload):
            self.apps.admit_reloads(worker.app_id)
        elif worker.automation_id in self.automations:
            self.admit_runs(self.automations[worker.automation_id])
        return is_stopped

    def knows(self, resource_id: str) -> bool:
        """Whether there is something of this id that can run."""
        return any(resource_id in known for known in (self.tasks, self.automations, self.apps.apps, self.sharing.tasks))

    def has_runs(self, resource_id: str) -> bool:
        """Whether there are runs of something, which may be gone itself."""
        runs = (self.task_runs, self.automation_runs, self.sharing.executions)
        return any(known.get(resource_id) for known in runs) or any(self.apps.reloads_of(resource_id))

    def resource_task_runs(self, resource_id: str) -> Iterator[TaskRun]:
        """The runs of every task that works on the resource."""
        for task in self.tasks.values():
            if task.resource_id == resource_id:
                yield from self.task_runs[task.id]
