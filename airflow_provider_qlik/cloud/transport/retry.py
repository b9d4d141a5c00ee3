"""Retries: when a request is sent again, how often, and how long the pauses are. No I/O here.

A GET may be repeated after any transient error. A POST may have been executed although its response was lost, and to
repeat it would start a run twice: so it is sent again only if it certainly was not executed. `may_repeat` is that rule,
and the only place of it. What does not work: retries of the HTTP library, below this package. They know neither if a
call may be executed twice nor that a 200 may hold no response of Qlik Cloud.

Refused credentials are another matter: they may have been replaced in the Airflow connection. The flow yields
`RefreshCredentials` once, upon which the client may use other credentials; that does not count as an attempt. A 403 or
404 is such a refusal, too, since new credentials may belong to a user who does not see the resource.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Flow, RefreshCredentials, pause, send

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts for one call, and the pauses between them.

    :param max_attempts: the number of times that a call is sent at most.
    :param max_total_wait: seconds that all pauses may take together. The requests themselves do not count, nor the time
        that they wait for a rate limit: each request has a time-out of its own, and a download that breaks off after
        ten minutes deserves another attempt as much as one that breaks off at once.
    :param initial_backoff: seconds of the first pause, less a random part; each further one is twice as long.
    :param max_backoff: seconds of the longest pause.
    :param max_retry_after: seconds to which a Retry-After of Qlik Cloud is capped, which counts instead.
    :param high_priority: send before polls, in an event loop.
    """

    max_attempts: int = 5
    max_total_wait: float = 120.0
    initial_backoff: float = 0.5
    max_backoff: float = 20.0
    max_retry_after: float = 60.0
    high_priority: bool = False

    def pause_after(self, attempt: int, error: QlikCloudError, jitter: float) -> float:
        """Return the seconds to pause after the attempt of that number; *jitter* is a random number from 0 to 1."""
        if error.retry_after is not None:
            return min(error.retry_after, self.max_retry_after) + jitter * self.initial_backoff
        if isinstance(error, StatusError) and error.rate_limited:
            # Qlik documents one second where the header is absent.
            return 1.0 + jitter * self.initial_backoff
        return float(min(self.initial_backoff * 2 ** (attempt - 1), self.max_backoff) * (1 - jitter / 2))


ONE_ATTEMPT = RetryPolicy(max_attempts=1)
"""No retry: for polls, which are repeated anyway, and for requests whose result is not worth a pause."""


def send_with_retries(
    call: Call[T],
    retry_policy: RetryPolicy,
    clock: Callable[[], float] = time.monotonic,
    draw: Callable[[], float] = random.random,
) -> Flow[T]:
    """Return the response of a call, sent again as often as is safe and the policy allows.

    Raises the error of the last attempt, with a note of the attempts.
    """
    began = clock()
    total_wait = 0.0
    attempt = 0
    outcome_unknown = refreshed = False
    error_of_new: QlikCloudError | None = None
    while True:
        attempt += 1
        attempt_began = clock()
        try:
            return (yield from send(call))
        except QlikCloudError as error:
            sent_at = attempt_began if error.sent_at is None else error.sent_at
            if (
                isinstance(error, StatusError)
                and not refreshed
                and (error.credentials_refused or error.status in {403, 404})
            ):
                refreshed = True
                if (yield RefreshCredentials(sent_at, error)):
                    attempt -= 1
                    error_of_new = None if error.credentials_refused else error
                    continue
            elif error_of_new is not None and isinstance(error, StatusError) and error.credentials_refused:
                # The new credentials may not see the resource, and the old ones, which were used in case the new ones
                # belong to another user, are revoked: so the error of the new ones counts, their 403 or 404.
                yield RefreshCredentials(sent_at, error, fallback_refused=True)
                raise error_of_new from None
            if outcome_unknown and call.method == "DELETE" and isinstance(error, NotFoundError):
                # The attempt before this one was executed, and only its response was lost.
                return cast(T, None)
            outcome_unknown = outcome_unknown or error.outcome_unknown
            seconds = retry_policy.pause_after(attempt, error, draw())
            total_wait += seconds
            exhausted = attempt >= retry_policy.max_attempts or total_wait > retry_policy.max_total_wait
            if exhausted or not may_repeat(call, error):
                if attempt > 1:
                    error.add_note(f"The request was sent {attempt} times in {clock() - began:.1f} s.")
                raise
        yield from pause(seconds)


def may_repeat(call: Call[object], error: QlikCloudError) -> bool:
    """Return True if a call may be sent again after an error.

    That is so if the error may pass, and the request either was not executed for sure or may be executed twice.
    """
    return error.transient and (call.repeatable or not error.outcome_unknown)
