"""What a run of Qlik Cloud is and how it is started, found, watched, explained and ended. No I/O, no Airflow."""

from airflow_provider_qlik.runs.automations import AutomationRuns
from airflow_provider_qlik.runs.enabling import disable_task, enable_task
from airflow_provider_qlik.runs.errors import (
    AmbiguousRun,
    CannotStart,
    ReloadPending,
    RunError,
    RunGone,
    RunNotFound,
    RunNotVisible,
    WaitTimedOut,
)
from airflow_provider_qlik.runs.find import Intent, Search, marker
from airflow_provider_qlik.runs.find import find as find_run
from airflow_provider_qlik.runs.kind import RunKind
from airflow_provider_qlik.runs.outcome import Outcome, outcome
from airflow_provider_qlik.runs.reload_tasks import ReloadTaskExecutions
from airflow_provider_qlik.runs.reloads import ReloadRuns
from airflow_provider_qlik.runs.run import Run, State, Wanted, Worker
from airflow_provider_qlik.runs.sharing_tasks import SharingTaskRuns
from airflow_provider_qlik.runs.tasks import TaskRuns
from airflow_provider_qlik.runs.watch import Watch

KINDS: dict[str, RunKind] = {
    kind.name: kind for kind in (TaskRuns(), AutomationRuns(), ReloadRuns(), SharingTaskRuns(), ReloadTaskExecutions())
}
"""All kinds of run by name, as they stand in events and trigger arguments."""

__all__ = [
    "KINDS",
    "AmbiguousRun",
    "AutomationRuns",
    "CannotStart",
    "Intent",
    "Outcome",
    "ReloadPending",
    "ReloadRuns",
    "ReloadTaskExecutions",
    "Run",
    "RunError",
    "RunGone",
    "RunKind",
    "RunNotFound",
    "RunNotVisible",
    "Search",
    "SharingTaskRuns",
    "State",
    "TaskRuns",
    "WaitTimedOut",
    "Wanted",
    "Watch",
    "Worker",
    "disable_task",
    "enable_task",
    "find_run",
    "marker",
    "outcome",
]
