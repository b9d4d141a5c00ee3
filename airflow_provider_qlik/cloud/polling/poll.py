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
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_qlik.cloud.call import Poll

DELIVERIES_PER_STEP = 20
"""The number of results that are delivered in one step of the event loop, before other tasks may run."""


@dataclass(slots=True, eq=False)
class PendingPoll:
    """A poll, the time from when to when it is to be sent, and the future of its result.

    All times are those of the event loop, in seconds: it was scheduled at `scheduled_at`, may be sent from `earliest`
    on, and is due at `due`.
    """

    poll: Poll
    future: asyncio.Future[Any]
    scheduled_at: float = 0.0
    earliest: float = 0.0
    due: float = 0.0
    in_flight: bool = False
    """True while a request that shall answer it is in flight."""

    @property
    def done(self) -> bool:
        """Return True if nobody waits for the result: it was delivered, or the wait was cancelled."""
        return self.future.done()

    def resolve(self, result: Any) -> None:
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


@dataclass(slots=True, eq=False)
class Batch:
    """The pending polls of one resource, which one request can answer.

    Only one request of a batch is in flight at a time: a second one would read the same list again. Polls that become
    due meanwhile are in `deferred`.
    """

    pending: dict[PendingPoll, None] = field(default_factory=dict)
    in_flight: bool = False
    deferred: list[PendingPoll] = field(default_factory=list)

    def send(self, polls: Sequence[PendingPoll]) -> None:
        """Mark pending polls as being answered by the request that is about to be sent."""
        for pending in polls:
            pending.in_flight = True
            del self.pending[pending]


@asynccontextmanager
async def errors_delivered(polls: Sequence[PendingPoll]) -> AsyncIterator[None]:
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
    polls: Sequence[PendingPoll],
    results: Mapping[Any, Any],
    schedule: Callable[[PendingPoll, float, float], object],
) -> None:
    """Give each poll its result or its own error.

    A poll whose result is nothing new is passed to *schedule* instead, with the seconds from now after which it may be
    sent again and after which it is due.
    """
    async for pending in _in_steps(polls):
        result, delays = results.get(pending.poll.key), None
        if pending.poll.reschedule is not None and not pending.done and not isinstance(result, Exception):
            try:
                delays = pending.poll.reschedule(result)
            except Exception as error:  # a mistake in one wait's own function must not fail the other waits
                result = error
        if delays is None:
            pending.resolve(result)
        else:
            schedule(pending, *delays)


async def _in_steps(polls: Sequence[PendingPoll]) -> AsyncIterator[PendingPoll]:
    """Yield all polls, and let the event loop run other tasks now and then: a bulk list answers for thousands."""
    for count, pending in enumerate(polls, 1):
        yield pending
        if count % DELIVERIES_PER_STEP == 0:
            await asyncio.sleep(0)
