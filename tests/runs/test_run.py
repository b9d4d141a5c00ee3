"""What a status comes to, and a run as a value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik.cloud.models.automations import AutomationRun
from airflow_provider_qlik.cloud.models.tasks import TaskRun
from airflow_provider_qlik.runs import Run, RunSelector, RunState, Worker
from tests.runs.conftest import AUTOMATION, TASK

ACTIVE, SUCCEEDED, FAILED, CANCELLED = RunState.ACTIVE, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED
ENDED = "2026-11-22T06:05:00Z"

# Kind, Qlik's word, what it means without an end time, and with one.
STATUSES = [
    ("task", "RUNNING", ACTIVE, ACTIVE),
    ("task", "SUCCEEDED", SUCCEEDED, SUCCEEDED),
    ("task", "FAILED", FAILED, FAILED),
    ("task", "QUEUED", ACTIVE, ACTIVE),
    ("task", "STARTED", ACTIVE, ACTIVE),
    ("task", "PENDING", ACTIVE, ACTIVE),
    ("task", "CANCELLED", CANCELLED, CANCELLED),
    ("task", "CANCELED", CANCELLED, CANCELLED),
    ("task", "ABORTED", CANCELLED, CANCELLED),
    ("task", "ABORTING", ACTIVE, CANCELLED),
    ("task", "EXCEEDED_LIMIT", FAILED, FAILED),
    ("task", "WONDERFUL", ACTIVE, FAILED),
    ("task", "FINISHED", ACTIVE, FAILED),
    ("task", "TIMED_OUT", ACTIVE, FAILED),
    ("task", "USER_ABORT", ACTIVE, CANCELLED),
    ("task", "", ACTIVE, FAILED),
    ("automation", "not started", ACTIVE, ACTIVE),
    ("automation", "queued", ACTIVE, ACTIVE),
    ("automation", "starting", ACTIVE, ACTIVE),
    ("automation", "running", ACTIVE, ACTIVE),
    ("automation", "paused", ACTIVE, ACTIVE),
    ("automation", "must stop", ACTIVE, CANCELLED),
    ("automation", "finished", SUCCEEDED, SUCCEEDED),
    ("automation", "finished with warnings", SUCCEEDED, SUCCEEDED),
    ("automation", "failed", FAILED, FAILED),
    ("automation", "exceeded limit", FAILED, FAILED),
    ("automation", "stopped", CANCELLED, CANCELLED),
    ("automation", "wonderful", ACTIVE, FAILED),
    ("automation", "succeeded", ACTIVE, FAILED),
    ("automation", "cancelled by owner", ACTIVE, CANCELLED),
]


def read(kind: str, status: str, ended: str | None) -> Run:
    if kind == "task":
        return TASK.run_of("t", TaskRun.from_json({"id": "r", "status": status, "endedAt": ended}))
    return AUTOMATION.run_of("a", AutomationRun.from_json({"id": "r", "status": status, "stopTime": ended}))


@pytest.mark.parametrize(("kind", "status", "going_on", "over"), STATUSES)
@pytest.mark.parametrize("write", [str, str.upper, str.lower, str.title], ids=lambda write: write.__name__)
def test_a_status_means_the_same_however_it_is_written(
    kind: str, status: str, going_on: RunState, over: RunState, write: Any
) -> None:
    assert read(kind, write(status), None).state is going_on
    assert read(kind, write(status), ENDED).state is over
    assert read(kind, write(status), ENDED).status == write(status)


def test_only_the_documented_words_are_a_success() -> None:
    succeeded = {(kind, status) for kind, status, *_ in STATUSES if read(kind, status, ENDED).state is SUCCEEDED}

    assert succeeded == {
        ("task", "SUCCEEDED"),
        ("automation", "finished"),
        ("automation", "finished with warnings"),
    }


BEGAN = datetime(2026, 11, 22, 6, tzinfo=UTC)
FULL = Run(
    kind="task",
    resource_id="t",
    id="r",
    state=FAILED,
    status="FAILED",
    name="Refresh",
    created_at=BEGAN - timedelta(seconds=1),
    started_at=BEGAN,
    ended_at=BEGAN + timedelta(minutes=5),
    reason="no such table",
    triggered_by="manual",
    worker=Worker("reloads", "w", "app"),
    unconfirmed_since=BEGAN - timedelta(seconds=2),
)
BARE = Run(kind="automation", resource_id="a", id="r", state=ACTIVE, status="queued")


@pytest.mark.parametrize("run", [FULL, BARE], ids=["full", "bare"])
def test_a_run_survives_being_written_as_json(run: Run) -> None:
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_a_run_is_written_without_its_log() -> None:
    run = TASK.run_of("t", TaskRun.from_json({"id": "r", "status": "FAILED", "log": "a secret in it"}))

    assert run.log == "a secret in it"
    assert "secret" not in json.dumps(run.to_json()) + repr(run) + str(run)


def test_a_run_knows_how_long_it_took() -> None:
    assert FULL.to_json()["seconds"] == 300.0
    assert BARE.seconds is None


def test_a_run_that_has_not_begun_has_the_moment_it_was_made() -> None:
    queued = {"id": "r", "status": "queued", "createdAt": "2026-11-22T06:00:00.000000Z"}

    assert AUTOMATION.run_of("a", AutomationRun.from_json(queued)).moment == BEGAN


def test_a_selector_reads_as_a_phrase() -> None:
    assert str(RunSelector(resource_id="t")) == "the last run"
    assert str(RunSelector(resource_id="t", run_id="r")) == "run r"
    assert str(RunSelector(resource_id="t", started_after=BEGAN)) == (
        "the first run begun at or after 2026-11-22T06:00:00+00:00"
    )
