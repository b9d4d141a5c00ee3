"""Executions of reload tasks: schedules that cannot be started. Qlik Cloud shows only when they last executed."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_qlik.cloud.api import reload_tasks, tasks
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.models.reload_tasks import ReloadTask
from airflow_provider_qlik.runs.adapter import Resource, RunAdapter
from airflow_provider_qlik.runs.errors import RunError, RunGoneError
from airflow_provider_qlik.runs.run import Run, RunSelector, RunState, StatusMap, Worker

GONE = frozenset({404, 410})
"""HTTP statuses for a reload task that does not exist, and for the whole family once Qlik has removed it."""
ENABLE_HINT = "enable it in Qlik Cloud"
SUCCESSOR = "wait for a task of the app instead (QlikTaskRunSensor; for its reloads QlikReloadSensor)"


class ReloadTaskAdapter(RunAdapter):
    """The adapter for executions of reload tasks. They can only be waited for."""

    name: ClassVar[str] = "reload_task"
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset(), succeeded=frozenset({"executed"}), failed=frozenset(), cancelled=frozenset()
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the reload task."""
        task = yield from send(reload_tasks.get(resource_id))
        reason = _disabled_reason(task)
        return Resource(resource_id, None, f"{reason}: {ENABLE_HINT}" if reason else None, task.space_id)

    def poll(self, selector: RunSelector) -> Flow[Run | None]:
        """Return the last execution if it was at or after the selected moment; None while it may still come.

        Raises RunError, with the reason and what to use instead, if the reload task will not execute any more: it is
        disabled, was migrated to a task, or is gone.
        """
        try:
            task = yield from send(reload_tasks.get(selector.resource_id))
        except StatusError as error:
            if error.status not in GONE:
                raise
            raise RunGoneError(
                f"{error.reason}. Qlik Cloud does not have the reload task any more, or does not show it to this user:"
                f" {SUCCESSOR} (reload task {selector.resource_id}; {error.request})"
            ) from None
        last = task.last_execution_time
        if last is not None and (selector.started_after is None or last >= selector.started_after):
            return self.run_of(selector.resource_id, task)
        since = f" since {selector.started_after.isoformat()}" if selector.started_after else ""
        if task.migrated:
            successor = yield from self._successor(task)
            raise RunError(
                f"The reload task was migrated to a task, and has not executed{since}: {SUCCESSOR}{successor}"
                f" (reload task {selector.resource_id})"
            )
        reason = _disabled_reason(task)
        if reason is not None:
            raise RunError(
                f"The reload task is {reason}, and has not executed{since}: {ENABLE_HINT}, or give it a schedule"
                f" (reload task {selector.resource_id})"
            )
        return None

    def _successor(self, task: ReloadTask) -> Flow[str]:
        """Return a sentence that names the task it was migrated to; empty if that is not known."""
        try:
            page = yield from send(tasks.list(resource_id=task.app_id, limit=100))
        except (QlikCloudError, InvalidArgumentError):
            return ""
        for item in page.items:
            if item.metadata is not None and item.metadata.migrated_from == task.id:
                return f". It became task {item.name or ''} {item.id}".replace("  ", " ")
        return ""

    def run_of(self, resource_id: str, item: ReloadTask) -> Run:
        """Return the last execution of a reload task. Qlik Cloud does not show how it ended."""
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=f"{resource_id}@{item.last_execution_time.isoformat() if item.last_execution_time else ''}",
            state=RunState.SUCCEEDED,
            status="executed",
            started_at=item.last_execution_time,
            worker=Worker("app", item.app_id, item.app_id) if item.app_id else None,
        )

    def page(self, run: Run) -> str:
        """Return the path of the app's page."""
        return f"/sense/app/{run.worker.id}" if run.worker else "/"


def _disabled_reason(task: ReloadTask) -> str | None:
    """Return why a reload task will not execute again, None if it will."""
    state = (task.state or "").casefold()
    if state == "completed":
        return "completed (its schedule is over)"
    if state != "disabled":
        return None
    return f"disabled ({task.disabled_code or task.log or 'Qlik does not say why'})"
