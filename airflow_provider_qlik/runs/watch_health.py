"""The failures of a watch: they are logged now and then, and the pause between two polls grows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.runs.adapter import LogCallback
from airflow_provider_qlik.runs.latest_runs import CannotListError
from airflow_provider_qlik.runs.waiting import HEARTBEAT_INTERVAL, MAX_RETRY_AFTER

MAX_BACK_OFF = 600.0
"""Seconds up to which the pause between two polls grows while Qlik Cloud refuses them."""
MAX_REFUSED = 100
"""Resources whose refusal is remembered, so that it is logged once, at most."""


class WatchHealth:
    """The failures of a watch in a row.

    `pause` are the seconds until the next poll, at least. `lasting` is True while Qlik Cloud refuses the polls for
    good, as far as one can tell.

    :param subject: what is watched, for log lines.
    """

    def __init__(self, subject: str, write_log: LogCallback, clock: Callable[[], datetime]) -> None:
        self.pause = 0.0
        self.lasting = False
        self._subject = subject
        self._write_log = write_log
        self._clock = clock
        self._failures = 0
        self._failing_since: datetime | None = None
        self._refused_since: datetime | None = None
        self._logged_at: datetime | None = None
        self._refused: set[str] = set()

    def record_success(self) -> None:
        """Note a poll that has succeeded."""
        if self._failures:
            self._write_log(
                logging.INFO, f"Qlik Cloud responds again, after {self._failures} failed polls ({self._subject})."
            )
        self._failures, self._failing_since, self._refused_since, self._logged_at = 0, None, None, None
        self.pause, self.lasting = 0.0, False

    def record_failure(self, error: QlikCloudError | InvalidArgumentError, poll_interval: float) -> None:
        """Note a poll that has failed, and log the first in a row and one for each `HEARTBEAT_INTERVAL`."""
        now = self._clock()
        self._failures += 1
        self._failing_since = self._failing_since or now
        was_lasting = self.lasting
        self.lasting = self._is_lasting(error, now)
        if self.lasting:
            self.pause = min(MAX_BACK_OFF, max(2.0 * self.pause, 2.0 * poll_interval)) if was_lasting else poll_interval
        else:
            self.pause = min(getattr(error, "retry_after", None) or 0.0, MAX_RETRY_AFTER)
        due = self._logged_at is None or now - self._logged_at >= HEARTBEAT_INTERVAL
        if due or (self.lasting and not was_lasting):
            self._logged_at = now
            self._log(error, now)

    def _is_lasting(self, error: QlikCloudError | InvalidArgumentError, now: datetime) -> bool:
        """Return True if the error will not pass by itself: a refusal only after `visibility.NOT_VISIBLE_TIMEOUT`."""
        refusal = error.refusal if isinstance(error, CannotListError) else error
        if isinstance(refusal, QlikCloudError) and refusal.transient:
            self._refused_since = None
            return False
        if isinstance(refusal, QlikCloudError) and visibility.is_not_visible(refusal):
            self._refused_since = self._refused_since or now
            return now - self._refused_since >= visibility.NOT_VISIBLE_TIMEOUT
        return True

    def _log(self, error: Exception, now: datetime) -> None:
        reason = str(error).rstrip(".")
        failing = timedelta(seconds=round((now - (self._failing_since or now)).total_seconds()))
        if self.lasting:
            self._write_log(
                logging.ERROR,
                f"Ends of runs cannot be watched: {reason}. The watch goes on and polls less often until that is put"
                f" right ({self._failures} polls have failed, for {failing}; {self._subject}).",
            )
        else:
            self._write_log(
                logging.WARNING,
                f"A poll failed ({self._failures} in a row, for {failing}): {reason}. The watch goes on"
                f" ({self._subject}).",
            )

    def record_refusal(self, resource_id: str, error: QlikCloudError) -> None:
        """Note that the runs of one of many resources are refused, and log that once."""
        if resource_id not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused.add(resource_id)
            self._write_log(
                logging.WARNING,
                f"The runs of {resource_id} are not listed to this user, so only what Qlik Cloud shows of its last run"
                f" is reported: {error} ({self._subject}).",
            )
