"""Whose turn it is: all who ask one tenant as one user, in one event loop, keep its rate limits together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple
from weakref import WeakKeyDictionary

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.slots import ConnectionSlots, WaitingList, WaitingLists, called
from airflow_provider_qlik.cloud.transport.credentials import Credentials
from airflow_provider_qlik.cloud.transport.tenant import Tenant

A_MINUTE: dict[Tier, float] = {Tier.ONE: 1000, Tier.TWO: 100, Tier.TASKS: 600, Tier.RELOADS: 50}
"""How many requests a minute Qlik Cloud takes from one user, by tier."""
WINDOW = 300.0
"""Seconds over which Qlik Cloud counts them."""
STEADY = {Tier.ONE: 0.9, Tier.TWO: 0.4, Tier.TASKS: 0.9, Tier.RELOADS: 0.4}
"""The part of a limit that is given out evenly. Polls go to two of the tiers and leave a tenth to the workers."""
MOST = {Tier.ONE: 0.95, Tier.TWO: 1.0, Tier.TASKS: 0.95, Tier.RELOADS: 1.0}
"""The part of what Qlik Cloud counts in its window that starts and cancels may use up, together with the polls.

All of it where nobody polls: a thousand runs that are to be cancelled at once go on until their turn comes.
"""
WINDOW_MARGIN = 1.0
"""Seconds by which a request counts for longer than Qlik Cloud's window, since it arrives later than it is sent."""
BURST = 5.0
"""So many seconds' worth of turns may be taken at once, after a pause."""
TOGETHER = 0.5
"""So many seconds' worth of polls go out together beyond the limits: the same work in a row costs far less CPU."""
MAX_HOLD = 300.0
"""Seconds for which one answer may hold up everybody: whatever it says, deadlines pass and runs are to be cancelled."""

# Beside the limits of a user, Qlik Cloud has one for a whole tenant and tier: half of the limit for each user.
# Nobody says how much of it others use just now, so it is felt for, as TCP feels for the capacity of a line
# (additive increase, multiplicative decrease). Only polls slow down: starts and cancels are few, and somebody waits for
# them.
DECREASE = 0.5
"""The factor by which the rate of polls decreases after a 429 although we had not used up our limit.

The tenant of a single user has half of the user's limit, of which polls may use nine tenths: after one such refusal
they are below it.
"""
LEAST = 0.25
"""The part of their usual rate that polls always have. No tenant has less than half of a user's limit; who gets less
than a half of that shares it with another program that takes all, and would get the rest as well."""
INCREASE = 0.05
"""The part of their usual rate that polls get back at a time."""
INCREASE_AFTER = 60.0
"""Seconds after which they do: from a half to all of it in ten minutes, two of Qlik Cloud's windows. A lone refusal,
such as after a restart, while Qlik Cloud still counts what was sent before it, halves the rate for some minutes."""

_log = logging.getLogger(__name__)


class Permit(NamedTuple):
    """A turn that has come: the seconds that were waited for it, and the moment when it came."""

    waited: float
    moment: float


