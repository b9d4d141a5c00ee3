"""The dispatcher: it sends the polls of all waits of an event loop in as few requests as will do.

A thousand waits that each send a poll every fifteen seconds would use up Qlik Cloud's rate limit. But polls can be
answered together: one list of runs answers all polls of one resource (a *batch*), and one *bulk list* the polls of many
resources. So a wait hands its poll to the `Dispatcher`.

Each source (a kind of run) has one task, which repeats four steps (`_SourceDispatcher._run`):

1. Wait until the first poll of the source is due.
2. Wait for a permit of the rate limits, in the place of that poll: as if it had waited since the poll was due.
3. Take from the queue the batch of the poll that is first now. Polls that became due in the meantime are part of it:
   under load the batches grow, so the number of requests stays the same.
4. Send the request in a task of its own, and begin again.

The task ends when no poll is left to wait for, and begins anew with the next one.

What does not work:

- A place in the queue of the rate limits for each poll. It would have to be cancelled whenever a batch takes polls
  along, and a queue of thousands would hide which of them are really needed.
- To choose the batch before the permit is there: polls that become due while it waits would need a request more.
- To answer all polls of a large bulk list in one step of the event loop: other triggers would stand still (`poll`).
- To start the request in the context of the wait whose poll happened to be first: its log would belong to a task that
  may be over by then. So there is a context of its own (`Dispatcher.context`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from typing import Any, Generic, Protocol

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.errors import ConnectError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, KeyT, Poll, PollSource, ResultT
from airflow_provider_qlik.cloud.polling.permits import Permit, RateLimits
from airflow_provider_qlik.cloud.polling.poll import PendingPoll, deliver, errors_delivered
from airflow_provider_qlik.cloud.polling.queue import DUE_TOLERANCE, PollQueue, PollRequest
from airflow_provider_qlik.cloud.polling.slots import Priority

RESTART_DELAY = 1.0
"""Seconds after which the task of a source begins anew if it has failed, which only a programming error can cause."""
MAX_LOGGED_POLLS = 20
"""The number of polls that a log line names."""

_log = logging.getLogger(__name__)


class FlowRunner(Protocol):
    """Runs a flow whose first call has a permit already. Returns its result and the number of its calls."""

    def __call__(self, flow: Flow[Any], permit: Permit, /) -> Coroutine[Any, Any, tuple[Any, int]]: ...


class Dispatcher:
    """The polls of all waits on one tenant in one event loop.

    :param run_flow: sends the requests.
    :param limits: returns the rate limits. They are known only when an event loop runs.
    :param count_polls: gets the number of polls that one request answered.
    :param count_merged: gets the number of polls that cost no request of their own.
    :param count_wait: gets the seconds that a request waited for its permit.
    :param draw: returns a random number from 0 to 1, for the jitter.
    :param tier: returns the tier in which the reads of a source count on this tenant, from the one that the source
        says.
    """

    def __init__(
        self,
        run_flow: FlowRunner,
        limits: Callable[[], RateLimits],
        count_polls: Callable[[int], object] = lambda _: None,
        count_merged: Callable[[int], object] = lambda _: None,
        count_wait: Callable[[float], object] = lambda _: None,
        draw: Callable[[], float] = random.random,
        tier: Callable[[Tier], Tier] = lambda tier: tier,
    ) -> None:
        self._count_polls = count_polls
        self._count_merged = count_merged
        self._closed = False
        self._sources: dict[str, _SourceDispatcher[Any, Any]] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self.run_flow = run_flow
        self.limits = limits
        self.count_wait = count_wait
        self.draw = draw
        self.tier = tier
        self.context = Context()
        """The context in which requests are sent, and not that of a wait: its log may be closed by then."""

    def submit(self, poll: Poll[KeyT, ResultT]) -> asyncio.Future[ResultT]:
        """Return the future of the result of a poll. Raises ConnectError after `close`.

        Cancel the future to withdraw the poll.
        """
        if self._closed:
            raise ConnectError("The poll was not sent, since the client was closed")
        source = self._sources.get(poll.source.name)
        if source is None:
            source = self._sources[poll.source.name] = _SourceDispatcher(poll.source, self)
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        source.schedule(PendingPoll(poll, future), poll.min_delay, poll.max_delay)
        return future

    def close(self) -> None:
        """Send no more polls, and cancel those that are pending or in flight."""
        self._closed = True
        for source in self._sources.values():
            source.close()
        for task in self._requests:
            task.cancel()

    def start(self, work: Coroutine[Any, Any, None], request: PollRequest[Any, Any], permit: Permit, name: str) -> None:
        """Run *work*, which sends a request, in a task of that name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._requests.add(task)
        task.add_done_callback(lambda done: self._request_ended(done, request, permit))

    def _request_ended(self, task: asyncio.Task[None], request: PollRequest[Any, Any], permit: Permit) -> None:
        self._requests.discard(task)
        permit.refund()
        if task.cancelled():
            # Perhaps before its first step: then nothing in it could cancel them.
            for pending in request.polls:
                pending.future.cancel()

    def record(self, answered: Sequence[PendingPoll[Any, Any]], calls: int) -> None:
        """Count and log the polls that so many calls have answered."""
        self._count_polls(len(answered))
        self._count_merged(max(0, len(answered) - calls))
        if answered and calls and _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "%s answered %d %s: %s",
                "One request" if calls == 1 else f"{calls} requests",
                len(answered),
                "poll" if len(answered) == 1 else "polls",
                _listed(answered),
            )


