"""Runs of Qlik Cloud: how they are started, matched, polled, explained and cancelled. No I/O, no Airflow."""

from typing import Any

from airflow_provider_qlik.runs.adapter import RunAdapter, StartableRunAdapter
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
from airflow_provider_qlik.runs.intent import Intent, marker
from airflow_provider_qlik.runs.matching import MatchTimeouts
from airflow_provider_qlik.runs.matching import find as find_run
from airflow_provider_qlik.runs.outcome import Outcome, outcome
from airflow_provider_qlik.runs.reload_tasks import ReloadTaskAdapter
from airflow_provider_qlik.runs.reloads import ReloadAdapter
from airflow_provider_qlik.runs.run import Run, RunSelector, RunState, Worker
from airflow_provider_qlik.runs.sharing_tasks import SharingTaskRunAdapter
from airflow_provider_qlik.runs.tasks import TaskRunAdapter
from airflow_provider_qlik.runs.waiting import RunWait

STARTABLE_ADAPTERS: dict[str, StartableRunAdapter[Any]] = {
    adapter.name: adapter
    for adapter in (TaskRunAdapter(), AutomationRunAdapter(), ReloadAdapter(), SharingTaskRunAdapter())
}
"""The adapters of the kinds of run that can be started, by the name of the kind."""
ADAPTERS: dict[str, RunAdapter] = {**STARTABLE_ADAPTERS, ReloadTaskAdapter.name: ReloadTaskAdapter()}
"""The adapters of all kinds of run, by the name of the kind in events and trigger arguments."""

__all__ = [
    "ADAPTERS",
    "STARTABLE_ADAPTERS",
    "AmbiguousRunError",
    "AutomationRunAdapter",
    "CannotStartError",
    "Intent",
    "MatchTimeouts",
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
    "RunSelector",
    "RunState",
    "RunWait",
    "SharingTaskRunAdapter",
    "StartableRunAdapter",
    "TaskRunAdapter",
    "WaitTimeoutError",
    "Worker",
    "disable_task",
    "enable_task",
    "find_run",
    "marker",
    "outcome",
]