class RateLimiter:
    """The rate limiter of one tier: polls go out evenly, with a small burst after a pause; what is urgent at once.

    Polls follow a token bucket that is filled with *steady*, a part of the limit. Starts and cancels do not wait for
    it: Qlik Cloud counts requests over a sliding window of five minutes, so they are sent as long as fewer than *most*
    (a part of what it counts) were sent in the last five minutes, of whatever kind, and then as these leave the window.
    The polls make up for them afterwards. A rate limit that is met all the same holds up everybody. A poll's turn comes
    only while there is a connection for it: this is the line to wait in.

    Where Qlik Cloud refuses what its limit for this user allows, others use up what the whole tenant may ask, and polls
    go out at a part of their rate (`part`) until nothing is refused any more: see `DECREASE`.
    """

    def __init__(
        self,
        a_minute: float,
        steady: float,
        most: float,
        clock: Callable[[], float],
        connections: ConnectionSlots,
        name: str = "",
    ) -> None:
        self._name = name
        self.part = 1.0
        """The part of their usual rate at which polls go out."""
        self._decreased = -1.0
        """The moment of the last decrease; what was sent before it tells nothing new."""
        self._increase_at = 0.0
        self._told = False
        self._steady, self._most_of_window = steady, most
        self._clock = clock
        self._connections = connections
        self._measured = clock()
        self._held_until = self._next_lot = 0.0
        self._line = WaitingLists()
        self._sent: deque[float] = deque()
        """When the requests of the last five minutes were sent, or had their turn if they have not been sent yet."""
        self.lag = 0.0
        """The seconds that the last poll to get its turn had waited for it."""
        self._timer: asyncio.TimerHandle | None = None
        self._others_join = False
        self._set_limit(a_minute)
        self._level = self._most

    def _set_limit(self, a_minute: float) -> None:
        self._a_minute = a_minute
        self._set_rate()
        self._in_window = max(1, int(a_minute / 60 * WINDOW * self._most_of_window))

    def _set_rate(self) -> None:
        self._rate = self._a_minute / 60 * self._steady * self.part
        self._most = max(1.0, self._rate * BURST)

    def change_limit(self, a_minute: float) -> None:
        """From now on it is another limit; what was used up stays so, as far as that limit knows of it."""
        self._measure()
        self._set_limit(a_minute)
        self._level = max(-float(self._in_window), min(self._most, self._level))
        self._go_on()

    def _until_window_has_room(self, now: float) -> float:
        """The seconds until fewer requests than allowed were sent in the last five minutes."""
        counted = WINDOW + WINDOW_MARGIN
        while self._sent and self._sent[0] <= now - counted:
            self._sent.popleft()
        over = len(self._sent) - self._in_window
        return 0.0 if over < 0 else self._sent[over] + counted - now

    async def take(self, lane: WaitingList) -> Permit:
        """Wait for a turn and return it."""
        began = self._clock()
        moment = await called(self.join(lane, began), self.refund)
        return Permit(self._clock() - began, moment)

    def sent(self, turn: Permit) -> None:
        """Count the request of a turn from now on: that is when Qlik Cloud counts it.

        Five hundred cancels have their turns at once, and wait for a connection then. Counted from their turns, the
        next ones would be sent while Qlik Cloud still counts these.
        """
        with suppress(ValueError):  # it had its turn more than five minutes ago
            self._sent.remove(turn.moment)
        self._sent.append(self._clock())

    def join(self, lane: WaitingList, since: float) -> asyncio.Future[float]:
        """A place in line that is done when its turn has come, for who waits *since* then. Cancel it to go away."""
        place = self._line.join(lane, since)
        self._go_on()
        return place

    def refund(self) -> None:
        """A turn that was not used is somebody else's."""
        self._level += 1
        if self._sent:
            self._sent.pop()
        self._go_on()

    def hold(self, seconds: float) -> None:
        """Nobody's turn comes for so many seconds, for no longer than `MAX_HOLD`; then there is no burst."""
        self._held_until = max(self._held_until, self._clock() + min(seconds, MAX_HOLD))
        self._level = min(self._level, 1.0)
        self._measured = self._held_until
        self._go_on()

    def refused(self, begun: float) -> None:
        """Slow polls down, if a request that was sent at *begun* met a rate limit that we did not exceed.

        Requests that were under way together are refused together: all of them are one sign, and so is what had been
        sent before it was heeded.
        """
        now = self._measure()
        self._until_window_has_room(now)
        if begun <= self._decreased or len(self._sent) >= int(self._a_minute / 60 * WINDOW):
            return
        self._decreased = now
        self.part = max(LEAST, self.part * DECREASE)
        self._increase_at = max(now, self._held_until) + INCREASE_AFTER
        self._set_rate()
        self._level = min(self._level, self._most)
        if not self._told:
            self._told = True
            _log.warning(
                "Qlik Cloud refused a request by its rate limit, although this process sent no more than it may: others"
                " use up what the whole tenant may ask. Polls go on at %.0f %% of their rate, which is raised again"
                " step by step. This is said once (%s, %d requests in %.0f s)",
                self.part * 100,
                self._name,
                len(self._sent),
                WINDOW,
            )
        self._go_on()

    @property
    def held(self) -> bool:
        """Whether everybody is held up just now."""
        return self._clock() < self._held_until

    def _measure(self) -> float:
        """The time; the level and the part are those of now."""
        now = self._clock()
        while self.part < 1 and self._increase_at <= now:
            self._fill(self._increase_at)
            self.part = min(1.0, self.part + INCREASE)
            self._increase_at += INCREASE_AFTER
            self._set_rate()
        self._fill(now)
        return now

    def _fill(self, until: float) -> None:
        if until > self._measured:
            self._level = min(self._most, self._level + (until - self._measured) * self._rate)
            self._measured = until

    def _go_on(self) -> None:
        if self._others_join:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._measure()
        while (first := self._line.first()) is not None:
            room = self._until_window_has_room(now)
            needed = room if first[1] is WaitingList.URGENT else max(room, (1.0 - self._level) / self._rate)
            seconds = max(needed, self._held_until - now)
            if first[1] is WaitingList.POLL:
                if seconds > 1e-9 and self._next_lot <= now:
                    self._next_lot = now + TOGETHER
                seconds = max(seconds, self._next_lot - now)
            if seconds > 1e-9:
                self._timer = asyncio.get_running_loop().call_later(seconds, self._go_on)
                return
            if first[1] is WaitingList.POLL and not self._connections.free:
                self._connections.when_free(self._go_on, first[2])
                return
            self._level -= 1
            self._sent.append(now)
            self._line.call_first(now)
            if first[1] is WaitingList.POLL:
                self.lag = max(0.0, now - first[2])
                self._wait_for_others()
                return

    def _wait_for_others(self) -> None:
        """Lets whoever is about to join the line do so: who had a turn may stand in for many, one place at a time."""
        if not self._others_join:
            self._others_join = True
            asyncio.get_running_loop().call_soon(self._others_joined)

    def _others_joined(self) -> None:
        self._others_join = False
        self._go_on()


