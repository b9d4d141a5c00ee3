"""What may be asked again, how often, and how long that may take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from airflow_provider_qlik.cloud.call import Call, Flow, Renew, pause, send
from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError, StatusError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often one call is sent, and how many seconds the pauses between the attempts may take together (`budget`).

    The budget does not count the requests themselves, nor the time that they wait for a rate limit: each request has a
    time-out of its own, and a download that breaks off after ten minutes deserves another attempt as much as one that
    breaks off at once.
    Pauses begin at `initial_backoff` seconds and double up to `max_backoff`, less a random part; where Qlik says
    Retry-After, that counts, capped at `max_retry_after`. In an event loop, `urgent` calls go before polls.
    """

    tries: int = 5
    budget: float = 120.0
    initial_backoff: float = 0.5
    max_backoff: float = 20.0
    max_retry_after: float = 60.0
    high_priority: bool = False

    def pause_after(self, tries: int, error: QlikCloudError, chance: float) -> float:
        """The seconds to wait after so many tries; *chance* is a random number from 0 to 1."""
        if error.retry_after is not None:
            return min(error.retry_after, self.max_retry_after) + chance * self.initial_backoff
        if isinstance(error, StatusError) and error.rate_limited:
            # Qlik says: one second if the header is absent.
            return 1.0 + chance * self.initial_backoff
        return float(min(self.initial_backoff * 2 ** (tries - 1), self.max_backoff) * (1 - chance / 2))


ONE_TRY = RetryPolicy(tries=1)


def attempts(
    call: Call[T],
    patience: RetryPolicy,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Flow[T]:
    """Return the response of the call, sent again as often as is safe and the patience allows.

    Refused credentials are renewed once, which does not count as an attempt. Raises the error of the last attempt.
    """
    began = clock()
    paused = 0.0
    tries = 0
    perhaps_done = renewed = False
    not_shown: QlikCloudError | None = None
    while True:
        tries += 1
        sent = clock()
        try:
            return (yield from send(call))
        except QlikCloudError as error:
            if (
                isinstance(error, StatusError)
                and not renewed
                and (error.credentials_refused or error.status in {403, 404})
            ):
                renewed = True
                since = sent if error.sent_at is None else error.sent_at
                if (yield Renew(since, error)):
                    tries -= 1
                    not_shown = None if error.credentials_refused else error
                    continue
            elif not_shown is not None and isinstance(error, StatusError) and error.credentials_refused:
                # The new credentials may not see this, and the old ones, tried in case the new are somebody else's,
                # are revoked: the new ones count, and what was answered to them.
                yield Renew(sent if error.sent_at is None else error.sent_at, error, fallback_refused=True)
                raise not_shown from None
            if perhaps_done and call.method == "DELETE" and isinstance(error, NotFoundError):
                # The try before this one did it, and only its answer was lost.
                return cast(T, None)
            perhaps_done = perhaps_done or error.outcome_unknown
            seconds = patience.pause_after(tries, error, chance())
            paused += seconds
            if not may_repeat(call, error) or tries >= patience.tries or paused > patience.budget:
                if tries > 1:
                    error.add_note(f"Tried {tries} times in {clock() - began:.1f} s.")
                raise
        yield from pause(seconds)


def may_repeat(call: Call[object], error: QlikCloudError) -> bool:
    """Whether the call may be sent again: it surely did not arrive, or doing it twice does no more than once."""
    return error.transient and (call.repeatable or not error.outcome_unknown)
