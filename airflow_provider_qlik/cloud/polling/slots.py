"""The concurrency limit: how many requests of one user may be in flight, and which of the waiting ones is next.

A triggerer may have thousands of waits, and all of them poll the same tenant. Without a limit each would open a
connection of its own, and a start or a cancel would wait behind all polls. So there are `MAX_CONCURRENT_REQUESTS` slots
for each user of a tenant, in each event loop, and a request holds one while it is in flight.

Requests have three priorities (`Priority`), and polls can never take the last `RESERVED_SLOTS`: a poll that gets no
response holds its slot until it times out, and a cancel must not wait for that.

Two things do not work. The connection pool of httpx has a queue of its own, but it knows no priorities, and each
request looks through the whole of it, so that its cost grows with the number of waiting requests. An
`asyncio.Semaphore` knows no priorities either.

This module does no waiting: `permits` grants slots, together with tokens.
"""

from __future__ import annotations

import heapq
import itertools
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

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


class Slots:
    """The slots of one user of one tenant."""

    def __init__(self) -> None:
        self._used = 0

    def available(self, priority: Priority) -> bool:
        """Return True if a request of this priority may take a slot now."""
        reserved = 0 if priority is Priority.HIGH else RESERVED_SLOTS
        return self._used < MAX_CONCURRENT_REQUESTS - reserved

    def take(self) -> None:
        """Take a slot, which must be available."""
        self._used += 1

    def release(self) -> None:
        """Give a slot back."""
        self._used -= 1


class _Ticket(Protocol):
    def done(self) -> bool: ...


TicketT = TypeVar("TicketT", bound=_Ticket)


class PriorityQueue(Generic[TicketT]):
    """The tickets of the requests that wait; within a priority, the one that has waited longest is first.

    A ticket that is done, since it was cancelled or granted, stays in its heap until it comes to the top: to remove it
    at once would cost a search. So the same ticket may also stand in the queue twice (`RateLimits.advance`).
    """

    def __init__(self) -> None:
        self._heaps: dict[Priority, list[tuple[float, int, TicketT]]] = {priority: [] for priority in Priority}
        self._count = itertools.count()

    def push(self, priority: Priority, since: float, ticket: TicketT) -> None:
        """Add the ticket of a request that has waited since the moment *since*."""
        heapq.heappush(self._heaps[priority], (since, next(self._count), ticket))

    def peek(self) -> tuple[Priority, float, TicketT] | None:
        """Return the priority of the ticket that is next, the moment since when it has waited, and the ticket."""
        for priority, heap in self._heaps.items():
            while heap and heap[0][2].done():
                heapq.heappop(heap)
            if heap:
                since, _, ticket = heap[0]
                return priority, since, ticket
        return None
