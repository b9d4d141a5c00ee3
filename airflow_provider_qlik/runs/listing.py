"""Reading the list of the runs of one resource, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_qlik.cloud.errors import ForbiddenError, InvalidResponseError
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.capabilities import ConsistsOfItems
from airflow_provider_qlik.runs.run import Run, without_repeats

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import ListedRunAdapter, RunAdapter

MAX_PAGES = 20
"""Pages of a list that are read in search of a run, at most."""

IsLastPage: TypeAlias = Callable[[Sequence[Run]], bool]
"""Returns True for the page of runs after which no further page is needed."""


def until_before(moment: datetime | None) -> IsLastPage:
    """Return a check for a page on which all runs began before a moment; without a moment, for any page."""

    def is_last(page: Sequence[Run]) -> bool:
        return moment is None or all(run.began_before(moment) for run in page)

    return is_last


def recent_runs(
    adapter: ListedRunAdapter[Any], resource_id: str, since: datetime | None, run_id: str | None = None
) -> Flow[list[Run]]:
    """Return the runs, latest start first, back to those that began before *since* (None: the first page).

    Raises InvalidResponseError if what the list says about the run *run_id* cannot be read.
    """
    return (yield from collect_runs(adapter, resource_id, until_before(since), 100, run_id))


def collect_runs(
    adapter: ListedRunAdapter[Any], resource_id: str, is_last: IsLastPage, page_size: int, run_id: str | None = None
) -> Flow[list[Run]]:
    """Return the runs of a resource, page by page, up to the first page with runs for which *is_last* is true.

    Raises InvalidResponseError if what the list says about the run *run_id* cannot be read.
    """
    pages: Pages[Any] = Pages(adapter.newest(resource_id, page_size))
    found: list[Run] = []
    for _ in range(MAX_PAGES):
        if pages.next_call is None:
            break
        page = yield from send(pages.next_call)
        pages.take(page)
        runs = [adapter.run_of(resource_id, item) for item in page.items]
        found += runs
        if runs and is_last(runs):
            break
    check_readable(adapter, resource_id, run_id, pages.left_out)
    runs = without_repeats(found)
    return adapter.group(runs) if isinstance(adapter, ConsistsOfItems) else runs


def check_readable(
    adapter: ListedRunAdapter[Any], resource_id: str, run_id: str | None, unreadable: Sequence[Any]
) -> None:
    """Raise InvalidResponseError if one of the list items that could not be read belongs to the run *run_id*.

    If the run were reported as missing, its wait would end; if a part of it were skipped, a failed run might be
    reported as a success.
    """
    if run_id is None:
        return
    id_names = adapter.id_names if isinstance(adapter, ConsistsOfItems) else ("id",)
    for item in unreadable:
        if isinstance(item, Mapping) and any(item.get(name) == run_id for name in id_names):
            raise InvalidResponseError(
                "The list entry of the run cannot be read, since it lacks its id or its status"
                f" ({adapter.name} {resource_id}, run {run_id})"
            )


def check_resource_exists(adapter: RunAdapter, resource_id: str) -> Flow[None]:
    """Raise NotFoundError if Qlik Cloud does not have the resource.

    A user may be allowed to run a resource and not to read it, so a 403 says nothing.
    """
    try:
        yield from adapter.resource(resource_id)
    except ForbiddenError:
        return
