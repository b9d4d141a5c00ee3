"""The source that answers the polls of one kind of run, for the dispatcher."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.errors import StatusError
from airflow_provider_qlik.cloud.flow import Flow, pause, send
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.adapter import ListedRunAdapter, RunAdapter
from airflow_provider_qlik.runs.capabilities import HasBulkList
from airflow_provider_qlik.runs.run import Run, RunSelector, without_repeats
from airflow_provider_qlik.runs.shared_calls import CallBudgetError, SharedCalls, with_shared_calls

MAX_CALLS = 20
"""Calls that one batch makes; polls that need more are left for another batch."""


class RunPollSource:
    """Answer the polls of one kind of run: one by one, in a batch of one resource, or by a bulk list.

    This is what the dispatcher takes for a `cloud.call.PollSource`; its keys are run selectors.
    """

    def __init__(self, adapter: RunAdapter) -> None:
        self._adapter = adapter
        self._listed = adapter if isinstance(adapter, ListedRunAdapter) and adapter.polled_by_list else None
        self._bulk_list = adapter if isinstance(adapter, HasBulkList) else None

    @property
    def name(self) -> str:
        """The name of the kind."""
        return self._adapter.name

    @property
    def tier(self) -> Tier:
        """The rate limit that polls count against."""
        return self._adapter.tier

    @property
    def has_bulk_list(self) -> bool:
        """True if one list has the last runs of many resources."""
        return self._bulk_list is not None

    def is_terminal(self, result: Run | Exception | None) -> bool:
        """Return True if the result of a poll is a run with a terminal status."""
        return isinstance(result, Run) and result.ended

    def poll(self, selector: RunSelector) -> Flow[Run | None]:
        """Return the current state of the selected run."""
        return self._adapter.poll(selector)

    def poll_bulk_list(
        self, selectors: Sequence[RunSelector], max_pages: int, audited: Sequence[RunSelector] = ()
    ) -> Flow[dict[RunSelector, Run | None]]:
        """Return what the bulk list says about the selected runs, see `HasBulkList`; nothing where there is none."""
        if self._bulk_list is None:
            return {}
        return (yield from self._bulk_list.poll_bulk_list(selectors, max_pages, audited))

    def poll_batch(self, selectors: Sequence[RunSelector]) -> Flow[dict[RunSelector, Run | Exception | None]]:
        """Return the current states of several runs of one resource, as `poll` returns them, or the errors it raises.

        Equal calls of several polls are made once. After `MAX_CALLS` calls, polls that need further calls are left out,
        except for the first: they get a batch of their own.
        """
        shared = SharedCalls(MAX_CALLS)
        polled: dict[RunSelector, Run | Exception | None] = {}
        by_id = [selector for selector in selectors if selector.run_id and selector.unconfirmed_since is None]
        if self._listed is not None and len(by_id) > 1:
            polled |= yield from _poll_by_list(self._listed, by_id)
        for selector in selectors:
            if selector in polled:
                continue
            if polled:
                # Polls that need no call of their own do not return to the event loop: a pause of 0 s does.
                yield from pause(0)
            with suppress(CallBudgetError):
                polled[selector] = yield from with_shared_calls(self.poll(selector), shared, unlimited=not polled)
        return polled


@cache
def poll_source(adapter: RunAdapter) -> RunPollSource:
    """Return the poll source of a kind of run: one for thousands of waits."""
    return RunPollSource(adapter)


def _poll_by_list(
    adapter: ListedRunAdapter[Any], selectors: Sequence[RunSelector]
) -> Flow[dict[RunSelector, Run | Exception | None]]:
    """Return the runs that the list contains. Pages are read as long as each has at least one of them."""
    missing: dict[str | None, list[RunSelector]] = {}
    for selector in selectors:
        missing.setdefault(selector.run_id, []).append(selector)
    resource_id = selectors[0].resource_id
    listed: dict[RunSelector, Run | Exception | None] = {}
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
        # The user may see a single run and not the list: the polls that are missing are sent one by one.
    return listed
