"""The state of a tenant: tasks, automations and their runs, with apps and sharing tasks."""

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
from airflow_provider_qlik.sandbox.state.chains import Chains
from airflow_provider_qlik.sandbox.state.clock import Clock
from airflow_provider_qlik.sandbox.state.records import Automation, AutomationRun, Reload, Task, TaskRun, User, Via
from airflow_provider_qlik.sandbox.state.script import Progress, Script
from airflow_provider_qlik.sandbox.state.shared import OTHER, SharedState
from airflow_provider_qlik.sandbox.state.sharing import SharingTasks
from airflow_provider_qlik.sandbox.state.times import stamp

MAX_CONCURRENT_RUNS = 50
"""The tenant's setting for all automations until it is changed."""


class TenantState(SharedState):
    """All tasks, automations, apps, sharing tasks and runs, and the transitions between their states."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.apps = Apps(self)
        self.sharing = SharingTasks(self)
        self.chains = Chains(self)
        self.tasks: dict[str, Task] = {}
        self.automations: dict[str, Automation] = {}
        self.task_runs: defaultdict[str, list[TaskRun]] = defaultdict(list)
        self.automation_runs: defaultdict[str, list[AutomationRun]] = defaultdict(list)
        self.max_concurrent_runs = MAX_CONCURRENT_RUNS

    @property
    def serializer(self) -> RunSerializer:
        """Return a serializer for the current time and switches."""
        return RunSerializer(self.switches, self.now)

    # Tasks

    def add_task(self, members: dict[str, Any], owner: User, *, id: str | None = None, worker: str = "reloads") -> Task:
        """Add a task with these members, and set those that belong to the service."""
        now, task_id = self.now, id or str(uuid4())
        metadata = {
            "usage": "ANALYTICS",
            "ownerId": owner.id,
            "tenantId": TENANT_ID,
            "createdAt": stamp(now, 3),
            "createdBy": owner.id,
            "updatedAt": stamp(now, 3),
        }
        stored = {"specVersion": "0.8", "version": "1.0", **members, "id": task_id}
        stored["metadata"] = metadata | members.get("metadata", {})
        self.tasks[task_id] = task = Task(task_id, stored, worker, now, now, owner.id)
        self.chains.add_task(stored)
        return task

    def start_task(self, task: Task, by: User, source: str | None) -> TaskRun:
        """Start a task through the API, with its competing runs."""
        before, after = self.competing_times()
        for moment in before:
            self.add_task_run(task, OTHER, "manual", created=moment, via="competing", script=Script())
        run = self.add_task_run(
            task,
            by,
            (source or "manual") if self.switches.echo_source else "manual",
            created=self.now,
            via="api",
            source=source,
            visible_after=self.switches.show_after,
        )
        for moment in after:
            self.add_task_run(task, OTHER, "manual", created=moment, via="competing", script=Script())
        return run

    def add_task_run(
        self,
        task: Task,
        by: User,
        triggered_by: str | None,
        *,
        created: datetime,
        via: Via,
        script: Script | None = None,
        id: str | None = None,
        source: str | None = None,
        visible_after: float = 0.0,
    ) -> TaskRun:
        """Add a run of the task that was created at that time, with its worker."""
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
            progress=worker.progress if worker else Progress(script, created, created),
            action_id=str(uuid4()),
            meta=dict(task.members["metadata"]),
            worker_type=task.worker,
            worker_id=worker.id if worker else str(uuid4()),
            triggered_by=triggered_by,
            source=source,
            by=by,
            via=via,
            visible_from=self.visible_from(created, visible_after),
        )
        self.task_runs[task.id].append(run)
        self.chains.add_run(run)
        return run

    def is_visible(self, run: TaskRun | AutomationRun, at: datetime | None = None) -> bool:
        """Return True if the API shows the run by now, or by the time `at`."""
        now = at or self.now
        if isinstance(run, TaskRun) and self.switches.waiting_task_run == "hidden":
            return run.visible_from <= now and bool(run.progress.started_at(now) or not run.progress.is_active(now))
        return run.visible_from <= now

    # Automations

    def add_automation(self, members: dict[str, Any], owner: User, *, id: str | None = None) -> Automation:
        """Add an automation with these members, and set those that belong to the service."""
        now, automation_id = self.now, id or str(uuid4())
        stored = {
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
            "maxConcurrentRuns": self.max_concurrent_runs,
            **members,
            "id": automation_id,
        }
        self.automations[automation_id] = automation = Automation(automation_id, stored, now, now)
        return automation

    def start_automation(
        self,
        automation: Automation,
        by: User,
        context: str,
        via: Via,
        *,
        inputs: Any = None,
        is_visible_at_once: bool = False,
    ) -> AutomationRun:
        """Start an automation through the API, with its competing runs.

        is_visible_at_once: True if lists show the run at once, because the response to its start contains it.
        """
        before, after = self.competing_times()
        competitor = by if self.switches.competing_by == "caller" else OTHER
        for moment in before:
            self.add_automation_run(
                automation,
                competitor,
                self.switches.competing_context,
                created=moment,
                via="competing",
                script=Script(),
            )
        run = self.add_automation_run(
            automation,
            by,
            context,
            created=self.now,
            via=via,
            inputs=inputs,
            visible_after=0.0 if is_visible_at_once else self.switches.show_after,
        )
        for moment in after:
            self.add_automation_run(
                automation,
                competitor,
                self.switches.competing_context,
                created=moment,
                via="competing",
                script=Script(),
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
        visible_after: float = 0.0,
    ) -> AutomationRun:
        """Add a run of the automation that was created at that time; the concurrency limit may queue it."""
        is_new = via != "added"
        script = script or self.scripts.next(automation.id) or Script()
        run = AutomationRun(
            id=id or str(uuid4()),
            automation_id=automation.id,
            progress=Progress(script, created, None if is_new else created),
            context=context,
            owner_id=automation.members["ownerId"],
            by=by,
            via=via,
            visible_from=self.visible_from(created, visible_after),
            inputs=inputs,
            space_id=automation.members.get("spaceId"),
        )
        self.automation_runs[automation.id].append(run)
        self.admit_runs(automation, created if is_new else None)
        return run

    def admit_runs(self, automation: Automation, at: datetime | None = None) -> None:
        """Set the start time of every queued run of the automation: now, or later as far as it is known.

        at: the time to use as now, so that a run can begin at the time of its creation.
        """
        limit = min(automation.members.get("maxConcurrentRuns", MAX_CONCURRENT_RUNS), self.max_concurrent_runs)
        admit((run.progress for run in self.automation_runs[automation.id]), limit, at or self.now)

    # Runs of every kind

    def cancel_worker(self, worker: Reload | AutomationRun) -> bool:
        """Cancel a worker and return True, or return False if it has ended. A task run ends with its worker."""
        is_cancelled = worker.progress.cancel(self.now)
        if isinstance(worker, Reload):
            self.apps.admit_reloads(worker.app_id)
        elif worker.automation_id in self.automations:
            self.admit_runs(self.automations[worker.automation_id])
        return is_cancelled

    def has_resource(self, resource_id: str) -> bool:
        """Return True if there is a resource with this id that can run."""
        return any(
            resource_id in resources for resources in (self.tasks, self.automations, self.apps.apps, self.sharing.tasks)
        )

    def has_runs(self, resource_id: str) -> bool:
        """Return True if there are runs of a resource, which may be deleted itself."""
        runs = (self.task_runs, self.automation_runs, self.sharing.executions)
        return any(resources.get(resource_id) for resources in runs) or any(self.apps.reloads_of(resource_id))

    def resource_task_runs(self, resource_id: str) -> Iterator[TaskRun]:
        """Yield the runs of every task that works on the resource."""
        for task in self.tasks.values():
            if task.resource_id == resource_id:
                yield from self.task_runs[task.id]
