"""Cancelling a run: the right one, and until Qlik Cloud has certainly received the request.

A cancel can do harm in two ways. It may hit the run of somebody else, if the run is known by its time alone: so that is
polled first (`cancel`). Or it may hit the run of the next attempt, where Qlik Cloud can only cancel all runs of a
resource (`cancel_before_next_try`). In doubt nothing is cancelled, and the error names the runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, pause, send
from airflow_provider_qlik.runs.capabilities import CancelsRuns
from airflow_provider_qlik.runs.errors import AmbiguousRunError, RunError
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.run import Run, RunSelector

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import RunAdapter, StartableRunAdapter

T = TypeVar("T")

CANCEL_BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between the attempts to send a cancel whose outcome is unknown."""


def cancelled(what: str) -> str:
    """Return the clause for the task log about a cancel that Qlik Cloud has accepted."""
    return f"Requested the cancel of {what}"


def not_cancelled(what: str) -> str:
    """Return the clause for the task log about a cancel that came too late."""
    return f"There was nothing to cancel, since {what} has ended"


def send_cancel(call: Call[T]) -> Flow[T]:
    """Send a cancel, again as long as its outcome is unknown, and return the response.

    No other POST is repeated, since it might start a run twice. A cancel is idempotent, and one that is lost would
    leave an active run behind. Raises the error of Qlik Cloud, or the last error after `CANCEL_BACKOFF`.
    """
    for seconds in CANCEL_BACKOFF:
        try:
            return (yield from send(call))
        except QlikCloudError as error:
            if not error.outcome_unknown:
                raise
        yield from pause(seconds)
    return (yield from send(call))


def cancels_together(adapter: RunAdapter) -> bool:
    """Return True if a cancel ends all active runs of a resource."""
    return isinstance(adapter, CancelsRuns) and adapter.cancelled_together


def must_end_before_start(adapter: StartableRunAdapter[Any]) -> bool:
    """Return True if a new run must not be started before a cancelled one has ended."""
    return adapter.one_at_a_time or cancels_together(adapter)


def cancel_polled(adapter: RunAdapter, run: Run) -> Flow[str]:
    """Cancel a run that was just polled, and return what was done, as a clause.

    Raises RunError if runs of its kind cannot be cancelled.
    """
    if not isinstance(adapter, CancelsRuns):
        raise RunError(f"Qlik Cloud has no operation to cancel a run of this kind ({run})")
    return (yield from adapter.cancel(run))


def cancel_before_next_try(adapter: StartableRunAdapter[Any], run: Run) -> Flow[str]:
    """Cancel the run of a task of which a further attempt may have started a new run. Return what was done.

    Raises RunError, and cancels nothing, where the cancel would end that new run as well (`cancelled_together`).
    """
    if cancels_together(adapter):
        runs = yield from recent_runs(adapter, run.resource_id, run.moment)
        others = (other for other in runs if other.id != run.id and adapter.can_be_api_run(other))
        competing = next((other for other in others if not other.ended), None)
        if competing is not None:
            raise RunError(
                f"Qlik Cloud cancels all runs of a {adapter.name} at once, and a newer run is active, so none was"
                f" cancelled: {run}, {competing}"
            )
    return (yield from cancel_polled(adapter, run))


def cancel(adapter: RunAdapter, run: Run) -> Flow[str]:
    """Cancel a run and return what was done, as a clause.

    A run that only its time identifies (`unconfirmed_since`) is polled first: if another run shows our marker by now,
    that one is our own and is cancelled. If the poll fails, the run that was followed until now is cancelled. Raises
    AmbiguousRunError, and cancels none, if there are competing runs.
    """
    if run.unconfirmed_since is not None:
        try:
            run = (yield from adapter.poll(RunSelector.of(run))) or run
        except AmbiguousRunError:
            raise
        except QlikCloudError:
            pass
    return (yield from cancel_polled(adapter, run))
