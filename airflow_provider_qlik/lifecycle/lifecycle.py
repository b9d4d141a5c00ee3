"""One run of one task attempt: start or resume it, wait for it, finish or cancel it.

An operator makes a `RunLifecycle` in `execute`, another one when it resumes after a deferral, and hands the signal
handler the first. It is the one place that changes the checkpoint, so that each step and what a retry will find belong
together. Two rules decide the order of its statements:

- The intent is stored before the start is sent, and the run directly after the response. A worker that is killed in
  between leaves an intent by which the retry finds the run.
- A signal may interrupt after any statement. At each of them either `run`, the intent or the stored run of the previous
  attempt names what `cancel_on_signal` has to cancel.

Which end leads to what:

- The run has ended: a success marks the checkpoint as completed; a failure deletes it, and a retry starts a new run.
- The wait timed out: the run is cancelled, if `cancel_on_kill`.
- The run cannot be polled or identified: it may be well, so it is not cancelled. A retry resumes it.
- The start was certainly not executed: the checkpoint is deleted. Else a retry would look for a run that does not
  exist, and could take that of somebody else for its own.

What does not work: to cancel the run on any error, "to leave nothing behind". An outage of Qlik Cloud or of Airflow
would end hours of work, although a retry can wait for the rest of it.

Not imported when a Dag file is parsed: it imports `cloud/` and `runs/`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.errors import ForbiddenError
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.lifecycle.cancellation import (
    call_in_thread,
    cancel_run,
    find_started_run,
    wait_for_previous_run,
    wait_until_cancelled,
)
from airflow_provider_qlik.lifecycle.failures import fail, fail_for_good, fail_with, message
from airflow_provider_qlik.lifecycle.finishing import explain, log_success, return_value
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.runs import (
    STARTABLE_ADAPTERS,
    AmbiguousRunError,
    Intent,
    MatchTimeouts,
    Outcome,
    Run,
    RunNotFoundError,
    RunSelector,
    RunWait,
    WaitTimeoutError,
    find_run,
)
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.starting import intend, start
from airflow_provider_qlik.text import storable_json

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore, StoredRun
    from airflow_provider_qlik.lifecycle.start_request import StartRequest


class RunLifecycle:
    """Start or resume the run of one task attempt, wait for it, and finish or cancel it.

    :param kind: the kind of run.
    :param hook: the connection; the caller closes it.
    :param checkpoint: where a retry finds the run.
    :param log: the task's log.
    :param cancel_on_kill: cancel the run when the task is killed, cleared or out of time.
    :param search: how long a started run is looked for.
    :param link: the address of Qlik's page about the run, if there is a run already.
    """

    def __init__(
        self,
        kind: str,
        hook: QlikCloudHook,
        checkpoint: CheckpointStore,
        log: Any,
        *,
        cancel_on_kill: bool,
        search: MatchTimeouts,
        link: str | None = None,
    ) -> None:
        self.hook = hook
        self.checkpoint = checkpoint
        self.link = link
        self.run: Run | None = None
        self._kind = kind
        self._log = log
        self._cancel_on_kill = cancel_on_kill
        self.search = search
        self._intent: Intent | None = None
        self._stored: StoredRun | None = None
        self._previous_cancelled = False
        self._polling = False

    # Resuming

    def resume(self) -> Run | None:
        """Return the run of the previous attempt, or None if that left none to resume.

        A run that a clear has made useless is cancelled. Raises RunError for a checkpoint that cannot be read, and
        QlikCloudError.
        """
        self._stored = stored = self.checkpoint.load()
        self._previous_cancelled = stored is not None and stored.cancelled
        self.run = None if stored is None else self._resume_stored(stored)
        self._stored = None
        return self.run

    def _resume_stored(self, stored: StoredRun) -> Run | None:
        if stored.cancelled and not stored.cleared:
            if stored.run is not None:
                wait_until_cancelled(self.hook, stored.run, self._log)
            return None
        run = stored.run or self._find_stored(stored)
        if run is None:
            return None
        current = self.hook.run_flow(STARTABLE_ADAPTERS[stored.intent.kind].poll(RunSelector.of(run)))
        if current is not None:
            current = replace(current, adopted=run.adopted, unconfirmed_since=run.unconfirmed_since, marker=run.marker)
        if stored.cleared:
            if current is not None and not current.ended and self._cancel_on_kill:
                text = f"The task was cleared or its Dag changed, and its previous run is still active: {current}"
                write(self._log, logging.INFO, text)
                cancel_run(self.hook, current, self._log)
                wait_until_cancelled(self.hook, current, self._log)
            self.checkpoint.delete()
            return None
        write(self._log, logging.INFO, f"Resuming the run of the previous attempt: {current or run}")
        self.checkpoint.save(stored.intent, run)
        return current or run

    def _find_stored(self, stored: StoredRun) -> Run | None:
        """Return the run of an attempt that ended between its start and the response to it."""
        adapter, intent = STARTABLE_ADAPTERS[stored.intent.kind], stored.intent
        if not stored.cleared:
            flow = find_run(adapter, intent, self.search, log_callback(self._log), accepted=False)
            return self.hook.run_flow(flow)
        try:
            recent = self.hook.run_flow(recent_runs(adapter, intent.resource_id, intent.earliest))
        except ForbiddenError as error:
            # The error of the previous attempt advised to check the run and then to clear the task, as has been done.
            text = f"{error} The task was cleared, and its previous run may still be active"
            write(self._log, logging.WARNING, text)
            recent = []
        return next((run for run in recent if run.shows_marker(intent.marker)), None)

    # Starting

    def start(self, request: StartRequest) -> Run:
        """Start a run, and return it once it is known which one it is.

        Raises QlikCloudError; RunNotFoundError or AmbiguousRunError if a run may have been started and cannot be
        identified.
        """
        adapter, (resource_id, mark, parameters, cleared, durable) = STARTABLE_ADAPTERS[self._kind], request
        if self._cancel_on_kill and not self.checkpoint.enabled and cleared:
            wait_for_previous_run(self.hook, self._kind, resource_id, self._log)
        intent = self.hook.run_flow(intend(adapter, resource_id, mark, parameters))
        if durable and intent.resumable is not None and not self._previous_cancelled:
            write(self._log, logging.INFO, f"Resuming the run that carries the marker of this task: {intent.resumable}")
            self.run = intent.resumable
            return self.run
        self.checkpoint.save(intent)
        self._intent = intent
        write(self._log, logging.INFO, f"Starting {adapter.name} {resource_id} with marker {mark}")
        flow = start(adapter, intent, self.search, log_callback(self._log), parameters=parameters)
        try:
            run = self.hook.run_flow(flow)
        except QlikCloudError as error:
            if not isinstance(error, (RunNotFoundError, AmbiguousRunError)) and not error.outcome_unknown:
                # Certainly nothing was started: a retry must not look for it and adopt the run of somebody else.
                self.checkpoint.delete()
                self._intent = None
            raise
        self.run = run
        self.checkpoint.save(intent, run)
        return run

    # Waiting and finishing

    def wait(self, run: Run, poll_interval: float, max_poll_interval: float, deadline: datetime | None) -> Run:
        """Wait for the run on this worker, and return it as it has ended. Raises QlikCloudError."""
        wait = RunWait(
            STARTABLE_ADAPTERS[self._kind],
            RunSelector.of(run),
            log_callback(self._log),
            known_run=run,
            deadline=deadline,
        )
        self._polling = True
        return self.hook.run_flow(wait.until_end(poll_interval, max_poll_interval), ONE_ATTEMPT, deadline=deadline)

    def outcome(self, run: Run) -> Outcome:
        """Return the outcome of an ended run, and write its log into the task's log."""
        self.run = None
        outcome = explain(self.hook, run, self._log)
        self.link = outcome.link
        return outcome

    def finish(self, outcome: Outcome, failure: str | None, collect: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the run and what *collect* returns as JSON that can be stored, or fail the task because of *failure*.

        Texts of the run are cut, those of *collect*, such as paths of files, are not.
        """
        if failure:
            self.checkpoint.delete()
            fail_with(f"{failure}. {outcome.link}")
        log_success(outcome, self._log)
        try:
            collected = collect()
        except Exception as error:
            expected = isinstance(error, (QlikCloudError, InvalidArgumentError))
            # The run has succeeded. A retry with a checkpoint only collects again; one without would start a run.
            if not self.checkpoint.enabled:
                text = f"The run succeeded, but a later step of the task failed: {message(error)}"
                if expected:
                    fail_for_good(text)
                raise AirflowFailException(message(text)) from error
            if expected:
                fail(error)
            raise
        self.checkpoint.mark_completed()
        return {**return_value(self.hook, outcome), **storable_json(collected)}

    # Failing and cancelling

    def fail(self, error: Exception, run: Run | None) -> NoReturn:
        """Fail the task because of an error that ended the wait for *run*, or that came before there was one.

        Only a time-out cancels the run. All other errors say that the run cannot be polled or identified, and the run
        itself may be well: a retry resumes it, and a clear replaces it.
        """
        self.run = None
        if run is None or run.ended:
            fail(error)
        if isinstance(error, WaitTimeoutError) and self._cancel_on_kill and self.cancel(run):
            fail(error)
        if isinstance(error, AmbiguousRunError):
            # Its text lists the runs and says that none was cancelled.
            fail(error)
        fail(error, self.active_run_notice(run))

    def cancel(self, run: Run) -> bool:
        """Cancel a run of this task, and return True if Qlik Cloud has accepted that."""
        cancelled = cancel_run(self.hook, run, self._log)
        if cancelled:
            self.checkpoint.mark_cancelled()
        return cancelled

    def handle_unexpected_error(self) -> None:
        """Leave the run to a retry if the error came of polling it and a retry can resume it; else cancel the run."""
        if self.run is None:
            return
        if self._polling and self.checkpoint.enabled:
            write(self._log, logging.ERROR, f"The wait has failed. {self.active_run_notice(self.run)}")
        elif self._cancel_on_kill:
            self.cancel(self.run)

    def cancel_on_signal(self) -> None:
        """Cancel the run from a signal handler, without waiting for its end: a killed worker has seconds left."""
        stored = self._stored
        if stored is not None and not stored.cancelled and self.run is None and self._intent is None:
            # Killed while the run of the previous attempt was being resumed: this attempt would leave it behind, too.
            self.run, self._intent = stored.run, stored.intent
        if not self._cancel_on_kill or (self.run is None and self._intent is None):
            return
        client = self.hook.beside()
        if client is None:
            return
        with client:
            run = self.run
            if run is None and self._intent is not None:
                run = find_started_run(client, self._kind, self._intent, self._log)
            if run is not None and cancel_run(client, run, self._log):
                # The interrupted code may hold the lock of Airflow's channel to its supervisor.
                call_in_thread(self.checkpoint.mark_cancelled)

    def active_run_notice(self, run: Run) -> str:
        """Return the sentences that follow an error after which the run was not cancelled."""
        whose = "was started by somebody else" if run.adopted else "was not cancelled"
        advice = (
            " A retry resumes it; clearing this task starts a new run."
            if self.checkpoint.enabled and not run.adopted
            else ""
        )
        link = f" Check it in Qlik Cloud: {self.link}." if self.link else ""
        return f"The run may still be active, and {whose}.{advice}{link} {run}"
