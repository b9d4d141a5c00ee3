"""The queue of the pending polls of one source: which is due first, and which of them one request answers.

It decides and does no I/O: the `dispatcher` passes the time of the event loop to it and sends what it takes out. So a
test can play any order of events without an event loop.

- A poll has an interval, from `Poll.min_delay` to `Poll.max_delay`. It is due at the end of that, less some jitter, so
  that waits that began together drift apart. But a request for any poll takes along all others that may be sent by
  then: so polls of one batch drift together.
- A *batch* are the polls of one resource, which one list of its runs answers. A *bulk list* answers polls of many
  batches at once, and is read where that costs fewer requests (`bulk_list`).
- A batch, or the bulk list, has one request in flight at most. Polls that become due meanwhile are deferred until it
  ends: it may well answer the same question.

Each pending poll is in exactly one of three states: in the heap of those to come (`_heap`), deferred, or in flight. All
but those in flight are in the `pending` of their batch. A test plays random waits to prove that none is ever lost.

What does not work:

- To remove a poll from the middle of the heap when a batch takes it along, or when its wait is cancelled: that costs a
  search through thousands. Its entry stays and is skipped when it comes to the top (`_is_outdated`).
- To let the bulk list wait its turn like any other poll. It answers for many, and each of these would then be polled
  less and less often than a single poll of another source. So it is queued as if it had waited since an earlier moment
  (`BULK_LIST_INTERVAL_SHARE`).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic

from airflow_provider_qlik.cloud.flow import KeyT, PollSource, ResultT
from airflow_provider_qlik.cloud.polling.bulk_list import BulkList
from airflow_provider_qlik.cloud.polling.poll import PendingPoll

JITTER = 0.2
"""The fraction of its interval by which a poll may be sent early, so that waits that began together drift apart."""
BULK_LIST_INTERVAL_SHARE = 0.6
"""The fraction of the time between two single polls, with their wait for a permit, after which a bulk list may be read
again; more than a half, so that no run is polled more than twice as often as another."""
DUE_TOLERANCE = 0.001
"""Seconds by which a poll may be sent too early, so that one request answers all polls that are due together."""


@dataclass(slots=True, eq=False)
class Batch(Generic[KeyT, ResultT]):
    """The pending polls of one resource, which one request can answer.

    Only one request of a batch is in flight at a time: a second one would read the same list again. Polls that become
    due meanwhile are in `deferred`.
    """

    pending: dict[PendingPoll[KeyT, ResultT], None] = field(default_factory=dict)
    in_flight: bool = False
    deferred: list[PendingPoll[KeyT, ResultT]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class PollRequest(Generic[KeyT, ResultT]):
    """The polls that the next request is to answer: those of one batch, or of many by the bulk list.

    `batch_key` is None for the bulk list. `keys` are those of the polls in their order, each once: several waits may
    poll the same run.
    """

    batch_key: str | None
    polls: list[PendingPoll[KeyT, ResultT]]
    keys: list[KeyT]


class PollQueue(Generic[KeyT, ResultT]):
    """The pending polls of one source, see the module. All times are those of the event loop, in seconds.

    :param source: answers the polls.
    :param draw: returns a random number from 0 to 1, for the jitter.
    """

    def __init__(self, source: PollSource[KeyT, ResultT], draw: Callable[[], float]) -> None:
        self.bulk_list: BulkList[KeyT, ResultT] = BulkList(source.is_terminal)
        self._source = source
        self._draw = draw
        self._batches: dict[str, Batch[KeyT, ResultT]] = {}
        self._heap: list[tuple[float, int, PendingPoll[KeyT, ResultT]]] = []
        self._count = itertools.count()
        self._bulk_list_in_flight = False
        self._deferred: list[PendingPoll[KeyT, ResultT]] = []
        """The polls that became due while the bulk list was in flight, which may answer them."""

    def schedule(self, pending: PendingPoll[KeyT, ResultT], now: float, min_delay: float, max_delay: float) -> bool:
        """Let a poll become due within so many seconds from now, also one that was sent before.

        Returns True if it is the first one now.
        """
        max_delay = max(min_delay, max_delay)
        pending.scheduled_at, pending.earliest = now, now + min_delay
        pending.due = now + max_delay - self._draw() * JITTER * (max_delay - min_delay)
        self._return_to_batch(pending)
        self._push(pending)
        return self._heap[0][2] is pending

    def waiting(self) -> Iterator[PendingPoll[KeyT, ResultT]]:
        """Yield all polls that are not in flight."""
        for batch in self._batches.values():
            yield from batch.pending

    def first_due(self) -> float | None:
        """Return the moment at which the first poll is due; None if all polls are in flight or deferred."""
        while self._heap and self._is_outdated(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def waiting_since(self, now: float, poll_delay: float) -> float:
        """Return the moment since when the next request counts as waiting: since its first poll is due, or earlier.

        :param poll_delay: the seconds that polls wait for a permit at present.
        """
        due, _, first = self._heap[0]
        if not self._fits_bulk_list(first, now) or self._bulk_list_in_flight or not self._bulk_list_is_cheaper(now):
            return due
        # It goes before all polls that wait as long as the last one did, but is not read sooner than a fraction of the
        # time between two single polls.
        interval = due - first.scheduled_at
        return due - (poll_delay - max(0.0, BULK_LIST_INTERVAL_SHARE * (interval + poll_delay) - interval))

    def take(self, now: float) -> PollRequest[KeyT, ResultT] | None:
        """Take out the first poll that is due, and all that its request answers. Returns None if none is due.

        They are in flight until `complete`.
        """
        while self._heap and self._heap[0][0] <= now + DUE_TOLERANCE:
            due, count, pending = heapq.heappop(self._heap)
            if not self._is_outdated(due, count, pending) and (request := self._request(pending, now)) is not None:
                return request
        return None

    def complete(self, request: PollRequest[KeyT, ResultT], answered: Mapping[KeyT, object]) -> None:
        """Let the polls that a request did not answer, and those that were deferred for it, become due at once."""
        if request.batch_key is None:
            self._bulk_list_in_flight = False
            deferred, self._deferred = self._deferred, []
        else:
            batch = self._batches[request.batch_key]
            batch.in_flight = False
            deferred, batch.deferred = batch.deferred, []
        unanswered = [pending for pending in request.polls if pending.poll.key not in answered and not pending.done]
        for pending in unanswered:
            self._return_to_batch(pending)
        for key in {pending.poll.batch_key for pending in request.polls}:
            self._drop_if_empty(key)
        for pending in (*unanswered, *deferred):
            self._push(pending)

    # The heap and the batches

    def _push(self, pending: PendingPoll[KeyT, ResultT]) -> None:
        heapq.heappush(self._heap, (pending.due, next(self._count), pending))

    def _return_to_batch(self, pending: PendingPoll[KeyT, ResultT]) -> None:
        """Put a poll that is not in flight, or not any more, into its batch."""
        pending.in_flight = False
        key = pending.poll.batch_key
        if key not in self._batches:
            self._batches[key] = Batch()
        self._batches[key].pending[pending] = None

    def _is_outdated(self, due: float, _: int, pending: PendingPoll[KeyT, ResultT]) -> bool:
        """Return True for an entry of the heap whose poll was withdrawn, or sent and perhaps scheduled anew since."""
        key = pending.poll.batch_key
        if pending.done and key in self._batches:
            self._batches[key].pending.pop(pending, None)
            self._drop_if_empty(key)
        return pending.done or pending.in_flight or pending.due != due

    def _drop_if_empty(self, key: str) -> None:
        batch = self._batches.get(key)
        if batch is not None and not batch.pending and not batch.in_flight:
            del self._batches[key]

    # Which polls one request answers

    def _request(self, pending: PendingPoll[KeyT, ResultT], now: float) -> PollRequest[KeyT, ResultT] | None:
        """Return the request that answers a poll; None, and the poll is deferred, if one in flight may answer it."""
        key = pending.poll.batch_key
        batch = self._batches[key]
        if batch.in_flight:
            # This comes first: a bulk list is not read for polls of a batch that is in flight.
            batch.deferred.append(pending)
            return None
        if self._fits_bulk_list(pending, now):
            if self._bulk_list_in_flight:
                self._deferred.append(pending)
                return None
            if self._bulk_list_is_cheaper(now):
                self._bulk_list_in_flight = True
                polls = [one for each in self._batches.values() for one in self._ready_for_bulk_list(each, now)]
                return self._sent(None, polls)
        batch.in_flight = True
        polls = [one for one in batch.pending if one.earliest <= now + DUE_TOLERANCE and not one.done]
        # One request may not answer all of them: those that have waited longest come first.
        polls.sort(key=lambda one: one.due)
        return self._sent(key, polls)

    def _sent(self, batch_key: str | None, polls: list[PendingPoll[KeyT, ResultT]]) -> PollRequest[KeyT, ResultT]:
        for pending in polls:
            pending.in_flight = True
            del self._batches[pending.poll.batch_key].pending[pending]
        return PollRequest(batch_key, polls, list(dict.fromkeys(pending.poll.key for pending in polls)))

    def _fits_bulk_list(self, pending: PendingPoll[KeyT, ResultT], now: float) -> bool:
        return self._source.has_bulk_list and self.bulk_list.covers(pending.poll.key, now)

    def _ready_for_bulk_list(self, batch: Batch[KeyT, ResultT], now: float) -> Iterator[PendingPoll[KeyT, ResultT]]:
        for pending in batch.pending if not batch.in_flight else ():
            if pending.earliest <= now + DUE_TOLERANCE and not pending.done and self._fits_bulk_list(pending, now):
                yield pending

    def _bulk_list_is_cheaper(self, now: float) -> bool:
        """Return True if the bulk list answers for more batches than it has pages."""
        needed = self.bulk_list.min_batches(now)
        if len(self._batches) < needed:
            return False
        # No more batches are looked at than are needed: this runs for every poll, and there may be thousands.
        ready = (batch for batch in self._batches.values() if any(True for _ in self._ready_for_bulk_list(batch, now)))
        return sum(1 for _ in itertools.islice(ready, needed)) == needed
