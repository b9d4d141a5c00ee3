"""The dispatcher: it sends the polls of all waits of an event loop in as few requests as will do.

A thousand waits that each send a poll every fifteen seconds would use up Qlik Cloud's rate limit. But polls can be
answered together: one list of runs answers all polls of one resource (a *batch*), and one *bulk list* the polls of many
resources. So a wait hands its poll to the `Dispatcher`, and this decides late, when a token of the rate limiter has
been granted, what the request shall answer.

The design:

- A poll has an interval, from `Poll.min_delay` to `Poll.max_delay`. It is due at the end of that, less some jitter, so
  that waits that began together drift apart. But a request for any poll takes along all others that may be sent by
  then: so polls of one batch drift together.
- Each source (a kind of run) has at most one ticket in the queue of the rate limiter, for its oldest poll that is due.
  A ticket for each poll would have to be cancelled whenever a batch takes polls along, and a queue of thousands would
  hide which of them are really needed.
- The token is granted first and the batch is chosen then (`_token_granted`, `_start_next`). Polls that become due while
  the ticket waits are part of it. Under load the batches grow, so the number of requests stays the same.
- A batch, or the bulk list, has one request in flight at most. Polls that become due meanwhile are deferred until it
  ends: it may well answer the same question.

What does not work:

- To let the bulk list wait in the queue like any other poll. It answers for many, and each of these would then be
  polled less and less often than a single poll of another source. So it is queued as if it had waited since an earlier
  moment (`BULK_LIST_INTERVAL_SHARE`).
- To answer all polls of a large bulk list in one step of the event loop: other triggers would stand still (`poll`).
- To start the request in the context of the wait whose poll happened to be first: its log would belong to a task that
  may be over by then. So there is a context of its own (`Dispatcher.context`).

Each pending poll is in exactly one of three states: in the heap of those to come (`_due`), deferred, or in flight. All
but those in flight are in the `pending` of their batch. A test plays random waits to prove that none is ever lost.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Any, Protocol

from airflow_provider_qlik.cloud.call import Flow, Poll, PollSource, Tier
from airflow_provider_qlik.cloud.errors import ConnectError, QlikCloudError
from airflow_provider_qlik.cloud.polling.bulk_list import BulkList
from airflow_provider_qlik.cloud.polling.poll import Batch, PendingPoll, deliver, errors_delivered
from airflow_provider_qlik.cloud.polling.rate_limiter import RateLimits

JITTER = 0.2
"""The fraction of its interval by which a poll may be sent early, so that waits that began together drift apart."""
BULK_LIST_INTERVAL_SHARE = 0.6
"""The fraction of the time between two single polls, with their wait for a token, after which a bulk list may be read
again; more than a half, so that no run is polled more than twice as often as another."""
DUE_TOLERANCE = 0.001
"""Seconds by which a poll may be sent too early, so that one request answers all polls that are due together."""
MAX_LOGGED_POLLS = 20
"""The number of polls that a log line names."""

_log = logging.getLogger(__name__)


class FlowRunner(Protocol):
    """Runs a flow whose first call has a token of a tier already. Returns its result and the number of its calls."""

    def __call__(self, flow: Flow[Any], tier: Tier, /) -> Coroutine[Any, Any, tuple[Any, int]]: ...


class Dispatcher:
    """The polls of all waits on one tenant in one event loop.

    :param run_flow: sends the requests.
    :param limits: returns the rate limits. They are known only when an event loop runs.
    :param count_polls: gets the number of polls that one request answered.
    :param count_merged: gets the number of polls that cost no request of their own.
    :param count_wait: gets the seconds that a request waited for its token.
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
        self._run_flow = run_flow
        self._count_polls = count_polls
        self._count_merged = count_merged
        self._draw = draw
        self._closed = False
        self._sources: dict[str, _SourceDispatcher] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.limits = limits
        self.count_wait = count_wait
        self.tier = tier
        self.context = Context()
        """The context in which requests are sent, and not that of a wait: its log may be closed by then."""

    def submit(self, poll: Poll) -> asyncio.Future[Any]:
        """Return the future of the result of a poll. Raises ConnectError after `close`.

        Cancel the future to withdraw the poll.
        """
        if self._closed:
            raise ConnectError("the client was closed")
        source = self._sources.get(poll.source.name)
        if source is None:
            source = self._sources[poll.source.name] = _SourceDispatcher(poll.source, self)
        pending = PendingPoll(poll, asyncio.get_running_loop().create_future())
        source.schedule(pending, poll.min_delay, poll.max_delay)
        return pending.future

    def close(self) -> None:
        """Send no more polls, and cancel those that are pending or in flight."""
        self._closed = True
        for source in self._sources.values():
            source.close()
        for task in self._tasks:
            task.cancel()

    # For the dispatchers of the sources

    def jitter(self) -> float:
        """Return the fraction of its interval by which a poll is sent early."""
        return self._draw() * JITTER

    async def run_flow(self, tier: Tier, flow: Flow[Any]) -> tuple[Mapping[Any, Any], int]:
        """Return the result of a flow and the number of its calls; the token that it did not need is refunded."""
        results, calls = await self._run_flow(flow, tier)
        if not calls:
            self.limits().refund(tier)
        return results, calls

    def record(self, answered: Sequence[PendingPoll], calls: int) -> None:
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

    def start(self, work: Coroutine[Any, Any, None], polls: Sequence[PendingPoll], name: str) -> None:
        """Run *work*, which sends the request for these polls, in a task of that name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, polls))

    def _ended(self, task: asyncio.Task[None], polls: Sequence[PendingPoll]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Perhaps before its first step: then nothing in it could cancel them.
            for pending in polls:
                pending.future.cancel()


class _SourceDispatcher:
    """The polls of one source."""

    def __init__(self, source: PollSource, dispatcher: Dispatcher) -> None:
        self._source = source
        self._dispatcher = dispatcher
        self._batches: dict[str, Batch] = {}
        self._due: list[tuple[float, int, PendingPoll]] = []
        """A heap of the polls to come. It may hold outdated entries, see `_is_outdated`."""
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._ticket: asyncio.Future[float] | None = None
        self._ticket_since = 0.0
        self._tier = source.tier
        """The tier of the ticket, or of the last token."""
        self._bulk_list = BulkList(source.is_terminal)
        self._bulk_list_in_flight = False
        self._deferred: list[PendingPoll] = []
        """The polls that became due while the bulk list was in flight, which may answer them."""
        self._closed = False

    def schedule(self, pending: PendingPoll, min_delay: float, max_delay: float) -> None:
        """Let a poll become due, also one that was sent before: within so many seconds from now."""
        now, max_delay = asyncio.get_running_loop().time(), max(min_delay, max_delay)
        pending.scheduled_at, pending.earliest = now, now + min_delay
        pending.due = now + max_delay - self._dispatcher.jitter() * (max_delay - min_delay)
        pending.in_flight = False
        self._batches.setdefault(pending.poll.batch_key, Batch()).pending[pending] = None
        self._push([pending])

    def close(self) -> None:
        """Send nothing any more, and cancel the pending polls. Those in flight are the business of their tasks."""
        self._closed = True
        self._set_timer()
        if self._ticket is not None:
            self._ticket.cancel()
        for batch in self._batches.values():
            for pending in batch.pending:
                pending.future.cancel()

    # The heap of due polls, the timer, and the ticket in the queue of the rate limiter

    def _push(self, polls: Sequence[PendingPoll]) -> None:
        for pending in polls:
            heapq.heappush(self._due, (pending.due, next(self._count), pending))
        if self._due and self._due[0][2] in polls:
            if self._ticket is not None and not self._ticket.done() and self._due[0][0] < self._ticket_since:
                # A poll that was deferred has waited longer than the one for which the ticket was queued.
                self._ticket.cancel()
                self._ticket = None
            self._set_timer()

    def _set_timer(self) -> None:
        """Wake up when the first poll is due, unless a ticket is queued for it already."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and self._ticket is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._due[0][0], self._enqueue, context=self._dispatcher.context)

    def _enqueue(self) -> None:
        """Queue a ticket for the first poll if that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        while self._due and self._is_outdated(*self._due[0]):
            heapq.heappop(self._due)
        now = asyncio.get_running_loop().time()
        if not self._due or self._due[0][0] > now + DUE_TOLERANCE:
            self._set_timer()
            return
        limits, (since, _, first) = self._dispatcher.limits(), self._due[0]
        self._tier = self._dispatcher.tier(self._source.tier)
        if self._fits_bulk_list(first, now) and not self._bulk_list_in_flight and self._bulk_list_is_cheaper(now):
            # It goes before all polls that wait as long as the last one did, but is not read sooner than a fraction of
            # the time between two single polls.
            delay, interval = limits.poll_delay(self._tier), since - first.scheduled_at
            since -= delay - max(0.0, BULK_LIST_INTERVAL_SHARE * (interval + delay) - interval)
        self._ticket_since = since
        self._ticket = limits.enqueue(self._tier, since)
        self._ticket.add_done_callback(self._token_granted)

    def _token_granted(self, ticket: asyncio.Future[float]) -> None:
        if ticket.cancelled():
            return
        self._ticket = None
        try:
            if self._closed or not self._start_next(asyncio.get_running_loop().time()):
                self._dispatcher.limits().refund(self._tier)
        finally:
            if self._ticket is None:
                # Before the next token is granted: so the next poll of this source is compared with those of others.
                self._enqueue()

    def _start_next(self, now: float) -> bool:
        """Send the first poll that is due, and all that its request answers. Returns False if there was none."""
        while self._due and self._due[0][0] <= now + DUE_TOLERANCE:
            due, count, pending = heapq.heappop(self._due)
            if not self._is_outdated(due, count, pending) and self._start(pending, now):
                self._dispatcher.count_wait(max(0.0, now - due))
                return True
        return False

    def _start(self, pending: PendingPoll, now: float) -> bool:
        """Send a poll, or defer it if a request that is in flight may answer it. Returns True if it was sent."""
        batch = self._batches[pending.poll.batch_key]
        if batch.in_flight:
            # This comes first: a bulk list is not read for polls of a batch that is in flight.
            batch.deferred.append(pending)
            return False
        if self._fits_bulk_list(pending, now):
            if self._bulk_list_in_flight:
                self._deferred.append(pending)
                return False
            if self._bulk_list_is_cheaper(now):
                self._start_bulk_list(now)
                return True
        self._start_batch(pending.poll.batch_key, batch, now)
        return True

    def _is_outdated(self, due: float, _: int, pending: PendingPoll) -> bool:
        """Return True for an entry of the heap whose poll was withdrawn, or sent and perhaps scheduled anew since."""
        batch = self._batches.get(pending.poll.batch_key)
        if pending.done and batch is not None:
            batch.pending.pop(pending, None)
            self._drop_if_empty(pending.poll.batch_key, batch)
        return pending.done or pending.in_flight or pending.due != due

    def _drop_if_empty(self, key: str, batch: Batch) -> None:
        if not batch.pending and not batch.in_flight:
            del self._batches[key]

    # One batch

    def _start_batch(self, key: str, batch: Batch, now: float) -> None:
        polls = [pending for pending in batch.pending if pending.earliest <= now + DUE_TOLERANCE and not pending.done]
        # One request may not answer all of them: those that have waited longest come first.
        polls.sort(key=lambda pending: pending.due)
        batch.send(polls)
        batch.in_flight = True
        keys = _keys(polls)
        name = _task_name(self._source, key, len(keys))
        self._dispatcher.start(self._poll_batch(batch, polls, keys, self._tier), polls, name)

    async def _poll_batch(self, batch: Batch, polls: list[PendingPoll], keys: Sequence[Any], tier: Tier) -> None:
        results: Mapping[Any, Any] = {}
        try:
            async with errors_delivered(polls):
                results, calls = await self._dispatcher.run_flow(tier, self._source.poll_batch(keys))
                self._bulk_list.record_single_polls(results, asyncio.get_running_loop().time())
                await self._deliver(polls, results, calls)
        finally:
            batch.in_flight = False
            deferred, batch.deferred = batch.deferred, []
            self._requeue(polls, results, deferred)

    # The bulk list

    def _fits_bulk_list(self, pending: PendingPoll, now: float) -> bool:
        return self._source.has_bulk_list and self._bulk_list.covers(pending.poll.key, now)

    def _ready_for_bulk_list(self, batch: Batch, now: float) -> Iterator[PendingPoll]:
        for pending in batch.pending if not batch.in_flight else ():
            if pending.earliest <= now + DUE_TOLERANCE and not pending.done and self._fits_bulk_list(pending, now):
                yield pending

    def _bulk_list_is_cheaper(self, now: float) -> bool:
        """Return True if the bulk list answers for more batches than it has pages."""
        needed = self._bulk_list.min_batches(now)
        if len(self._batches) < needed:
            return False
        # No more batches are looked at than are needed: this runs for every poll, and there may be thousands.
        ready = (batch for batch in self._batches.values() if any(True for _ in self._ready_for_bulk_list(batch, now)))
        return sum(1 for _ in itertools.islice(ready, needed)) == needed

    def _start_bulk_list(self, now: float) -> None:
        polls: list[PendingPoll] = []
        for batch in self._batches.values():
            ready = list(self._ready_for_bulk_list(batch, now))
            batch.send(ready)
            polls += ready
        self._bulk_list_in_flight = True
        keys = _keys(polls)
        name = _task_name(self._source, "bulk list", len(keys))
        self._dispatcher.start(self._poll_bulk_list(polls, keys, self._tier), polls, name)

    async def _poll_bulk_list(self, polls: list[PendingPoll], keys: Sequence[Any], tier: Tier) -> None:
        results: Mapping[Any, Any] = {}
        try:
            async with errors_delivered(polls):
                batches = len({pending.poll.batch_key for pending in polls})
                results, calls = await self._read_bulk_list(keys, batches, tier)
                await self._deliver(polls, results, calls)
        finally:
            self._bulk_list_in_flight = False
            deferred, self._deferred = self._deferred, []
            self._requeue(polls, results, deferred)

    async def _read_bulk_list(self, keys: Sequence[Any], batches: int, tier: Tier) -> tuple[Mapping[Any, Any], int]:
        """Return what the bulk list shows and the number of calls; nothing if it failed or is stale."""
        bulk_list, now = self._bulk_list, asyncio.get_running_loop().time
        audits = bulk_list.take_audits(now())
        flow = self._source.poll_bulk_list(keys, bulk_list.max_pages(batches), list(audits))
        try:
            results, calls = await self._dispatcher.run_flow(tier, flow)
        except QlikCloudError as error:
            if bulk_list.record_failure(error, now()):
                raise
            return {}, 0
        trusted = bulk_list.record_read(calls, keys, results, audits, now())
        return (results, calls) if trusted else ({}, calls)

    # After a request

    async def _deliver(self, polls: Sequence[PendingPoll], results: Mapping[Any, Any], calls: int) -> None:
        answered = [pending for pending in polls if pending.poll.key in results]
        self._dispatcher.record(answered, calls)
        await deliver(answered, results, self.schedule)

    def _requeue(
        self, polls: Sequence[PendingPoll], results: Mapping[Any, Any], deferred: Sequence[PendingPoll]
    ) -> None:
        """Let the polls that the request did not answer, and those that were deferred, become due at once."""
        unanswered = [pending for pending in polls if pending.poll.key not in results and not pending.done]
        for pending in unanswered:
            pending.in_flight = False
            self._batches.setdefault(pending.poll.batch_key, Batch()).pending[pending] = None
        for key in {pending.poll.batch_key for pending in polls}:
            if key in self._batches:
                self._drop_if_empty(key, self._batches[key])
        self._push([*unanswered, *deferred])


def _keys(polls: Sequence[PendingPoll]) -> list[Any]:
    """Return the keys of polls in their order, each once: several waits may poll the same run."""
    return list(dict.fromkeys(pending.poll.key for pending in polls))


def _task_name(source: PollSource, resource: str, runs: int) -> str:
    """Return the name of the asyncio task of a request, for ``asyncio.all_tasks`` and Airflow's own diagnostics."""
    return f"qlik poll: {source.name} {resource} ({runs} {'run' if runs == 1 else 'runs'})"


def _listed(polls: Sequence[PendingPoll]) -> str:
    named = [
        f"{pending.poll.source.name} {pending.poll.batch_key} ({pending.poll.key})"
        for pending in polls[:MAX_LOGGED_POLLS]
    ]
    return ", ".join(named) + (f" and {len(polls) - len(named)} more" if len(polls) > len(named) else "")
