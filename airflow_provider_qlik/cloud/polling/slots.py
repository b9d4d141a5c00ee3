"""The connections that all who ask one tenant as one user share, and the lines in which they wait for anything."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum

CONNECTIONS = 20
"""How many requests are under way at the same time, at most."""
FOR_THE_URGENT = 2
"""How many of the connections are left to what is urgent: polls that get no answer hold theirs until they time out."""


class WaitingList(IntEnum):
    """Who goes before whom: starts and cancels first, then those who have begun something, then whoever asks anew."""

    URGENT = 0
    GOING_ON = 1
    POLL = 2


class WaitingLists:
    """Those who wait in line: within each lane, whoever has waited longest comes first."""

    def __init__(self) -> None:
        self._lanes: dict[WaitingList, list[tuple[float, int, asyncio.Future[float]]]] = {
            lane: [] for lane in WaitingList
        }
        self._count = itertools.count()

    def join(self, lane: WaitingList, since: float) -> asyncio.Future[float]:
        """The place in line of who waits *since* then; it is done when its turn has come."""
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._lanes[lane], (since, next(self._count), place))
        return place

    def first(self) -> tuple[asyncio.Future[float], WaitingList, float] | None:
        """Who comes next, in which lane, and since when that one waits. Whoever has gone away is passed over."""
        for lane, waiting in self._lanes.items():
            while waiting and waiting[0][2].done():
                heapq.heappop(waiting)
            if waiting:
                since, _, place = waiting[0]
                return place, lane, since
        return None

    def call_first(self, now: float = 0.0) -> None:
        """Lets the next one go, and tells it the moment."""
        first = self.first()
        if first is not None:
            first[0].set_result(now)


async def called(place: asyncio.Future[float], refund: Callable[[], None]) -> float:
    """Waits in line, and returns the moment when its turn came.

    Who goes away when its turn has come already gives back what it was called for.
    """
    try:
        return await place
    except asyncio.CancelledError:
        if place.done() and not place.cancelled():
            refund()
        raise


class ConnectionSlots:
    """The connections that are open at the same time, and who waits for one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._used = 0
        self._line = WaitingLists()
        self._waiting: dict[Callable[[], None], float] = {}

    @property
    def free(self) -> bool:
        """Whether there is one for a poll whose turn would come now."""
        return self._used < _most(WaitingList.POLL) and self._line.first() is None

    def when_free(self, go_on: Callable[[], None], since: float) -> None:
        """Calls *go_on* when there may be one, after those whose polls wait for longer than *since* then."""
        self._waiting[go_on] = since

    @asynccontextmanager
    async def one(self, lane: WaitingList) -> AsyncIterator[None]:
        """One of them, while it is used."""
        if self._used < _most(lane):
            self._used += 1
        else:
            await called(self._line.join(lane, self._clock()), self._hand_on)
        try:
            yield
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        self._used -= 1
        self._go_on()

    def _go_on(self) -> None:
        while (first := self._line.first()) is not None and self._used < _most(first[1]):
            self._used += 1
            self._line.call_first()
        if self._waiting and self.free:
            waiting, self._waiting = self._waiting, {}
            for go_on in sorted(waiting, key=waiting.__getitem__):
                go_on()


def _most(lane: WaitingList) -> int:
    return CONNECTIONS if lane is WaitingList.URGENT else CONNECTIONS - FOR_THE_URGENT
