"""Waiting for the end of a run: the same rules for workers, sensors and the triggerer.

A wait polls its run until the status is terminal, and decides three things about each response:

- **Is the error transient?** Transient errors never end a wait. They are counted and logged, and the next poll
  comes after the usual interval, or after the time that Qlik Cloud demands (`Retry-After`). Only the deadline ends such
  a wait.
- **Does the run still exist?** 401, 403 and 404 are common for a while: a run appears late, a key is rotated, a role is
  changed. They end the wait only if nothing else comes for `NOT_VISIBLE_TIMEOUT` (see `visibility`). A reschedule
  sensor carries the beginning of such a period from one poke to the next (`refused_since`).
- **Has the run ended?** A status word decides, not the end time. A run with an end time and an active status is polled
  a few times more; if the status stays, the run has failed.

A wait does no I/O: its polls go to the dispatcher (`Poll`), which joins those of many waits. So a poll has a range of
time, and not a moment, at which it is due. If the response is the same as before, the dispatcher sets the next poll
without waking the wait (`_next_poll_if_unchanged`): with thousands of waits, waking each would cost more than the
requests do.

What does not work: a fixed poll interval. With a short one, the waits for long runs use up the rate limit; with a long
one, the end of a short run is noticed late. The interval is a fixed part of the run's age instead, within limits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import Flow, Poll, pause
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.runs.adapter import LogCallback, RunAdapter
from airflow_provider_qlik.runs.errors import RunError, RunGoneError, RunNotVisibleError, WaitTimeoutError
from airflow_provider_qlik.runs.poll_source import poll_source
from airflow_provider_qlik.runs.run import Run, RunSelector, RunState

HEARTBEAT_INTERVAL = timedelta(minutes=5)
"""The longest time between two log lines of a wait."""
UNCLEAR_POLLS = 3
"""Polls of a run with an end time and an active status before the run counts as failed."""
UNCLEAR_PAUSE = 2.0
"""Seconds between those polls."""
GROWTH = 0.05
"""The poll interval as a part of the run's age: its end is noticed later by this part of its duration, at most."""
EARLIEST_PART = 0.5
"""The part of an interval after which a poll may be sent early, in a batch with others that are due."""
MAX_RETRY_AFTER = 300.0
"""Seconds by which Qlik Cloud can delay the next poll, at most."""


def utc_now() -> datetime:
    """Return the current time as an aware datetime."""
    return datetime.now(UTC)


