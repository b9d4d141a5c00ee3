"""What every kind of run can do. A new kind is one subclass."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

from airflow_provider_qlik.cloud.call import Call, Flow, Tier, pause, send
from airflow_provider_qlik.cloud.errors import (
    ForbiddenError,
    InvalidArgumentError,
    InvalidResponseError,
    NotFoundError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.errors import CannotStartError, RunNotFoundError
from airflow_provider_qlik.runs.matching import (
    Intent,
    LogCallback,
    Search,
    ambiguous,
    cannot_find,
    competing_runs,
    find,
    has_marker,
)
from airflow_provider_qlik.runs.run import Run, RunSelector, StatusMap, without_repeats
from airflow_provider_qlik.runs.shared_calls import Answers, Unknown, remembering

MAX_PAGES = 20
"""So many pages of a list are read in search of a run."""
MAX_CALLS = 20
"""After so many calls, no more of those that are looked at together are looked at, unless all is known already."""

Enough: TypeAlias = Callable[[Sequence[Run]], bool]
"""Whether a page of runs is the last that has to be read."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What runs belong to, a task or an automation: its name and space, and why it cannot run, if it cannot."""

    id: str
    name: str | None
    disabled_because: str | None
    space_id: str | None = None


class RunAdapter(ABC):
    """How one kind of run starts, is found, polled, cancelled, explained and linked to. All methods are flows."""

    name: ClassVar[str]
    status_map: ClassVar[StatusMap]
    enable_hint: ClassVar[str]

    # What a kind must say.

    @abstractmethod
    def resource(self, resource_id: str) -> Flow[Resource]:
        """What the runs belong to. Raises NotFound."""

    @abstractmethod
    def newest(self, resource_id: str, limit: int) -> Call[Page[Any]]:
        """The call for the runs, the latest start first, so many a page."""

    @abstractmethod
    def run_of(self, resource_id: str, item: Any) -> Run:
        """The run in an item of that list."""

    @abstractmethod
    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """The run if Qlik says which one was started, else None. Raises what Qlik answered."""

    @abstractmethod
    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """One run as it is now; None if it is not there."""

    @abstractmethod
    def cancel(self, run: Run) -> Flow[str]:
        """What was asked to stop, in words. A run that has ended already is no error."""

    @abstractmethod
    def log(self, run: Run) -> Flow[str]:
        """The log of a run, as Qlik keeps it."""

    @abstractmethod
    def reason(self, run: Run) -> Flow[str | None]:
        """What Qlik itself gives as the reason why a run failed."""

    @abstractmethod
    def page(self, run: Run) -> str:
        """The path of Qlik's own page about a run or what it belongs to."""

    # What a kind may say.

    one_at_a_time: ClassVar[bool] = False
    """Whether nothing can be started before the last run has ended."""
    cancelled_together: ClassVar[bool] = False
    """Whether a cancel ends all runs there are by then: a new one must not begin before an old one has ended."""
    last_page_size: ClassVar[int] = 1
    """How many items of the list surely hold all of the last run."""

    id_names: ClassVar[tuple[str, ...]] = ("id",)
    """The members by which an item of the list tells which run it is of."""

    polled_by_list: ClassVar[bool] = False
    """Whether the list tells as much of a run as `get` does."""
    tier: ClassVar[Tier] = Tier.ONE
    """The rate limit that looking at runs counts against."""
    has_bulk_list: ClassVar[bool] = False
    """Whether there is a list that tells of runs of many resources, see `poll_bulk_list`."""

    def group(self, runs: Sequence[Run]) -> list[Run]:
        """The runs that items of the list make up, where a run has several."""
        return list(runs)

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if the response to a start with these parameters says which run it made.

        Then the runs there were before need not be known, and a user who may not list them may start all the same.
        """
        return False

    def can_be_api_run(self, run: Run) -> bool:
        """Return False for a run that no start through the API can have made.

        What Qlik does not tell, or in a word that nobody knows, rules nothing out.
        """
        return True

    def exclude_other_users(self, resource_id: str, candidates: Sequence[Run]) -> Flow[list[Run]]:
        """Return the candidates that this user can have started, or all of them where that cannot be said.

        Called only where there are several, since it may take requests. Errors of these are not raised.
        """
        yield from ()
        return list(candidates)

    def described(self, run: Run) -> Flow[Run]:
        """Return the run with the name and space of what ran, by one request at most.

        A user may see a run and not what it belongs to: whatever goes wrong, the run is returned as it is.
        """
        if run.name and run.space_id:
            return run
        try:
            resource = yield from self.resource(run.resource_id)
        except (QlikCloudError, InvalidArgumentError):
            return run
        return replace(run, name=run.name or resource.name, space_id=run.space_id or resource.space_id)

    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return what Qlik Cloud warns of in a run that succeeded, None if it warns of nothing.

        :param log: the lines of its log, as far as that could be read.
        """
        return None

    def settled(self, run: Run) -> Flow[Run]:
        """A run found in the list, as `get` would give it."""
        yield from ()
        return run

    # What all kinds share.

    def stopping(self, run: Run) -> bool:
        """Whether the run was asked to stop already."""
        return run.status.strip().casefold() in self.status_map.stopping

    def intend(
        self,
        resource_id: str,
        marker: str,
        parameters: Mapping[str, Any] | None = None,
    ) -> Flow[Intent]:
        """Return what is known before a start with these parameters.

        Raises what Qlik Cloud answers when the resource cannot be read, and CannotStartError where the user may not list the
        runs and the run of the start could only be found there.
        """
        try:
            page = yield from send(self.newest(resource_id, 100))
        except NotFoundError:
            # Of a resource that never ran, or of none: only the latter is an error.
            yield from self._check_is_there(resource_id)
            return Intent(kind=self.name, resource_id=resource_id, marker=marker, known=(), server_time=None)
        except ForbiddenError as error:
            if not self.start_returns_run({}):
                raise
            if not self.start_returns_run(parameters or {}):
                raise CannotStartError(
                    f"{error.reason}. The {self.name} was not started: started like this, it does not say which run it"
                    f" makes, and this user may not list its runs to find it. {error.advice} ({self.name}"
                    f" {resource_id}; {error.request})"
                ) from None
            return Intent(kind=self.name, resource_id=resource_id, marker=marker, known=None, server_time=None)
        runs = without_repeats([self.run_of(resource_id, item) for item in page.items])
        return Intent(
            kind=self.name,
            resource_id=resource_id,
            marker=marker,
            known=tuple(dict.fromkeys(run.id for run in runs)),
            server_time=page.server_time,
            resumable=next((run for run in runs if self._goes_on_as(run, marker)), None),
            markers_shown=any(map(has_marker, runs)),
        )

    def _goes_on_as(self, run: Run, marker: str) -> bool:
        """Return True if a run carries a marker, and is neither over nor being cancelled by the try before."""
        return marker in (run.triggered_by or "") and not run.ended and not self.stopping(run)

    def _check_is_there(self, resource_id: str) -> Flow[None]:
        """Raise NotFound if Qlik Cloud knows no such resource.

        A user may be allowed to run something and not to read it: of what Qlik Cloud refuses to show nothing follows.
        """
        try:
            yield from self.resource(resource_id)
        except ForbiddenError:
            return

    def start(
        self,
        intent: Intent,
        search: Search,
        write_log: LogCallback,
        clock: Callable[[], float] = time.monotonic,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> Flow[Run]:
        """The run that was started: once, whatever answer comes back. *parameters* are the kind's own.

        Raises CannotStartError when Qlik refused it, RunNotFoundError when it was started or may have been and no run showed
        up, AmbiguousRunError when several could be it, and what kept the start from arriving if it surely did not.

        Where the user may not list the runs (`Intent.known` is None), a response that was lost is RunNotFoundError at once:
        what is not known to be new is never taken for the run of this start.
        """
        unanswered: QlikCloudError | None = None
        if intent.known is None:
            write_log(
                logging.INFO,
                f"This user may not list the runs of {self.name} {intent.resource_id}. It is started all the same; only"
                " if the response to the start is lost, nothing can tell whether there is a run.",
            )
        try:
            run = yield from self.send_start(intent, write_log, parameters or {})
        except QlikCloudError as error:
            if not error.outcome_unknown:
                raise (yield from self._why_not(intent.resource_id, error)) from None
            if intent.known is not None:
                write_log(logging.WARNING, f"{error} Looking for the run instead of starting again.")
            unanswered, run = error, None
        if run is not None:
            return run
        resource = f"{self.name} {intent.resource_id}"
        what = "may have been started" if unanswered else "was started"
        if intent.known is None:
            raise cannot_find(self, intent, unanswered) from None
        try:
            run = yield from find(self, intent, search, write_log, clock, answered=unanswered is None)
        except StatusError as error:
            raise RunNotFoundError(
                f"{error.reason}. {error.advice} The {self.name} {what}, but its runs cannot be looked at: look at them"
                f" in Qlik Cloud. It was not started again ({resource}; {error.request})"
            ) from None
        if run is not None:
            return run
        seconds = search.give_up_unanswered if unanswered else search.give_up
        because = yield from self._why_disabled(intent.resource_id)
        raise RunNotFoundError(
            f"The {self.name} {what}, but no run of it showed up within {seconds:g} s"
            + (f": it is {because}" if because else "")
            + f". Look at its runs in Qlik Cloud, then clear this task. It was not started again ({resource})"
            + (f". The response to the start: {unanswered}" if unanswered else "")
        ) from None

    def recent(self, resource_id: str, since: datetime | None, run_id: str | None = None) -> Flow[list[Run]]:
        """Return the runs, the latest first, back to those that began before *since* (without it, the first page).

        Raises InvalidResponseError where what the list tells of the run *run_id* cannot be read.
        """
        return (yield from self._collect(resource_id, _all_before(since), 100, run_id))

    def poll(self, selector: RunSelector) -> Flow[Run | None]:
        """The wanted run as it is now; None if there is none (yet).

        Raises AmbiguousRunError, and NotFound if what it belongs to is not there.
        """
        if selector.run_id:
            if selector.unconfirmed_since is not None:
                return (
                    yield from self._poll_among_competing_runs(selector, selector.run_id, selector.unconfirmed_since)
                )
            try:
                return (yield from self.get(selector.resource_id, selector.run_id))
            except NotFoundError:
                yield from self._check_is_there(selector.resource_id)
                return None
        try:
            if selector.started_after is None:
                newest = yield from self._collect(selector.resource_id, _all_before(None), self.last_page_size)
                return (yield from self.settled(newest[0])) if newest else None
            moment = selector.started_after
            runs = yield from self._collect(selector.resource_id, _all_before(moment), 100)
        except NotFoundError:
            # Of a resource that never ran, or of none: only the latter is an error.
            yield from self._check_is_there(selector.resource_id)
            return None
        begun = [run for run in runs if run.moment is not None and not run.began_before(moment)]
        first = min(begun, key=lambda run: run.moment or moment, default=None)
        return None if first is None else (yield from self.settled(first))

    def poll_batch(self, selector: Sequence[RunSelector]) -> Flow[dict[RunSelector, Run | Exception | None]]:
        """The wanted runs of one task or automation as `look` sees them, or what it raises.

        What several of them would ask is asked once. Those for which that would take many calls are left out, but for
        the first: they have a turn of their own.
        """
        known = Answers(MAX_CALLS)
        given = [each for each in selector if each.run_id and each.unconfirmed_since is None]
        seen: dict[RunSelector, Run | Exception | None] = {}
        if self.polled_by_list and len(given) > 1:
            seen |= yield from self._listed(given)
        for each in selector:
            if each in seen:
                continue
            if seen:
                # Much may be known already: others in the event loop shall have their turn.
                yield from pause(0)
            with suppress(Unknown):
                seen[each] = yield from remembering(self.poll(each), known, new=not seen)
        return seen

    def _listed(self, selector: Sequence[RunSelector]) -> Flow[dict[RunSelector, Run]]:
        """Those that the list tells of: page by page, as long as each page tells of some."""
        missing: dict[str | None, list[RunSelector]] = {}
        for each in selector:
            missing.setdefault(each.run_id, []).append(each)
        listed: dict[RunSelector, Run] = {}
        pages: Pages[Any] = Pages(self.newest(selector[0].resource_id, 100))
        try:
            while pages.next_call is not None and len(missing) > 1:
                before = len(missing)
                page = yield from send(pages.next_call)
                pages.take(page)
                for run in without_repeats([self.run_of(selector[0].resource_id, item) for item in page.items]):
                    listed |= dict.fromkeys(missing.pop(run.id, ()), run)
                if len(missing) == before:
                    break
        except StatusError as error:
            if error.transient or error.credentials_refused:
                raise
            # There may be no list to see, and the run all the same.
        return listed

    def poll_bulk_list(
        self, selector: Sequence[RunSelector], most_pages: int, also: Sequence[RunSelector] = ()
    ) -> Flow[dict[RunSelector, Run | None]]:
        """The wanted runs, of whatever tasks or automations, that one list tells of in no more than so many pages.

        Those that are *also* wanted are told where they turn up; nothing is read for their sake.
        """
        yield from ()
        return {}

    def is_terminal(self, seen: Run | Exception | None) -> bool:
        """Whether what was seen of a run will change no more."""
        return isinstance(seen, Run) and seen.ended

    def _poll_among_competing_runs(self, selector: RunSelector, run_id: str, since: datetime) -> Flow[Run | None]:
        """Look at a run that only its time tells to be ours, and at all others since.

        A run with our marker is ours, whichever was followed until now: the wait goes over to it.
        """
        runs = yield from self.recent(selector.resource_id, since, run_id)
        marked = [run for run in runs if selector.marker is not None and run.carries(selector.marker)]
        if len(marked) > 1:
            raise ambiguous(self, selector.resource_id, marked)
        if marked:
            return replace((yield from self.settled(marked[0])), marker=selector.marker)
        ours = next((run for run in runs if run.id == run_id), None)
        if ours is None:
            return None
        ours = replace(ours, unconfirmed_since=since, marker=selector.marker)
        others = [run for run in competing_runs(ours, runs) if self.can_be_api_run(run)]
        if others:
            left = yield from self.exclude_other_users(selector.resource_id, [ours, *others])
            others = [] if left == [ours] else others
        if others or any(map(has_marker, runs)):
            # Where Qlik shows markers, a run without one was started by somebody else.
            raise ambiguous(self, selector.resource_id, [ours, *others])
        return replace((yield from self.settled(ours)), unconfirmed_since=since, marker=selector.marker)

    def _collect(self, resource_id: str, enough: Enough, limit: int, run_id: str | None = None) -> Flow[list[Run]]:
        """Return the runs page by page, until a page that is not empty says that it is *enough*.

        Raises InvalidResponseError where what the list tells of the run *run_id* cannot be read.
        """
        pages: Pages[Any] = Pages(self.newest(resource_id, limit))
        found: list[Run] = []
        for _ in range(MAX_PAGES):
            if pages.next_call is None:
                break
            page = yield from send(pages.next_call)
            pages.take(page)
            runs = [self.run_of(resource_id, item) for item in page.items]
            found += runs
            if runs and enough(runs):
                break
        self.check_was_read(resource_id, run_id, pages.left_out)
        return self.group(without_repeats(found))

    def check_was_read(self, resource_id: str, run_id: str | None, left_out: Sequence[Any]) -> None:
        """Raise InvalidResponseError if what was left out of a list tells of a run: then nothing is known of it.

        To call the run missing would end its wait; to leave out a part of it could make it a success.
        """
        for item in left_out if run_id is not None else ():
            if isinstance(item, Mapping) and any(item.get(name) == run_id for name in self.id_names):
                raise InvalidResponseError(
                    f"what the list tells of {self.name} run {run_id} cannot be read: it lacks its id or its status"
                    f" ({self.name} {resource_id})"
                )

    def _why_not(self, resource_id: str, refused: QlikCloudError) -> Flow[QlikCloudError]:
        """The error to raise where a start was refused."""
        if not isinstance(refused, StatusError) or refused.transient:
            return refused
        because = yield from self._why_disabled(resource_id)
        resource = f"{self.name} {resource_id}"
        if because:
            return CannotStartError(f"The {self.name} is {because}. It was not started ({resource}). {refused}")
        return CannotStartError(
            " ".join(filter(None, (f"{refused.reason}.", refused.advice)))
            + f" The {self.name} was not started ({resource}; {refused.request})"
        )

    def _why_disabled(self, resource_id: str) -> Flow[str | None]:
        try:
            resource = yield from self.resource(resource_id)
        except QlikCloudError:
            return None
        if resource.disabled_because is None:
            return None
        return f"disabled ({resource.disabled_because}): {self.enable_hint}"


def _all_before(moment: datetime | None) -> Enough:
    """True for a page of runs that all began before a moment; without one, for any page."""

    def all_before(page: Sequence[Run]) -> bool:
        return moment is None or all(run.began_before(moment) for run in page)

    return all_before
