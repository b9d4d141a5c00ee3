"""Every status of every kind of run, and an unknown one, in Qlik's responses."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik.cloud.models.automations import AutomationRun
from airflow_provider_qlik.cloud.models.reloads import Reload
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution
from airflow_provider_qlik.cloud.models.tasks import TaskRun
from airflow_provider_qlik.runs import ADAPTERS, STARTABLE_ADAPTERS

HOW: dict[str, tuple[Any, str]] = {
    "task": (TaskRun, "endedAt"),
    "automation": (AutomationRun, "stopTime"),
    "reload": (Reload, "endTime"),
    "sharing_task": (SharingTaskExecution, "endTime"),
}

# The state without an end time, and with one. `RunWait` resolves an active status with an end time.
TABLE = [
    ("task", "RUNNING", "active", "active"),
    ("task", "SUCCEEDED", "succeeded", "succeeded"),
    ("task", "FAILED", "failed", "failed"),
    ("task", "CANCELLED", "cancelled", "cancelled"),
    ("task", "ABORTED", "cancelled", "cancelled"),
    ("task", "EVAPORATED", "active", "failed"),
    ("automation", "not started", "active", "active"),
    ("automation", "queued", "active", "active"),
    ("automation", "starting", "active", "active"),
    ("automation", "running", "active", "active"),
    ("automation", "paused", "active", "active"),
    ("automation", "must stop", "active", "cancelled"),
    ("automation", "finished", "succeeded", "succeeded"),
    ("automation", "finished with warnings", "succeeded", "succeeded"),
    ("automation", "failed", "failed", "failed"),
    ("automation", "stopped", "cancelled", "cancelled"),
    ("automation", "exceeded limit", "failed", "failed"),
    ("automation", "evaporated", "active", "failed"),
    ("reload", "QUEUED", "active", "active"),
    ("reload", "RELOADING", "active", "active"),
    ("reload", "CANCELING", "active", "cancelled"),
    ("reload", "SUCCEEDED", "succeeded", "succeeded"),
    ("reload", "FAILED", "failed", "failed"),
    ("reload", "CANCELED", "cancelled", "cancelled"),
    ("reload", "EXCEEDED_LIMIT", "failed", "failed"),
    ("reload", "EVAPORATED", "active", "failed"),
    ("sharing_task", "initialized", "active", "active"),
    ("sharing_task", "in-progress", "active", "active"),
    ("sharing_task", "presuccessful", "active", "active"),
    ("sharing_task", "cancelling", "active", "cancelled"),
    ("sharing_task", "successful", "succeeded", "succeeded"),
    ("sharing_task", "failed", "failed", "failed"),
    ("sharing_task", "cancelled", "cancelled", "cancelled"),
    ("sharing_task", "invalid", "failed", "failed"),
    ("sharing_task", "evaporated", "active", "failed"),
]


@pytest.mark.parametrize(("kind", "status", "going", "ended"), TABLE, ids=lambda value: str(value))
def test_a_status_comes_to_a_state(kind: str, status: str, going: str, ended: str) -> None:
    shape, end = HOW[kind]
    for spelled in (status, status.upper(), f" {status.lower()} "):
        runs = [
            STARTABLE_ADAPTERS[kind].run_of("resource", shape.from_json({"id": "run", "status": spelled, **more}))
            for more in ({}, {end: "2026-11-22T08:00:00Z"})
        ]
        assert [str(run.state) for run in runs] == [going, ended]
        assert [run.status_known for run in runs] == [status.lower() != "evaporated"] * 2


def test_an_unknown_status_is_never_a_success() -> None:
    for kind in HOW:
        status_map = ADAPTERS[kind].status_map
        assert {str(status_map.state(word, True)) for word in ("evaporated", "aborted by hand", "success?")} <= {
            "failed",
            "cancelled",
        }
