"""The permits of one user of one tenant: a token and a slot for each request, shared by all clients in an event loop.

Qlik Cloud counts requests by user, whichever client sends them. So two connections with the same credentials share
their `RateLimits`, and these are kept when the last client is closed: Qlik Cloud goes on counting, and a client that is
opened a moment later must not begin with a full token bucket.

A request needs two things: a token of the rate limiter of its tier, and one of the slots. It waits for both in one
queue and gets them in one step, as a `Permit`. Which request is next:

- Each tier has a queue by priority and age. A request that is first in its queue gets a permit when its tier has a
  token and there is a slot for its priority.
- Where the first requests of several tiers can have one, the priority decides, and then the age.

What does not work: to grant the token first and let the request wait for a slot with it. Five hundred cancels get their
tokens at once and then wait for twenty slots, so that the window of the rate limiter is over while Qlik Cloud still
counts them. A poll with a token in hand cannot be passed by an older poll of another tier. A pause of the tier has to
take the tokens away again. And each way out between the two, such as the cancellation of a task, has to refund a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self
from weakref import WeakKeyDictionary

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.rate_limiter import (
    REQUESTS_PER_MINUTE,
    SUSTAINED_SHARE,
    WINDOW_SHARE,
    RateLimiter,
)
from airflow_provider_qlik.cloud.polling.slots import Priority, PriorityQueue, Slots
from airflow_provider_qlik.cloud.transport.credentials import Credentials
from airflow_provider_qlik.cloud.transport.tenant import Tenant


class Permit:
    """The permission to send one request: a token of its tier, and a slot that is held until `release`.

    Use it in a ``with``. `waited` is the number of seconds that the request waited for it.
    """

    __slots__ = ("_limits", "held", "tier", "waited")

    def __init__(self, tier: Tier, waited: float, limits: RateLimits) -> None:
        self.tier = tier
        self.waited = waited
        self.held = True
        """True until the permit is released or refunded."""
        self._limits = limits

    def release(self) -> None:
        """Give the slot back when the response is there. A permit that is not held any more stays as it is."""
        self._end(refund=False)

    def refund(self) -> None:
        """Give back both slot and token: nothing was sent."""
        self._end(refund=True)

    def _end(self, *, refund: bool) -> None:
        if self.held:
            self.held = False
            self._limits.end(self, refund=refund)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class RateLimits:
    """The rate limiters of all tiers and the slots, for one user of one tenant.

    :param share: the fraction of the limits to use, where several triggerers divide them.
    :param clock: the time in seconds; that of the event loop.
    """

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self.clock = clock
        self._slots = Slots()
        self._limiters = {
            tier: RateLimiter(limit * share, SUSTAINED_SHARE[tier], WINDOW_SHARE[tier], clock, str(tier))
            for tier, limit in REQUESTS_PER_MINUTE.items()
        }
        self._queues: dict[Tier, PriorityQueue[asyncio.Future[Permit]]] = {tier: PriorityQueue() for tier in Tier}
        self._timer: asyncio.TimerHandle | None = None
        self._yields = False
        self._slot_is_needed = False
        """True if the first request of a tier waits for a slot."""

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
            self._grant()

    # Waiting for a permit

    async def acquire(self, tier: Tier, priority: Priority = Priority.POLL) -> Permit:
        """Wait for a permit, and return it. Release it when the response is there."""
        return await self.wait_for(self.enqueue(tier, priority, self.clock()))

    def enqueue(self, tier: Tier, priority: Priority, since: float) -> asyncio.Future[Permit]:
        """Return a ticket, which gets the permit as its result. Cancel it to leave the queue.

        It stands in the queue as if it had waited since the moment *since*.
        """
        ticket: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._queues[tier].push(priority, since, ticket)
        self._grant()
        return ticket

    def advance(self, ticket: asyncio.Future[Permit], tier: Tier, priority: Priority, since: float) -> None:
        """Move a ticket forward in the queue, to where it would stand if it had waited since an earlier moment."""
        if not ticket.done():
            # Its old entry is skipped when it comes to the top.
            self._queues[tier].push(priority, since, ticket)
            self._grant()

    @staticmethod
    async def wait_for(ticket: asyncio.Future[Permit]) -> Permit:
        """Wait until a ticket gets its permit, and return that.

        A task can be cancelled between the grant and its next step. It would take the permit with it, and nobody else
        could use it: so the permit is refunded.
        """
        try:
            return await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                ticket.result().refund()
            raise

    def end(self, permit: Permit, *, refund: bool) -> None:
        """Take back the slot of a permit, and its token if that is to be refunded. Called by the permit itself."""
        if refund:
            self._limiters[permit.tier].refund()
        self._slots.release()
        if refund or self._slot_is_needed:
            self._grant()

    # Refusals

    def pause(self, tier: Tier, seconds: float) -> None:
        """Grant no permit of a tier for so many seconds, see `RateLimiter.pause`."""
        self._limiters[tier].pause(seconds)
        self._grant()

    def is_paused(self, tier: Tier) -> bool:
        """Return True if no request of a tier may be sent now, even one that has a permit already."""
        return self._limiters[tier].is_paused

    def slow_down(self, tier: Tier, sent_at: float) -> None:
        """Slow polls of a tier down after a refusal, see `RateLimiter.slow_down`."""
        self._limiters[tier].slow_down(sent_at)
        self._grant()

    def rate_factor(self, tier: Tier) -> float:
        """Return the fraction of their usual rate at which polls of a tier are sent."""
        return self._limiters[tier].rate_factor

    def poll_delay(self, tier: Tier) -> float:
        """Return the seconds that the last poll of a tier waited for its permit."""
        return self._limiters[tier].poll_delay

    # Granting permits

    def _grant(self) -> None:
        """Grant all permits that can be granted now, and set a timer for the next one."""
        if self._yields:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while True:
            head, seconds = self._next_request()
            if head is None:
                break
            priority, since, tier, ticket = head
            now = self.clock()
            self._limiters[tier].take_token()
            self._slots.take()
            ticket.set_result(Permit(tier, max(0.0, now - since), self))
            if priority is Priority.POLL:
                self._limiters[tier].poll_delay = max(0.0, now - since)
                # Go on in the next step of the event loop. A dispatcher has one ticket in the queue for all polls of a
                # source, and enqueues the next one when the first is granted. Without this step a younger poll of
                # another source would get the permit before it.
                self._yields = True
                asyncio.get_running_loop().call_soon(self._resume)
                return
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._grant)

    def _resume(self) -> None:
        self._yields = False
        self._grant()

    def _next_request(self) -> tuple[tuple[Priority, float, Tier, asyncio.Future[Permit]] | None, float | None]:
        """Return the request that gets the next permit, if one can be granted, and the seconds until the next token.

        The seconds are those of the first tier that will have one, and None if no request waits for a token.
        """
        best: tuple[Priority, float, Tier, asyncio.Future[Permit]] | None = None
        soonest: float | None = None
        self._slot_is_needed = False
        for tier, queue in self._queues.items():
            if (head := queue.peek()) is None:
                continue
            priority, since, ticket = head
            if not self._slots.available(priority):
                self._slot_is_needed = True
                continue
            seconds = self._limiters[tier].seconds_until_token(priority)
            if seconds > 0:
                soonest = seconds if soonest is None else min(soonest, seconds)
            elif best is None or (priority, since) < best[:2]:
                best = priority, since, tier, ticket
        return best, soonest


def _loop_time() -> float:
    """Return the time of the event loop. A bound method of the loop would keep it, and it this, for ever."""
    return asyncio.get_running_loop().time()


_in_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, Credentials], RateLimits]] = WeakKeyDictionary()
