"""How the API shows what the tenant holds at a moment: Qlik's words and shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.serializers.base import TENANT_ID, Serializer, without_nothing
from airflow_provider_qlik.sandbox.state.records import AutomationRun, Task, TaskRun, User
from airflow_provider_qlik.sandbox.state.script import Life
from airflow_provider_qlik.sandbox.state.statuses import automation_run_status, task_run_status
from airflow_provider_qlik.sandbox.state.times import stamp


class RunSerializer(Serializer):
    """Tasks, automations, their runs and users as the API shows them now."""

    def task(self, task: Task) -> dict[str, Any]:
        """A task in full."""
        return {**task.members, "id": task.id}

    def task_run(self, run: TaskRun) -> dict[str, Any]:
        """A task run, in lists and as the last one."""
        life = run.life
        is_active = life.is_active(self.now)
        started = life.created if self.switches.waiting_task_run == "RUNNING" else life.started_at(self.now)
        return without_nothing(
            {
                "id": run.id,
                "log": None if is_active else "\n".join(life.log(self.now)),
                "status": task_run_status(life, self.switches, self.now),
                "taskId": run.task.id,
                "endedAt": self._task_time(life.ended_at(self.now)),
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
        """An automation run alone, with its metrics."""
        return self._automation_run(run) | {
            "metrics": {"blocks": [], "network": {"rxBytes": 0, "txBytes": 0}, "totalApiCalls": 0}
        }

    def listed_automation_run(self, run: AutomationRun) -> dict[str, Any]:
        """An automation run as lists have it, with a duration."""
        return self._automation_run(run) | self.duration(run)

    def duration(self, run: AutomationRun | None) -> dict[str, Any]:
        """How long a run took, as a member for lists, if it has ended."""
        started = run and run.life.started_at(self.now)
        ended = run and run.life.ended_at(self.now)
        if not started or not ended:
            return {}
        seconds = int((ended - started).total_seconds())
        return {"duration": str(seconds) if self.switches.duration_form == "string" else seconds}

    def _automation_run(self, run: AutomationRun) -> dict[str, Any]:
        life = run.life
        is_test = run.context == "test_run"
        is_set_at_once = self.switches.automation_start_time == "created"
        started = life.created if is_set_at_once else life.started_at(self.now)
        ended = life.ended_at(self.now)
        updated = ended or life.stop_asked or life.started_at(self.now) or life.created
        return without_nothing(
            {
                "id": run.id,
                "error": self._error(life),
                "title": "",
                "status": automation_run_status(life, self.now),
                "context": run.context,
                "ownerId": run.owner_id,
                "spaceId": run.space_id,
                "testRun": is_test,
                "archived": False,
                "stopTime": self.automation_time(ended),
                "createdAt": self.automation_time(life.created),
                "isTestRun": is_test,
                "startTime": self.automation_time(started),
                "updatedAt": self.automation_time(updated),
                "isArchived": False,
                "executedById": self._executed_by(run),
                "scheduledStartTime": self.automation_time(life.created) if run.scheduled else None,
            }
        )

    def _executed_by(self, run: AutomationRun) -> str | None:
        if run.via != "execute" or self.switches.executed_by == "caller":
            return run.by.id
        return run.owner_id if self.switches.executed_by == "owner" else None

    def _error(self, life: Life) -> Any:
        if life.script.error is None or life.is_active(self.now):
            return None
        form = self.switches.error_form
        if form == "strings":
            return [life.script.error]
        error = {"message": life.script.error}
        return error if form == "object" else [error]

    def user(self, user: User) -> dict[str, Any]:
        """A user."""
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
        """A time of an automation or its run: six digits, which may all be noughts."""
        if moment is None:
            return None
        if self.switches.automation_times == "seconds":
            moment = moment.replace(microsecond=0)
        return stamp(self.skewed(moment), 6)

    def _task_time(self, moment: datetime | None) -> str | None:
        return self.run_time(moment, self.switches.task_times)
