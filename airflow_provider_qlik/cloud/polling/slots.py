"""The concurrency limit: how many requests of one user may be in flight, and which of the waiting ones is next.

A triggerer may have thousands of waits, and all of them poll the same tenant. Without a limit each would open a
connection of its own, and a start or a cancel would wait behind all polls. So there are `MAX_CONCURRENT_REQUESTS` slots
for each user of a tenant, in each event loop, and a request holds one while it is in flight.

Requests have three priorities (`Priority`), and polls can never take the last `RESERVED_SLOTS`: a poll that gets no
response holds its slot until it times out, and a cancel must not wait for that.

Two things do not work. The connection pool of httpx has a queue of its own, but it knows no priorities, and each
request looks through the whole of it, so that its cost grows with the number of waiting requests. An
`asyncio.Semaphore` knows no priorities either.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum

MAX_CONCURRENT_REQUESTS = 20
"""The number of slots: requests that may be in flight at the same time."""
RESERVED_SLOTS = 2
"""The number of slots that only requests of high priority may take."""


class Priority(IntEnum):
    """Which request is next: a lower number goes first.

    `HIGH` is for starts, cancels and all that a person waits for. `FOLLOW_UP` is for the further requests of a flow
    that has begun, such as the second page of a list: behind all new polls, a long list would never end.
    """

    HIGH = 0
    FOLLOW_UP = 1
    POLL = 2


class PriorityQueue:
    """The requests that wait for a slot or a token; within a priority, the one that has waited longest is first.

    A waiter is a future (a ticket) that gets the moment as its result when the request may go on. A ticket that was
    cancelled stays in the heap until it comes to the top: to remove it at once would cost a search.
    """

    def __init__(self) -> None:
        self._heaps: dict[Priority, list[tuple[float, int, asyncio.Future[float]]]] = {
            priority: [] for priority in Priority
        }
        self._count = itertools.count()

    def enqueue(self, priority: Priority, since: float) -> asyncio.Future[float]:
        """Return the ticket of a request that has waited since the moment *since*. Cancel it to leave the queue."""
        ticket = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heaps[priority], (since, next(self._count), ticket))
        return ticket

    def peek(self) -> tuple[asyncio.Future[float], Priority, float] | None:
        """Return the ticket that is next, its priority, and the moment since when it has waited."""
        for priority, heap in self._heaps.items():
            while heap and heap[0][2].done():
                heapq.heappop(heap)
            if heap:
                since, _, ticket = heap[0]
                return ticket, priority, since
        return None

    def grant_next(self, now: float = 0.0) -> None:
        """Let the request that is next go on; its ticket gets the moment *now*."""
        head = self.peek()
        if head is not None:
            head[0].set_result(now)


async def wait_for(ticket: asyncio.Future[float], refund: Callable[[], None]) -> float:
    """Wait until a ticket is granted, and return the moment when that was.

    A task can be cancelled between the grant and its next step. Then it would take what it was granted with it, and
    nobody else could use it: so *refund* is called.
    """
    try:
        return await ticket
    except asyncio.CancelledError:
        if ticket.done() and not ticket.cancelled():
            refund()
        raise


class Slots:
    """The slots of one user of one tenant, and the requests that wait for one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._used = 0
        self._queue = PriorityQueue()
        self._listeners: dict[Callable[[], None], float] = {}

    @property
    def available_for_poll(self) -> bool:
        """Return True if a poll that got its token now would get a slot at once."""
        return self._used < _limit(Priority.POLL) and self._queue.peek() is None

    def notify_when_available(self, callback: Callable[[], None], since: float) -> None:
        """Call *callback* once when a poll may get a slot.

        The rate limiter of each tier asks for this on behalf of its first poll. They are called in the order of
        *since*, the moment since when that poll has waited: so a slot goes to the oldest poll of all tiers.
        """
        self._listeners[callback] = since

    @asynccontextmanager
    async def acquire(self, priority: Priority) -> AsyncIterator[None]:
        """Wait for a slot and hold it in the block."""
        if self._used < _limit(priority):
            self._used += 1
        else:
            await wait_for(self._queue.enqueue(priority, self._clock()), self._release)
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        self._used -= 1
        self._grant()

    def _grant(self) -> None:
        while (head := self._queue.peek()) is not None and self._used < _limit(head[1]):
            self._used += 1
            self._queue.grant_next()
        if self._listeners and self.available_for_poll:
            listeners, self._listeners = self._listeners, {}
            for callback in sorted(listeners, key=listeners.__getitem__):
                callback()


def _limit(priority: Priority) -> int:
    return MAX_CONCURRENT_REQUESTS if priority is Priority.HIGH else MAX_CONCURRENT_REQUESTS - RESERVED_SLOTS
