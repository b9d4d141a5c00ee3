"""Polling one run, and the runs of one resource in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.cloud.call import Flow, pause, send
from airflow_provider_qlik.cloud.errors import NotFoundError, StatusError
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.intent import has_marker
from airflow_provider_qlik.runs.listing import check_resource_exists, collect_runs, until_before
from airflow_provider_qlik.runs.matching import ambiguous, competing_runs
from airflow_provider_qlik.runs.run import Run, RunSelector, without_repeats
from airflow_provider_qlik.runs.shared_calls import CallBudgetError, SharedCalls, with_shared_calls

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import RunAdapter

MAX_CALLS = 20
"""Calls that one batch makes; polls that need more are left for another batch."""


def poll(adapter: RunAdapter, selector: RunSelector) -> Flow[Run | None]:
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
            newest = yield from collect_runs(adapter, resource_id, until_before(None), adapter.last_page_size)
            return (yield from adapter.completed(newest[0])) if newest else None
        moment = selector.started_after
        runs = yield from collect_runs(adapter, resource_id, until_before(moment), 100)
    except NotFoundError:
        # A resource that never ran may have no list. One that does not exist is an error.
        yield from check_resource_exists(adapter, resource_id)
        return None
    begun = [run for run in runs if run.moment is not None and not run.began_before(moment)]
    first = min(begun, key=lambda run: run.moment or moment, default=None)
    return None if first is None else (yield from adapter.completed(first))


def _poll_unconfirmed(adapter: RunAdapter, selector: RunSelector, run_id: str, since: datetime) -> Flow[Run | None]:
    """Return the current state of a run that only its time identifies, after a look at all other runs since then.

    A run with the marker of the selector is our own, whichever was followed until now: the wait goes over to it.
    Raises AmbiguousRunError if another run may also be our own.
    """
    runs = yield from adapter.recent(selector.resource_id, since, run_id)
    marked = [run for run in runs if selector.marker is not None and run.shows_marker(selector.marker)]
    if len(marked) > 1:
        raise ambiguous(adapter, selector.resource_id, marked)
    if marked:
        return replace((yield from adapter.completed(marked[0])), marker=selector.marker)
    own = next((run for run in runs if run.id == run_id), None)
    if own is None:
        return None
    own = replace(own, unconfirmed_since=since, marker=selector.marker)
    competing = [run for run in competing_runs(own, runs) if adapter.can_be_api_run(run)]
    if competing:
        candidates = yield from adapter.exclude_other_users(selector.resource_id, [own, *competing])
        competing = [] if candidates == [own] else competing
    if competing or any(map(has_marker, runs)):
        # Where Qlik shows markers, a run without one was started by somebody else.
        raise ambiguous(adapter, selector.resource_id, [own, *competing])
    return replace((yield from adapter.completed(own)), unconfirmed_since=since, marker=selector.marker)


def poll_batch(
    adapter: RunAdapter, selectors: Sequence[RunSelector]
) -> Flow[dict[RunSelector, Run | Exception | None]]:
    """Return the current states of several runs of one resource, as `poll` returns them, or the errors it raises.

    Equal calls of several polls are made once. After `MAX_CALLS` calls, polls that need further calls are left out,
    except for the first: they get a batch of their own.
    """
    shared = SharedCalls(MAX_CALLS)
    listable = [selector for selector in selectors if selector.run_id and selector.unconfirmed_since is None]
    polled: dict[RunSelector, Run | Exception | None] = {}
    if adapter.polled_by_list and len(listable) > 1:
        polled |= yield from _poll_by_list(adapter, listable)
    for selector in selectors:
        if selector in polled:
            continue
        if polled:
            # Polls that need no call of their own do not return to the event loop: a pause of 0 s does.
            yield from pause(0)
        with suppress(CallBudgetError):
            polled[selector] = yield from with_shared_calls(adapter.poll(selector), shared, unlimited=not polled)
    return polled


def _poll_by_list(adapter: RunAdapter, selectors: Sequence[RunSelector]) -> Flow[dict[RunSelector, Run]]:
    """Return the runs that the list contains. Pages are read as long as each has at least one of them."""
    missing: dict[str | None, list[RunSelector]] = {}
    for selector in selectors:
        missing.setdefault(selector.run_id, []).append(selector)
    resource_id = selectors[0].resource_id
    listed: dict[RunSelector, Run] = {}
    pages: Pages[Any] = Pages(adapter.newest(resource_id, 100))
    try:
        while pages.next_call is not None and len(missing) > 1:
            before = len(missing)
            page = yield from send(pages.next_call)
            pages.take(page)
            for run in without_repeats([adapter.run_of(resource_id, item) for item in page.items]):
                listed |= dict.fromkeys(missing.pop(run.id, ()), run)
            if len(missing) == before:
                break
    except StatusError as error:
        if error.transient or error.credentials_refused:
            raise
        # The user may see a single run and not the list: the polls that are missing ask for theirs one by one.
    return listed
