"""Serializes sharing tasks and their executions as the API shows them at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.serializers.base import TENANT_ID, Serializer, without_none
from airflow_provider_qlik.sandbox.state.files import File
from airflow_provider_qlik.sandbox.state.records import Execution, SharingTask
from airflow_provider_qlik.sandbox.state.script import Phase
from airflow_provider_qlik.sandbox.state.statuses import execution_status
from airflow_provider_qlik.sandbox.state.times import stamp

_PATH = "/api/v1/sharing-tasks"
_WITHOUT_FILES = ("failed", "cancelled", "invalid")
_END_TIMES = {"failed": "failedTime", "cancelled": "cancelledTime"}
_COUNTS = {"successful": "successCount", "failed": "failedCount", "cancelled": "cancelledCount"}


class SharingSerializer(Serializer):
    """Serializer of sharing tasks and their executions."""

    def task(self, task: SharingTask, executions: Sequence[Execution], status_code: str) -> dict[str, Any]:
        """Return a sharing task, with the members derived from its visible executions."""
        starts = [self.started_at(execution) or execution.progress.created for execution in executions]
        ends = [end for execution in executions if (end := execution.progress.ended_at(self.now))]
        is_enabled = task.members["enabled"]
        return without_none(
            {
                **task.members,
                "tenant": TENANT_ID,
                "statusCode": status_code,
                "enabledByUser": is_enabled,
                "enabledBySystem": True,
                "dateCreated": stamp(task.created, 3),
                "lastUpdated": stamp(task.updated, 3),
                "lastViewed": task.last_viewed and stamp(task.last_viewed, 3),
                "lastRun": self._time(max(starts, default=None)),
                "lastExecutionDate": self._time(max(ends, default=None)),
                "links": {"self": {"href": f"{_PATH}/{task.id}"}},
            }
        )

    def execution(self, execution: Execution) -> dict[str, Any]:
        """Return one execution of a sharing task."""
        progress, status = execution.progress, execution_status(execution, self.now)
        has_ended = not progress.is_active(self.now)
        files = self.files(execution)
        error = {"code": "REPORTING-500", "title": "Report not made", "detail": progress.script.error}
        counts = {name: len(execution.files) if has_ended and word == status else 0 for word, name in _COUNTS.items()}
        is_user = execution.recipient.kind == "userId"
        return without_none(
            {
                "id": execution.id,
                "appId": execution.app_id,
                "files": [self._file(execution, file, is_user) for file in files],
                "errors": [error] if has_ended and progress.script.error is not None else [],
                "status": status,
                _END_TIMES.get(status, "endTime"): self._time(progress.ended_at(self.now)),
                "ownerId": execution.owner_id,
                "reloadId": execution.reload_id,
                "reloadTime": self._time(execution.requested_at) if execution.reload_id else None,
                "tenantId": TENANT_ID,
                "eventTime": self._time(execution.requested_at),
                "startTime": self._time(self.started_at(execution)),
                "targetUser": {"type": execution.recipient.kind, "value": execution.recipient.value},
                "totalCount": len(execution.files),
                **counts,
                "workflowID": execution.workflow_id if self.switches.workflow_id == "present" else None,
                "sharingTaskID": execution.task_id,
                "links": {"self": {"href": f"{_PATH}/{execution.task_id}/executions/{execution.id}"}},
            }
        )

    def started_at(self, execution: Execution) -> datetime | None:
        """Return the time that is shown as the start of the execution."""
        if self.switches.execution_start_time == "created":
            return execution.progress.created
        return execution.progress.started_at(self.now)

    def files(self, execution: Execution) -> tuple[File, ...]:
        """Return the files of an execution that exist by now."""
        status = execution_status(execution, self.now)
        has_files = execution.progress.phase(self.now) is Phase.ENDED and status not in _WITHOUT_FILES
        return execution.files if has_files or status == "presuccessful" else ()

    def _file(self, execution: Execution, file: File, is_user: bool) -> dict[str, Any]:
        return without_none(
            {
                "type": file.type,
                "fileID": f"{execution.id}-{file.alias}",
                "userId": execution.recipient.value if is_user else None,
                "fileAlias": file.alias,
            }
        )

    def _time(self, moment: datetime | None) -> str | None:
        return self.run_time(moment, self.switches.sharing_times)
