"""Watching for ends of runs: the runs of a resource, a space or a tenant that ended since the last poll, each once.

A wait (`waiting`) follows one run. A watch reports whichever runs end, and does not end itself. Each round polls the
list of the last runs (`latest_runs`), lists the runs of the resources where something has changed (`changes`), since
several may have ended between two polls, and returns those that have ended and are not covered by the watermark
(`watermark`). A run that was seen while it was active counts when it has ended, whatever its end time says.

Nothing that ended before the first poll is reported, unless the watch has a moment to begin at, or the watermark of an
earlier watch. The moment of the first poll is that of Qlik Cloud's clock: less `CLOCK_SKEW`, since the times of runs
come from other services, and without the ends that this poll has seen.

Errors never end a watch. Transient ones are tolerated. A refusal that lasts (see `visibility`), and any other permanent
error, is logged as an error, and the watch goes on with a growing pause (`watch_health`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Flow, Poll
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.runs.adapter import ListedRunAdapter, LogCallback
from airflow_provider_qlik.runs.capabilities import ConsistsOfItems, LatestRun, ListsLatestRuns
from airflow_provider_qlik.runs.changes import ResourceChanges, end_of
from airflow_provider_qlik.runs.intent import CLOCK_SKEW, has_marker
from airflow_provider_qlik.runs.latest_runs import BATCH, LatestRuns, LatestRunsKey, LatestRunSource, RunsKey
from airflow_provider_qlik.runs.run import Run, RunState
from airflow_provider_qlik.runs.waiting import utc_now
from airflow_provider_qlik.runs.watch_health import WatchHealth
from airflow_provider_qlik.runs.watermark import Watermark

FIRST_POLL = 2.0
"""Seconds within which the first poll is sent, so that watches that begin together share it."""
MAX_CATCH_UP = timedelta(days=7)
"""Time for which a watch makes up, at most, if the earlier watch ended long ago."""
DESCRIPTION_LIFETIME = timedelta(hours=1)
"""Time for which the names and spaces of resources are remembered where the list shows neither."""

Failure: TypeAlias = QlikCloudError | InvalidArgumentError


class RunWatch:
    """A watch for ends of runs, see the module.

    `watermark` is what a later watch needs to go on from here, None before the first poll. `failing` is True while
    Qlik Cloud refuses the polls for good, as far as one can tell.

    :param adapter: the kind of run.
    :param write_log: writes the lines for the log.
    :param resource_id: the resource to watch; None for all that the user sees, of one space or of the tenant.
    :param space_id: the space whose resources are watched.
    :param states: the states of an ended run that are reported.
    :param include_own_runs: report runs that carry a marker of this package, too.
    :param since: report ends at or after this moment (UTC), also those before the first poll.
    :param watermark: that of an earlier watch, which this one continues.
    :param clock: returns the current time.
    """

    def __init__(
        self,
        adapter: ListedRunAdapter[Any],
        write_log: LogCallback,
        *,
        resource_id: str | None = None,
        space_id: str | None = None,
        states: Collection[RunState] = (RunState.SUCCEEDED,),
        include_own_runs: bool = False,
        since: datetime | None = None,
        watermark: Watermark | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.watermark = Watermark(since) if watermark is None and since is not None else watermark
        self._resumed = watermark is not None
        self._adapter = adapter
        self._source = LatestRunSource(adapter)
        self._resource_id = resource_id
        self._space_id = space_id
        self._states = frozenset(states)
        self._include_own_runs = include_own_runs
        self._clock = clock
        self._write_log = write_log
        self._subject = f"{adapter.name} {LatestRunsKey(resource_id, space_id)}"
        self._health = WatchHealth(self._subject, write_log, clock)
        self._complete_list = not isinstance(adapter, ListsLatestRuns) or adapter.lists_every_resource
        self._changes: ResourceChanges | None = None
        self._described: dict[str, tuple[str | None, str | None]] = {}
        self._forget_at: datetime | None = None
        self._polled = False

    @property
    def failing(self) -> bool:
        """Return True while Qlik Cloud refuses the polls for good, as far as one can tell."""
        return self._health.lasting

    def poll(self, poll_interval: float) -> Flow[list[Run]]:
        """Return the runs that have ended since the last poll, in the order of their ends.

        Polls *poll_interval* seconds from now, or somewhat earlier together with other watches; the first time at once,
        and later after errors. Raises no error of Qlik Cloud: it is logged, and the next poll makes up for this one.
        """
        error: Failure | None
        try:
            found = yield self._poll_step(poll_interval)
            self._polled = True
            runs, error = yield from self._ended_runs(found)
        except (QlikCloudError, InvalidArgumentError) as raised:
            self._polled = True
            runs, error = [], raised
        if error is None:
            self._health.record_success()
        else:
            self._health.record_failure(error, poll_interval)
        return runs

    def _poll_step(self, poll_interval: float) -> Poll[Any, Any]:
        since = self.watermark.moment if self.watermark else None
        delay = max(poll_interval, self._health.pause)
        return Poll(
            source=self._source,
            key=LatestRunsKey(self._resource_id, self._space_id, since),
            batch_key=BATCH,
            # Whenever a request is sent for one watcher, it answers for all others as well: with a minimum, those that
            # were answered a moment ago would be left out, and cost a request of their own.
            min_delay=self._health.pause,
            max_delay=delay if self._polled else min(FIRST_POLL, delay),
        )

    def _ended_runs(self, found: LatestRuns) -> Flow[tuple[list[Run], Failure | None]]:
        """Return the runs to report, and the first error that kept some of them from being seen."""
        now = found.server_time or self._clock()
        first = self.watermark is None
        watermark = self.watermark = self.watermark or Watermark(now - CLOCK_SKEW)
        if self._changes is None:
            self._limit_catch_up(watermark, now)
            self._changes = ResourceChanges(watermark, self._resource_id, self._complete_list)
        if self._forget_at is None or now >= self._forget_at:
            # A resource may be renamed, or moved to another space.
            self._described.clear()
            self._forget_at = now + DESCRIPTION_LIFETIME
        ended, error = yield from self._list_changed(found, now, first, watermark, self._changes)
        if first:
            # These ended before the first poll, or during it.
            latest = [entry.run for entry in found.by_resource.values() if entry.run is not None and entry.run.ended]
            for run in (*ended, *latest):
                if not watermark.covers(run.id, end_of(run)):
                    watermark.add(run.id, end_of(run) or now)
            ended = []
        reported: list[Run] = []
        for run in sorted(ended, key=lambda run: end_of(run) or now):
            described = yield from self._reported(run, found.by_resource.get(run.resource_id), watermark, self._changes)
            if described is not None:
                reported.append(described)
        if error is None:
            watermark.advance(now)
        return reported, error

    def _limit_catch_up(self, watermark: Watermark, now: datetime) -> None:
        if self._resumed and watermark.moment < now - MAX_CATCH_UP:
            self._write_log(
                logging.WARNING,
                f"The watch was interrupted at {watermark.moment.isoformat(timespec='seconds')}: ends of runs more than"
                f" {MAX_CATCH_UP.days} days ago are not reported ({self._subject}).",
            )
            watermark.moment = now - MAX_CATCH_UP

    def _list_changed(
        self, found: LatestRuns, now: datetime, first: bool, watermark: Watermark, changes: ResourceChanges
    ) -> Flow[tuple[list[Run], Failure | None]]:
        """Return the ended runs of the resources that may have new ones, and the first error."""
        if found.runs is not None and self._resource_id is not None:
            return changes.ended(self._resource_id, found.runs, None, now), None
        ended: list[Run] = []
        first_error: Failure | None = None
        resource_ids = [*changes.to_list(found, now, first=first, watched=self._may_be_watched)]
        for place, resource_id in enumerate(resource_ids):
            entry = found.by_resource.get(resource_id)
            try:
                runs = yield from self._runs_of(resource_id, entry, watermark)
            except (QlikCloudError, InvalidArgumentError) as error:
                first_error = first_error or error
                watermark.unsettled.add(resource_id)
                if getattr(error, "transient", False) or getattr(error, "credentials_refused", False):
                    # The others would fail as well.
                    watermark.unsettled.update(resource_ids[place:])
                    break
            else:
                ended += changes.ended(resource_id, runs, entry, now)
        changes.remember(found, self._may_be_watched)
        return ended, first_error

    def _may_be_watched(self, entry: LatestRun) -> bool:
        """Return False for a resource that is surely not in the watched space."""
        if self._space_id is None:
            return True
        if self._complete_list:
            return entry.space_id == self._space_id
        known = self._described.get(entry.resource_id)
        return known is None or known[1] == self._space_id

    def _runs_of(self, resource_id: str, entry: LatestRun | None, watermark: Watermark) -> Flow[Sequence[Run]]:
        """Return the runs of a resource back to the watermark; where they are refused, what the list shows of them."""
        try:
            runs: Sequence[Run] = yield Poll(
                source=self._source, key=RunsKey(resource_id, watermark.moment), batch_key=resource_id
            )
        except StatusError as error:
            # A user may see a resource with its last run, and not be allowed to list its runs.
            if error.credentials_refused or not visibility.is_not_visible(error):
                raise
            if self._resource_id is not None and (entry is None or entry.run is None):
                raise
            self._health.record_refusal(resource_id, error)
            return () if entry is None or entry.run is None else (entry.run,)
        return runs

    def _reported(
        self, run: Run, entry: LatestRun | None, watermark: Watermark, changes: ResourceChanges
    ) -> Flow[Run | None]:
        """Return an ended run with its name and space, None if it is not to be reported (yet)."""
        ended_at = end_of(run) or watermark.moment
        if isinstance(self._adapter, ConsistsOfItems):
            try:
                completed = yield from self._adapter.completed(run)
            except (QlikCloudError, InvalidArgumentError) as error:
                self._write_log(logging.WARNING, f"The next poll reads the end of {run} again: {error}")
                completed = None
            if completed is None or not completed.ended:
                changes.unsettle(run)
                return None
            run = completed
        if run.state not in self._states or (has_marker(run) and not self._include_own_runs):
            watermark.add(run.id, ended_at)
            return None
        if entry is not None:
            run = replace(run, name=run.name or entry.name, space_id=run.space_id or entry.space_id)
        run = yield from self._with_name(run)
        if self._space_id is not None and run.space_id != self._space_id:
            if run.name is None and not self._complete_list:
                # The request for its space has failed: tried again as long as the watermark does not cover the run.
                watermark.unsettled.add(run.resource_id)
            else:
                watermark.add(run.id, ended_at)
            return None
        watermark.add(run.id, ended_at)
        return run

    def _with_name(self, run: Run) -> Flow[Run]:
        """Return the run with the name and space of its resource, which are requested once for each resource."""
        if run.name:
            return run
        if run.resource_id not in self._described:
            described = yield from self._adapter.described(run)
            if not described.name:
                return described
            self._described[run.resource_id] = described.name, described.space_id
        name, space_id = self._described[run.resource_id]
        return replace(run, name=name, space_id=run.space_id or space_id)
