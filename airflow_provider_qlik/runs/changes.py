"""Which resources may have runs that have ended, by what a list shows of their last runs. No requests are made here.

The list shows one run of each resource. A resource is worth a second look, at all its runs, if

- the *version* of its entry is another one than at the last poll: a run has begun or ended, or several have;
- it is *unsettled*: a run other than the last one is active, whose end the list will not show, or its runs could not be
  listed;
- it is seen for the first time, and its last run is active or has ended since the watermark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from airflow_provider_qlik.runs.capabilities import LatestRun
from airflow_provider_qlik.runs.latest_runs import LatestRuns
from airflow_provider_qlik.runs.run import Run
from airflow_provider_qlik.runs.watermark import Watermark

ABSENT_INTERVAL = timedelta(minutes=10)
"""Time after which the runs of a watched resource are listed that a list of recent runs does not show."""


def end_of(run: Run) -> datetime | None:
    """Return when a run ended; where Qlik Cloud does not show that, when it began."""
    return run.ended_at or run.moment


class ResourceChanges:
    """The state of the watched resources from one poll to the next.

    :param watermark: the watermark of the watch, whose `unsettled` resources are kept up to date here.
    :param resource_id: the one resource that is watched; None if several are.
    :param complete_list: True if the list shows each resource that the user sees, and not recent runs only.
    """

    def __init__(self, watermark: Watermark, resource_id: str | None, complete_list: bool) -> None:
        self._watermark = watermark
        self._resource_id = resource_id
        self._complete_list = complete_list
        self._entries: dict[str, LatestRun] = {}
        self._active: dict[str, frozenset[str]] = {}
        self._listed_at: datetime | None = None

    def to_list(
        self, found: LatestRuns, now: datetime, *, first: bool, watched: Callable[[LatestRun], bool]
    ) -> Iterator[str]:
        """Yield the watched resources whose runs must be listed.

        :param first: nothing that ended until now is of interest.
        :param watched: returns False for the entry of a resource that is surely not watched.
        """
        unsettled = set(self._watermark.unsettled)
        if self._resource_id is not None:
            if self._resource_id in unsettled or self._is_due(found.by_resource.get(self._resource_id), now):
                yield self._resource_id
            return
        for resource_id, entry in found.by_resource.items():
            if not watched(entry):
                continue
            known = self._entries.get(resource_id)
            if known is not None:
                changed = entry.version != known.version
            elif first:
                # A run that has just ended may have ended before the first poll or after it; it is never reported.
                changed = entry.ended_at is not None and entry.ended_at >= self._watermark.moment
            else:
                changed = self._may_be_new(entry)
            if changed or resource_id in unsettled:
                yield resource_id
        yield from sorted(unsettled - found.by_resource.keys())

    def _is_due(self, entry: LatestRun | None, now: datetime) -> bool:
        """Return True if the runs of the one watched resource must be listed."""
        if self._listed_at is None:
            return True
        if entry is None:
            # The list may leave out what the user sees only by its id; a list of recent runs, what has not run lately.
            return self._complete_list or now - self._listed_at >= ABSENT_INTERVAL
        known = self._entries.get(entry.resource_id)
        return known is None or entry.version != known.version

    def _may_be_new(self, entry: LatestRun) -> bool:
        """Return True if a run of a resource that is seen for the first time may have ended since the watermark."""
        if entry.active:
            return True
        if entry.run is None and entry.ended_at is None:
            # It has never run.
            return False
        if entry.run is not None and entry.run.id in self._watermark.ends:
            return False
        return entry.ended_at is None or entry.ended_at >= self._watermark.moment

    def ended(self, resource_id: str, runs: Sequence[Run], entry: LatestRun | None, now: datetime) -> list[Run]:
        """Return the runs of a resource that have ended and are not covered by the watermark; note which are active."""
        were_active = self._active.pop(resource_id, frozenset())
        active = frozenset(run.id for run in runs if not run.ended)
        if active:
            self._active[resource_id] = active
        last = entry.run.id if entry is not None and entry.run is not None else None
        self._watermark.unsettled.discard(resource_id)
        if active - {last}:
            self._watermark.unsettled.add(resource_id)
        if resource_id == self._resource_id:
            self._listed_at = now
        return [
            run
            for run in runs
            if run.ended
            and run.id not in self._watermark.ends
            and (run.id in were_active or not self._watermark.covers(run.id, end_of(run)))
        ]

    def unsettle(self, run: Run) -> None:
        """Let the runs of a resource be listed at the next poll, and this one count as active until then."""
        self._watermark.unsettled.add(run.resource_id)
        self._note_active(run)

    def remember(self, found: LatestRuns, watched: Callable[[LatestRun], bool]) -> None:
        """Keep what the list shows, to see what changes until the next poll."""
        for resource_id, entry in found.by_resource.items():
            if self._resource_id in (None, resource_id) and watched(entry):
                self._entries[resource_id] = entry
                if entry.active and entry.run is not None:
                    self._note_active(entry.run)
        if self._complete_list:
            return
        for resource_id in self._entries.keys() - found.by_resource.keys():
            # The list shows recent runs only. One that is active must not be forgotten.
            if self._entries.pop(resource_id).active:
                self._watermark.unsettled.add(resource_id)

    def _note_active(self, run: Run) -> None:
        self._active[run.resource_id] = self._active.get(run.resource_id, frozenset()) | {run.id}
