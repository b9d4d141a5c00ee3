"""How the API shows what the tenant holds at a moment: Qlik's words and shapes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_provider_qlik.sandbox.records import AutomationRun, Reload, Task, TaskRun, User
from airflow_provider_qlik.sandbox.script import Life, Phase
from airflow_provider_qlik.sandbox.switches import Switches
from airflow_provider_qlik.sandbox.times import stamp

TENANT_ID = "sandbox-tenant"

_AUTOMATION_ENDS = {"SUCCEEDED": "finished", "FAILED": "failed"}
_OTHER_ENDS = {
    "finished": "SUCCEEDED",
    "finished with warnings": "SUCCEEDED",
    "failed": "FAILED",
    "stopped": "FAILED",
    "exceeded limit": "FAILED",
}
_TASK_WORDS = dict.fromkeys(Phase, "RUNNING")
_RELOAD_WORDS = {
    Phase.HELD: "QUEUED",
    Phase.WAITING: "QUEUED",
    Phase.RUNNING: "RELOADING",
    Phase.STOPPING: "CANCELING",
}
_AUTOMATION_WORDS = {
    Phase.HELD: "queued",
    Phase.WAITING: "not started",
    Phase.RUNNING: "running",
    Phase.STOPPING: "must stop",
}
_FINENESS = {"nanoseconds": 9, "milliseconds": 3, "seconds": 0}


def task_run_status(life: Life, switches: Switches, now: datetime) -> str:
    """The status word of a task run."""
    return _status(life, now, _TASK_WORDS, switches.cancelled_task_status, _OTHER_ENDS)


def reload_status(life: Life, now: datetime) -> str:
    """The status word of a reload."""
    return _status(life, now, _RELOAD_WORDS, "CANCELED", _OTHER_ENDS)


def automation_run_status(life: Life, now: datetime) -> str:
    """The status word of an automation run."""
    return _status(life, now, _AUTOMATION_WORDS, "stopped", _AUTOMATION_ENDS)


def _status(life: Life, now: datetime, active: dict[Phase, str], stopped: str, ends: dict[str, str]) -> str:
    phase = life.phase(now)
    if phase is Phase.STOPPED:
        return stopped
    if phase is Phase.ENDED:
        end = life.script.end or ""
        return ends.get(end, end)
    if phase in (Phase.HELD, Phase.WAITING) and life.script.waiting_as:
        return life.script.waiting_as
    if phase is Phase.RUNNING and life.script.running_as:
        return life.script.running_as
    return active[phase]


def _without_nothing(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


class View:
    """The tenant as the API shows it now."""

    def __init__(self, switches: Switches, now: datetime) -> None:
        self._switches = switches
        self._now = now

    def task(self, task: Task) -> dict[str, Any]:
        """A task in full."""
        return {**task.members, "id": task.id}

    def task_run(self, run: TaskRun) -> dict[str, Any]:
        """A task run, in lists and as the last one."""
        life = run.life
        is_active = life.is_active(self._now)
        started = life.created if self._switches.waiting_task_run == "RUNNING" else life.started_at(self._now)
        return _without_nothing(
            {
                "id": run.id,
                "log": None if is_active else "\n".join(life.log(self._now)),
                "status": task_run_status(life, self._switches, self._now),
                "taskId": run.task.id,
                "endedAt": self._task_time(life.ended_at(self._now)),
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

    def reload(self, reload: Reload) -> dict[str, Any]:
        """A reload."""
        life = reload.life
        started, ended = life.started_at(self._now), life.ended_at(self._now)
        is_over = not life.is_active(self._now)
        has_failed = is_over and life.script.error is not None
        return _without_nothing(
            {
                "id": reload.id,
                "appId": reload.app_id,
                "tenantId": TENANT_ID,
                "userId": reload.user_id,
                "status": reload_status(life, self._now),
                "type": "external",
                "creationTime": self._task_time(life.created),
                "startTime": self._task_time(started),
                "endTime": self._task_time(ended),
                "engineTime": self._task_time(ended),
                "errorCode": "EngineReloadFailed" if has_failed else None,
                "errorMessage": life.script.error if has_failed else None,
                "partial": False,
                "weight": 1,
                "log": "\n".join(life.log(self._now)) if is_over else None,
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
        started = run and run.life.started_at(self._now)
        ended = run and run.life.ended_at(self._now)
        if not started or not ended:
            return {}
        seconds = int((ended - started).total_seconds())
        return {"duration": str(seconds) if self._switches.duration_form == "string" else seconds}

    def _automation_run(self, run: AutomationRun) -> dict[str, Any]:
        life = run.life
        is_test = run.context == "test_run"
        is_set_at_once = self._switches.automation_start_time == "created"
        started = life.created if is_set_at_once else life.started_at(self._now)
        ended = life.ended_at(self._now)
        updated = ended or life.stop_asked or life.started_at(self._now) or life.created
        return _without_nothing(
            {
                "id": run.id,
                "error": self._error(life),
                "title": "",
                "status": automation_run_status(life, self._now),
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
                "executedById": run.by.id,
                "scheduledStartTime": self.automation_time(life.created) if run.scheduled else None,
            }
        )

    def _error(self, life: Life) -> Any:
        if life.script.error is None or life.is_active(self._now):
            return None
        form = self._switches.error_form
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
            "assignedRoles": [{"id": "role-tenant-admin", "name": "TenantAdmin", "level": "admin"}],
        }

    def automation_time(self, moment: datetime | None) -> str | None:
        """A time of an automation or its run: six digits, which may all be noughts."""
        if moment is None:
            return None
        if self._switches.automation_times == "seconds":
            moment = moment.replace(microsecond=0)
        return stamp(moment + timedelta(seconds=self._switches.run_clock_skew), 6)

    def _task_time(self, moment: datetime | None) -> str | None:
        if moment is None:
            return None
        skew = timedelta(seconds=self._switches.run_clock_skew)
        return stamp(moment + skew, _FINENESS[self._switches.task_times])
