"""Serializes tasks, automations, their runs and users as the API shows them at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.serializers.base import TENANT_ID, Serializer, without_none
from airflow_provider_qlik.sandbox.state.records import AutomationRun, Task, TaskRun, User
from airflow_provider_qlik.sandbox.state.script import Progress
from airflow_provider_qlik.sandbox.state.statuses import automation_run_status, task_run_status
from airflow_provider_qlik.sandbox.state.times import stamp


class RunSerializer(Serializer):
    """Serializer of tasks, automations, their runs and users."""

    def task(self, task: Task) -> dict[str, Any]:
        """Return a task in full."""
        return {**task.members, "id": task.id}

    def task_run(self, run: TaskRun) -> dict[str, Any]:
        """Return a task run; lists and `last` have the same form."""
        progress = run.progress
        is_active = progress.is_active(self.now)
        started = progress.created if self.switches.waiting_task_run == "RUNNING" else progress.started_at(self.now)
        return without_none(
            {
                "id": run.id,
                "log": None if is_active else "\n".join(progress.log(self.now)),
                "status": task_run_status(progress, self.switches, self.now),
                "taskId": run.task.id,
                "endedAt": self._task_time(progress.ended_at(self.now)),
                "actionId": run.action_id,
                "taskMeta": run.meta,
                "taskName": run.task.members["name"],
                "workerId": run.worker_id,
                "startedAt": self._task_time(started),
                "executedAs": run.meta.get("ownerId"),
                "resourceId": run.task.resource_id,
                "workerType": run.worker_type,
                "triggeredBy": run.triggered_by,
            }
        )

    def automation_run(self, run: AutomationRun) -> dict[str, Any]:
        """Return a single automation run, with its metrics."""
        return self._automation_run(run) | {
            "metrics": {"blocks": [], "network": {"rxBytes": 0, "txBytes": 0}, "totalApiCalls": 0}
        }

    def listed_automation_run(self, run: AutomationRun) -> dict[str, Any]:
        """Return an automation run in the form of lists, with its duration."""
        return self._automation_run(run) | self.duration(run)

    def duration(self, run: AutomationRun | None) -> dict[str, Any]:
        """Return the duration of a run that has ended as a member for lists; otherwise no member."""
        started = run and run.progress.started_at(self.now)
        ended = run and run.progress.ended_at(self.now)
        if not started or not ended:
            return {}
        seconds = int((ended - started).total_seconds())
        return {"duration": str(seconds) if self.switches.duration_form == "string" else seconds}

    def _automation_run(self, run: AutomationRun) -> dict[str, Any]:
        progress = run.progress
        is_test = run.context == "test_run"
        is_set_at_once = self.switches.automation_start_time == "created"
        started = progress.created if is_set_at_once else progress.started_at(self.now)
        ended = progress.ended_at(self.now)
        updated = ended or progress.cancel_requested_at or progress.started_at(self.now) or progress.created
        return without_none(
            {
                "id": run.id,
                "error": self._error(progress),
                "title": "",
                "status": automation_run_status(progress, self.now),
                "context": run.context,
                "ownerId": run.owner_id,
                "spaceId": run.space_id,
                "testRun": is_test,
                "archived": False,
                "stopTime": self.automation_time(ended),
                "createdAt": self.automation_time(progress.created),
                "isTestRun": is_test,
                "startTime": self.automation_time(started),
                "updatedAt": self.automation_time(updated),
                "isArchived": False,
                "executedById": self._executed_by(run),
                "scheduledStartTime": self.automation_time(progress.created) if run.scheduled else None,
            }
        )

    def _executed_by(self, run: AutomationRun) -> str | None:
        if run.via != "execute" or self.switches.executed_by == "caller":
            return run.by.id
        return run.owner_id if self.switches.executed_by == "owner" else None

    def _error(self, progress: Progress) -> Any:
        if progress.script.error is None or progress.is_active(self.now):
            return None
        form = self.switches.error_form
        if form == "strings":
            return [progress.script.error]
        error = {"message": progress.script.error}
        return error if form == "object" else [error]

    def user(self, user: User) -> dict[str, Any]:
        """Return a user."""
        return {
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "subject": user.subject,
            "status": "active",
            "tenantId": TENANT_ID,
            "assignedRoles": [
                {"id": f"role-{name.lower()}", "name": name, "level": "admin" if "Admin" in name else "user"}
                for name in sorted(user.roles or ())
            ]
            if user.roles is not None
            else [{"id": "role-tenant-admin", "name": "TenantAdmin", "level": "admin"}],
        }

    def automation_time(self, moment: datetime | None) -> str | None:
        """Return a time of an automation or its run: six digits, which may all be zeros."""
        if moment is None:
            return None
        if self.switches.automation_times == "seconds":
            moment = moment.replace(microsecond=0)
        return stamp(self.skewed(moment), 6)

    def _task_time(self, moment: datetime | None) -> str | None:
        return self.run_time(moment, self.switches.task_times)
