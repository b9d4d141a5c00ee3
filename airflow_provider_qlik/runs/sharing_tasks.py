"""Runs of sharing tasks (reports, subscriptions). A run is a workflow with one execution for each recipient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import sharing_tasks
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import ConflictError, NotFoundError
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution, SharingTaskExecutionList
from airflow_provider_qlik.cloud.models.sharing_tasks import SharingTask, SharingTaskList
from airflow_provider_qlik.runs.adapter import LogCallback, Resource, StartableRunAdapter
from airflow_provider_qlik.runs.cancelling import cancelled, not_cancelled, send_cancel
from airflow_provider_qlik.runs.capabilities import CancelsRuns, ConsistsOfItems, LatestRun, ListsLatestRuns
from airflow_provider_qlik.runs.intent import Intent
from airflow_provider_qlik.runs.listing import collect_runs
from airflow_provider_qlik.runs.run import Run, RunState, StatusMap, Worker

IN_PROGRESS = "IN_PROGRESS"
"""The status code of a sharing task that may still add executions to its workflow."""
BY_RELOAD = "reload"
"""The origin of a run that a reload of the app has started."""
ENABLED = frozenset({"VALID", IN_PROGRESS, "CANCELLING", "CANCELLED"})
"""The status codes of sharing tasks that can be executed."""


class SharingTaskRunAdapter(StartableRunAdapter[SharingTaskExecution], CancelsRuns, ConsistsOfItems, ListsLatestRuns):
    """The adapter for runs of sharing tasks. The id of a run is that of its workflow.

    A run has ended when all its executions have ended, and none was added after the task was no longer in progress.
    """

    name: ClassVar[str] = "sharing_task"
    cancelled_together: ClassVar[bool] = True
    id_names: ClassVar[tuple[str, ...]] = ("workflowID", "id")
    other_origins: ClassVar[frozenset[str]] = frozenset({BY_RELOAD})
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"initialized", "in-progress", "presuccessful"}),
        succeeded=frozenset({"successful"}),
        failed=frozenset({"failed", "invalid"}),
        cancelled=frozenset({"cancelled", "canceled"}),
        stopping=frozenset({"cancelling", "canceling"}),
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the sharing task."""
        task = yield from send(sharing_tasks.get(resource_id))
        problem = task.status_code if task.status_code and task.status_code.upper() not in ENABLED else None
        reason = problem or ("it is switched off" if task.enabled is False else None)
        disabled = f"disabled ({reason}): look at the sharing task in Qlik Cloud" if reason else None
        return Resource(resource_id, task.name, disabled, task.space_id)

    def newest(self, resource_id: str, limit: int) -> Call[SharingTaskExecutionList]:
        """Return the call that lists the executions of a sharing task."""
        return sharing_tasks.executions(resource_id, sort="-starttime", limit=limit)

    def run_of(self, resource_id: str, item: SharingTaskExecution) -> Run:
        """Return the run of a list item, as if it were the only execution of its workflow."""
        state = self.status_map.state(item.status, item.ended_at is not None)
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.workflow_id or item.id,
            state=state,
            status=item.status,
            status_known=self.status_map.knows(item.status),
            started_at=item.started_at,
            ended_at=item.ended_at,
            reason=item.error_text,
            triggered_by=f"reload {item.reload_id}" if item.reload_id else None,
            origin=BY_RELOAD if item.reload_id else None,
            worker=Worker("execution", item.id, item.app_id),
            counts={str(state): 1},
            parts=(item.id,),
        )

    def latest_runs(self, space_id: str | None) -> Call[SharingTaskList]:
        """Return the call that lists the sharing tasks. It cannot be filtered by a space."""
        return sharing_tasks.list(limit=100)

    def latest_run(self, item: SharingTask) -> LatestRun | None:
        """Return what the list says about a sharing task: when it last ran, but not the id of that run."""
        if item.id is None:
            return None
        return LatestRun(
            resource_id=item.id,
            name=item.name,
            space_id=item.space_id or None,
            active=(item.status_code or "").upper() == IN_PROGRESS,
            ended_at=item.last_execution_date,
            version=(item.last_run, item.last_execution_date, item.status_code),
        )

    def group(self, runs: Sequence[Run]) -> list[Run]:
        """Return one run for each workflow, in the order of their first executions."""
        workflows: dict[str, list[Run]] = {}
        for run in runs:
            workflows.setdefault(run.id, []).append(run)
        return [_joined(executions) for executions in workflows.values()]

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return False, since the response contains no execution."""
        return False

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """Execute the sharing task, and return None."""
        yield from send(sharing_tasks.execute(intent.resource_id))
        return None

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """Return one run, with all its executions up to now."""
        run = yield from self._find(resource_id, run_id)
        if run is None or not run.ended:
            return run
        task = yield from send(sharing_tasks.get(resource_id))
        if (task.status_code or "").upper() == IN_PROGRESS:
            return replace(run, state=RunState.ACTIVE, status="more to come", ended_at=None)
        # Read after the task, the list has all executions that the task added before it was done.
        return (yield from self._find(resource_id, run_id))

    def completed(self, run: Run) -> Flow[Run]:
        """Return a run from the list, with its final state if its listed executions have ended."""
        return ((yield from self.get(run.resource_id, run.id)) or run) if run.ended else run

    def _find(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        found = False

        def is_past_the_run(page: Sequence[Run]) -> bool:
            nonlocal found
            on_page = any(run.id == run_id for run in page)
            past, found = found and not on_page, found or on_page
            return past

        runs = yield from collect_runs(self, resource_id, is_past_the_run, 200, run_id)
        return next((run for run in runs if run.id == run_id), None)

    def cancel(self, run: Run) -> Flow[str]:
        """Cancel all executions of the sharing task, since a single run cannot be cancelled."""
        try:
            yield from send_cancel(sharing_tasks.cancel(run.resource_id))
        except (ConflictError, NotFoundError):
            return not_cancelled(f"the run of sharing task {run.resource_id}")
        return cancelled(f"sharing task {run.resource_id}")

    def page(self, run: Run) -> str:
        """Return the path of the page of the app that the reports are made from."""
        return f"/sense/app/{run.worker.resource_id}" if run.worker and run.worker.resource_id else "/"


def _joined(executions: Sequence[Run]) -> Run:
    """Return the run of some executions: active while one of them is, else with the worst of their states."""
    counts: dict[str, int] = {}
    for execution in executions:
        counts[str(execution.state)] = counts.get(str(execution.state), 0) + 1
    order = (RunState.ACTIVE, RunState.FAILED, RunState.CANCELLED, RunState.SUCCEEDED)
    decisive = min(executions, key=lambda execution: order.index(execution.state))
    starts = [execution.started_at for execution in executions if execution.started_at]
    ends = [execution.ended_at for execution in executions if execution.ended_at]
    return replace(
        decisive,
        status_known=all(execution.status_known for execution in executions),
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None) if decisive.ended else None,
        reason="; ".join(dict.fromkeys(filter(None, (execution.reason for execution in executions)))) or None,
        triggered_by=next((execution.triggered_by for execution in executions if execution.triggered_by), None),
        origin=next((execution.origin for execution in executions if execution.origin), None),
        counts=counts,
        parts=tuple(part for execution in executions for part in execution.parts),
    )
