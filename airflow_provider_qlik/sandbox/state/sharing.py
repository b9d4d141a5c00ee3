"""The state of sharing tasks and their executions."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox.serializers.sharing import SharingSerializer
from airflow_provider_qlik.sandbox.state.files import File
from airflow_provider_qlik.sandbox.state.records import Execution, Recipient, SharingTask, User, Via
from airflow_provider_qlik.sandbox.state.script import Progress, SharingScript
from airflow_provider_qlik.sandbox.state.shared import OTHER, Scripts, SharedState

MAX_RECIPIENTS = 200

_FILE_TYPES = {"snapshot": "image", "qpxp": "pdf", "qhtml": "html"}
_STORED_USER_MEMBERS = ("value", "groups", "subscribed", "taskRecipientErrors", "alertingTaskRecipientErrors")


class SharingTasks:
    """All sharing tasks and their executions, and the transitions between their states."""

    def __init__(self, base: SharedState) -> None:
        self._shared = base
        self.tasks: dict[str, SharingTask] = {}
        self.executions: defaultdict[str, list[Execution]] = defaultdict(list)
        self.scripts: Scripts[SharingScript] = Scripts()
        self.settings = {"enable-sharing": True, "enable-report-subscription": True}
        self.settings_changed = base.now

    @property
    def serializer(self) -> SharingSerializer:
        """Return a serializer for the current time and switches."""
        return SharingSerializer(self._shared.switches, self._shared.now)

    def add_task(self, members: dict[str, Any], owner: User, *, id: str | None = None) -> SharingTask:
        """Add a sharing task with these members, and set those that belong to the service."""
        now = self._shared.now
        task = SharingTask(id or uuid4().hex[:24], {}, now, now, status_code=members.get("statusCode", "VALID"))
        task.members = {
            "enabled": True,
            "owner": owner.id,
            "ownerName": owner.name,
            "createdBy": owner.id,
            **members,
            "recipients": stored_recipients(members.get("recipients", {})),
            "id": task.id,
        }
        self.tasks[task.id] = task
        return task

    # Executions

    def execute(self, task: SharingTask, by: User) -> None:
        """Execute a sharing task through the API, with its competing runs."""
        before, after = self._shared.competing_times()
        for moment in before:
            self._add_workflow(task, OTHER, SharingScript(), created=moment, via="competing")
        sharing = self.scripts.next(task.id) or SharingScript()
        self._add_workflow(task, by, sharing, created=self._shared.now, via="api")
        task.status_code = sharing.status_code
        for moment in after:
            self._add_workflow(task, OTHER, SharingScript(), created=moment, via="competing")

    def _add_workflow(
        self, task: SharingTask, by: User, sharing: SharingScript, *, created: datetime, via: Via
    ) -> None:
        workflow_id, count = str(uuid4()), len(self._recipients(task))
        for index in range(len(sharing.scripts(count))):
            self.add_execution(task, by, sharing, index, request=created, via=via, workflow_id=workflow_id)

    def add_execution(
        self,
        task: SharingTask,
        by: User,
        sharing: SharingScript,
        index: int = 0,
        *,
        request: datetime,
        via: Via,
        workflow_id: str | None = None,
        reload_id: str | None = None,
        id: str | None = None,
    ) -> Execution:
        """Add the execution at an index of a workflow that was requested at that time."""
        recipients = self._recipients(task)
        delay = sharing.appear_after[index] if index < len(sharing.appear_after) else 0.0
        created = request + timedelta(seconds=delay)
        visible_after = self._shared.switches.sharing_show_after if via == "api" else 0.0
        execution = Execution(
            id=id or uuid4().hex[:24],
            task_id=task.id,
            app_id=task.app_id,
            owner_id=task.members["owner"],
            workflow_id=workflow_id or str(uuid4()),
            progress=Progress(sharing.scripts(index + 1)[index], created, created),
            recipient=recipients[index % len(recipients)],
            files=_files_of(task) if sharing.files is None else tuple(sharing.files),
            delivery=sharing.delivery,
            by=by,
            via=via,
            visible_from=created + timedelta(seconds=visible_after)
            if delay
            else self._shared.visible_from(created, visible_after),
            requested_at=request,
            reload_id=reload_id,
        )
        self.executions[task.id].append(execution)
        return execution

    def _recipients(self, task: SharingTask) -> list[Recipient]:
        return task.recipients or [Recipient("userId", task.members["owner"])]

    def cancel(self, task: SharingTask) -> bool:
        """Cancel all executions and return True, or return False if none is active. Future executions are dropped."""
        now, executions = self._shared.now, self.executions[task.id]
        if not self.is_active(task):
            return False
        executions[:] = [
            one for one in executions if one.progress.created <= now or not one.progress.script.cancellable
        ]
        for execution in executions:
            execution.progress.cancel(now)
        task.status_code = self._shared.switches.cancelled_sharing_task
        return True

    def is_active(self, task: SharingTask) -> bool:
        """Return True if an execution of the task has not ended."""
        return any(execution.progress.is_active(self._shared.now) for execution in self.executions[task.id])

    def is_visible(self, execution: Execution) -> bool:
        """Return True if the API shows the execution by now."""
        return execution.visible_from <= self._shared.now

    def visible(self, task: SharingTask) -> list[Execution]:
        """Return the executions of the task that the API shows."""
        return [execution for execution in self.executions[task.id] if self.is_visible(execution)]

    def serialize(self, task: SharingTask) -> dict[str, Any]:
        """Return the task as the API shows it now."""
        return self.serializer.task(task, self.visible(task), self.status_code(task))

    def status_code(self, task: SharingTask) -> str:
        """Return the `statusCode` of the task."""
        active = [one for one in self.executions[task.id] if one.progress.is_active(self._shared.now)]
        if not active:
            return task.status_code
        return "CANCELLING" if any(execution.progress.cancel_requested_at for execution in active) else "IN_PROGRESS"


def stored_recipients(recipients: dict[str, Any]) -> dict[str, Any]:
    """Return recipients in the form that the service stores, from the form that callers send."""
    switches = {"enabledByUser": True, "enabledBySystem": True}
    users = [
        {name: user[name] for name in _STORED_USER_MEMBERS if name in user}
        | switches
        | ({"enabledByUser": user["enabled"]} if "enabled" in user else {})
        for user in recipients.get("userIds", [])
    ]
    return {
        "userIds": users,
        "groupIds": [{"value": group["value"], **switches} for group in recipients.get("groupIds", [])],
        "emailAddresses": [{"value": address, "enabled": True} for address in recipients.get("emailAddresses", [])],
        "DLUsers": recipients.get("DLUsers", []),
        "DLGroups": recipients.get("DLGroups", []),
    }


def _files_of(task: SharingTask) -> tuple[File, ...]:
    """Return a file for each template of the task."""
    return tuple(
        File(
            template.get("fileAlias") or f"report-{number}",
            _FILE_TYPES.get(template.get("subType", "pdf"), template.get("subType", "pdf")),
        )
        for number, template in enumerate(task.members.get("templates", []), 1)
    )
