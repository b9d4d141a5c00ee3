"""The trigger that waits for a run of any kind."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qlik.compat import (
    DEFERRED,
    NEXT_TRY,
    NO_TASK,
    kills_deferred_tasks,
    loop_is_closing,
    task_state,
)
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json
from airflow_provider_qlik.triggers.task_log import TaskLogWriter
from airflow_provider_qlik.validation import checked_id, checked_limit, checked_moment, checked_seconds, checked_word

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import RunWait

T = TypeVar("T")

WHAT = (
    "kind",
    "resource_id",
    "run_id",
    "status",
    "started_after",
    "unconfirmed_since",
    "marker",
    "adopted",
    "cancel_on_kill",
    "remembered",
)
WHEN = ("poll_interval", "max_poll_interval", "deadline")
AIRFLOW_TRIES = 60
"""So often Airflow is asked for what it cannot give just now."""
AIRFLOW_PAUSE = 10.0
"""Seconds between two of those tries."""
SLOW_CANCEL = 10.0
"""Seconds after which a cancel that is not done says so."""
CANCEL_TRIES = 30
"""Attempts of a cancel: others may use up the limits of the same user, and an outage may pass."""
CANCEL_BUDGET = 900.0
"""Seconds that the pauses between the attempts of a cancel may take together."""
KIND_NAMES = ("task", "automation", "reload", "sharing_task", "reload_task")
"""The kinds of run, by the names that `runs` knows them under; here again so that Dag files need not load that."""


class QlikRunTrigger(BaseTrigger):
    """Fires once, when a run has ended or the wait for it cannot go on.

    It starts nothing, and cancels the run only when a user ends its deferred task, so a triggerer may lose it and
    another take it up. Its arguments are ids, texts and numbers, nothing secret. The event is that of
    `airflow_provider_qlik.lifecycle.trigger_event`.

    :param kind: the kind of run: ``task``, ``automation``, ``reload``, ``sharing_task`` or ``reload_task``.
    :param resource_id: the id of the task, automation, app, sharing task or reload task.
    :param run_id: the run to wait for.
    :param status: its status, as the log of the task tells already.
    :param started_after: without run_id: wait for the first run begun at or after this moment (ISO 8601).
    :param unconfirmed_since: set for a run that only the time tells (ISO 8601), see `Run.unconfirmed_since`.
    :param marker: for such a run: the marker that no other may carry.
    :param adopted: whether it is somebody else's run that is waited for in place of one of ours.
    :param cancel_on_kill: cancel the run when a user clears or marks the deferred task.
    :param remembered: whether the next try of the task finds this run in Airflow's task state store.
    :param poll_interval: seconds between two looks, at least.
    :param max_poll_interval: seconds up to which that grows with the age of the run; None: it does not grow.
    :param deadline: the moment (ISO 8601) to give up at, by the wall clock.
    :param qlik_conn_id: the Airflow connection.

    With neither run_id nor started_after it waits for the last run there is.
    """

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
        remembered: bool = False,
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
        self.remembered = remembered
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.max_poll_interval = checked_limit("max_poll_interval", max_poll_interval)
        self.deadline = _checked("deadline", deadline)
        self.qlik_conn_id = qlik_conn_id
        self._ending: asyncio.Future[None] | None = None
        self._interrupted = False
        self._saying = TaskLogWriter(self.log)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The path of this class and the arguments to make it again, fit to be stored."""
        arguments = {name: getattr(self, name) for name in (*WHAT, *WHEN, "qlik_conn_id")}
        return f"{type(self).__module__}.{type(self).__qualname__}", storable_json(arguments, MESSAGE_LENGTH)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Waits, then yields the one event."""
        try:
            # Loaded here and in a thread: Dag files import this module, and the triggerer's loop must not stand still.
            for name in ("airflow_provider_qlik.hooks.qlik_cloud", "airflow_provider_qlik.lifecycle.trigger_event"):
                if name not in _loaded:
                    await asyncio.to_thread(importlib.import_module, name)
                    _loaded.add(name)
            from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
            from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
            from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
            from airflow_provider_qlik.lifecycle.trigger_event import RunEvent
            from airflow_provider_qlik.metrics import waiting

            watch = self._watch()
            waiting(1)
            try:
                async with QlikCloudHook(self.qlik_conn_id) as hook:
                    try:
                        await self._outlast(partial(self._connect, hook), self.deadline)
                        # One try a poll: the watch itself outlasts what passes.
                        polling = watch.until_end(self.poll_interval, self.max_poll_interval)
                        try:
                            # The watch keeps the deadline between two polls, this one while a poll is under way.
                            async with asyncio.timeout(self._seconds_left()):
                                run = await hook.arun_flow(polling, ONE_TRY)
                        except TimeoutError:
                            raise watch.timed_out() from None
                        event = RunEvent.ended(run)
                    except (QlikCloudError, InvalidArgumentError) as error:
                        event = RunEvent.interrupted(error, watch.run)
                await self._saying.said()
            finally:
                waiting(-1)
        except asyncio.CancelledError:
            self._interrupted = True
            # A triggerer that stops leaves the wait to the next one. To ask Airflow about the task would delay its end.
            if self.task_instance is None or not loop_is_closing():
                # Begun here already: under load, Airflow may not come to on_kill, where there is one.
                ending = self._end_run()
                # `dag.test()` has no on_kill, and closes the event loop when this is over.
                if ending is not None and (self.task_instance is None or not kills_deferred_tasks()):
                    await asyncio.shield(ending)
            raise
        finally:
            # Whatever the end: Airflow closes the log of the task then.
            await self._saying.said()
        yield TriggerEvent(event.to_json())  # type: ignore[no-untyped-call]

    def _seconds_left(self) -> float | None:
        """Seconds until the wait is broken off even if a poll is under way; None without a deadline."""
        from airflow_provider_qlik.cloud.transport.client import LAST_POLL

        deadline = _moment(self.deadline)
        return None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds()) + LAST_POLL

    def _watch(self) -> RunWait:
        """The wait, with what is known of the run. In a function of its own, so that none of it is kept for long."""
        from airflow_provider_qlik.runs import ADAPTERS, Run, RunSelector, RunState, RunWait

        selector = RunSelector(
            resource_id=self.resource_id,
            run_id=self.run_id,
            started_after=_moment(self.started_after),
            unconfirmed_since=_moment(self.unconfirmed_since),
            marker=self.marker,
            adopted=self.adopted,
        )
        kind, seen = ADAPTERS[self.kind], None
        if self.run_id is not None:
            status = self.status or "not seen yet"
            seen = Run(
                kind=self.kind,
                resource_id=self.resource_id,
                id=self.run_id,
                state=RunState.ACTIVE,
                status=status,
                known_word=kind.status_map.knows(status),
                unconfirmed_since=selector.unconfirmed_since,
                marker=self.marker,
                adopted=self.adopted,
            )
        return RunWait(
            kind, selector, self._saying.write_log, seen=seen, deadline=_moment(self.deadline), says_end=False
        )

    async def _connect(self, hook: QlikCloudHook) -> None:
        from airflow_provider_qlik.validation import InvalidArgumentError

        try:
            await hook.get_async_conn()
        except (InvalidArgumentError, AirflowNotFoundException):
            raise
        except Exception as error:  # whatever the way to Airflow's database or secrets raises
            raise _Unavailable("The connection could not be read", error) from error

    async def _outlast(self, ask: Callable[[], Awaitable[T]], deadline: str | None = None, meanwhile: str = "") -> T:
        """What Airflow is asked for. That it cannot give it just now ends nothing, unless that lasts."""
        from airflow_provider_qlik.runs.waiting import HEARTBEAT_INTERVAL

        clock = asyncio.get_running_loop().time
        tries, speaks_at = 0, clock()
        while True:
            try:
                return await ask()
            except _Unavailable as error:
                tries += 1
                over = deadline is not None and datetime.now(UTC) >= datetime.fromisoformat(deadline)
                if over or tries >= AIRFLOW_TRIES:
                    raise
                if clock() >= speaks_at:
                    speaks_at = clock() + HEARTBEAT_INTERVAL.total_seconds()
                    self._saying.write_log(logging.WARNING, f"{error}. Trying again{meanwhile}")
            await asyncio.sleep(AIRFLOW_PAUSE)

    async def on_kill(self) -> None:
        """Cancels the run, when a user has cleared or marked the deferred task (Airflow 3.3 and later).

        Airflow gives this about a second before it interrupts it, so the work is a task of its own that goes on.
        """
        ending = self._end_run()
        if ending is not None:
            await asyncio.shield(ending)

    def _end_run(self) -> asyncio.Future[None] | None:
        """The cancel of the run, begun no more than once; None if nothing is to be cancelled."""
        if self._ending is None and self.cancel_on_kill and not self.adopted and self.run_id is not None:
            self._ending = asyncio.ensure_future(self._cancel(self.run_id))
            _cancels.add(self._ending)
            self._ending.add_done_callback(_cancels.discard)
        return self._ending

    async def _cancel(self, run_id: str) -> None:
        """Cancel the run if its task is deferred no more, and say what became of that, whatever happens.

        Qlik Cloud takes 100 requests a minute for this (50 for reloads), counted over five minutes: of a thousand runs
        that are to be cancelled at once half wait for minutes. Nobody else knows of them by then: their tasks have
        ended, and a trigger has no store in which the next triggerer could find them. So each says that it waits, and
        if the triggerer stops meanwhile, that its run goes on.
        """
        what = f"{self.kind} run {run_id} could not be cancelled and may still be going on"
        notice = asyncio.get_running_loop().call_later(SLOW_CANCEL, self._say_that_it_waits, run_id)
        try:
            from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

            async with QlikCloudHook(self.qlik_conn_id) as hook:
                meanwhile = f"; until then {self.kind} run {run_id} may be going on"
                state = await self._outlast(partial(self._may_cancel, hook, run_id), meanwhile=meanwhile)
                if state is not None:
                    await self._stop(hook, run_id, cleared=state in NEXT_TRY)
        except asyncio.CancelledError:
            self._saying.write_log(logging.ERROR, f"The triggerer stops: {what}. Stop it in Qlik Cloud.")
            raise
        except Exception as error:  # nobody else would say so: Airflow is through with this trigger by then
            self._saying.write_log(logging.ERROR, f"{_why(error)}. Stop the run in Qlik Cloud: {what}.")
        finally:
            notice.cancel()
            await self._saying.said()

    def _say_that_it_waits(self, run_id: str) -> None:
        self._saying.write_log(
            logging.ERROR,
            f"The cancel of {self.kind} run {run_id} waits, with {len(_cancels)} under way: Qlik Cloud takes 500 in"
            " five minutes (250 of reloads). If this triggerer ends before 'Asked Qlik Cloud to stop' follows, the run"
            " goes on: stop it in Qlik Cloud then.",
        )

    async def _may_cancel(self, hook: QlikCloudHook, run_id: str) -> str | None:
        """Return the state of the task if its run is to be cancelled, None if not. If so the hook is connected.

        Both in one: where the connection cannot be had for minutes, the state is asked for again.
        """
        from airflow_provider_qlik.runs import ADAPTERS

        try:
            state = await task_state(self.task_instance)
        except Exception as error:  # whatever the way to Airflow's API raises
            raise _Unavailable("The state of its task could not be learned", error) from error
        if state == NO_TASK and self._interrupted:
            # `dag.test()` was interrupted: nobody takes this up.
            await self._connect(hook)
            return state
        if state in {DEFERRED, NO_TASK}:
            # Another triggerer has it now; or the task was cleared and waits again, and its new try has cancelled this.
            self._saying.write_log(logging.INFO, f"The task is deferred: {self.kind} run {run_id} is left alone")
            return None
        if ADAPTERS[self.kind].cancelled_together and self.remembered and state in NEXT_TRY:
            # A cancel could hit the run of the next try, which ends this one before it starts anew.
            self._saying.write_log(
                logging.INFO, f"The task was cleared: {self.kind} run {run_id} is left to its next try"
            )
            return None
        await self._connect(hook)
        return state

    async def _stop(self, hook: QlikCloudHook, run_id: str, cleared: bool) -> None:
        """Cancel the run, if it is going on. *cleared*: the task has another try, which may have started a new run."""
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
        from airflow_provider_qlik.runs import ADAPTERS, Run, RunSelector, RunState
        from airflow_provider_qlik.runs.cancelling import cancel_before_next_try
        from airflow_provider_qlik.runs.visibility import is_not_visible

        kind = ADAPTERS[self.kind]
        # Of a run that only the time tells, this finds the one that shows our marker since, or says that nothing tells.
        selector = RunSelector(
            resource_id=self.resource_id,
            run_id=run_id,
            unconfirmed_since=_moment(self.unconfirmed_since),
            marker=self.marker,
        )
        retry_policy = RetryPolicy(max_attempts=CANCEL_TRIES, max_total_wait=CANCEL_BUDGET, high_priority=True)
        try:
            run = await hook.arun_flow(kind.poll(selector), retry_policy)
        except QlikCloudError as error:
            if not is_not_visible(error):
                raise
            # Who may not look at a run may be allowed to stop it.
            run = Run(
                kind=self.kind, resource_id=self.resource_id, id=run_id, state=RunState.ACTIVE, status=self.status or ""
            )
        # Where the task was cleared, its new try may have asked already: a second time could hit its new run.
        if run is not None and not run.ended and not kind.stopping(run):
            flow = cancel_before_next_try(kind, run) if cleared else kind.cancel(run)
            asked = await hook.arun_flow(flow, retry_policy)
            self._saying.write_log(logging.INFO, f"Asked Qlik Cloud to stop {asked}")


class _Unavailable(Exception):
    """What Airflow cannot give just now, and why."""

    def __init__(self, what: str, why: Exception) -> None:
        super().__init__(f"{what}: {_why(why)}")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


_loaded: set[str] = set()
"""Modules that are surely there as a whole: while one is being loaded, a second import would stop the loop."""
_cancels: set[asyncio.Future[None]] = set()
"""Cancels under way: an event loop keeps no hold on its tasks."""


def _checked(argument: str, given: str | None) -> str | None:
    return None if given is None else checked_moment(argument, given).isoformat()


def _moment(given: str | None) -> datetime | None:
    return None if given is None else datetime.fromisoformat(given)
