"""Polls that are pending: when they are due, which of them one request answers, and how they get their results.

A wait for a run does not send its polls itself. It yields a `Poll`, the dispatcher keeps it as a `PendingPoll`, and the
wait sleeps on its future. That is a plain object and not a task: a triggerer has thousands of them.

Most results tell nothing new: the run still has the status that it had. To wake the wait for each of these would cost
more CPU than all the rest, so `Poll.reschedule` decides it here, and the same pending poll becomes due again
(`deliver`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from typing import Any, Generic, Protocol

from airflow_provider_qlik.cloud.flow import KeyT, Poll, ResultT

DELIVERIES_PER_STEP = 20
"""The number of results that are delivered in one step of the event loop, before other tasks may run."""


class ResultFuture(Protocol):
    """The part of a future that a pending poll needs; `asyncio.Future` has it."""

    def done(self) -> bool:
        """Return True if there is a result or an error, or if it was cancelled."""

    def cancel(self) -> object:
        """Cancel it: nobody will get a result."""

    def set_result(self, result: Any, /) -> object:
        """Deliver the result."""

    def set_exception(self, exception: Any, /) -> object:
        """Raise an error in whatever waits for the result."""


class PendingPoll(Generic[KeyT, ResultT]):
    """A poll, the time from when to when it is to be sent, and the future of its result.

    All times are those of the event loop, in seconds: it was scheduled at `scheduled_at`, may be sent from `earliest`
    on, and is due at `due`. `in_flight` is True while a request that shall answer it is in flight.
    """

    __slots__ = ("due", "earliest", "future", "in_flight", "poll", "scheduled_at")

    def __init__(self, poll: Poll[KeyT, ResultT], future: ResultFuture) -> None:
        self.poll = poll
        self.future = future
        self.scheduled_at = self.earliest = self.due = 0.0
        self.in_flight = False

    @property
    def done(self) -> bool:
        """Return True if nobody waits for the result: it was delivered, or the wait was cancelled."""
        return self.future.done()

    def resolve(self, result: ResultT | Exception | None) -> None:
        """Deliver the result, or raise it in the wait if it is an exception.

        An error is copied, since each wait adds its own notes and traceback to it.
        """
        if self.done:
            return
        if isinstance(result, Exception):
            with suppress(Exception):  # an exception of a foreign class may refuse to be copied: then all get the same
                result = copy(result)
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@asynccontextmanager
async def errors_delivered(polls: Sequence[PendingPoll[Any, Any]]) -> AsyncIterator[None]:
    """Deliver whatever is raised in the block to the waits of these polls, and to nobody else."""
    try:
        try:
            yield
        except Exception as error:
            async for pending in _in_steps(polls):
                pending.resolve(error)
    except asyncio.CancelledError:
        for pending in polls:
            pending.future.cancel()
        raise


async def deliver(
    polls: Sequence[PendingPoll[KeyT, ResultT]],
    results: Mapping[KeyT, ResultT | Exception],
    schedule: Callable[[PendingPoll[KeyT, ResultT], float, float], object],
) -> None:
    """Give each poll its result or its own error.

    A poll whose result is nothing new is passed to *schedule* instead, with the seconds from now after which it may be
    sent again and after which it is due.
    """
    async for pending in _in_steps(polls):
        result, delays = results[pending.poll.key], None
        if pending.poll.reschedule is not None and not pending.done and not isinstance(result, Exception):
            try:
                delays = pending.poll.reschedule(result)
            except Exception as error:  # a mistake in one wait's own function must not fail the other waits
                result = error
        if delays is None:
            pending.resolve(result)
        else:
            schedule(pending, *delays)


async def _in_steps(
    polls: Sequence[PendingPoll[KeyT, ResultT]],
) -> AsyncIterator[PendingPoll[KeyT, ResultT]]:
    """Yield all polls, and let the event loop run other tasks now and then: a bulk list answers for thousands."""
    for count, pending in enumerate(polls, 1):
        yield pending
        if count % DELIVERIES_PER_STEP == 0:
            await asyncio.sleep(0)
