"""Cancelling runs: a task run is cancelled through its worker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_qlik.cloud import StatusError
from airflow_provider_qlik.runs import MatchTimeouts, Run, RunError, RunSelector, RunState, StartableRunAdapter
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.runs.starting import start
from airflow_provider_qlik.sandbox import Script
from tests.runs.conftest import AUTOMATION, TASK, Stage

LONG = Script(run=3600)
STOP = {"reloads": "cancel_reload", "automations": "stop_automation_run", None: "stop_automation_run"}

# The kind, and the type of the worker behind a task run.
everything = pytest.mark.parametrize(
    ("kind", "worker"),
    [(TASK, "reloads"), (TASK, "automations"), (AUTOMATION, None)],
    ids=["task by reload", "task by automation", "automation"],
)


def started(stage: Stage, kind: StartableRunAdapter[Any], worker: str | None, script: Script = LONG) -> Run:
    resource_id = stage.sandbox.add_task(worker=worker) if worker is not None else stage.sandbox.add_automation()
    stage.sandbox.script(resource_id, script)
    run = stage.start(kind, resource_id)
    stage.sandbox.clear_request_log()
    return run


def cancel_requested(stage: Stage, run: Run) -> list[str]:
    """Return the runs of which a cancel was requested."""
    return [seen["id"] for seen in stage.sandbox.runs(run.resource_id) if seen["cancel_requested_at"]]


@everything
def test_a_run_is_stopped_and_no_other(stage: Stage, kind: StartableRunAdapter[Any], worker: str | None) -> None:
    run = started(stage, kind, worker)
    stage.sandbox.add_run(run.resource_id, started_ago=10, script=LONG)

    result = stage.run(cancel_polled(kind, run))

    assert cancel_requested(stage, run) == [run.id]
    work = f"{'reload' if worker == 'reloads' else 'automation run'} {run.worker.id if run.worker else run.id}"
    assert result == f"Requested the cancel of {work}"
    assert stage.posts() == [STOP[worker]]
    assert stage.until_end(kind, RunSelector.of(run)).state is not RunState.SUCCEEDED


@everything
@pytest.mark.parametrize("answer", ["accepted", "refused"])
def test_stopping_a_run_that_has_ended_is_no_error(
    stage: Stage, kind: StartableRunAdapter[Any], worker: str | None, answer: str
) -> None:
    stage.sandbox.switch(stop_ended=answer)
    run = started(stage, kind, worker, Script(run=5))
    stage.sandbox.advance(10)

    result = stage.run(cancel_polled(kind, run))

    assert result.endswith("has ended") is (worker == "reloads" or answer == "refused")
    assert cancel_requested(stage, run) == []


@everything
@pytest.mark.parametrize("status", [404, 409])
def test_stopping_what_is_gone_is_no_error(
    stage: Stage, kind: StartableRunAdapter[Any], worker: str | None, status: int
) -> None:
    run = started(stage, kind, worker)
    stage.sandbox.fault(operation=STOP[worker], status=status)

    assert stage.run(cancel_polled(kind, run)).startswith("There was nothing to cancel")


@everything
@pytest.mark.parametrize("status", [400, 403, 500])
def test_that_a_run_which_goes_on_could_not_be_stopped_is_an_error(
    stage: Stage, kind: StartableRunAdapter[Any], worker: str | None, status: int
) -> None:
    run = started(stage, kind, worker)
    stage.sandbox.fault(operation=STOP[worker], times=None, status=status)

    with pytest.raises(StatusError, match=str(status)):
        stage.run(cancel_polled(kind, run))


@pytest.mark.parametrize("worker", ["reloads", "Reload", "RELOADS", ""])
def test_reloads_are_known_however_their_type_is_written(stage: Stage, worker: str) -> None:
    run = started(stage, TASK, "reloads")
    assert run.worker is not None

    stage.run(cancel_polled(TASK, replace(run, worker=replace(run.worker, type=worker))))

    assert cancel_requested(stage, run) == [run.id]


def test_a_worker_of_an_unknown_type_is_an_error_that_names_it_and_sends_no_request(stage: Stage) -> None:
    run = started(stage, TASK, "dataflows")

    with pytest.raises(RunError, match=f"is a 'dataflows', which this package cannot cancel .*{run.id}"):
        stage.run(cancel_polled(TASK, run))

    assert stage.sandbox.request_log() == []


def test_a_worker_that_was_not_known_yet_is_read(stage: Stage) -> None:
    """A run may have no worker right after the start."""
    run = started(stage, TASK, "reloads")

    stage.run(cancel_polled(TASK, replace(run, worker=None)))

    assert cancel_requested(stage, run) == [run.id]


@pytest.mark.parametrize("left", [[], None], ids=["no run", "no worker"])
def test_a_run_without_a_worker_is_an_error_that_says_so(stage: Stage, left: Any) -> None:
    run = started(stage, TASK, "reloads")
    seen = [{"id": run.id, "status": "RUNNING"}] if left is None else left
    stage.sandbox.fault(operation="list_task_runs", body={"data": seen})

    with pytest.raises(RunError, match="names no worker"):
        stage.run(cancel_polled(TASK, replace(run, worker=None)))


@pytest.mark.parametrize("word", ["FAILED", "CANCELLED", "CANCELED", "ABORTED", "Somehow stopped"])
def test_a_task_run_whose_worker_was_stopped_ends_whatever_it_is_called(stage: Stage, word: str) -> None:
    stage.sandbox.switch(cancelled_task_status=word)
    run = started(stage, TASK, "reloads")
    stage.run(cancel_polled(TASK, run))

    ended = stage.until_end(TASK, RunSelector.of(run))

    assert ended.state is (RunState.FAILED if word == "FAILED" else RunState.CANCELLED)


def test_a_run_that_is_queued_can_be_stopped(stage: Stage) -> None:
    automation = stage.sandbox.add_automation(maxConcurrentRuns=1)
    stage.sandbox.script(automation, LONG)
    stage.start(AUTOMATION, automation)
    run = stage.run(start(AUTOMATION, stage.intend(AUTOMATION, automation), MatchTimeouts(), stage.write_log))
    assert run.status == "queued"

    stage.run(cancel_polled(AUTOMATION, run))

    assert cancel_requested(stage, run) == [run.id]
