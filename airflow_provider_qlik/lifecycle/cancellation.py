"""Cancelling the run of a task: in order, and from a signal handler."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_qlik.cloud import QlikCloudError
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT, RetryPolicy
from airflow_provider_qlik.lifecycle.deferral import deadline_in
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.runs import ADAPTERS, STARTABLE_ADAPTERS, Intent, Run, RunSelector, RunWait
from airflow_provider_qlik.runs.cancelling import cancel, must_end_before_start
from airflow_provider_qlik.runs.listing import recent_runs

if TYPE_CHECKING:
    from airflow_provider_qlik.cloud import Client
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

    FlowRunner: TypeAlias = Client | QlikCloudHook

MAX_CANCEL_WAIT = 120.0
"""Seconds that a task waits, at most, until a cancelled run has ended and its resource can be run again."""
MAX_PREVIOUS_RUN_WAIT = 60.0
"""Seconds that a cleared task waits, where Airflow has no task state store, for its previous run to end."""


def cancel_run(runner: FlowRunner, run: Run, log: Any) -> bool:
    """Cancel a run and return True if Qlik Cloud has accepted that. An adopted run is not cancelled.

    A failure is logged and not raised: the caller fails for a reason of its own, which must reach the user.
    """
    if run.adopted:
        write(log, logging.INFO, f"The run was started by another user or schedule and is not cancelled: {run}")
        return False
    try:
        result = runner.run_flow(cancel(ADAPTERS[run.kind], run), RetryPolicy(max_attempts=2, max_total_wait=4.0))
    except QlikCloudError as error:
        write(log, logging.ERROR, f"{run} could not be cancelled and may still be active: {error}")
        return False
    write(log, logging.INFO, f"{result}.")
    return True


def wait_until_cancelled(runner: FlowRunner, run: Run, log: Any) -> None:
    """Wait until a cancelled run has ended, if its resource cannot be run again before; at most `MAX_CANCEL_WAIT`."""
    adapter = STARTABLE_ADAPTERS[run.kind]
    if run.adopted or not must_end_before_start(adapter):
        return
    wait = RunWait(adapter, RunSelector.of(run), log_callback(log), deadline=deadline_in(MAX_CANCEL_WAIT))
    try:
        runner.run_flow(wait.until_end(1.0), ONE_ATTEMPT)
    except QlikCloudError as error:
        write(log, logging.WARNING, error)


def wait_for_previous_run(runner: FlowRunner, kind: str, resource_id: str, log: Any) -> None:
    """Wait until no run is active, if another could not start beside it; for `MAX_PREVIOUS_RUN_WAIT` at most.

    After a clear of a deferred task, its old trigger cancels the old run: perhaps only when the new attempt has begun.
    Without a task state store that run cannot be distinguished from those of other users, so the wait is short.
    """
    adapter = STARTABLE_ADAPTERS[kind]
    if not must_end_before_start(adapter):
        return
    try:
        for run in runner.run_flow(recent_runs(adapter, resource_id, None)):
            # A run of another origin blocks the start of a kind that has one run at a time, and no other kind.
            if not run.ended and (adapter.one_at_a_time or adapter.can_be_api_run(run)):
                write(log, logging.INFO, f"The task was cleared: waiting until its previous run has ended: {run}")
                deadline = deadline_in(MAX_PREVIOUS_RUN_WAIT)
                wait = RunWait(adapter, RunSelector.of(run), log_callback(log), deadline=deadline)
                runner.run_flow(wait.until_end(1.0), ONE_ATTEMPT)
    except QlikCloudError as error:
        write(log, logging.WARNING, f"{error}. The new run is started nevertheless")


def find_started_run(runner: FlowRunner, kind: str, intent: Intent, log: Any) -> Run | None:
    """Return the run of a start whose response has not arrived yet, if its marker identifies it already.

    One attempt, for a signal handler. An error names the resource whose run may have been started.
    """
    try:
        flow = recent_runs(STARTABLE_ADAPTERS[kind], intent.resource_id, intent.earliest)
        recent = runner.run_flow(flow, ONE_ATTEMPT)
    except QlikCloudError as error:
        write(log, logging.WARNING, error)
        recent = []
    known_run_ids = intent.known_run_ids or ()
    run = next((run for run in recent if run.id not in known_run_ids and run.shows_marker(intent.marker)), None)
    if run is None:
        write(
            log,
            logging.ERROR,
            "The task was killed before its run was found: a run may have been started and may still be active."
            f" Check it in Qlik Cloud: {kind} {intent.resource_id}",
        )
    return run


def call_in_thread(function: Callable[[], object], seconds: float = 1.0) -> None:
    """Call a function in a thread of its own and wait for it no longer than *seconds*."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(seconds)