class _SourceDispatcher(Generic[KeyT, ResultT]):
    """The polls of one source, and the task that sends them."""

    def __init__(self, source: PollSource[KeyT, ResultT], dispatcher: Dispatcher) -> None:
        self._source = source
        self._dispatcher = dispatcher
        self._queue: PollQueue[KeyT, ResultT] = PollQueue(source, dispatcher.draw)
        self._task: asyncio.Task[None] | None = None
        self._awakening: asyncio.Future[None] | None = None
        """Set while the task waits for the first poll to be due; its result wakes the task earlier."""
        self._wakes_at = 0.0
        self._ticket: asyncio.Future[Permit] | None = None
        """Set while the task waits for a permit."""
        self._ticket_since = 0.0
        self._ticket_tier = source.tier
        self._closed = False

    def schedule(self, pending: PendingPoll[KeyT, ResultT], min_delay: float, max_delay: float) -> None:
        """Let a poll become due, also one that was sent before: within so many seconds from now."""
        if self._queue.schedule(pending, _now(), min_delay, max_delay):
            self._notify()

    def close(self) -> None:
        """Send nothing any more, and cancel the pending polls. Those in flight are the business of their tasks."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        for pending in self._queue.waiting():
            pending.future.cancel()

    # The task

    def _notify(self) -> None:
        """Tell the task that the first poll may be another one: start it, wake it, or let it wait for less long."""
        if self._closed or (due := self._queue.first_due()) is None:
            return
        if self._task is None:
            self._start()
        elif self._awakening is not None:
            if due < self._wakes_at:
                self._wake()
        elif self._ticket is not None and due < self._ticket_since:
            # A poll that was deferred has waited longer than the one for which the ticket was queued.
            self._ticket_since = due
            self._dispatcher.limits().advance(self._ticket, self._ticket_tier, Priority.POLL, due)

    def _start(self) -> None:
        if self._task is None and not self._closed:
            loop, name = asyncio.get_running_loop(), f"qlik dispatcher: {self._source.name}"
            self._task = loop.create_task(self._run(), name=name, context=self._dispatcher.context)
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if task.cancelled() or (error := task.exception()) is None:
            return
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "The dispatcher has failed", "exception": error, "task": task})
        loop.call_later(RESTART_DELAY, self._start)

    async def _run(self) -> None:
        """Send the polls of the source, each when it is due, until none is left to wait for."""
        while (due := self._queue.first_due()) is not None:
            if due > _now() + DUE_TOLERANCE:
                await self._wait_until(due)
                continue
            permit = await self._acquire_permit()
            request = self._queue.take(now := _now())
            if request is None:
                # All of them were withdrawn, or deferred.
                permit.refund()
                continue
            name = _task_name(self._source, request)
            self._dispatcher.start(self._send(request, permit), request, permit, name)
            self._dispatcher.count_wait(max(0.0, now - due))
        # From here to the end of the task nothing else runs: a poll that comes later starts another one.
        self._task = None

    async def _wait_until(self, moment: float) -> None:
        """Wait until that moment, or until a poll comes that is due earlier."""
        loop = asyncio.get_running_loop()
        self._awakening, self._wakes_at = loop.create_future(), moment
        timer = loop.call_at(moment, self._wake)
        try:
            await self._awakening
        finally:
            self._awakening = None
            timer.cancel()

    def _wake(self) -> None:
        if self._awakening is not None and not self._awakening.done():
            self._awakening.set_result(None)

    async def _acquire_permit(self) -> Permit:
        limits = self._dispatcher.limits()
        self._ticket_tier = tier = self._dispatcher.tier(self._source.tier)
        self._ticket_since = self._queue.waiting_since(_now(), limits.poll_delay(tier))
        self._ticket = limits.enqueue(tier, Priority.POLL, self._ticket_since)
        try:
            return await limits.wait_for(self._ticket)
        finally:
            self._ticket = None

    # One request

    async def _send(self, request: PollRequest[KeyT, ResultT], permit: Permit) -> None:
        results: Mapping[KeyT, ResultT | Exception] = {}
        try:
            async with errors_delivered(request.polls):
                if request.batch_key is None:
                    results, calls = await self._read_bulk_list(request, permit)
                else:
                    results, calls = await self._dispatcher.run_flow(self._source.poll_batch(request.keys), permit)
                    self._queue.bulk_list.record_single_polls(results, _now())
                answered = [pending for pending in request.polls if pending.poll.key in results]
                self._dispatcher.record(answered, calls)
                await deliver(answered, results, self.schedule)
        finally:
            self._queue.complete(request, results)
            self._notify()

    async def _read_bulk_list(
        self, request: PollRequest[KeyT, ResultT], permit: Permit
    ) -> tuple[Mapping[KeyT, ResultT | Exception], int]:
        """Return what the bulk list shows and the number of calls; nothing if it failed or is stale."""
        bulk_list = self._queue.bulk_list
        audits = bulk_list.take_audits(_now())
        batches = len({pending.poll.batch_key for pending in request.polls})
        flow = self._source.poll_bulk_list(request.keys, bulk_list.max_pages(batches), list(audits))
        try:
            results, calls = await self._dispatcher.run_flow(flow, permit)
        except QlikCloudError as error:
            if bulk_list.record_failure(error, _now()):
                raise
            return {}, 0
        trusted = bulk_list.record_read(calls, request.keys, results, audits, _now())
        return (results, calls) if trusted else ({}, calls)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _task_name(source: PollSource[Any, Any], request: PollRequest[Any, Any]) -> str:
    """Return the name of the asyncio task of a request, for ``asyncio.all_tasks`` and Airflow's own diagnostics."""
    resource, runs = request.batch_key or "bulk list", len(request.keys)
    return f"qlik poll: {source.name} {resource} ({runs} {'run' if runs == 1 else 'runs'})"


def _listed(polls: Sequence[PendingPoll[Any, Any]]) -> str:
    named = [
        f"{pending.poll.source.name} {pending.poll.batch_key} ({pending.poll.key})"
        for pending in polls[:MAX_LOGGED_POLLS]
    ]
    return ", ".join(named) + (f" and {len(polls) - len(named)} more" if len(polls) > len(named) else "")
