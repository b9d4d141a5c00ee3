"""When a failed task is tried again: as late as Qlik Cloud asked for (Airflow 3.3 and later)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy

from airflow_provider_qlik.validation import checked_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class QlikRetryPolicy(RetryPolicy):
    """Retries a task as long after its failure as Retry-After says, where Qlik Cloud gave that as the reason.

    For all other failures the task's own `retries` and `retry_delay` apply; they bound the number of tries for these,
    too. The operators and sensors of this package use it unless they are given another `retry_policy`.

    :param longest: the longest to wait, in seconds or as a timedelta, whatever Retry-After says.
    """

    def __init__(self, longest: float | timedelta = 3600.0) -> None:
        self.longest = checked_seconds("longest", longest)

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """When to try again. Asked by Airflow on the worker, when a try has failed."""
        asked = next(filter(None, map(_asked_to_wait, _causes(exception))), None)
        if asked is None:
            return RetryDecision.default()
        seconds = min(asked, self.longest)
        return RetryDecision.retry(timedelta(seconds=seconds), f"Qlik Cloud asks to come back in {asked:g} s")

    def serialize(self) -> dict[str, Any]:
        """The policy as plain JSON."""
        return {"longest": self.longest}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> QlikRetryPolicy:
        """The policy that `serialize` wrote."""
        return cls(**data)


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """The exception, and what it came of."""
    seen: set[int] = set()
    cause: BaseException | None = exception
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _asked_to_wait(error: BaseException) -> float | None:
    asked = getattr(error, "retry_after", None)
    return float(asked) if isinstance(asked, int | float) else None
