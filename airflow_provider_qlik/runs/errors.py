"""What can go wrong with a run, other than that it fails."""

from __future__ import annotations

from typing import TypeVar

from airflow_provider_qlik.cloud.call import Flow
from airflow_provider_qlik.cloud.errors import QlikCloudError

T = TypeVar("T")


class RunError(QlikCloudError):
    """Something about a run that asking again does not mend."""


class CannotStartError(RunError):
    """Qlik refused to start it, and why as far as it says: disabled, not there, not allowed. Nothing was started."""


class NotStartedError(QlikCloudError):
    """What had to be read before a start could not be: nothing was started, and it may well work a little later."""

    @property
    def transient(self) -> bool:
        return True


def before_start(flow: Flow[T]) -> Flow[T]:
    """The result of a flow that only reads, before anything is started. Raises NotStartedError for a lost answer."""
    try:
        return (yield from flow)
    except QlikCloudError as error:
        if error.outcome_unknown:
            raise NotStartedError(f"Nothing was started: {error}") from error
        raise


class ReloadPendingError(RunError):
    """A reload of the app is pending already, and Qlik takes one at a time. Nothing was started."""


class RunNotFoundError(RunError):
    """A start was accepted, or may have been, and no run of it showed up in time."""


class AmbiguousRunError(RunError):
    """Several runs could be the one that was started, and nothing tells them apart. Lists them; never guessed."""


class RunGoneError(RunError):
    """Qlik no longer knows the run, or what it belongs to."""


class RunNotVisibleError(RunError):
    """Qlik Cloud has refused for two minutes to show the run (401 or 403). The run itself may be going on."""


class WaitTimeoutError(RunError):
    """The deadline passed while the run was still going, or before there was one."""
