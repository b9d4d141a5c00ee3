"""What a run of Qlik Cloud is and how it is started, found, watched, explained and ended. No I/O, no Airflow."""

from airflow_provider_qlik.runs.automations import AutomationRuns
from airflow_provider_qlik.runs.errors import (
    AmbiguousRun,
    CannotStart,
    RunError,
    RunGone,
    RunNotFound,
    WaitTimedOut,
)
from airflow_provider_qlik.runs.find import Intent, Search
from airflow_provider_qlik.runs.kind import RunKind
from airflow_provider_qlik.runs.outcome import Outcome, outcome
from airflow_provider_qlik.runs.run import Run, State, Wanted, Worker
from airflow_provider_qlik.runs.tasks import TaskRuns
from airflow_provider_qlik.runs.watch import Watch

KINDS: dict[str, RunKind] = {kind.name: kind for kind in (TaskRuns(), AutomationRuns())}
"""All kinds of run by name, as they stand in events and trigger arguments."""

__all__ = [
    "KINDS",
    "AmbiguousRun",
    "AutomationRuns",
    "CannotStart",
    "Intent",
    "Outcome",
    "Run",
    "RunError",
    "RunGone",
    "RunKind",
    "RunNotFound",
    "Search",
    "State",
    "TaskRuns",
    "WaitTimedOut",
    "Wanted",
    "Watch",
    "Worker",
    "outcome",
]
