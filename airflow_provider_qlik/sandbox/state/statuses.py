"""What Qlik calls the state of a run, in each kind of run's own words."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_qlik.sandbox.state.records import Execution
from airflow_provider_qlik.sandbox.state.script import Life, Phase
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
_EXECUTION_WORDS = {
    Phase.HELD: "initialized",
    Phase.WAITING: "initialized",
    Phase.RUNNING: "in-progress",
    Phase.STOPPING: "cancelling",
}


def task_run_status(life: Life, switches: Switches, now: datetime) -> str:
    """The status word of a task run."""
    return _status(life, now, _TASK_WORDS, switches.cancelled_task_status, _OTHER_ENDS)


def reload_status(life: Life, now: datetime) -> str:
    """The status word of a reload."""
    return _status(life, now, _RELOAD_WORDS, "CANCELED", _OTHER_ENDS)


def automation_run_status(life: Life, now: datetime) -> str:
    """The status word of an automation run."""
    return _status(life, now, _AUTOMATION_WORDS, "stopped", _AUTOMATION_ENDS)


def execution_status(execution: Execution, now: datetime) -> str:
    """The status word of one execution of a sharing task."""
    life = execution.life
    delivering = life.finish and life.finish - timedelta(seconds=execution.delivery)
    if life.phase(now) is Phase.RUNNING and execution.delivery and delivering and now >= delivering:
        return "presuccessful"
    return _status(life, now, _EXECUTION_WORDS, "cancelled", _EXECUTION_ENDS)


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
