"""Starting a run exactly once.

Qlik Cloud has no idempotency keys: a POST that is sent twice starts two runs. And a response can be lost at any point,
by a time-out, a proxy or a worker that is killed, after Qlik Cloud has executed the request. So a start has two halves,
between which the caller stores what it is about to do:

1. `intend` reads the runs that exist. Its result, the intent, is stored by the caller. A retry after a crash finds it
   and knows that a start may have been sent, and which runs are certainly not of this start.
2. `start` sends one POST. If the response contains the run, that is all. If it does not, or was lost, so that the
   outcome is unknown, the run is matched among those that are new (see `matching`).

What does not work:

- Repeating the POST after an error, as HTTP libraries do. Only a request that was certainly not executed is repeated,
  and only by the client (`transport.retry`); here none is.
- Reading the runs after the POST alone. A run that is in the list then may have been there before.
- Taking an error for "nothing was started". Only an error that says so (`outcome_unknown` is False) lets a retry start
  again; all others end in RunNotFoundError, which fails the task for good, unless the run is found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.cloud.errors import ForbiddenError, NotFoundError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.runs.errors import CannotStartError, RunNotFoundError
from airflow_provider_qlik.runs.intent import Intent, has_marker, marker
from airflow_provider_qlik.runs.listing import check_resource_exists
from airflow_provider_qlik.runs.matching import MatchTimeouts, cannot_match, find
from airflow_provider_qlik.runs.run import Run, without_repeats

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import LogCallback, RunAdapter, StartableRunAdapter


def intend(
    adapter: StartableRunAdapter[Any], resource_id: str, marker: str, parameters: Mapping[str, Any] | None = None
) -> Flow[Intent]:
    """Return what must be known before a start with these parameters.

    Raises the error of Qlik Cloud if the resource cannot be read, and CannotStartError if the user may not list the
    runs and the run of this start could only be found in that list.
    """
    try:
        page = yield from send(adapter.newest(resource_id, 100))
    except NotFoundError:
        # A resource that never ran may have no list. One that does not exist is an error.
        yield from check_resource_exists(adapter, resource_id)
        return Intent(kind=adapter.name, resource_id=resource_id, marker=marker, known_run_ids=(), server_time=None)
    except ForbiddenError as error:
        if not adapter.start_returns_run({}):
            raise
        if not adapter.start_returns_run(parameters or {}):
            raise CannotStartError(
                f"{error.reason}. The {adapter.name} was not started: the response to a start with these parameters"
                f" does not contain the run, and this user may not list the runs to find it. {error.advice}"
                f" ({adapter.name} {resource_id}; {error.request})"
            ) from None
        return Intent(kind=adapter.name, resource_id=resource_id, marker=marker, known_run_ids=None, server_time=None)
    runs = without_repeats([adapter.run_of(resource_id, item) for item in page.items])
    return Intent(
        kind=adapter.name,
        resource_id=resource_id,
        marker=marker,
        known_run_ids=tuple(dict.fromkeys(run.id for run in runs)),
        server_time=page.server_time,
        resumable=next((run for run in runs if _is_resumable(adapter, run, marker)), None),
        markers_shown=any(map(has_marker, runs)),
    )


def _is_resumable(adapter: RunAdapter, run: Run, marker: str) -> bool:
    """Return True for an active run with the marker that the previous attempt is not cancelling."""
    return marker in (run.triggered_by or "") and not run.ended and not adapter.stopping(run)


def start(
    adapter: StartableRunAdapter[Any],
    intent: Intent,
    timeouts: MatchTimeouts,
    write_log: LogCallback,
    clock: Callable[[], float] = time.monotonic,
    *,
    parameters: Mapping[str, Any] | None = None,
) -> Flow[Run]:
    """Start a run exactly once, whatever the response is, and return it. *parameters* are those of the kind.

    Raises CannotStartError if Qlik Cloud refused the start, RunNotFoundError if the start was accepted or its outcome
    is unknown and no run appeared, AmbiguousRunError if there are several candidates, and the error of the request if
    it certainly was not executed.

    If the user may not list the runs (`Intent.known_run_ids` is None), a lost response raises RunNotFoundError at
    once: a run that is not known to be new is never taken for the run of this start.
    """
    lost_response: QlikCloudError | None = None
    if intent.known_run_ids is None:
        write_log(
            logging.INFO,
            "This user may not list the runs, so the run cannot be found if the response to the start is lost. It is"
            f" started all the same ({adapter.name} {intent.resource_id}).",
        )
    try:
        run = yield from adapter.send_start(intent, write_log, parameters or {})
    except QlikCloudError as error:
        if not error.outcome_unknown:
            raise (yield from _refused_start(adapter, intent.resource_id, error)) from None
        if intent.known_run_ids is not None:
            write_log(logging.WARNING, f"{error} Looking for the run instead of starting again.")
        lost_response, run = error, None
    if run is not None:
        return run
    resource = f"{adapter.name} {intent.resource_id}"
    started = "may have been started" if lost_response else "was started"
    if intent.known_run_ids is None:
        raise cannot_match(adapter, intent, lost_response) from None
    try:
        run = yield from find(adapter, intent, timeouts, write_log, clock, accepted=lost_response is None)
    except StatusError as error:
        raise RunNotFoundError(
            f"{error.reason}. {error.advice} The {adapter.name} {started}, but its runs cannot be listed: look at them"
            f" in Qlik Cloud. It was not started again ({resource}; {error.request})"
        ) from None
    if run is not None:
        return run
    seconds = timeouts.unknown_outcome_timeout if lost_response else timeouts.match_timeout
    disabled = yield from _disabled_reason(adapter, intent.resource_id)
    raise RunNotFoundError(
        f"The {adapter.name} {started}, but no run of it showed up within {seconds:g} s"
        + (f": it is {disabled}" if disabled else "")
        + f". Look at its runs in Qlik Cloud, then clear this task. It was not started again ({resource})"
        + (f". The response to the start: {lost_response}" if lost_response else "")
    ) from None


def start_only(
    adapter: StartableRunAdapter[Any], resource_id: str, write_log: LogCallback, parameters: Mapping[str, Any]
) -> Flow[Run | None]:
    """Start a run that nobody waits for, with one request. Return it, or None if the response does not contain it.

    No run is looked for, before or after the start. Raises QlikCloudError; if its `outcome_unknown` is True, the run
    may have been started.
    """
    intent = Intent(
        kind=adapter.name, resource_id=resource_id, marker=marker(resource_id), known_run_ids=None, server_time=None
    )
    try:
        return (yield from adapter.send_start(intent, write_log, parameters))
    except QlikCloudError as error:
        if error.outcome_unknown:
            raise
        raise (yield from _refused_start(adapter, resource_id, error)) from None


def _refused_start(adapter: RunAdapter, resource_id: str, error: QlikCloudError) -> Flow[QlikCloudError]:
    """Return the error to raise for a start that was not executed, with the reason if the resource is disabled."""
    if not isinstance(error, StatusError) or error.transient:
        return error
    disabled = yield from _disabled_reason(adapter, resource_id)
    resource = f"{adapter.name} {resource_id}"
    if disabled:
        return CannotStartError(f"The {adapter.name} is {disabled}. It was not started ({resource}). {error}")
    return CannotStartError(
        " ".join(filter(None, (f"{error.reason}.", error.advice)))
        + f" The {adapter.name} was not started ({resource}; {error.request})"
    )


def _disabled_reason(adapter: RunAdapter, resource_id: str) -> Flow[str | None]:
    """Return why the resource is disabled and what to do; None if it is not, or cannot be read."""
    try:
        resource = yield from adapter.resource(resource_id)
    except QlikCloudError:
        return None
    return resource.disabled
