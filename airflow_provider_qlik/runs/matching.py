"""Matching: finding the run that a start made, where Qlik Cloud does not say which one it is.

The response to the start of a task, a sharing task, or an automation with inputs contains no run id, and a response
may be lost. The run has to be recognised among those that are new since the start. There are two kinds of evidence.

**The marker.** A start carries a text that is made of the identity of the Airflow task (`marker`), in a member that
Qlik Cloud may show with the run, such as `triggeredBy`. A run with our marker is our own, whatever its times are.
Whether Qlik Cloud shows markers is documented nowhere, and a run without one says little: a word such as "manual" or a
user's name stands in that member for the runs of other users where markers are shown, and for our own as well where
they are not. Only this counts: a marker of this package on *any* run of the list proves that they are shown, and then a
run without ours is never taken for our own, even if it is the only candidate. Proof is looked for on all runs before
the start, on all that appear later and, before a run without a marker is adopted, once in the whole list.

**The time.** Without such proof, a run that did not exist before the start, and did not begin before it by Qlik Cloud's
own clock, is a candidate. A single candidate is taken for our own after it has been the only one for a while, and is
marked as unconfirmed (`Run.unconfirmed_since`): each later poll looks for competing runs. If a run with our marker
appears then, the wait goes over to it; if another candidate appears, the wait ends with AmbiguousRunError
(`polling`). Two candidates are an error, never a guess: a wrong guess would cancel somebody else's run, or report its
outcome as that of this task.

What was rejected:

- Starting again if no run is found. The first start may have been executed all the same.
- The last run (`runs/last`): right after a start this is still the one before.
- The latest of several candidates, or the first: schedules, event triggers and other users start runs at any moment.
- Airflow's clock. It may differ from that of Qlik Cloud by minutes; `Date` headers do not.
- Taking any unknown text in place of a marker as proof that markers are not shown: see above.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, pause
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.runs.capabilities import ShowsUsers
from airflow_provider_qlik.runs.errors import AmbiguousRunError, RunNotFoundError
from airflow_provider_qlik.runs.intent import Intent, has_marker
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.run import Run

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import ListedRunAdapter, LogCallback

COMPETING_WINDOW = timedelta(seconds=60)
"""The longest time after the beginning of an unconfirmed run in which another run counts as competing."""
BEGINNING = datetime(1980, 1, 1, tzinfo=UTC)
"""A moment before all runs: reads the whole list, up to the limit for pages."""
BACKOFF_FACTOR = 1.5
"""The factor by which the pause between two reads of the list grows."""


@dataclass(frozen=True, slots=True)
class MatchTimeouts:
    """The durations of the search for the run of a start, in seconds.

    :param match_timeout: until the search ends without a run, if the start was accepted.
    :param unknown_outcome_timeout: the same, if the outcome of the start is unknown.
    :param confirmation_time: for which a run without a marker must be the only candidate before it is followed.
    :param doubtful_confirmation_time: the same for a run that has ended, since nobody polls it any more and a competing
        run would go unnoticed; and for several candidates, since our own may yet show its marker.
    :param initial_backoff: the first pause between two reads of the list.
    :param max_backoff: the longest pause between two reads.
    """

    match_timeout: float = 300.0
    unknown_outcome_timeout: float = 60.0
    confirmation_time: float = 20.0
    doubtful_confirmation_time: float = 60.0
    initial_backoff: float = 1.0
    max_backoff: float = 10.0

    @classmethod
    def of(cls, match_timeout: float, settle_time: float, unknown_outcome_timeout: float = 60.0) -> MatchTimeouts:
        """Return the durations that the arguments of an operator stand for."""
        return cls(match_timeout, unknown_outcome_timeout, settle_time, 3 * settle_time)


def find(
    adapter: ListedRunAdapter[Any],
    intent: Intent,
    timeouts: MatchTimeouts,
    write_log: LogCallback,
    clock: Callable[[], float] = time.monotonic,
    *,
    accepted: bool = True,
) -> Flow[Run | None]:
    """Return the run that a start made, None if none appeared in time.

    :param clock: returns seconds; only differences are used.
    :param accepted: True if the start certainly was executed, False if its outcome is unknown.

    A run that only its time identifies has `unconfirmed_since` set. Raises AmbiguousRunError if there are several
    candidates, the error of Qlik Cloud if it refuses to list the runs for good, and RunNotFoundError at once if the
    runs before the start are not known (`Intent.known_run_ids` is None).
    """
    if intent.known_run_ids is None:
        raise cannot_match(adapter, intent)
    return (yield from _Matching(adapter, intent, timeouts, write_log, clock, accepted).run())


@dataclass(slots=True)
class _Matching:
    """The state of one search. Moments are readings of *clock*, in seconds."""

    adapter: ListedRunAdapter[Any]
    intent: Intent
    timeouts: MatchTimeouts
    write_log: LogCallback
    clock: Callable[[], float]
    accepted: bool
    markers_shown: bool = False
    whole_list_read: bool = False
    candidates: list[Run] = field(default_factory=list)
    unmarked_since: float | None = None
    """When the first candidate without a marker was seen, None while there is none."""
    hidden_since: float | None = None
    """When Qlik Cloud began to refuse the list, None while it does not."""

    def run(self) -> Flow[Run | None]:
        """Read the list again and again until the run is found or the search times out."""
        self.markers_shown = self.intent.markers_shown
        began = readable_since = self.clock()
        seconds = self.timeouts.initial_backoff
        while True:
            try:
                recent = yield from recent_runs(self.adapter, self.intent.resource_id, self.intent.earliest)
            except QlikCloudError as error:
                self._note_failure(error)
                if not isinstance(error, NotFoundError):
                    # A list that cannot be read does not count as one without a run.
                    readable_since = self.clock()
            else:
                self.hidden_since = None
                found = yield from self._match(recent)
                if found is not None:
                    return found
            now = self.clock()
            timed_out = now - began >= self.timeouts.match_timeout
            if not self.accepted and not self.candidates:
                # A start that was not executed makes no run: there is no use in a long search.
                timed_out = timed_out or now - readable_since >= self.timeouts.unknown_outcome_timeout
            if timed_out:
                if self.candidates:
                    raise ambiguous(self.adapter, self.intent.resource_id, self.candidates)
                return None
            yield from pause(seconds)
            seconds = min(seconds * BACKOFF_FACTOR, self.timeouts.max_backoff)

    def _note_failure(self, error: QlikCloudError) -> None:
        """Log an error of the list; raise it if it is permanent."""
        # The list of a task that never ran may be a 404 until its first run appears.
        if error.transient or isinstance(error, NotFoundError):
            self.hidden_since = None
        else:
            if self.hidden_since is None:
                self.hidden_since = self.clock()
            persists = self.clock() - self.hidden_since >= visibility.NOT_VISIBLE_TIMEOUT.total_seconds()
            if persists or not visibility.is_not_visible(error):
                raise error
        self.write_log(
            logging.WARNING, f"The runs of the {self.adapter.name} could not be listed and are listed again: {error}"
        )

    def _match(self, recent: Sequence[Run]) -> Flow[Run | None]:
        """Return the run of the start if the list identifies it. Raises AmbiguousRunError."""
        intent, adapter = self.intent, self.adapter
        known_run_ids = intent.known_run_ids or ()
        self.markers_shown = self.markers_shown or any(map(has_marker, recent))
        marked = [run for run in recent if run.id not in known_run_ids and run.shows_marker(intent.marker)]
        if len(marked) == 1:
            return marked[0]
        if len(marked) > 1:
            raise ambiguous(adapter, intent.resource_id, marked)
        self.candidates = [run for run in recent if intent.is_candidate(run) and adapter.can_be_api_run(run)]
        unmarked = [] if self.markers_shown else self.candidates
        if not self._confirmed(unmarked):
            return None
        if len(unmarked) > 1 and isinstance(adapter, ShowsUsers):
            unmarked = yield from adapter.exclude_other_users(intent.resource_id, unmarked)
        if len(unmarked) > 1:
            raise ambiguous(adapter, intent.resource_id, unmarked)
        if not self.whole_list_read:
            # Older runs are read once: a marker on any of them proves that Qlik shows markers.
            runs = yield from _whole_list(adapter, intent.resource_id)
            self.whole_list_read, self.markers_shown = runs is not None, any(map(has_marker, runs or ()))
        if not self.whole_list_read or self.markers_shown:
            return None
        (run,) = unmarked
        self.write_log(
            logging.INFO, f"The run shows no marker, but it is the only one that this start can have made: {run}."
        )
        since = min(filter(None, (intent.server_time, run.moment)), default=None)
        return replace(run, unconfirmed_since=since, marker=intent.marker)

    def _confirmed(self, unmarked: Sequence[Run]) -> bool:
        """Return True once there have been candidates without a marker for the confirmation time."""
        now = self.clock()
        if not unmarked:
            self.unmarked_since = None
            return False
        if self.unmarked_since is None:
            self.unmarked_since = now
        one_active = len(unmarked) == 1 and not unmarked[0].ended
        timeouts = self.timeouts
        return now - self.unmarked_since >= (
            timeouts.confirmation_time if one_active else timeouts.doubtful_confirmation_time
        )


def _whole_list(adapter: ListedRunAdapter[Any], resource_id: str) -> Flow[list[Run] | None]:
    """Return all runs, up to the limit for pages; None if the list cannot be read at present."""
    try:
        return (yield from recent_runs(adapter, resource_id, BEGINNING))
    except QlikCloudError as error:
        if not error.transient and not isinstance(error, NotFoundError):
            raise
        return None


def competing_runs(own: Run, recent: Sequence[Run]) -> list[Run]:
    """Return the other runs that may be our own as well, for a run that only its time identifies; else none."""
    if own.unconfirmed_since is None:
        return []
    since, began = own.unconfirmed_since, own.moment or own.unconfirmed_since
    return [
        run
        for run in recent
        if run.id != own.id
        and (
            (run.moment is not None and since <= run.moment and run.moment - began <= COMPETING_WINDOW)
            or (own.marker is not None and own.marker in (run.triggered_by or ""))
        )
    ]


def cannot_match(
    adapter: ListedRunAdapter[Any], intent: Intent, lost_response: QlikCloudError | None = None
) -> RunNotFoundError:
    """Return the error for a start whose response was lost, by a user who may not list the runs."""
    response = f" The response to the start: {lost_response}" if lost_response is not None else ""
    return RunNotFoundError(
        f"The response to the start was lost, and this user may not list the runs to look for it: the {adapter.name}"
        " may have been started. Look at its runs in Qlik Cloud, then clear this task. It was not started again"
        f" ({adapter.name} {intent.resource_id}).{response}"
    )


def ambiguous(adapter: ListedRunAdapter[Any], resource_id: str, candidates: Sequence[Run]) -> AmbiguousRunError:
    """Return the error that lists the candidates, of which no evidence identifies one as our own."""
    if len(candidates) > 1:
        runs, which = "runs", "which of them this task has started"
    else:
        runs, which = "run", "whether this task has started it"
    return AmbiguousRunError(
        f"{len(candidates)} {runs} began since the start, and Qlik Cloud does not show {which}. None was cancelled."
        " Look at them in Qlik Cloud, then clear this task"
        f" ({adapter.name} {resource_id}): {'; '.join(map(str, candidates))}"
    )
