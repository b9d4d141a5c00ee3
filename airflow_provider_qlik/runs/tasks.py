"""Runs of tasks. The response to a start contains no run; a reload or an automation run does the work."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import automations, reloads, tasks
from airflow_provider_qlik.cloud.call import Call, Tier
from airflow_provider_qlik.cloud.errors import BadRequestError, InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.models.tasks import Task, TaskLastRun, TaskList, TaskRun, TaskRunList
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.transport.download import LOG_IN_JSON, Download
from airflow_provider_qlik.runs.adapter import LogCallback, Resource, StartableRunAdapter
from airflow_provider_qlik.runs.automations import ENABLE_HINT, AutomationRunAdapter
from airflow_provider_qlik.runs.capabilities import (
    CancelsRuns,
    ExplainsFailures,
    HasLog,
    HasLogFile,
    LatestRun,
    ListsLatestRuns,
)
from airflow_provider_qlik.runs.errors import RunError
from airflow_provider_qlik.runs.intent import Intent
from airflow_provider_qlik.runs.listing import MAX_PAGES, check_readable
from airflow_provider_qlik.runs.reloads import ReloadAdapter, reason_of
from airflow_provider_qlik.runs.run import Run, StatusMap, Worker, without_repeats


class TaskRunAdapter(StartableRunAdapter[TaskRun], CancelsRuns, HasLog, HasLogFile, ExplainsFailures, ListsLatestRuns):
    """The adapter for runs of tasks."""

    name: ClassVar[str] = "task"
    tier: ClassVar[Tier] = Tier.TASKS
    log_file_type: ClassVar[str] = LOG_IN_JSON
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"running", "queued", "starting", "started", "pending", "not started"}),
        succeeded=frozenset({"succeeded"}),
        failed=frozenset({"failed", "exceeded_limit", "exceeded limit"}),
        cancelled=frozenset({"cancelled", "canceled", "aborted", "stopped"}),
        stopping=frozenset({"canceling", "cancelling", "aborting", "stopping"}),
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the task."""
        task = yield from send(tasks.get(resource_id))
        reason = (task.metadata and task.metadata.disabled_code) or "Qlik does not say why"
        disabled = f"disabled ({reason}): {ENABLE_HINT}" if task.enabled is False else None
        return Resource(resource_id, task.name, disabled, task.metadata.space_id if task.metadata else None)

    def newest(self, resource_id: str, limit: int) -> Call[TaskRunList]:
        """Return the call that lists the runs of a task."""
        return tasks.runs(resource_id, sort="-startedAt", limit=limit)

    def run_of(self, resource_id: str, item: TaskRun) -> Run:
        """Return the run in a list item."""
        worker = Worker(item.worker_type or "", item.worker_id, item.resource_id) if item.worker_id else None
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.id,
            state=self.status_map.state(item.status, item.ended_at is not None),
            status=item.status,
            status_known=self.status_map.knows(item.status),
            name=item.task_name,
            space_id=(item.task_meta and item.task_meta.space_id) or None,
            started_at=item.started_at,
            ended_at=item.ended_at,
            triggered_by=item.triggered_by,
            worker=worker,
            log=item.log,
        )

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return False, since the response contains no run."""
        return False

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """Start the task, and return None."""
        try:
            yield from send(tasks.start(intent.resource_id, source=intent.marker))
        except BadRequestError as error:
            # No document says which sources are valid. A 400 started nothing: it is sent again without one.
            write_log(logging.INFO, f"{error}. Starting the task without a marker.")
            yield from send(tasks.start(intent.resource_id))
        return None

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """Return one run from the list, since Qlik Cloud has no operation for a single run of a task."""
        pages: Pages[TaskRun] = Pages(self.newest(resource_id, 100))
        for _ in range(MAX_PAGES):
            if pages.next_call is None:
                break
            page = yield from send(pages.next_call)
            pages.take(page)
            copies = [self.run_of(resource_id, item) for item in page.items if item.id == run_id]
            if copies:
                return without_repeats(copies)[0]
        check_readable(self, resource_id, run_id, pages.left_out)
        return None

    def latest_runs(self, space_id: str | None) -> Call[TaskList]:
        """Return the call that lists the tasks, each with its last run, which Tasks v1 does not show."""
        in_space = None if space_id is None else f"spaceId eq {json.dumps(space_id)}"
        return replace(tasks.list(filter=in_space, limit=100), scheduling_only=True)

    def latest_run(self, item: Task) -> LatestRun | None:
        """Return what the list says about a task."""
        if item.id is None:
            return None
        metadata = item.metadata
        orchestration = metadata.orchestration if metadata else None
        last = orchestration.last_run if orchestration else None
        space_id = (metadata and metadata.space_id) or None
        if last is None or not last.id:
            return LatestRun.of(item.id, None, item.name, space_id)
        return LatestRun.of(item.id, self._summarised(item, last, space_id), item.name, space_id)

    def _summarised(self, task: Task, last: TaskLastRun, space_id: str | None) -> Run:
        """Return the last run of a task, by the summary in the list of tasks."""
        status = last.status or ""
        worker = Worker(last.worker_type or "", last.worker_id, task.resource_id) if last.worker_id else None
        return Run(
            kind=self.name,
            resource_id=task.id or "",
            id=last.id or "",
            state=self.status_map.state(status, last.ended_at is not None),
            status=status,
            status_known=self.status_map.knows(status),
            name=task.name,
            space_id=space_id,
            started_at=last.started_at,
            ended_at=last.ended_at,
            triggered_by=last.triggered_by,
            worker=worker,
        )

    def cancel(self, run: Run) -> Flow[str]:
        """Cancel the worker, since a task run itself cannot be cancelled. Raises RunError if there is none."""
        if run.worker is None:
            current = yield from self.get(run.resource_id, run.id)
            run = current or run
        worker = run.worker
        if worker is None:
            raise RunError(f"The task run names no worker, so it cannot be cancelled ({run})")
        worker_type = worker.type.casefold()
        if "automation" in worker_type and worker.resource_id:
            return (yield from AutomationRunAdapter().stop(worker.resource_id, worker.id))
        if "reload" not in worker_type and worker_type:
            raise RunError(f"The worker of the task run is a {worker.type!r}, which this package cannot cancel ({run})")
        return (yield from ReloadAdapter().stop(worker.id))

    def log(self, run: Run) -> Flow[str]:
        """Return the log of a run."""
        response = yield from send(tasks.run_log(run.resource_id, run.id))
        return response.log_content or run.log or ""

    def log_file(self, run: Run) -> Call[Download]:
        """Return the call that downloads the log of a run."""
        return tasks.run_log(run.resource_id, run.id).read_as(Download)

    def reason(self, run: Run) -> Flow[str | None]:
        """Return the error of the worker; a task run itself has none."""
        worker = run.worker
        if worker is None:
            return run.reason
        try:
            if "automation" in worker.type.casefold() and worker.resource_id:
                automation_run = yield from send(automations.get_run(worker.resource_id, worker.id))
                return automation_run.error_text or run.reason
            reload = yield from send(reloads.get(worker.id))
        except (QlikCloudError, InvalidArgumentError):
            return run.reason
        return reason_of(reload) or run.reason

    def page(self, run: Run) -> str:
        """Return the path of the page of the app or automation that the task runs."""
        if run.worker is None or not run.worker.resource_id:
            return "/"
        automation = "automation" in run.worker.type.casefold()
        return ("/automations/" if automation else "/sense/app/") + run.worker.resource_id
