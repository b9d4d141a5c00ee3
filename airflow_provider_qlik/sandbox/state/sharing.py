"""The tenant's sharing tasks, and what executing and cancelling does to them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox.serializers.sharing import SharingSerializer
from airflow_provider_qlik.sandbox.state.base import OTHER, Scripts, StateBase
from airflow_provider_qlik.sandbox.state.files import File
from airflow_provider_qlik.sandbox.state.records import Execution, Recipient, SharingTask, User, Via
from airflow_provider_qlik.sandbox.state.script import Life, Sharing

MAX_RECIPIENTS = 200

_FILE_TYPES = {"snapshot": "image", "qpxp": "pdf", "qhtml": "html"}
_KEPT_OF_A_USER = ("value", "groups", "subscribed", "taskRecipientErrors", "alertingTaskRecipientErrors")


class SharingTasks:
    """All sharing tasks and their executions, and the rules by which they change."""

    def __init__(self, base: StateBase) -> None:
        self._ground = base
        self.tasks: dict[str, SharingTask] = {}
        self.executions: defaultdict[str, list[Execution]] = defaultdict(list)
        self.scripts: Scripts[Sharing] = Scripts()
        self.settings = {"enable-sharing": True, "enable-report-subscription": True}
        self.settings_changed = base.now

    @property
    def view(self) -> SharingSerializer:
        """All of it as the API shows it now."""
        return SharingSerializer(self._ground.switches, self._ground.now)

    def add_task(self, members: dict[str, Any], owner: User, *, id: str | None = None) -> SharingTask:
        """A new sharing task with these members; what the service itself sets is set here."""
        now = self._ground.now
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
        """Set off what an execute through the API sets off, with its competing runs beside it."""
        before, after = self._ground.rival_moments()
        for moment in before:
            self._add_workflow(task, OTHER, Sharing(), created=moment, via="rival")
        sharing = self.scripts.next(task.id) or Sharing()
        self._add_workflow(task, by, sharing, created=self._ground.now, via="api")
        task.status_code = sharing.status_code
        for moment in after:
            self._add_workflow(task, OTHER, Sharing(), created=moment, via="rival")

    def _add_workflow(self, task: SharingTask, by: User, sharing: Sharing, *, created: datetime, via: Via) -> None:
        workflow_id, count = str(uuid4()), len(self._recipients(task))
        for place in range(len(sharing.scripts(count))):
            self.add_execution(task, by, sharing, place, request=created, via=via, workflow_id=workflow_id)

    def add_execution(
        self,
        task: SharingTask,
        by: User,
        sharing: Sharing,
        place: int = 0,
        *,
        request: datetime,
        via: Via,
        workflow_id: str | None = None,
        reload_id: str | None = None,
        id: str | None = None,
    ) -> Execution:
        """The execution at that place of a workflow that was set off at that moment."""
        recipients = self._recipients(task)
        delay = sharing.appear_after[place] if place < len(sharing.appear_after) else 0.0
        created = request + timedelta(seconds=delay)
        late = self._ground.switches.sharing_show_after if via == "api" else 0.0
        execution = Execution(
            id=id or uuid4().hex[:24],
            task_id=task.id,
            app_id=task.app_id,
            owner_id=task.members["owner"],
            workflow_id=workflow_id or str(uuid4()),
            life=Life(sharing.scripts(place + 1)[place], created, created),
            recipient=recipients[place % len(recipients)],
            files=_files_of(task) if sharing.files is None else tuple(sharing.files),
            delivery=sharing.delivery,
            by=by,
            via=via,
            visible_from=created + timedelta(seconds=late) if delay else self._ground.shown_from(created, late),
            asked_at=request,
            reload_id=reload_id,
        )
        self.executions[task.id].append(execution)
        return execution

    def _recipients(self, task: SharingTask) -> list[Recipient]:
        return task.recipients or [Recipient("userId", task.members["owner"])]

    def cancel(self, task: SharingTask) -> bool:
        """Whether there was something to cancel; what has not appeared yet never will."""
        now, executions = self._ground.now, self.executions[task.id]
        if not self.is_active(task):
            return False
        executions[:] = [one for one in executions if one.life.created <= now or not one.life.script.stops]
        for execution in executions:
            execution.life.stop(now)
        task.status_code = self._ground.switches.cancelled_sharing_task
        return True

    def is_active(self, task: SharingTask) -> bool:
        """Whether the task is at work."""
        return any(execution.life.is_active(self._ground.now) for execution in self.executions[task.id])

    def is_visible(self, execution: Execution) -> bool:
        """Whether the API shows the execution yet."""
        return execution.visible_from <= self._ground.now

    def visible(self, task: SharingTask) -> list[Execution]:
        """The executions of the task that the API shows."""
        return [execution for execution in self.executions[task.id] if self.is_visible(execution)]

    def shown(self, task: SharingTask) -> dict[str, Any]:
        """The task as the API shows it now."""
        return self.view.task(task, self.visible(task), self.status_code(task))

    def status_code(self, task: SharingTask) -> str:
        """The condition of the task itself."""
        active = [one for one in self.executions[task.id] if one.life.is_active(self._ground.now)]
        if not active:
            return task.status_code
        return "CANCELLING" if any(execution.life.stop_asked for execution in active) else "IN_PROGRESS"


def stored_recipients(sent: dict[str, Any]) -> dict[str, Any]:
    """Recipients as the service keeps them, from what a caller sent."""
    switches = {"enabledByUser": True, "enabledBySystem": True}
    users = [
        {name: user[name] for name in _KEPT_OF_A_USER if name in user}
        | switches
        | ({"enabledByUser": user["enabled"]} if "enabled" in user else {})
        for user in sent.get("userIds", [])
    ]
    return {
        "userIds": users,
        "groupIds": [{"value": group["value"], **switches} for group in sent.get("groupIds", [])],
        "emailAddresses": [{"value": address, "enabled": True} for address in sent.get("emailAddresses", [])],
        "DLUsers": sent.get("DLUsers", []),
        "DLGroups": sent.get("DLGroups", []),
    }


def _files_of(task: SharingTask) -> tuple[File, ...]:
    """A file for each template of the task."""
    return tuple(
        File(
            template.get("fileAlias") or f"report-{number}",
            _FILE_TYPES.get(template.get("subType", "pdf"), template.get("subType", "pdf")),
        )
        for number, template in enumerate(task.members.get("templates", []), 1)
    )
