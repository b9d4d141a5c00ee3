"""Runs of sharing tasks (reports, subscriptions): one execution for each recipient, together one workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import sharing_tasks
from airflow_provider_qlik.cloud.call import Call, Flow, send
from airflow_provider_qlik.cloud.errors import ConflictError, NotFoundError
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution, SharingTaskExecutionList
from airflow_provider_qlik.runs.adapter import Resource, RunAdapter
from airflow_provider_qlik.runs.cancelling import insist
from airflow_provider_qlik.runs.matching import Intent, LogCallback
from airflow_provider_qlik.runs.run import Run, RunState, StatusMap, Worker

AT_WORK = "IN_PROGRESS"
FINE = frozenset({"VALID", AT_WORK, "CANCELLING", "CANCELLED"})


class SharingTaskRunAdapter(RunAdapter):
    """How runs of sharing tasks are handled. A run is a workflow: its id is that of the workflow.

    It is over when all its executions are, and none has come since the task was no longer at work.
    """

    name: ClassVar[str] = "sharing_task"
    cancelled_together: ClassVar[bool] = True
    last_page_size: ClassVar[int] = 200
    id_names: ClassVar[tuple[str, ...]] = ("workflowID", "id")
    enable_hint: ClassVar[str] = "look at the sharing task in Qlik Cloud"
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"initialized", "in-progress", "presuccessful"}),
        succeeded=frozenset({"successful"}),
        failed=frozenset({"failed", "invalid"}),
        cancelled=frozenset({"cancelled", "canceled"}),
        stopping=frozenset({"cancelling", "canceling"}),
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """The sharing task."""
        task = yield from send(sharing_tasks.get(resource_id))
        off = task.status_code if task.status_code and task.status_code.upper() not in FINE else None
        because = off or ("it is switched off" if task.enabled is False else None)
        return Resource(resource_id, task.name, because, task.space_id)

    def newest(self, resource_id: str, limit: int) -> Call[SharingTaskExecutionList]:
        """The call for the executions of a sharing task."""
        return sharing_tasks.executions(resource_id, sort="-starttime", limit=limit)

    def run_of(self, resource_id: str, item: SharingTaskExecution) -> Run:
        """The run in an item of the list: as if it were its workflow's only execution."""
        state = self.status_map.state(item.status, item.ended_at is not None)
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.workflow_id or item.id,
            state=state,
            status=item.status,
            known_word=self.status_map.knows(item.status),
            started_at=item.started_at,
            ended_at=item.ended_at,
            reason=item.error_text,
            triggered_by=f"reload {item.reload_id}" if item.reload_id else None,
            worker=Worker("execution", item.id, item.app_id),
            counts={str(state): 1},
            parts=(item.id,),
        )

    def group(self, runs: Sequence[Run]) -> list[Run]:
        """One run for each workflow, in the order of the first of its executions."""
        workflows: dict[str, list[Run]] = {}
        for run in runs:
            workflows.setdefault(run.id, []).append(run)
        return [_together(executions) for executions in workflows.values()]

    def recent(self, resource_id: str, since: datetime | None, run_id: str | None = None) -> Flow[list[Run]]:
        """Return the runs that a start of ours can have made: not those that a reload of the app has caused."""
        runs = yield from super().recent(resource_id, since, run_id)
        return [run for run in runs if run.triggered_by is None]

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """None: Qlik does not say which executions it makes."""
        yield from send(sharing_tasks.execute(intent.resource_id))
        return None

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """One run, with all executions that there are by now."""
        run = yield from self._find(resource_id, run_id)
        if run is None or not run.ended:
            return run
        task = yield from send(sharing_tasks.get(resource_id))
        if (task.status_code or "").upper() == AT_WORK:
            return replace(run, state=RunState.ACTIVE, status="more to come", ended_at=None)
        # Asked in this order, nothing slips through: whatever the task still made before it was done is there now.
        return (yield from self._find(resource_id, run_id))

    def settled(self, run: Run) -> Flow[Run]:
        """A run found in the list: whether it is over takes a second look."""
        return ((yield from self.get(run.resource_id, run.id)) or run) if run.ended else run

    def _find(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        begun = False

        def past(page: Sequence[Run]) -> bool:
            nonlocal begun
            here = any(run.id == run_id for run in page)
            over, begun = begun and not here, begun or here
            return over

        runs = yield from self._collect(resource_id, past, 200, run_id)
        return next((run for run in runs if run.id == run_id), None)

    def cancel(self, run: Run) -> Flow[str]:
        """The sharing task is asked to stop: a single run cannot be."""
        try:
            yield from insist(sharing_tasks.cancel(run.resource_id))
        except (ConflictError, NotFoundError):
            return f"nothing: sharing task {run.resource_id} is not at work"
        return f"sharing task {run.resource_id}"

    def log(self, run: Run) -> Flow[str]:
        """Nothing: Qlik keeps no log of these runs."""
        yield from ()
        return ""

    def reason(self, run: Run) -> Flow[str | None]:
        """What the executions say."""
        yield from ()
        return run.reason

    def page(self, run: Run) -> str:
        """The page of the app that the reports are made of."""
        return f"/sense/app/{run.worker.resource_id}" if run.worker and run.worker.resource_id else "/"


def _together(executions: Sequence[Run]) -> Run:
    """The run that some executions make up: as active as any, as bad as the worst."""
    counts: dict[str, int] = {}
    for execution in executions:
        counts[str(execution.state)] = counts.get(str(execution.state), 0) + 1
    order = (RunState.ACTIVE, RunState.FAILED, RunState.CANCELLED, RunState.SUCCEEDED)
    decisive = min(executions, key=lambda execution: order.index(execution.state))
    starts = [execution.started_at for execution in executions if execution.started_at]
    ends = [execution.ended_at for execution in executions if execution.ended_at]
    return replace(
        decisive,
        known_word=all(execution.known_word for execution in executions),
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None) if decisive.ended else None,
        reason="; ".join(dict.fromkeys(filter(None, (execution.reason for execution in executions)))) or None,
        triggered_by=next((execution.triggered_by for execution in executions if execution.triggered_by), None),
        counts=counts,
        parts=tuple(part for execution in executions for part in execution.parts),
    )
