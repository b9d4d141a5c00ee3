"""The run of a task with its chain, on a worker: wait for both, say how both ended, cancel both.

The run of the first task is the one that a retry resumes. The chain is found anew from it (`runs.task_chain`), so the
checkpoint needs no further entry.

Not imported when a Dag file is parsed: it imports `cloud/` and `runs/`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT, RetryPolicy
from airflow_provider_qlik.lifecycle.lifecycle import RunLifecycle
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.runs import Run, WaitTimeoutError
from airflow_provider_qlik.runs.chain_cancelling import cancel_chain
from airflow_provider_qlik.runs.chain_links import TaskChain
from airflow_provider_qlik.runs.task_chain import ChainWait, read_chain
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.cancellation import FlowRunner
    from airflow_provider_qlik.lifecycle.checkpoint import StoredRun

CANCEL_TIME = 30.0
"""Seconds for which a cancelled chain is watched for runs that Qlik Cloud still starts."""


class TaskChainLifecycle(RunLifecycle):
    """As `RunLifecycle`, with the chain of the task; `chain` has its links once they are known."""

    chain: TaskChain | None = None

    def wait(self, run: Run, poll_interval: float, max_poll_interval: float, deadline: datetime | None) -> Run:
        """Wait for the run and its chain on this worker, and return the run as it has ended. Raises QlikCloudError."""
        ended = super().wait(run, poll_interval, max_poll_interval, deadline)
        self.follow(ended, poll_interval, max_poll_interval, deadline)
        return ended

    def follow(self, ended: Run, poll_interval: float, max_poll_interval: float, deadline: datetime | None) -> None:
        """Wait for the chain of an ended run on this worker. Raises QlikCloudError."""
        self.run = ended
        wait = ChainWait(
            ended,
            self.search,
            log_callback(self._log),
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            deadline=deadline,
        )
        try:
            self.chain = self.hook.run_flow(wait.until_end(), ONE_ATTEMPT, deadline=deadline)
        finally:
            self.chain = self.chain or wait.chain

    def finish_chain(self, failing: bool) -> str | None:
        """Log the table of the chain. Return why the chain fails the task, None if it does not.

        :param failing: a link that has failed fails the task.
        """
        if self.chain is None:
            return None
        self._log_table(self.chain)
        failure = self.chain.failure
        if failure is not None and not failing:
            write(self._log, logging.WARNING, failure)
            return None
        return failure

    def chain_value(self) -> Mapping[str, Any]:
        """Return the member of the task's return value that has the links of the chain."""
        return {} if self.chain is None else {"chain": storable_json(self.chain.to_json(), MESSAGE_LENGTH)}

    def fail(self, error: Exception, run: Run | None) -> NoReturn:
        """Fail the task because of an error, as `RunLifecycle.fail`. A time-out cancels the chain, too."""
        if run is not None and run.ended:
            if self.chain is not None:
                self._log_table(self.chain)
            if isinstance(error, WaitTimeoutError) and self._cancel_on_kill:
                self._cancel_chain(self.hook, run, CANCEL_TIME)
                self.checkpoint.mark_cancelled()
        super().fail(error, run)

    def cancel(self, run: Run) -> bool:
        """Cancel a run of this task and the active runs of its chain; True if Qlik Cloud has accepted the first."""
        cancelled = run.ended or super().cancel(run)
        self._cancel_chain(self.hook, run, CANCEL_TIME)
        self.checkpoint.mark_cancelled()
        return cancelled

    def cancel_on_signal(self) -> None:
        """Cancel the run and the active runs of its chain from a signal handler: a killed worker has seconds left."""
        run = self.run
        super().cancel_on_signal()
        run = self.run or run
        client = self.hook.beside() if self._cancel_on_kill and run is not None else None
        if client is not None and run is not None:
            with client:
                self._cancel_chain(client, run, 0.0)

    def _resume_stored(self, stored: StoredRun) -> Run | None:
        run = super()._resume_stored(stored)
        if stored.cleared and stored.run is not None and self._cancel_on_kill:
            # The run has ended or was cancelled. What follows from it would go on beside the new run.
            self._cancel_chain(self.hook, stored.run, CANCEL_TIME)
        return run

    def _cancel_chain(self, runner: FlowRunner, run: Run, seconds: float) -> None:
        if run.adopted:
            return
        flow = cancel_chain(run, self.search, log_callback(self._log), seconds)
        runner.run_flow(flow, RetryPolicy(max_attempts=2, max_total_wait=4.0))

    def _log_table(self, chain: TaskChain) -> None:
        write(self._log, logging.INFO, "The chain of the task:")
        for line in chain.table():
            write(self._log, logging.INFO, f"| {line}")


def check_chain(hook: QlikCloudHook, task_id: str, log: Any) -> None:
    """Read the chain of a task before it is started, so that nothing is started if the chain cannot be read.

    Raises InvalidArgumentError where there is only Tasks v1, and QlikCloudError.
    """
    tasks = hook.run_flow(read_chain(task_id))
    names = ", ".join(f"{task}{' (disabled)' if task.enabled is False else ''}" for task in tasks[1:])
    write(log, logging.INFO, f"The chain of the task: {names or 'no further task'}.")


def chain_of(event: object) -> TaskChain | None:
    """Return the chain in the event of a trigger, None if there is none that can be read."""
    value = event.get("chain") if isinstance(event, Mapping) else None
    try:
        return None if value is None else TaskChain.from_json(value)
    except (ValueError, TypeError):
        return None