class Limits:
    """The turns of all tiers for one user of one tenant, and the connections that are open at the same time.

    *share* is the part of the limits to use, where several triggerers divide them.
    """

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self.time = clock
        self._connections = ConnectionSlots(clock)
        self._turns = {
            tier: RateLimiter(a_minute * share, STEADY[tier], MOST[tier], clock, self._connections, str(tier))
            for tier, a_minute in A_MINUTE.items()
        }

    @classmethod
    def of(cls, tenant: Tenant, credentials: Credentials) -> Limits:
        """Those of a user of a tenant, the same for all who ask in this event loop; the share is what was said last."""
        # Kept when the last client has gone: Qlik Cloud goes on counting.
        in_loop = _in_loop.setdefault(asyncio.get_running_loop(), {})
        limits = in_loop.get((tenant.url, credentials))
        if limits is None:
            limits = in_loop[tenant.url, credentials] = cls(clock=_time)
        limits.change_share(tenant.rate_limit_share)
        return limits

    def change_share(self, share: float) -> None:
        """From now on it is another part of the limits."""
        if share != self._share:
            self._share = share
            for tier, turns in self._turns.items():
                turns.change_limit(A_MINUTE[tier] * share)

    async def turn(self, tier: Tier, lane: WaitingList = WaitingList.POLL) -> Permit:
        """Wait for a turn of that tier and return it."""
        return await self._turns[tier].take(lane)

    def sent(self, tier: Tier, turn: Permit) -> None:
        """Count the request of a turn of that tier from now on."""
        self._turns[tier].sent(turn)

    def join(self, tier: Tier, since: float) -> asyncio.Future[float]:
        """A place among the polls of that tier, done when its turn has come, for who waits *since* then."""
        return self._turns[tier].join(WaitingList.POLL, since)

    def lag(self, tier: Tier) -> float:
        """The seconds that polls of that tier wait for their turn these days."""
        return self._turns[tier].lag

    def refund(self, tier: Tier) -> None:
        """A turn of that tier that was not used is somebody else's."""
        self._turns[tier].refund()

    def hold(self, tier: Tier, seconds: float) -> None:
        """Qlik Cloud has met a call of that tier with its rate limit: nobody asks there for so many seconds."""
        self._turns[tier].hold(seconds)

    def refused(self, tier: Tier, begun: float) -> None:
        """Slow down polls of that tier if its rate limit met a request, sent at *begun*, that it should have let by."""
        self._turns[tier].refused(begun)

    def part(self, tier: Tier) -> float:
        """Return the part of their usual rate at which polls of that tier go out."""
        return self._turns[tier].part

    def held(self, tier: Tier) -> bool:
        """Whether nobody may ask there just now, whoever has a turn from before."""
        return self._turns[tier].held

    def connection(self, lane: WaitingList = WaitingList.POLL) -> AbstractAsyncContextManager[None]:
        """One of the connections, while it is used. The last few are for what is urgent."""
        # The HTTP library has such a line of its own, at a cost for each request that grows with the length of it.
        return self._connections.one(lane)


def _time() -> float:
    """That of the event loop, without a hold on it: it would be kept for ever."""
    return asyncio.get_running_loop().time()


_in_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, Credentials], Limits]] = WeakKeyDictionary()
