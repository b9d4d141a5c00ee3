"""When a failed task is retried: no sooner than Qlik Cloud's Retry-After says (Airflow 3.3 and later)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.validation import checked_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, RetryDecision, RetryPolicy
else:
    try:
        from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
    except ImportError:  # Airflow before 3.3: its operators have no retry policy, and `set_retry_policy` sets none
        RetryDecision = RetryPolicy = object


class QlikRetryPolicy(RetryPolicy):
    """Retry a task after the delay of Retry-After, if Qlik Cloud gave one with the error that failed the task.

    For all other failures the task's own `retries` and `retry_delay` apply; they bound the number of attempts for
    these, too. The operators and sensors of this package use it unless they have another `retry_policy`.

    :param longest: the longest delay, in seconds or as a timedelta, whatever Retry-After says.
    """

    def __init__(self, longest: float | timedelta = 3600.0) -> None:
        self.longest = checked_seconds("longest", longest)

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return when the task is retried. Airflow calls this on the worker when an attempt has failed."""
        retry_after = next(filter(None, map(_retry_after, _causes(exception))), None)
        if retry_after is None:
            return RetryDecision.default()
        delay = timedelta(seconds=min(retry_after, self.longest))
        return RetryDecision.retry(delay, f"Qlik Cloud's Retry-After is {retry_after:g} s")

    def serialize(self) -> dict[str, Any]:
        """Return the policy as plain JSON."""
        return {"longest": self.longest}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> QlikRetryPolicy:
        """Return the policy that `serialize` wrote."""
        return cls(**data)


if not TYPE_CHECKING and RetryPolicy is object:
    # Importing it fails, because Airflow would never call it.
    del QlikRetryPolicy


def set_retry_policy(operator: Any) -> None:
    """Set the retry policy of an operator to `QlikRetryPolicy`, unless it has one already or Airflow has none."""
    if getattr(operator, "retry_policy", "not supported") is None:
        operator.retry_policy = QlikRetryPolicy()


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes."""
    seen: set[int] = set()
    cause: BaseException | None = exception
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _retry_after(error: BaseException) -> float | None:
    seconds = getattr(error, "retry_after", None)
    return float(seconds) if isinstance(seconds, int | float) else None
