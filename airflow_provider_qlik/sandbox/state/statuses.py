"""The status of a run, in the words of each kind of run."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_qlik.sandbox.state.records import Execution
from airflow_provider_qlik.sandbox.state.script import Phase, Progress
from airflow_provider_qlik.sandbox.state.switches import Switches

_AUTOMATION_ENDS = {"SUCCEEDED": "finished", "FAILED": "failed"}
_EXECUTION_ENDS = {"SUCCEEDED": "successful", "FAILED": "failed", "CANCELED": "cancelled"}
_OTHER_ENDS = {
    "finished": "SUCCEEDED",
    "finished with warnings": "SUCCEEDED",
    "failed": "FAILED",
    "stopped": "FAILED",
    "exceeded limit": "FAILED",
}
_TASK_STATUSES = dict.fromkeys(Phase, "RUNNING")
_RELOAD_STATUSES = {
    Phase.HELD: "QUEUED",
    Phase.WAITING: "QUEUED",
    Phase.RUNNING: "RELOADING",
    Phase.CANCELLING: "CANCELING",
}
_AUTOMATION_STATUSES = {
    Phase.HELD: "queued",
    Phase.WAITING: "not started",
    Phase.RUNNING: "running",
    Phase.CANCELLING: "must stop",
}
_EXECUTION_STATUSES = {
    Phase.HELD: "initialized",
    Phase.WAITING: "initialized",
    Phase.RUNNING: "in-progress",
    Phase.CANCELLING: "cancelling",
}


def task_run_status(progress: Progress, switches: Switches, now: datetime) -> str:
    """Return the status of a task run."""
    return _status(progress, now, _TASK_STATUSES, switches.cancelled_task_status, _OTHER_ENDS)


def reload_status(progress: Progress, now: datetime) -> str:
    """Return the status of a reload."""
    return _status(progress, now, _RELOAD_STATUSES, "CANCELED", _OTHER_ENDS)


def automation_run_status(progress: Progress, now: datetime) -> str:
    """Return the status of an automation run."""
    return _status(progress, now, _AUTOMATION_STATUSES, "stopped", _AUTOMATION_ENDS)


def execution_status(execution: Execution, now: datetime) -> str:
    """Return the status of one execution of a sharing task."""
    progress = execution.progress
    delivering = progress.finish and progress.finish - timedelta(seconds=execution.delivery)
    if progress.phase(now) is Phase.RUNNING and execution.delivery and delivering and now >= delivering:
        return "presuccessful"
    return _status(progress, now, _EXECUTION_STATUSES, "cancelled", _EXECUTION_ENDS)


def _status(progress: Progress, now: datetime, active: dict[Phase, str], cancelled: str, ends: dict[str, str]) -> str:
    phase = progress.phase(now)
    if phase is Phase.CANCELLED:
        return cancelled
    if phase is Phase.ENDED:
        end = progress.script.end or ""
        return ends.get(end, end)
    if phase in (Phase.HELD, Phase.WAITING) and progress.script.waiting_as:
        return progress.script.waiting_as
    if phase is Phase.RUNNING and progress.script.running_as:
        return progress.script.running_as
    return active[phase]
