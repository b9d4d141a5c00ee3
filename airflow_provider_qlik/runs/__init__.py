"""What a run of Qlik Cloud is and how it is started, found, watched, explained and ended. No I/O, no Airflow."""

from airflow_provider_qlik.runs.adapter import RunAdapter
from airflow_provider_qlik.runs.automations import AutomationRunAdapter
from airflow_provider_qlik.runs.enabling import disable_task, enable_task
from airflow_provider_qlik.runs.errors import (
    AmbiguousRunError,
    CannotStartError,
    ReloadPendingError,
    RunError,
    RunGoneError,
    RunNotFoundError,
    RunNotVisibleError,
    WaitTimeoutError,
)
from airflow_provider_qlik.runs.matching import Intent, Search, marker
from airflow_provider_qlik.runs.matching import find as find_run
from airflow_provider_qlik.runs.outcome import Outcome, outcome
from airflow_provider_qlik.runs.reload_tasks import ReloadTaskAdapter
from airflow_provider_qlik.runs.reloads import ReloadAdapter
from airflow_provider_qlik.runs.run import Run, RunSelector, RunState, Worker
from airflow_provider_qlik.runs.sharing_tasks import SharingTaskRunAdapter
from airflow_provider_qlik.runs.tasks import TaskRunAdapter
from airflow_provider_qlik.runs.waiting import RunWait

ADAPTERS: dict[str, RunAdapter] = {
    kind.name: kind
    for kind in (
        TaskRunAdapter(),
        AutomationRunAdapter(),
        ReloadAdapter(),
        SharingTaskRunAdapter(),
        ReloadTaskAdapter(),
    )
}
"""All kinds of run by name, as they stand in events and trigger arguments."""

__all__ = [
    "KINDS",
    "AmbiguousRunError",
    "AutomationRunAdapter",
    "CannotStartError",
    "Intent",
    "Outcome",
    "ReloadAdapter",
    "ReloadPendingError",
    "ReloadTaskAdapter",
    "Run",
    "RunAdapter",
    "RunError",
    "RunGoneError",
    "RunNotFoundError",
    "RunNotVisibleError",
    "Search",
    "SharingTaskRunAdapter",
    "State",
    "TaskRunAdapter",
    "WaitTimeoutError",
    "Wanted",
    "Watch",
    "Worker",
    "disable_task",
    "enable_task",
    "find_run",
    "marker",
    "outcome",
]
