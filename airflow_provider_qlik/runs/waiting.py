"""Waiting for a run: one rule for workers, sensors and the triggerer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from airflow_provider_qlik.cloud.call import Flow, Poll, pause
from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError, StatusError
from airflow_provider_qlik.runs import refusals as refusal
from airflow_provider_qlik.runs.adapter import RunAdapter
from airflow_provider_qlik.runs.errors import RunError, RunGoneError, RunNotVisibleError, WaitTimeoutError
from airflow_provider_qlik.runs.matching import LogCallback
from airflow_provider_qlik.runs.run import Run, RunSelector, RunState

HEARTBEAT_INTERVAL = timedelta(minutes=5)
"""A wait that has nothing new to tell says so this often."""
UNCLEAR_POLLS = 3
"""So many looks at a run that has an end time and is called active before the end time is believed."""
UNCLEAR_PAUSE = 2.0
"""Seconds between those looks."""
GROWTH = 0.05
"""The part of a run's age at which it is looked at again: so much later than need be its end is noticed, at most."""
SOONEST = 0.5
"""The part of an interval after which a look may be shared with others whose time has come."""
MAX_ASKED = 300.0
"""Seconds that Qlik may ask a wait to stay away."""


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


class RunWait:
    """One wait for one run: what was seen last, what was said when, how long something has been wrong.

    *say* takes the lines for the task's log (level and text). *seen* is what is known of the run, and was said,
    already; *says_end* is False where somebody else says how it ended. Polls that fail for a passing reason are
    counted, said and outlasted; the deadline (UTC, None: no end) decides. A refusal to show the run must last for
    *refusal_lasts* before it ends the wait: *refused_since* is when it began, where an earlier wait has seen that.
    """

    def __init__(
        self,
        kind: RunAdapter,
        selector: RunSelector,
        write_log: LogCallback,
        *,
        seen: Run | None = None,
        deadline: datetime | None = None,
        says_end: bool = True,
        clock: Callable[[], datetime] = utc_now,
        refusal_lasts: timedelta | None = None,
        refused_since: datetime | None = None,
    ) -> None:
        self.kind = kind
        self.selector = selector
        self.run = seen
        self._said = (seen.status, seen.id) if seen is not None and seen.known_word else None
        self._say = write_log
        self._says_end = says_end
        self._deadline = deadline
        self._clock = clock
        self._began = self._spoke = clock()
        self._refusal_lasts = refusal.REFUSAL_LASTS if refusal_lasts is None else refusal_lasts
        self.refused_since = refused_since
        self._failures = 0
        self._asked_to_wait = 0.0
        self._answer: Run | None = None
        self._refusal: StatusError | None = None
        self._intervals: tuple[float, float] | None = None

    def until_end(self, poll_interval: float, max_poll_interval: float | None = None) -> Flow[Run]:
        """The run, ended. Looks every so many seconds, or when Qlik says that it may be asked again.

        The interval grows with the age of the run, up to *max_poll_interval*, if that is given. Raises WaitTimeoutError
        after the deadline, RunGoneError, AmbiguousRunError, and what Qlik refuses for good (401, 403, …).
        """
        self._intervals = poll_interval, max(poll_interval, max_poll_interval or 0.0)
        seconds = 0.0
        while True:
            ended = yield from self.poll(seconds)
            if ended is not None:
                return ended
            left = self._left()
            if left is not None and left <= 0:
                raise WaitTimeoutError(self._out_of_time())
            seconds = max(self._interval(*self._intervals), self._asked_to_wait)
            if left is not None and left <= seconds:
                # The last look, at the deadline and no sooner: else there would be another, and another.
                seconds = self._asked_to_wait = left

    def poll(self, after: float = 0.0) -> Flow[Run | None]:
        """The run if it has ended; None while it goes on, there is none yet, or no answer came.

        Looks *after* so many seconds, or somewhat sooner together with others. Raises as `until_end` does, but for the
        deadline.
        """
        try:
            run = yield from self._poll(after)
            for _ in range(UNCLEAR_POLLS - 1):
                if run is None or run.ended or run.ended_at is None:
                    break
                # An end time beside a word for "still going": a moment later it should be clear.
                yield from pause(UNCLEAR_PAUSE)
                run = yield from self._poll()
        except QlikCloudError as error:
            if not error.transient:
                raise
            self._asked_to_wait = min(error.retry_after or 0.0, MAX_ASKED)
            self.refused_since = None
            self._failed(error)
            return None
        if self.refused_since is not None and self._refusal is not None:
            self._asked_to_wait = 0.0
            self._failed(self._refusal)
            return None
        self._asked_to_wait = 0.0
        if run is not None and not run.ended and run.ended_at is not None:
            why = run.reason or f"it has ended, yet Qlik calls it {run.status!r}"
            run = replace(run, state=RunState.FAILED, reason=why)
        self._note(run)
        return run if run is not None and run.ended else None

    def _poll(self, after: float = 0.0) -> Flow[Run | None]:
        run: Run | None
        refused: StatusError | None = None
        try:
            run = self._answer = yield self._question(after)
        except StatusError as error:
            if not refusal.refuses_to_show(error):
                raise
            run, refused = None, error
            self._answer = None
        # A 404 directly after a start is nothing to report: the run shows up a moment later.
        self._refusal = None if isinstance(refused, NotFoundError) else refused
        if run is not None:
            if run.adopted != self.selector.adopted:
                run = replace(run, adopted=self.selector.adopted)
            self.selector = self.selector.pinned_to(run)
            self.refused_since = None
        elif refused or self.selector.run_id:
            self.refused_since = self.refused_since or self._clock()
            lasting = self._clock() - self.refused_since >= self._refusal_lasts
            # For something that nobody has seen yet a 404 will not pass.
            unknown = isinstance(refused, NotFoundError) and not self.selector.run_id
            if lasting or unknown:
                raise self._not_shown(refused)
        return run

    def _not_shown(self, refused: StatusError | None) -> RunError:
        """The error that ends a wait for what Qlik Cloud does not show."""
        resource = f"{self.kind.name} {self.selector.resource_id}"
        run = f"{self.selector} of {resource}" if self.selector.run_id else resource
        if refused is None:
            return RunGoneError(f"Qlik Cloud does not know the run any more, or does not show it to this user ({run})")
        if isinstance(refused, NotFoundError):
            return RunGoneError(f"{refused.reason}. {refused.advice} ({run}; {refused.request})")
        seconds = self._refusal_lasts.total_seconds()
        return RunNotVisibleError(
            f"{refused.reason}. {refused.advice} Qlik Cloud has refused for {seconds:g} s to show the run, which may"
            f" still be going on ({run}; {refused.request})"
        )

    def _question(self, after: float) -> Poll:
        """What is to be seen of the wanted run?"""
        return Poll(
            source=self.kind,
            key=self.selector,
            batch_key=self.selector.resource_id,
            min_delay=max(after * SOONEST, min(after, self._asked_to_wait)),
            max_delay=after,
            reschedule=self._nothing_new,
        )

    def _nothing_new(self, answer: Run | None) -> tuple[float, float] | None:
        """When to look again, where an answer is the last one over again and nothing else is due; else None.

        Thousands of waits are spared that a look wakes them.
        """
        if self._intervals is None or answer is None or answer != self._answer:
            return None
        if answer.ended or answer.ended_at is not None or self._failures or self._silent_for_long():
            return None
        seconds, left = self._interval(*self._intervals), self._left()
        if left is not None and left <= seconds:
            return None
        return seconds * SOONEST, seconds

    def _left(self) -> float | None:
        """Seconds until the deadline, if there is one."""
        return None if self._deadline is None else (self._deadline - self._clock()).total_seconds()

    def _interval(self, shortest: float, longest: float) -> float:
        """Seconds until the next look: they grow with the age of the run."""
        return min(max(shortest, self._age() * GROWTH), longest)

    def _age(self) -> float:
        """How long the run has been going on, in seconds; or the wait, where there is none yet."""
        began = (self.run and self.run.moment) or self._began
        return (self._clock() - began).total_seconds()

    def _note(self, run: Run | None) -> None:
        """Says each change of status, and a sign of life now and then."""
        if self._failures:
            self._tell(logging.INFO, f"Qlik Cloud answers again, after {self._failures} polls without an answer.")
            self._failures = 0
        self.run = run or self.run
        if run is not None and self._said != (run.status, run.id):
            self._said = (run.status, run.id)
            if not run.known_word:
                self._tell(
                    logging.WARNING,
                    f"{run.status!r} is a status that this version does not know: taken for "
                    + ("still active." if not run.ended else f"{run.state}."),
                )
            if self._says_end or not run.ended:
                self._tell(logging.INFO, f"{run.kind} run {run.id}: {run.status}")
        elif self._silent_for_long():
            what = f"{run.kind} run {run.id} is still {run.status}" if run else f"Still waiting for {self.selector}"
            self._tell(logging.INFO, f"{what}, {self._waited()}.")

    def _failed(self, error: QlikCloudError) -> None:
        self._failures += 1
        why = str(error).rstrip(".")
        if self._failures == 1 or self._silent_for_long():
            self._tell(
                logging.WARNING,
                f"Poll without an answer ({self._failures} in a row, {self._waited()}): {why}. The wait goes on"
                + (f" until {self._deadline.isoformat(timespec='seconds')}." if self._deadline else "."),
            )

    def _silent_for_long(self) -> bool:
        return self._clock() - self._spoke >= HEARTBEAT_INTERVAL

    def _tell(self, level: int, text: str) -> None:
        self._spoke = self._clock()
        self._say(level, text)

    def _waited(self) -> str:
        return f"waited {timedelta(seconds=round((self._clock() - self._began).total_seconds()))}"

    def _out_of_time(self) -> str:
        seen = f"the run is {self.run.status!r}" if self.run else "there was no run"
        failing = f"; the last {self._failures} polls got no answer" if self._failures else ""
        what = f"{self.selector} of {self.kind.name} {self.selector.resource_id}"
        hint = "" if failing else " Give a longer timeout if it needs more time."
        return f"Gave up waiting: {seen}, {self._waited()}{failing}.{hint} ({what})"

    def timed_out(self) -> WaitTimeoutError:
        """Return the error of a wait whose deadline has passed while a poll was still under way."""
        return WaitTimeoutError(self._out_of_time())
