"""When a request may be sent: Qlik Cloud's rate limits, kept by all clients of one user in one event loop.

Qlik Cloud allows a user so many requests a minute and tier, and counts them over a sliding window of five minutes. A
triggerer with thousands of waits could use that up with polls alone. Then a start or a cancel would be refused, and
Qlik Cloud would refuse more and more, since refused requests are repeated.

So each tier has a `RateLimiter` with two rules:

- *Polls* follow a token bucket. It is filled at a fraction of the limit (`SUSTAINED_SHARE`) and holds a small burst.
- *Starts, cancels* and all else of high priority do not wait for the bucket. They are sent as long as the window of
  five minutes has room, and take their tokens from the bucket all the same: its level falls below zero, and the polls
  that follow make up for it. A thousand cancels at once would take 25 minutes through the bucket, and five by the
  window.

A rate limiter only calculates: it says after how many seconds the next token may be granted, and counts the tokens.
Requests wait in `permits`, which grants a token and a slot together.

Beside the limits of a user, Qlik Cloud has one for a whole tenant and tier: half of the limit for each user. No
response says how much of it others use just now, so it is probed, as TCP probes the capacity of a line (additive
increase, multiplicative decrease, see `slow_down`). Only polls slow down: starts and cancels are few, and somebody
waits for them.

What does not work: to repeat a refused request after its Retry-After alone, since requests that wait side by side are
then all sent at once and refused again. So one refusal pauses the tier for all (`pause`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.slots import Priority

REQUESTS_PER_MINUTE: dict[Tier, float] = {Tier.ONE: 1000, Tier.TWO: 100, Tier.TASKS: 600, Tier.RELOADS: 50}
"""Requests a minute that Qlik Cloud allows a user, by tier."""
WINDOW = 300.0
"""Seconds of the sliding window over which Qlik Cloud counts requests."""
SUSTAINED_SHARE = {Tier.ONE: 0.9, Tier.TWO: 0.4, Tier.TASKS: 0.9, Tier.RELOADS: 0.4}
"""The fraction of a limit that fills the bucket. Polls go to two of the tiers and leave a tenth to the workers."""
WINDOW_SHARE = {Tier.ONE: 0.95, Tier.TWO: 1.0, Tier.TASKS: 0.95, Tier.RELOADS: 1.0}
"""The fraction of what the window allows that requests of high priority may use up, together with the polls.

All of it where nobody polls: a thousand runs that are to be cancelled at once shall not run on for longer than need be.
"""
WINDOW_MARGIN = 1.0
"""Seconds by which a request counts for longer than Qlik Cloud's window, since it arrives later than it is sent."""
BURST_SECONDS = 5.0
"""The capacity of the token bucket, in seconds of its rate."""
LOT_INTERVAL = 0.5
"""Seconds between two lots of polls beyond the rate: the same work in a row costs far less CPU."""
MAX_PAUSE = 300.0
"""Seconds for which one response may pause a tier, whatever it says: deadlines pass, and runs are to be cancelled."""
DECREASE_FACTOR = 0.5
"""The factor by which the rate of polls decreases after a 429 although this user had not used up its limit.

The tenant of a single user has half of the user's limit, of which polls may use nine tenths: after one such refusal
they are below it.
"""
MIN_RATE_FACTOR = 0.25
"""The fraction of their usual rate that polls always keep. No tenant has less than half of a user's limit; a user who
gets less than a half of that shares it with another program that takes all, and would get the rest as well."""
RATE_INCREASE = 0.05
"""The fraction of their usual rate that polls get back with each increase."""
INCREASE_INTERVAL = 60.0
"""Seconds between two increases: from a half to the full rate in ten minutes, two of Qlik Cloud's windows. A lone
refusal, such as after a restart, while Qlik Cloud counts what was sent before it, halves the rate for some minutes."""
_TIMER_RESOLUTION = 1e-9
"""Seconds below which a delay is none: the rest of a calculation with floating-point numbers."""

_log = logging.getLogger(__name__)


