"""The source that answers the polls of watches: which resources have a new last run, and which runs a resource had.

A watch (`events`) polls in two steps. The first reads one list for all watches of a connection and a kind: it shows the
last run of each resource. The second lists the runs of a resource whose last run is another one than before, since
several may have ended between two polls. All polls of the first step are one batch, and all of the second step that
concern the same resource.

The list is not read where it is not to be had (Tasks v1 shows no last runs, a user may not list), nor where it has more
pages than resources are watched. Then the runs of each watched resource are listed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias, TypeVar

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, NotFoundError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Flow, FlowDriver, send
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.adapter import ListedRunAdapter
from airflow_provider_qlik.runs.capabilities import LatestRun, ListsLatestRuns
from airflow_provider_qlik.runs.errors import RunError
from airflow_provider_qlik.runs.listing import check_resource_exists, collect_runs
from airflow_provider_qlik.runs.run import Run

T = TypeVar("T")

BATCH = "?latest"
"""The batch key of all polls of the list. No id has a question mark."""
MAX_CALLS = 20
"""Resources whose runs are listed for one batch, at most, where the list of resources is not read."""
RETRY_INTERVAL = 600.0
"""Seconds after which a list that was refused is tried again where only single resources are watched."""
PAGE_SIZE = 100


_PLURALS = {"task": "tasks", "automation": "automations", "reload": "apps", "sharing_task": "sharing tasks"}


class CannotListError(RunError):
    """The resources cannot be listed, so only single ones can be watched. `refusal` is the reason."""

    def __init__(self, message: str, refusal: Exception | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal

    @classmethod
    def of(cls, kind: str, refusal: Exception | None) -> Self:
        """Return the error for the list of a kind that was refused."""
        reason = f" The reason: {refusal}" if refusal else ""
        return cls(
            f"Qlik Cloud does not list the {_PLURALS.get(kind, kind)} with their last runs here, so neither a tenant"
            f" nor a space can be watched: give resource_id, or sign in as a user who may list them.{reason}",
            refusal,
        )


@dataclass(frozen=True, slots=True)
class LatestRunsKey:
    """A poll for what is watched: a resource, those of a space, or with neither all of the tenant.

    Ends before *since* are of no interest.
    """

    resource_id: str | None = None
    space_id: str | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        return self.resource_id or (f"space {self.space_id}" if self.space_id else "the tenant")


@dataclass(frozen=True, slots=True)
class RunsKey:
    """A poll for the runs of a resource that ended at or after a moment, and those that are active."""

    resource_id: str
    since: datetime


@dataclass(frozen=True, slots=True, eq=False)
class LatestRuns:
    """The result of a poll of the list, by resource; or the *runs* of the one resource that was polled singly."""

    server_time: datetime | None
    by_resource: Mapping[str, LatestRun] = field(default_factory=dict)
    runs: Sequence[Run] | None = None


Key: TypeAlias = LatestRunsKey | RunsKey
Result: TypeAlias = LatestRuns | Sequence[Run]


class LatestRunSource:
    """Answer the polls of all watches of a kind: what the dispatcher takes for a `cloud.flow.PollSource`.

    A dispatcher keeps the first source of a name that it gets. So the state here is that of one connection.

    :param adapter: the kind of run.
    :param clock: returns the seconds of a monotonic clock.
    """

    has_bulk_list = False

    def __init__(self, adapter: ListedRunAdapter[Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._adapter = adapter
        self._lists = adapter if isinstance(adapter, ListsLatestRuns) else None
        self._clock = clock
        self._pages = 1
        self._refusal: Exception | None = None
        self._refused_until = 0.0

    @property
    def name(self) -> str:
        """The name of the source."""
        return f"{self._adapter.name} events"

    @property
    def tier(self) -> Tier:
        """The rate limit that polls count against."""
        return self._adapter.tier

    def is_terminal(self, _: Result) -> bool:
        """Return False, since a list may always change."""
        return False

    def poll_bulk_list(self, keys: Sequence[Key], max_pages: int, audited: Sequence[Key] = ()) -> Flow[dict[Key, Any]]:
        """Return nothing: all polls of the list are one batch."""
        yield from ()
        return {}

    def poll(self, key: Key) -> Flow[Result]:
        """Return the result of one poll."""
        result = (yield from self.poll_batch([key]))[key]
        if isinstance(result, Exception):
            raise result
        return result

    def poll_batch(self, keys: Sequence[Key]) -> Flow[dict[Key, Result | Exception]]:
        """Return the results of polls of one batch: of the list, or of the runs of one resource."""
        of_runs = [key for key in keys if isinstance(key, RunsKey)]
        if of_runs:
            runs = yield from self._runs(of_runs[0].resource_id, min(key.since for key in of_runs))
            return dict.fromkeys(keys, runs)
        watched = [key for key in keys if isinstance(key, LatestRunsKey)]
        if self._list_is_cheaper(watched):
            try:
                listed = yield from self._list(watched)
                return dict.fromkeys(keys, listed)
            except (StatusError, InvalidArgumentError) as error:
                if not _says_that_there_is_no_list(error):
                    raise
                self._refusal, self._refused_until = error, self._clock() + RETRY_INTERVAL
        return (yield from self._poll_singly(watched))

    def _list_is_cheaper(self, keys: Sequence[LatestRunsKey]) -> bool:
        """Return True if the list has fewer pages than there are watched resources, or only the list can answer."""
        if self._lists is None:
            return False
        resource_ids = {key.resource_id for key in keys}
        if None in resource_ids:
            return True
        return self._clock() >= self._refused_until and len(resource_ids) > self._pages

    def _list(self, keys: Sequence[LatestRunsKey]) -> Flow[LatestRuns]:
        """Return what the list shows, read as far as these polls need it."""
        assert self._lists is not None
        lists = self._lists
        missing = {key.resource_id for key in keys}
        spaces = {key.space_id for key in keys}
        moments = [key.since for key in keys if key.since is not None]
        since = min(moments) if len(moments) == len(keys) else None
        only_space = next(iter(spaces)) if missing == {None} and len(spaces) == 1 else None
        pages: Pages[Any] = Pages(lists.latest_runs(only_space))
        found: dict[str, LatestRun] = {}
        server_time: datetime | None = None
        count = 0
        while pages.next_call is not None and missing:
            page = yield from send(pages.next_call)
            count += 1
            # The time of the first page: a run that ends later may be missing from it.
            server_time = server_time or page.server_time
            pages.take(page)
            latest = [entry for entry in map(lists.latest_run, page.items) if entry is not None]
            for entry in latest:
                if lists.lists_every_resource:
                    found[entry.resource_id] = entry
                else:
                    found.setdefault(entry.resource_id, entry)
            missing -= found.keys()
            if not lists.lists_every_resource and latest and all(_ended_before(entry, since) for entry in latest):
                break
        self._pages = max(1, count)
        return LatestRuns(server_time, found)

    def _poll_singly(self, keys: Sequence[LatestRunsKey]) -> Flow[dict[Key, Result | Exception]]:
        """Return the runs of each watched resource. Where one fails for a transient reason, the others fail with it."""
        polled: dict[Key, Result | Exception] = {}
        by_resource: dict[str, Result | Exception] = {}
        transient: QlikCloudError | None = None
        since: dict[str | None, datetime] = {}
        for key in keys:
            if key.since is not None:
                since[key.resource_id] = min(key.since, since.get(key.resource_id, key.since))
        for key in keys:
            if key.resource_id is None:
                polled[key] = CannotListError.of(self._adapter.name, self._refusal)
                continue
            if key.resource_id not in by_resource:
                if transient is not None:
                    by_resource[key.resource_id] = transient
                elif len(by_resource) >= MAX_CALLS:
                    continue
                else:
                    try:
                        by_resource[key.resource_id] = yield from self._latest_of(
                            key.resource_id, since.get(key.resource_id)
                        )
                    except (QlikCloudError, InvalidArgumentError) as error:
                        by_resource[key.resource_id] = error
                        if isinstance(error, QlikCloudError) and error.transient:
                            transient = error
            polled[key] = by_resource[key.resource_id]
        return polled

    def _latest_of(self, resource_id: str, since: datetime | None) -> Flow[LatestRuns]:
        """Return the runs of a resource, with the server's time before they were listed."""
        try:
            server_time, runs = yield from _timed(self._runs(resource_id, since))
        except NotFoundError:
            # A resource that never ran may have no list. One that does not exist is an error.
            yield from check_resource_exists(self._adapter, resource_id)
            return LatestRuns(None, runs=())
        return LatestRuns(server_time, runs=runs)

    def _runs(self, resource_id: str, since: datetime | None) -> Flow[list[Run]]:
        """Return the runs of a resource, latest start first, back to a page on which all ended before a moment."""

        def is_last(page: Sequence[Run]) -> bool:
            return since is None or all(run.ended and run.ended_at is not None and run.ended_at < since for run in page)

        return (yield from collect_runs(self._adapter, resource_id, is_last, PAGE_SIZE))


def _timed(flow: Flow[T]) -> Flow[tuple[datetime | None, T]]:
    """Return the server's time in the first response to a flow, and the result of the flow."""
    server_time: datetime | None = None
    driver = FlowDriver(flow)
    for step in driver:
        with driver:
            driver.response = yield step
            server_time = server_time or getattr(driver.response, "server_time", None)
    return server_time, driver.result


def _ended_before(entry: LatestRun, moment: datetime | None) -> bool:
    if entry.active:
        return False
    return moment is None or entry.ended_at is None or entry.ended_at < moment


def _says_that_there_is_no_list(error: StatusError | InvalidArgumentError) -> bool:
    """Return True if the list is refused, or the tenant has no list that shows last runs (Tasks v1)."""
    if isinstance(error, InvalidArgumentError):
        return error.argument == "tasks_api"
    return not error.transient and not error.credentials_refused
