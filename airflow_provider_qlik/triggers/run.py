"""The trigger that waits for a run of any kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qlik.compat import kills_deferred_tasks, loop_is_closing
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.imports import load_modules
from airflow_provider_qlik.lifecycle.resources import KIND_NAMES
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json
from airflow_provider_qlik.triggers.airflow_requests import connect, repeat_while_unavailable
from airflow_provider_qlik.triggers.cancellation import RunCancellation
from airflow_provider_qlik.triggers.task_log import TaskLogWriter
from airflow_provider_qlik.validation import checked_id, checked_limit, checked_moment, checked_seconds, checked_word

if TYPE_CHECKING:
    from airflow_provider_qlik.cloud import Flow
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
    from airflow_provider_qlik.runs import Run, RunSelector, RunWait

T = TypeVar("T")

MODULES = ("airflow_provider_qlik.hooks.qlik_cloud", "airflow_provider_qlik.lifecycle.trigger_event")
"""Modules that a wait needs."""
ARGUMENTS = (
    "kind",
    "resource_id",
    "run_id",
    "status",
    "started_after",
    "unconfirmed_since",
    "marker",
    "adopted",
    "cancel_on_kill",
    "has_checkpoint",
    "poll_interval",
    "max_poll_interval",
    "deadline",
    "qlik_conn_id",
)


class QlikRunTrigger(BaseTrigger):
    """Wait for a run, and fire once: when it has ended, or when the wait cannot continue.

    The trigger starts nothing, and cancels the run only if a user ends its deferred task: so it can move from one
    triggerer to another. Its arguments are ids, texts and numbers, none of them secret. Its event is described in
    `airflow_provider_qlik.lifecycle.trigger_event`.

    :param kind: the kind of run: ``task``, ``automation``, ``reload``, ``sharing_task`` or ``reload_task``.
    :param resource_id: the id of the task, automation, app, sharing task or reload task.
    :param run_id: the run to wait for.
    :param status: its status, if the task's log shows that already.
    :param started_after: without run_id: wait for the first run that began at or after this moment (ISO 8601).
    :param unconfirmed_since: set for a run that only its time identifies (ISO 8601), see `Run.unconfirmed_since`.
    :param marker: the marker of such a run, which no other run may carry.
    :param adopted: the run was started by somebody else, and is waited for in place of a run of the task.
    :param cancel_on_kill: cancel the run when a user clears or marks the deferred task.
    :param has_checkpoint: the next attempt of the task finds this run in Airflow's task state store.
    :param poll_interval: seconds between two polls, at least.
    :param max_poll_interval: seconds up to which the interval grows with the age of the run; None: it does not grow.
    :param deadline: the moment (ISO 8601, wall clock) at which the wait ends.
    :param qlik_conn_id: the Airflow connection.

    With neither run_id nor started_after it waits for the last run there is.
    """

    argument_names: ClassVar[tuple[str, ...]] = ARGUMENTS
    cancellation_type: ClassVar[type[RunCancellation]] = RunCancellation

    def __init__(
        self,
        *,
        kind: str,
        resource_id: str,
        run_id: str | None = None,
        status: str | None = None,
        started_after: str | None = None,
        unconfirmed_since: str | None = None,
        marker: str | None = None,
        adopted: bool = False,
        cancel_on_kill: bool = False,
        has_checkpoint: bool = False,
        poll_interval: float = 15.0,
        max_poll_interval: float | None = None,
        deadline: str | None = None,
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind = checked_word("kind", kind, KIND_NAMES)
        self.resource_id = checked_id("resource_id", resource_id)
        self.run_id = None if run_id is None else checked_id("run_id", run_id)
        self.status = status
        self.started_after = _checked("started_after", started_after)
        self.unconfirmed_since = _checked("unconfirmed_since", unconfirmed_since)
        self.marker = marker
        self.adopted = adopted
        self.cancel_on_kill = cancel_on_kill
        self.has_checkpoint = has_checkpoint
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.max_poll_interval = checked_limit("max_poll_interval", max_poll_interval)
        self.deadline = _checked("deadline", deadline)
        self.qlik_conn_id = qlik_conn_id
        self.log_writer = TaskLogWriter(self.log)
        self.interrupted = False
        self.cancellation: RunCancellation | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class and the arguments to make it again, fit to be stored."""
        arguments = {name: getattr(self, name) for name in self.argument_names}
        return f"{type(self).__module__}.{type(self).__qualname__}", storable_json(arguments, MESSAGE_LENGTH)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        try:
            await load_modules(*MODULES)
            from airflow_provider_qlik.metrics import waiting

            waiting(1)
            try:
                event = await self._wait()
                await self.log_writer.flush()
            finally:
                waiting(-1)
        except asyncio.CancelledError:
            self.interrupted = True
            # A triggerer that stops leaves the wait to the next one: reading the state of the task would delay its end.
            if self.task_instance is None or not loop_is_closing():
                # Begun here already: under load, Airflow may not get to `on_kill`, where there is one.
                cancelling = self._begin_cancel()
                # `dag.test()` does not call `on_kill`, and closes the event loop when this returns.
                if cancelling is not None and (self.task_instance is None or not kills_deferred_tasks()):
                    await asyncio.shield(cancelling)
            raise
        finally:
            # Airflow closes the task's log when this returns.
            await self.log_writer.flush()
        yield TriggerEvent(event.to_json())  # type: ignore[no-untyped-call]

    async def _wait(self) -> RunEvent:
        """Wait for the run, and return the event: with the ended run, or with the error that ended the wait."""
        from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
        from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
        from airflow_provider_qlik.runs import ADAPTERS

        wait = self._run_wait()
        async with QlikCloudHook(self.qlik_conn_id) as hook:
            try:
                await repeat_while_unavailable(partial(connect, hook), self.log_writer, self.deadline)
                # One attempt a poll: the wait itself repeats polls that fail for a transient reason.
                run = await self._run_until_deadline(
                    hook, wait.until_end(self.poll_interval, self.max_poll_interval), wait.timed_out
                )
                tenant = (await hook.get_async_conn()).tenant
                link = tenant.url + ADAPTERS[run.kind].page(run)
                return replace(await self._follow(hook, run), link=link)
            except (QlikCloudError, InvalidArgumentError) as error:
                return RunEvent.interrupted(error, wait.run)

    async def _follow(self, hook: QlikCloudHook, run: Run) -> RunEvent:
        """Return the event for a run that has ended."""
        from airflow_provider_qlik.lifecycle.trigger_event import RunEvent

        return RunEvent.ended(run)

    def _deadline(self) -> datetime | None:
        return _moment(self.deadline)

    async def _run_until_deadline(self, hook: QlikCloudHook, flow: Flow[T], timed_out: Callable[[], Exception]) -> T:
        """Return the result of a wait. Raises the error of *timed_out* at the deadline.

        The wait itself checks the deadline between two polls, this time-out also while a poll is in flight.
        """
        from airflow_provider_qlik.cloud.transport.client import LAST_POLL
        from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT

        deadline = self._deadline()
        seconds = None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds()) + LAST_POLL
        try:
            async with asyncio.timeout(seconds):
                return await hook.arun_flow(flow, ONE_ATTEMPT)
        except TimeoutError:
            raise timed_out() from None

    def selector(self) -> RunSelector:
        """Return the selector of the run."""
        from airflow_provider_qlik.runs import RunSelector

        return RunSelector(
            resource_id=self.resource_id,
            run_id=self.run_id,
            started_after=_moment(self.started_after),
            unconfirmed_since=_moment(self.unconfirmed_since),
            marker=self.marker,
            adopted=self.adopted,
        )

    def _run_wait(self) -> RunWait:
        """Return the wait, with what is known of the run. A function of its own, so that its locals are freed."""
        from airflow_provider_qlik.runs import ADAPTERS, Run, RunState, RunWait

        selector, adapter = self.selector(), ADAPTERS[self.kind]
        known_run = None
        if self.run_id is not None:
            status = self.status or "not seen yet"
            known_run = Run(
                kind=self.kind,
                resource_id=self.resource_id,
                id=self.run_id,
                state=RunState.ACTIVE,
                status=status,
                status_known=adapter.status_map.knows(status),
                unconfirmed_since=selector.unconfirmed_since,
                marker=self.marker,
                adopted=self.adopted,
            )
        return RunWait(
            adapter,
            selector,
            self.log_writer.write,
            known_run=known_run,
            deadline=_moment(self.deadline),
            log_end=False,
        )

    async def on_kill(self) -> None:
        """Cancel the run, when a user has cleared or marked the deferred task (Airflow 3.3 and later).

        Airflow interrupts this after about a second; the cancellation continues.
        """
        cancelling = self._begin_cancel()
        if cancelling is not None:
            await asyncio.shield(cancelling)

    def _begin_cancel(self) -> asyncio.Future[None] | None:
        """Begin to cancel the run if that has not been done; return None if the run is not to be cancelled."""
        if self.cancellation is None and self.cancel_on_kill and not self.adopted and self.run_id is not None:
            self.cancellation = self.cancellation_type(self, self.run_id)
        return None if self.cancellation is None else self.cancellation.task


def _checked(argument: str, value: str | None) -> str | None:
    return None if value is None else checked_moment(argument, value).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
