"""Asking Qlik Cloud to stop something: the right run, and until it has surely been asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_provider_qlik.cloud.call import Call, Flow, pause, send
from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.runs.errors import AmbiguousRunError, RunError
from airflow_provider_qlik.runs.run import Run, RunSelector

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import RunAdapter

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between the attempts of a cancel whose outcome is unknown."""


def insist(call: Call[T]) -> Flow[T]:
    """Return the response to a cancel, which is sent again as long as nobody knows whether it was executed.

    A POST is not repeated elsewhere, since it might start something twice. To stop something twice is to stop it once,
    and a cancel that got lost would leave a run behind. Raises what Qlik Cloud answers, or the last error.
    """
    for seconds in PAUSES:
        try:
            return (yield from send(call))
        except QlikCloudError as error:
            if not error.outcome_unknown:
                raise
        yield from pause(seconds)
    return (yield from send(call))


def cancel_before_next_try(kind: RunAdapter, run: Run) -> Flow[str]:
    """Cancel the run of a task that has another try, which may have started a new run. Return what was asked to stop.

    Raise RunError, and cancel nothing, where the cancel would end that new run, too (`cancelled_together`).
    """
    if kind.cancelled_together:
        runs = yield from kind.recent(run.resource_id, run.moment)
        competing = next((other for other in runs if other.id != run.id and not other.ended), None)
        if competing is not None:
            raise RunError(
                f"Qlik Cloud cancels all runs of a {kind.name} at once, so none was cancelled: {run} goes on beside"
                f" {competing}"
            )
    return (yield from kind.cancel(run))


def cancel(kind: RunAdapter, run: Run) -> Flow[str]:
    """Return what was asked to stop, in words: the run, or the one that turned out to be ours since.

    A run that only the time tells (`unconfirmed_since`) is looked at first: another that shows our marker has taken its place
    then, and the run itself is a stranger's. Where it cannot be looked at, it is still the one that was followed.
    Raises AmbiguousRunError, and cancels none, where nothing tells which is ours.
    """
    if run.unconfirmed_since is not None:
        try:
            run = (yield from kind.poll(RunSelector.of(run))) or run
        except AmbiguousRunError:
            raise
        except QlikCloudError:
            pass
    return (yield from kind.cancel(run))
