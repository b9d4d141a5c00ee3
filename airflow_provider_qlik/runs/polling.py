"""Polling one run by the list of its resource, and the checks of a run that only its time identifies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.cloud.errors import NotFoundError
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.runs.capabilities import ConsistsOfItems, ShowsUsers
from airflow_provider_qlik.runs.intent import has_marker
from airflow_provider_qlik.runs.listing import check_resource_exists, collect_runs, recent_runs, until_before
from airflow_provider_qlik.runs.matching import ambiguous, competing_runs
from airflow_provider_qlik.runs.run import Run, RunSelector

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import ListedRunAdapter

COMPOSITE_PAGE_SIZE = 200
"""Items of the list that are sure to contain the last run as a whole, where a run consists of several."""


def poll(adapter: ListedRunAdapter[Any], selector: RunSelector) -> Flow[Run | None]:
    """Return the current state of the selected run, None if there is no such run (yet).

    Raises AmbiguousRunError, and NotFoundError if the resource does not exist.
    """
    resource_id = selector.resource_id
    if selector.run_id:
        if selector.unconfirmed_since is not None:
            return (yield from _poll_unconfirmed(adapter, selector, selector.run_id, selector.unconfirmed_since))
        try:
            return (yield from adapter.get(resource_id, selector.run_id))
        except NotFoundError:
            yield from check_resource_exists(adapter, resource_id)
            return None
    try:
        if selector.started_after is None:
            page_size = COMPOSITE_PAGE_SIZE if isinstance(adapter, ConsistsOfItems) else 1
            newest = yield from collect_runs(adapter, resource_id, until_before(None), page_size)
            return (yield from _completed(adapter, newest[0])) if newest else None
        moment = selector.started_after
        runs = yield from collect_runs(adapter, resource_id, until_before(moment), 100)
    except NotFoundError:
        # A resource that never ran may have no list. One that does not exist is an error.
        yield from check_resource_exists(adapter, resource_id)
        return None
    begun = [run for run in runs if run.moment is not None and not run.began_before(moment)]
    first = min(begun, key=lambda run: run.moment or moment, default=None)
    return None if first is None else (yield from _completed(adapter, first))


def _completed(adapter: ListedRunAdapter[Any], run: Run) -> Flow[Run]:
    """Return a run from the list as a poll by its id returns it."""
    return (yield from adapter.completed(run)) if isinstance(adapter, ConsistsOfItems) else run


def _poll_unconfirmed(
    adapter: ListedRunAdapter[Any], selector: RunSelector, run_id: str, since: datetime
) -> Flow[Run | None]:
    """Return the current state of a run that only its time identifies, after a check of all other runs since then.

    A run with the marker of the selector is our own, whichever was followed until now: the wait goes over to it.
    Raises AmbiguousRunError if another run may also be our own.
    """
    runs = yield from recent_runs(adapter, selector.resource_id, since, run_id)
    marked = [run for run in runs if selector.marker is not None and run.shows_marker(selector.marker)]
    if len(marked) > 1:
        raise ambiguous(adapter, selector.resource_id, marked)
    if marked:
        return replace((yield from _completed(adapter, marked[0])), marker=selector.marker)
    own = next((run for run in runs if run.id == run_id), None)
    if own is None:
        return None
    own = replace(own, unconfirmed_since=since, marker=selector.marker)
    competing = [run for run in competing_runs(own, runs) if adapter.can_be_api_run(run)]
    if competing and isinstance(adapter, ShowsUsers):
        candidates = yield from adapter.exclude_other_users(selector.resource_id, [own, *competing])
        competing = [] if candidates == [own] else competing
    if competing or any(map(has_marker, runs)):
        # Where Qlik shows markers, a run without one was started by somebody else.
        raise ambiguous(adapter, selector.resource_id, [own, *competing])
    return replace((yield from _completed(adapter, own)), unconfirmed_since=since, marker=selector.marker)
