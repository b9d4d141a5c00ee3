"""Runs of tasks: started without an id in the answer, worked off by a reload or an automation run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import automations, reloads, tasks
from airflow_provider_qlik.cloud.call import Call, Flow, Tier, send
from airflow_provider_qlik.cloud.errors import BadRequestError, InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.models.tasks import TaskRun, TaskRunList
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.adapter import MAX_PAGES, Resource, RunAdapter
from airflow_provider_qlik.runs.automations import AutomationRunAdapter
from airflow_provider_qlik.runs.errors import RunError
from airflow_provider_qlik.runs.matching import Intent, LogCallback
from airflow_provider_qlik.runs.reloads import ReloadAdapter, reason_of
from airflow_provider_qlik.runs.run import Run, StatusMap, Worker, without_repeats


class TaskRunAdapter(RunAdapter):
    """How runs of tasks are handled."""

    name: ClassVar[str] = "task"
    tier: ClassVar[Tier] = Tier.TASKS
    enable_hint: ClassVar[str] = "enable it in Qlik Cloud, or change its owner if that one is gone"
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"running", "queued", "starting", "started", "pending", "not started"}),
        succeeded=frozenset({"succeeded"}),
        failed=frozenset({"failed", "exceeded_limit", "exceeded limit"}),
        cancelled=frozenset({"cancelled", "canceled", "aborted", "stopped"}),
        stopping=frozenset({"canceling", "cancelling", "aborting", "stopping"}),
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """The task."""
        task = yield from send(tasks.get(resource_id))
        because = (task.metadata and task.metadata.disabled_code) or "Qlik does not say why"
        space_id = task.metadata.space_id if task.metadata else None
        return Resource(resource_id, task.name, because if task.enabled is False else None, space_id)

    def newest(self, resource_id: str, limit: int) -> Call[TaskRunList]:
        """The call for the runs of a task."""
        return tasks.runs(resource_id, sort="-startedAt", limit=limit)

    def run_of(self, resource_id: str, item: TaskRun) -> Run:
        """The run in an item of the list."""
        worker = Worker(item.worker_type or "", item.worker_id, item.resource_id) if item.worker_id else None
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.id,
            state=self.status_map.state(item.status, item.ended_at is not None),
            status=item.status,
            known_word=self.status_map.knows(item.status),
            name=item.task_name,
            space_id=(item.task_meta and item.task_meta.space_id) or None,
            started_at=item.started_at,
            ended_at=item.ended_at,
            triggered_by=item.triggered_by,
            worker=worker,
            log=item.log,
        )

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """None: Qlik does not say which run it is."""
        try:
            yield from send(tasks.start(intent.resource_id, source=intent.marker))
        except BadRequestError as error:
            # Nobody says what a source may look like. A 400 started nothing; without a source it is asked plainly.
            write_log(logging.INFO, f"{error}. Starting without a marker.")
            yield from send(tasks.start(intent.resource_id))
        return None

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """One run, from the list: Qlik has no way to ask for a single one."""
        pages: Pages[TaskRun] = Pages(self.newest(resource_id, 100))
        for _ in range(MAX_PAGES):
            if pages.next_call is None:
                break
            page = yield from send(pages.next_call)
            pages.take(page)
            copies = [self.run_of(resource_id, item) for item in page.items if item.id == run_id]
            if copies:
                return without_repeats(copies)[0]
        self.check_was_read(resource_id, run_id, pages.left_out)
        return None

    def cancel(self, run: Run) -> Flow[str]:
        """The worker is asked to stop, since a task run itself cannot be."""
        if run.worker is None:
            fresh = yield from self.get(run.resource_id, run.id)
            run = fresh or run
        worker = run.worker
        if worker is None:
            raise RunError(f"{run} names no worker, so there is nothing that could be cancelled")
        kind = worker.type.casefold()
        if "automation" in kind and worker.resource_id:
            return (yield from AutomationRunAdapter().stop(worker.resource_id, worker.id))
        if "reload" not in kind and kind:
            raise RunError(f"{run} is worked off by {worker.type!r}, which this package cannot cancel")
        return (yield from ReloadAdapter().stop(worker.id))

    def log(self, run: Run) -> Flow[str]:
        """The log of a run."""
        answer = yield from send(tasks.run_log(run.resource_id, run.id))
        return answer.log_content or run.log or ""

    def reason(self, run: Run) -> Flow[str | None]:
        """What the worker says went wrong; a task run itself says nothing."""
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
        """The page of what the task works on."""
        if run.worker is None or not run.worker.resource_id:
            return "/"
        automation = "automation" in run.worker.type.casefold()
        return ("/automations/" if automation else "/sense/app/") + run.worker.resource_id