class RunWait:
    """A wait for the end of one run.

    :param adapter: the kind of the run.
    :param selector: the run to wait for; `selector` is set to its id once it is found.
    :param write_log: writes the lines for the task log.
    :param known_run: the run in the state that is known and logged already.
    :param deadline: the moment (UTC) at which `until_end` ends, None for no limit.
    :param log_end: False if the caller itself logs how the run has ended.
    :param clock: returns the current time.
    :param refusal_timeout: how long Qlik Cloud must refuse to show the run before the wait ends; `NOT_VISIBLE_TIMEOUT`
        if None.
    :param refused_since: when this refusal began, if an earlier wait for the same run has noticed it.
    """

    def __init__(
        self,
        adapter: RunAdapter,
        selector: RunSelector,
        write_log: LogCallback,
        *,
        known_run: Run | None = None,
        deadline: datetime | None = None,
        log_end: bool = True,
        clock: Callable[[], datetime] = utc_now,
        refusal_timeout: timedelta | None = None,
        refused_since: datetime | None = None,
    ) -> None:
        self.adapter = adapter
        self.selector = selector
        self.run = known_run
        self.refused_since = refused_since
        self._logged_status: tuple[str, str] | None = None
        if known_run is not None and known_run.status_known:
            self._logged_status = known_run.status, known_run.id
        self._write_log = write_log
        self._log_end = log_end
        self._deadline = deadline
        self._clock = clock
        self._began = self._last_log_line = clock()
        self._refusal_timeout = visibility.NOT_VISIBLE_TIMEOUT if refusal_timeout is None else refusal_timeout
        self._failures = 0
        self._retry_after = 0.0
        self._last_response: Run | None = None
        self._refusal: StatusError | None = None
        self._intervals: tuple[float, float] | None = None

    def until_end(self, poll_interval: float, max_poll_interval: float | None = None) -> Flow[Run]:
        """Poll the run until it has ended, and return it.

        :param poll_interval: seconds between two polls.
        :param max_poll_interval: seconds up to which the interval grows with the age of the run; None for no growth.

        Raises WaitTimeoutError after the deadline, RunGoneError, RunNotVisibleError, AmbiguousRunError, and permanent
        errors of Qlik Cloud.
        """
        self._intervals = poll_interval, max(poll_interval, max_poll_interval or 0.0)
        seconds = 0.0
        while True:
            ended = yield from self.poll(seconds)
            if ended is not None:
                return ended
            remaining = self._remaining()
            if remaining is not None and remaining <= 0:
                raise self.timed_out()
            seconds = max(self._interval(*self._intervals), self._retry_after)
            if remaining is not None and remaining <= seconds:
                # The last poll, exactly at the deadline: if it were sent early, another would follow, and another.
                seconds = self._retry_after = remaining

    def poll(self, after: float = 0.0) -> Flow[Run | None]:
        """Return the run if it has ended; None if it is active, does not exist yet, or the poll failed.

        Polls *after* this number of seconds, or somewhat earlier in a batch with others. Raises the errors of
        `until_end`, except for WaitTimeoutError.
        """
        try:
            run = yield from self._poll(after)
            for _ in range(UNCLEAR_POLLS - 1):
                if run is None or run.ended or run.ended_at is None:
                    break
                # An active status with an end time contradicts itself, and should be corrected a moment later.
                yield from pause(UNCLEAR_PAUSE)
                run = yield from self._poll()
        except QlikCloudError as error:
            if not error.transient:
                raise
            self._retry_after = min(error.retry_after or 0.0, MAX_RETRY_AFTER)
            self.refused_since = None
            self._log_failure(error)
            return None
        self._retry_after = 0.0
        if self.refused_since is not None and self._refusal is not None:
            self._log_failure(self._refusal)
            return None
        if run is not None and not run.ended and run.ended_at is not None:
            reason = run.reason or f"it has ended, yet Qlik calls it {run.status!r}"
            run = replace(run, state=RunState.FAILED, reason=reason)
        self._log_response(run)
        return run if run is not None and run.ended else None

    def _poll(self, after: float = 0.0) -> Flow[Run | None]:
        """Poll once. A refusal to show the run is an error only if it lasts; until then the response is None."""
        run: Run | None
        refusal: StatusError | None = None
        try:
            run = self._last_response = yield self._poll_step(after)
        except StatusError as error:
            if not visibility.is_not_visible(error):
                raise
            run, refusal = None, error
            self._last_response = None
        # A 404 directly after a start is not worth a log line: the run appears a moment later.
        self._refusal = None if isinstance(refusal, NotFoundError) else refusal
        if run is not None:
            if run.adopted != self.selector.adopted:
                run = replace(run, adopted=self.selector.adopted)
            self.selector = self.selector.pinned_to(run)
            self.refused_since = None
        elif refusal or self.selector.run_id:
            self.refused_since = self.refused_since or self._clock()
            lasts = self._clock() - self.refused_since >= self._refusal_timeout
            # A 404 for a resource of which no run was found yet will not pass.
            missing_resource = isinstance(refusal, NotFoundError) and not self.selector.run_id
            if lasts or missing_resource:
                raise self._not_visible(refusal)
        return run

    def _not_visible(self, refusal: StatusError | None) -> RunError:
        """Return the error that ends a wait for a run that Qlik Cloud does not show."""
        resource = f"{self.adapter.name} {self.selector.resource_id}"
        run = f"{self.selector} of {resource}" if self.selector.run_id else resource
        if refusal is None:
            return RunGoneError(f"Qlik Cloud does not know the run any more, or does not show it to this user ({run})")
        if isinstance(refusal, NotFoundError):
            return RunGoneError(f"{refusal.reason}. {refusal.advice} ({run}; {refusal.request})")
        seconds = self._refusal_timeout.total_seconds()
        return RunNotVisibleError(
            f"{refusal.reason}. {refusal.advice} Qlik Cloud has refused for {seconds:g} s to show the run, which may"
            f" still be going on ({run}; {refusal.request})"
        )

    def _poll_step(self, after: float) -> Poll[RunSelector, Run | None]:
        """Return the step that polls the run *after* a number of seconds, at the latest."""
        return Poll(
            source=poll_source(self.adapter),
            key=self.selector,
            batch_key=self.selector.resource_id,
            min_delay=max(after * EARLIEST_PART, min(after, self._retry_after)),
            max_delay=after,
            reschedule=self._next_poll_if_unchanged,
        )

    def _next_poll_if_unchanged(self, response: Run | None) -> tuple[float, float] | None:
        """Return when to poll again, as seconds from now, if the response is the last one again; else None.

        None also if a log line or the deadline is due: then the wait has to be woken.
        """
        if self._intervals is None or response is None or response != self._last_response:
            return None
        if response.ended or response.ended_at is not None or self._failures or self._heartbeat_due():
            return None
        seconds, remaining = self._interval(*self._intervals), self._remaining()
        if remaining is not None and remaining <= seconds:
            return None
        return seconds * EARLIEST_PART, seconds

    def _remaining(self) -> float | None:
        """Return the seconds until the deadline, None if there is none."""
        return None if self._deadline is None else (self._deadline - self._clock()).total_seconds()

    def _interval(self, shortest: float, longest: float) -> float:
        """Return the seconds until the next poll, which grow with the age of the run."""
        return min(max(shortest, self._age() * GROWTH), longest)

    def _age(self) -> float:
        """Return the age of the run in seconds; without a run, that of the wait."""
        began = (self.run and self.run.moment) or self._began
        return (self._clock() - began).total_seconds()

    def _log_response(self, run: Run | None) -> None:
        """Log a change of status, or that the wait goes on if there was no line for `HEARTBEAT_INTERVAL`."""
        if self._failures:
            self._log(logging.INFO, f"Qlik Cloud responds again, after {self._failures} failed polls.")
            self._failures = 0
        self.run = run or self.run
        if run is not None and self._logged_status != (run.status, run.id):
            self._logged_status = (run.status, run.id)
            if not run.status_known:
                self._log(
                    logging.WARNING,
                    f"{run.status!r} is a status that this version does not know: taken for "
                    + ("still active." if not run.ended else f"{run.state}."),
                )
            if self._log_end or not run.ended:
                self._log(logging.INFO, f"{run.kind} run {run.id}: {run.status}")
        elif self._heartbeat_due():
            subject = f"{run.kind} run {run.id} is still {run.status}" if run else f"Still waiting for {self.selector}"
            self._log(logging.INFO, f"{subject}, {self._waited()}.")

    def _log_failure(self, error: QlikCloudError) -> None:
        """Count a failed poll, and log the first in a row and one for each `HEARTBEAT_INTERVAL`."""
        self._failures += 1
        reason = str(error).rstrip(".")
        if self._failures == 1 or self._heartbeat_due():
            self._log(
                logging.WARNING,
                f"A poll failed ({self._failures} in a row, {self._waited()}): {reason}. The wait goes on"
                + (f" until {self._deadline.isoformat(timespec='seconds')}." if self._deadline else "."),
            )

    def _heartbeat_due(self) -> bool:
        return self._clock() - self._last_log_line >= HEARTBEAT_INTERVAL

    def _log(self, level: int, text: str) -> None:
        self._last_log_line = self._clock()
        self._write_log(level, text)

    def _waited(self) -> str:
        return f"waited {timedelta(seconds=round((self._clock() - self._began).total_seconds()))}"

    def timed_out(self) -> WaitTimeoutError:
        """Return the error of a wait whose deadline has passed."""
        state = f"the run is {self.run.status!r}" if self.run else "there was no run"
        failing = f"; the last {self._failures} polls failed" if self._failures else ""
        selected = f"{self.selector} of {self.adapter.name} {self.selector.resource_id}"
        hint = "" if failing else " Give a longer timeout if it needs more time."
        return WaitTimeoutError(f"The wait timed out: {state}, {self._waited()}{failing}.{hint} ({selected})")
