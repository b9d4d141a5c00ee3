"""The interface of one kind of run, and what all kinds can do.

A new kind is one subclass: the abstract methods say how it is started, read, cancelled, explained and linked to; the
class variables and the methods with a body may be overridden where Qlik Cloud offers more for the kind, or less.
What is the same for all kinds is in functions that take the adapter: `starting`, `matching` and `polling`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.call import Call, Flow, Tier
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.runs import polling, starting
from airflow_provider_qlik.runs.intent import Intent
from airflow_provider_qlik.runs.listing import collect_runs, until_before
from airflow_provider_qlik.runs.matching import LogCallback, MatchTimeouts
from airflow_provider_qlik.runs.run import Run, RunSelector, StatusMap


@dataclass(frozen=True, slots=True)
class Resource:
    """A task, automation or other resource that is run; `disabled_because` is None if it is enabled."""

    id: str
    name: str | None
    disabled_because: str | None
    space_id: str | None = None


class RunAdapter(ABC):
    """One kind of run: its start, its list, its status words, its cancellation and its page.

    Methods that need requests are flows (see `cloud.call`).
    """

    name: ClassVar[str]
    """The kind, as it stands in events, trigger arguments and log lines."""
    status_map: ClassVar[StatusMap]
    enable_hint: ClassVar[str]
    """A phrase for error messages: what the user can do about a disabled resource."""

    # Required of each kind.

    @abstractmethod
    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the resource that the runs belong to. Raises NotFoundError."""

    @abstractmethod
    def newest(self, resource_id: str, limit: int) -> Call[Page[Any]]:
        """Return the call that lists the runs of a resource, latest start first, *limit* of them on a page."""

    @abstractmethod
    def run_of(self, resource_id: str, item: Any) -> Run:
        """Return the run in an item of that list."""

    @abstractmethod
    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """Send the request that starts a run; return the run if the response contains it, else None.

        Raises the errors of that request.
        """

    @abstractmethod
    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """Return the current state of a run, None if Qlik Cloud does not have it."""

    @abstractmethod
    def cancel(self, run: Run) -> Flow[str]:
        """Cancel a run; return a phrase that says what was cancelled. A run that has ended already is no error."""

    @abstractmethod
    def log(self, run: Run) -> Flow[str]:
        """Return the log of a run, empty where Qlik Cloud keeps none."""

    @abstractmethod
    def reason(self, run: Run) -> Flow[str | None]:
        """Return the reason that Qlik Cloud gives for the failure of a run, None if it gives none."""

    @abstractmethod
    def page(self, run: Run) -> str:
        """Return the path of the page in Qlik Cloud that shows a run or its resource."""

    # Optional.

    one_at_a_time: ClassVar[bool] = False
    """True where a run can only be started after the last one has ended."""
    cancelled_together: ClassVar[bool] = False
    """True where a cancel ends all active runs: a new run must not start before the cancelled one has ended."""
    last_page_size: ClassVar[int] = 1
    """Items of the list that are sure to contain the last run as a whole."""

    id_names: ClassVar[tuple[str, ...]] = ("id",)
    """Members of a list item that may hold the id of its run."""

    polled_by_list: ClassVar[bool] = False
    """True where the list says as much about a run as `get` does."""
    tier: ClassVar[Tier] = Tier.ONE
    """The rate limit that polls count against."""
    has_bulk_list: ClassVar[bool] = False
    """True where one list has the last runs of many resources, see `poll_bulk_list`."""

    def group(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs that list items make up, where a run consists of several items."""
        return list(runs)

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if the response to a start with these parameters contains the run.

        Then the runs before the start need not be known, and a user who may not list runs can start one all the same.
        """
        return False

    def can_be_api_run(self, run: Run) -> bool:
        """Return False for a run that no start through the API can have made.

        A missing or unknown origin excludes nothing.
        """
        return True

    def exclude_other_users(self, resource_id: str, candidates: Sequence[Run]) -> Flow[list[Run]]:
        """Return the candidates that this user can have started; all of them where Qlik Cloud does not say.

        Called only if there are several candidates, since it may take requests. Errors of these are not raised.
        """
        yield from ()
        return list(candidates)

    def described(self, run: Run) -> Flow[Run]:
        """Return the run with the name and the space of its resource, with at most one request.

        A user may see a run and not its resource: whatever goes wrong, the run is returned unchanged.
        """
        if run.name and run.space_id:
            return run
        try:
            resource = yield from self.resource(run.resource_id)
        except (QlikCloudError, InvalidArgumentError):
            return run
        return replace(run, name=run.name or resource.name, space_id=run.space_id or resource.space_id)

    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return the warnings of a run that succeeded, None if there are none.

        :param log: the lines of its log, as far as the log could be read.
        """
        return None

    def completed(self, run: Run) -> Flow[Run]:
        """Return a run that was found in the list as `get` would return it."""
        yield from ()
        return run

    def poll_bulk_list(
        self, selectors: Sequence[RunSelector], max_pages: int, audited: Sequence[RunSelector] = ()
    ) -> Flow[dict[RunSelector, Run | None]]:
        """Return the selected runs, of any resources, that at most *max_pages* pages of the bulk list contain.

        The *audited* selectors are answered where they appear; no page is read for their sake.
        """
        yield from ()
        return {}

    # The same for all kinds.

    def stopping(self, run: Run) -> bool:
        """Return True if the run is being cancelled."""
        return run.status.strip().casefold() in self.status_map.stopping

    def is_terminal(self, answer: Run | Exception | None) -> bool:
        """Return True if the answer to a poll is a run with a terminal status."""
        return isinstance(answer, Run) and answer.ended

    def intend(self, resource_id: str, marker: str, parameters: Mapping[str, Any] | None = None) -> Flow[Intent]:
        """Return what must be known before a start, see `starting.intend`."""
        return starting.intend(self, resource_id, marker, parameters)

    def start(
        self,
        intent: Intent,
        timeouts: MatchTimeouts,
        write_log: LogCallback,
        clock: Callable[[], float] = time.monotonic,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> Flow[Run]:
        """Start a run exactly once and return it, see `starting.start`."""
        return starting.start(self, intent, timeouts, write_log, clock, parameters=parameters)

    def recent(self, resource_id: str, since: datetime | None, run_id: str | None = None) -> Flow[list[Run]]:
        """Return the runs, latest start first, back to those that began before *since* (None: the first page).

        Raises InvalidResponseError if what the list says about the run *run_id* cannot be read.
        """
        return (yield from collect_runs(self, resource_id, until_before(since), 100, run_id))

    def poll(self, selector: RunSelector) -> Flow[Run | None]:
        """Return the current state of the selected run, see `polling.poll`."""
        return polling.poll(self, selector)

    def poll_batch(self, selectors: Sequence[RunSelector]) -> Flow[dict[RunSelector, Run | Exception | None]]:
        """Return the current states of several runs of one resource, see `polling.poll_batch`."""
        return polling.poll_batch(self, selectors)