class RateLimiter:
    """The rate limiter of one tier, see the module.

    :param requests_per_minute: the limit.
    :param sustained_share: the fraction of it that fills the token bucket.
    :param window_share: the fraction of what the window allows that may be used up.
    :param clock: the time in seconds; that of the event loop.
    :param name: that of the tier, for the log.
    """

    def __init__(
        self,
        requests_per_minute: float,
        sustained_share: float,
        window_share: float,
        clock: Callable[[], float],
        name: str = "",
    ) -> None:
        self.name = name
        self._sustained_share, self._window_share = sustained_share, window_share
        self._clock = clock
        self._paused_until = self._next_lot_at = 0.0
        self.poll_delay = 0.0
        """The seconds that the last poll to get its token had waited for it."""
        # The probed limit of the whole tenant.
        self.rate_factor = 1.0
        """The fraction of their usual rate at which polls are sent."""
        self._decreased_at = -1.0
        self._increase_at = 0.0
        self._decrease_logged = False
        # The window: when the requests in it were sent.
        self._sent: deque[float] = deque()
        # The token bucket. Its level is negative after requests of high priority that did not wait for it.
        self._set_limit(requests_per_minute)
        self._level = self._capacity
        self._refilled_at = clock()

    def _set_limit(self, requests_per_minute: float) -> None:
        self._requests_per_minute = requests_per_minute
        self._window_limit = max(1, int(requests_per_minute / 60 * WINDOW * self._window_share))
        self._set_rate()

    def _set_rate(self) -> None:
        self._rate = self._requests_per_minute / 60 * self._sustained_share * self.rate_factor
        self._capacity = max(1.0, self._rate * BURST_SECONDS)

    def change_limit(self, requests_per_minute: float) -> None:
        """Keep another limit from now on. Requests that were sent before count against it."""
        self._update()
        self._set_limit(requests_per_minute)
        self._level = max(-float(self._window_limit), min(self._capacity, self._level))

    # Tokens

    def seconds_until_token(self, priority: Priority) -> float:
        """Return after how many seconds a request of this priority may get a token; 0.0 if it may get one now."""
        now = self._update()
        seconds = self._seconds_until_window_has_room(now)
        if priority is not Priority.HIGH:
            seconds = max(seconds, (1.0 - self._level) / self._rate)
        seconds = max(seconds, self._paused_until - now)
        if priority is Priority.POLL:
            # Beyond the rate, polls are granted in lots. Between two lots the bucket fills for the next one.
            if seconds > _TIMER_RESOLUTION and self._next_lot_at <= now:
                self._next_lot_at = now + LOT_INTERVAL
            seconds = max(seconds, self._next_lot_at - now)
        return seconds if seconds > _TIMER_RESOLUTION else 0.0

    def take_token(self) -> None:
        """Take a token for a request that is sent now."""
        self._level -= 1
        self._sent.append(self._clock())

    def refund(self) -> None:
        """Take back a token that was not used."""
        self._level += 1
        if self._sent:
            self._sent.pop()

    # Refusals

    def pause(self, seconds: float) -> None:
        """Grant no token for so many seconds, at most `MAX_PAUSE`, and no burst after that."""
        self._paused_until = max(self._paused_until, self._clock() + min(seconds, MAX_PAUSE))
        self._level = min(self._level, 1.0)
        self._refilled_at = self._paused_until

    @property
    def is_paused(self) -> bool:
        """Return True if no request of this tier may be sent now, even one that has a token already."""
        return self._clock() < self._paused_until

    def slow_down(self, sent_at: float) -> None:
        """Slow polls down after a refusal, unless this user's own requests have used up its limit.

        :param sent_at: the moment when the refused request was sent. Requests that were in flight together are refused
            together: all of them are one sign, and so are those that were sent before the last decrease.
        """
        now = self._update()
        self._seconds_until_window_has_room(now)
        if sent_at <= self._decreased_at or len(self._sent) >= int(self._requests_per_minute / 60 * WINDOW):
            return
        self._decreased_at = now
        self.rate_factor = max(MIN_RATE_FACTOR, self.rate_factor * DECREASE_FACTOR)
        self._increase_at = max(now, self._paused_until) + INCREASE_INTERVAL
        self._set_rate()
        self._level = min(self._level, self._capacity)
        if not self._decrease_logged:
            self._decrease_logged = True
            _log.warning(
                "Qlik Cloud refused a request by its rate limit, although this process sent no more than it may: others"
                " use up the limit of the whole tenant. Polls are sent at %.0f %% of their rate, which is raised again"
                " step by step. This is logged once (%s, %d requests in %.0f s)",
                self.rate_factor * 100,
                self.name,
                len(self._sent),
                WINDOW,
            )

    # The bucket and the window

    def _update(self) -> float:
        """Bring the rate and the level of the bucket up to date, and return the time."""
        now = self._clock()
        while self.rate_factor < 1 and self._increase_at <= now:
            self._refill(self._increase_at)
            self.rate_factor = min(1.0, self.rate_factor + RATE_INCREASE)
            self._increase_at += INCREASE_INTERVAL
            self._set_rate()
        self._refill(now)
        return now

    def _refill(self, until: float) -> None:
        if until > self._refilled_at:
            self._level = min(self._capacity, self._level + (until - self._refilled_at) * self._rate)
            self._refilled_at = until

    def _seconds_until_window_has_room(self, now: float) -> float:
        counted = WINDOW + WINDOW_MARGIN
        while self._sent and self._sent[0] <= now - counted:
            self._sent.popleft()
        excess = len(self._sent) - self._window_limit
        return 0.0 if excess < 0 else self._sent[excess] + counted - now
