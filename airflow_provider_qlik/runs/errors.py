"""Errors about runs, other than that a run fails."""

from __future__ import annotations

from typing import TypeVar

from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow

T = TypeVar("T")


class RunError(QlikCloudError):
    """An error about a run that repeating the request does not resolve."""


class CannotStartError(RunError):
    """Qlik Cloud refused the start, such as for a disabled or missing resource. Nothing was started."""


class NotStartedError(QlikCloudError):
    """A read before the start has failed. Nothing was started, and a later attempt may succeed."""

    @property
    def transient(self) -> bool:
        return True


def before_start(flow: Flow[T]) -> Flow[T]:
    """Return the result of a flow that only reads, before a start. Raises NotStartedError if a response was lost."""
    try:
        return (yield from flow)
    except QlikCloudError as error:
        if error.outcome_unknown:
            raise NotStartedError(f"Nothing was started: {error}") from error
        raise


class ReloadPendingError(RunError):
    """A reload of the app is pending already, and Qlik takes one at a time. Nothing was started."""


class RunNotFoundError(RunError):
    """A start was accepted, or its outcome is unknown, and no run of it appeared in time."""


class ForeignEventsError(RunError):
    """Trigger events of other runs came again and again in place of that of our own. A retry may succeed."""

    @property
    def transient(self) -> bool:
        return True


class AmbiguousRunError(RunError):
    """Several runs may be the one that was started. The message lists them; none is ever chosen by a guess."""


class RunGoneError(RunError):
    """Qlik Cloud no longer has the run or its resource."""


class RunNotVisibleError(RunError):
    """Qlik Cloud has refused to show the run for two minutes (401 or 403). The run itself may still be active."""


class WaitTimeoutError(RunError):
    """The deadline passed while the run was active, or before there was a run."""
