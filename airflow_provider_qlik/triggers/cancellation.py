"""Cancelling the run of a deferred task that a user has cleared or marked.

Airflow gives a trigger about a second for this, and Qlik Cloud takes 100 cancels a minute (50 of reloads), counted over
five minutes: of a thousand runs that are cancelled at once, half wait for minutes. So a cancellation is an asyncio task
of its own, which outlives its trigger. Nothing else can find its run by then: the Airflow task has ended, and a trigger
has no store in which the next triggerer could find the run. So a cancellation that waits logs that, and if the
triggerer stops meanwhile, it logs that the run is still active.

A trigger is cancelled for several reasons, which look the same from inside: a user has cleared or marked the task, the
triggerer stops, or Airflow moves the trigger to another triggerer. Only the first may cancel the run. So the state of
the task is read first: as long as it is deferred, another triggerer waits for the run.

A cleared task has a new attempt, which may be faster than this. It cancels the previous run itself if it finds the
checkpoint, and may have started its own run by then. So a run that is being cancelled already is left alone, and where
Qlik Cloud can only cancel all runs of a resource, nothing is cancelled if that could hit the new run.

What does not work:

- To cancel whenever the trigger is cancelled: each restart of a triggerer would end all runs.
- `on_kill` of the operator: a deferred task has no process in which Airflow could call it.
- `on_kill` of the trigger alone: it exists since Airflow 3.3, and is interrupted after a second.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_qlik.compat import DEFERRED, NEXT_TRY, NO_TASK, task_state
from airflow_provider_qlik.triggers.airflow_requests import (
    AirflowUnavailableError,
    connect,
    reason,
    repeat_while_unavailable,
)

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.triggers.run import QlikRunTrigger

NOTICE_DELAY = 10.0
"""Seconds after which a cancellation that is not done logs that."""
MAX_ATTEMPTS = 30
"""Attempts of a cancel: other clients may use up the rate limits of the same user, and an outage may pass."""
MAX_PAUSES = 900.0
"""Seconds that the pauses between the attempts of a cancel may take in total."""

_active: set[asyncio.Future[None]] = set()
"""Cancellations that are not done: an event loop holds its tasks by weak references only."""


class RunCancellation:
    """The cancellation of a trigger's run. It begins when this is made.

    :param trigger: the trigger; its arguments describe the run.
    :param run_id: the run.
    """

    def __init__(self, trigger: QlikRunTrigger, run_id: str) -> None:
        self._trigger = trigger
        self._log = trigger.log_writer
        self.task = asyncio.ensure_future(self._cancel(run_id))
        _active.add(self.task)
        self.task.add_done_callback(_active.discard)

    async def _cancel(self, run_id: str) -> None:
        """Cancel the run if its task is no longer deferred, and log the result whatever happens."""
        failure = f"{self._trigger.kind} run {run_id} could not be cancelled and may still be active"
        notice = asyncio.get_running_loop().call_later(NOTICE_DELAY, self._log_waiting, run_id)
        try:
            from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

            async with QlikCloudHook(self._trigger.qlik_conn_id) as hook:
                note = f"; until then {self._trigger.kind} run {run_id} may be active"
                state = await repeat_while_unavailable(
                    partial(self._state_to_cancel_in, hook, run_id), self._log, note=note
                )
                if state is not None:
                    await self._send_cancel(hook, run_id, cleared=state in NEXT_TRY)
        except asyncio.CancelledError:
            self._log.write(logging.ERROR, f"The triggerer stops: {failure}. Stop it in Qlik Cloud.")
            raise
        except Exception as error:  # nobody else would log it: Airflow has finished with this trigger by then
            self._log.write(logging.ERROR, f"{reason(error)}. Stop the run in Qlik Cloud: {failure}.")
        finally:
            notice.cancel()
            await self._log.flush()

    def _log_waiting(self, run_id: str) -> None:
        self._log.write(
            logging.ERROR,
            f"The cancel of {self._trigger.kind} run {run_id} waits, with {len(_active)} under way: Qlik Cloud takes"
            " 500 in five minutes (250 of reloads). If this triggerer ends before 'Requested the cancel' follows,"
            " the run is not cancelled: stop it in Qlik Cloud then.",
        )

    async def _state_to_cancel_in(self, hook: QlikCloudHook, run_id: str) -> str | None:
        """Return the state of the task if its run is to be cancelled, None if not. If it is, the hook is connected.

        One request for both: if the connection cannot be read for minutes, the state is read again.
        """
        from airflow_provider_qlik.runs import STARTABLE_ADAPTERS
        from airflow_provider_qlik.runs.cancelling import cancels_together

        kind = self._trigger.kind
        try:
            state = await task_state(self._trigger.task_instance)
        except Exception as error:  # whatever the way to Airflow's API raises
            raise AirflowUnavailableError("The state of its task could not be read", error) from error
        if state == NO_TASK and self._trigger.interrupted:
            # `dag.test()` was interrupted: nothing resumes this run.
            await connect(hook)
            return state
        if state in {DEFERRED, NO_TASK}:
            # Another triggerer has it now; or the task was cleared and deferred again, and its new attempt has
            # cancelled this run.
            self._log.write(logging.INFO, f"The task is deferred: {kind} run {run_id} is not cancelled")
            return None
        if cancels_together(STARTABLE_ADAPTERS[kind]) and self._trigger.has_checkpoint and state in NEXT_TRY:
            # A cancel could hit the run of the next attempt, which cancels this run before it starts its own.
            self._log.write(
                logging.INFO, f"The task was cleared: its next attempt cancels {kind} run {run_id}, not this trigger"
            )
            return None
        await connect(hook)
        return state

    async def _send_cancel(self, hook: QlikCloudHook, run_id: str, cleared: bool) -> None:
        """Cancel the run, if it is active. *cleared*: the task has a new attempt, which may have started a new run."""
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
        from airflow_provider_qlik.runs import STARTABLE_ADAPTERS, Run, RunState
        from airflow_provider_qlik.runs.cancelling import cancel_before_next_try, cancel_polled
        from airflow_provider_qlik.runs.visibility import is_not_visible

        trigger = self._trigger
        adapter = STARTABLE_ADAPTERS[trigger.kind]
        selector = replace(trigger.selector(), started_after=None)
        retry_policy = RetryPolicy(max_attempts=MAX_ATTEMPTS, max_total_wait=MAX_PAUSES, high_priority=True)
        try:
            # Of a run that only its time identifies, this finds the one that shows our marker since, or raises.
            run = await hook.arun_flow(adapter.poll(selector), retry_policy)
        except QlikCloudError as error:
            if not is_not_visible(error):
                raise
            # A user who may not see a run may be allowed to stop it.
            run = Run(
                kind=trigger.kind,
                resource_id=trigger.resource_id,
                id=run_id,
                state=RunState.ACTIVE,
                status=trigger.status or "",
            )
        # If the task was cleared, its new attempt may have cancelled already: a second cancel could hit its new run.
        if run is not None and not run.ended and not adapter.stopping(run):
            flow = cancel_before_next_try(adapter, run) if cleared else cancel_polled(adapter, run)
            result = await hook.arun_flow(flow, retry_policy)
            self._log.write(logging.INFO, f"{result}.")
