"""The rate limits and slots of one user of one tenant, shared by all clients in an event loop.

Qlik Cloud counts requests by user, whichever client sends them. So two connections with the same credentials share
them, and they are kept when the last client is closed: Qlik Cloud goes on counting, and a client that is opened a
moment later must not begin with a full token bucket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from weakref import WeakKeyDictionary

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.rate_limiter import (
    REQUESTS_PER_MINUTE,
    SUSTAINED_SHARE,
    WINDOW_SHARE,
    Acquired,
    RateLimiter,
)
from airflow_provider_qlik.cloud.polling.slots import Priority, Slots
from airflow_provider_qlik.cloud.transport.credentials import Credentials
from airflow_provider_qlik.cloud.transport.tenant import Tenant


class RateLimits:
    """The rate limiters of all tiers and the slots, for one user of one tenant.

    :param share: the fraction of the limits to use, where several triggerers divide them.
    :param clock: the time in seconds; that of the event loop.
    """

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self.clock = clock
        self._slots = Slots(clock)
        self._limiters = {
            tier: RateLimiter(limit * share, SUSTAINED_SHARE[tier], WINDOW_SHARE[tier], clock, self._slots, str(tier))
            for tier, limit in REQUESTS_PER_MINUTE.items()
        }

    @classmethod
    def of(cls, tenant: Tenant, credentials: Credentials) -> RateLimits:
        """Return those of a user of a tenant: the same for all clients in this event loop.

        The share is that of the tenant that was passed last. They are kept when the last client is closed, since Qlik
        Cloud goes on counting.
        """
        in_loop = _in_loop.setdefault(asyncio.get_running_loop(), {})
        limits = in_loop.get((tenant.url, credentials))
        if limits is None:
            limits = in_loop[tenant.url, credentials] = cls(clock=_loop_time)
        limits.change_share(tenant.rate_limit_share)
        return limits

    def change_share(self, share: float) -> None:
        """Use another fraction of the limits from now on."""
        if share != self._share:
            self._share = share
            for tier, limiter in self._limiters.items():
                limiter.change_limit(REQUESTS_PER_MINUTE[tier] * share)

    async def acquire(self, tier: Tier, priority: Priority = Priority.POLL) -> Acquired:
        """Wait for a token of a tier, see `RateLimiter.acquire`."""
        return await self._limiters[tier].acquire(priority)

    def enqueue(self, tier: Tier, since: float) -> asyncio.Future[float]:
        """Return the ticket of a poll of a tier, see `RateLimiter.enqueue`."""
        return self._limiters[tier].enqueue(Priority.POLL, since)

    def mark_sent(self, tier: Tier, acquired: Acquired) -> None:
        """Count a request of a tier from now on, see `RateLimiter.mark_sent`."""
        self._limiters[tier].mark_sent(acquired)

    def refund(self, tier: Tier) -> None:
        """Take back a token of a tier that was not used."""
        self._limiters[tier].refund()

    def pause(self, tier: Tier, seconds: float) -> None:
        """Grant no token of a tier for so many seconds, see `RateLimiter.pause`."""
        self._limiters[tier].pause(seconds)

    def is_paused(self, tier: Tier) -> bool:
        """Return True if no request of a tier may be sent now, even one that has a token already."""
        return self._limiters[tier].is_paused

    def slow_down(self, tier: Tier, sent_at: float) -> None:
        """Slow polls of a tier down after a refusal, see `RateLimiter.slow_down`."""
        self._limiters[tier].slow_down(sent_at)

    def rate_factor(self, tier: Tier) -> float:
        """Return the fraction of their usual rate at which polls of a tier are sent."""
        return self._limiters[tier].rate_factor

    def poll_delay(self, tier: Tier) -> float:
        """Return the seconds that the last poll of a tier waited for its token."""
        return self._limiters[tier].poll_delay

    def slot(self, priority: Priority = Priority.POLL) -> AbstractAsyncContextManager[None]:
        """Wait for a slot and hold it in the block, see `Slots.acquire`."""
        return self._slots.acquire(priority)


def _loop_time() -> float:
    """Return the time of the event loop. A bound method of the loop would keep it, and it this, for ever."""
    return asyncio.get_running_loop().time()


_in_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, Credentials], RateLimits]] = WeakKeyDictionary()
