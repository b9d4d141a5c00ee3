"""The outcome of a run, in sentences for the user."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.runs.adapter import LogCallback, RunAdapter
from airflow_provider_qlik.runs.capabilities import ExplainsFailures, HasLog, ReportsWarnings
from airflow_provider_qlik.runs.run import Run, RunState
from airflow_provider_qlik.text import LINE_LENGTH, MESSAGE_LENGTH, REASON_LENGTH, printable, storable

LOG_LINES = 200
"""Lines of a run's log that go into the log of the task, at most; the last ones are kept."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An ended run with the reason of its failure or its warnings, and the link to its page."""

    run: Run
    link: str
    warnings: str | None = None

    @property
    def succeeded(self) -> bool:
        """Return True if the run succeeded."""
        return self.run.state is RunState.SUCCEEDED

    @property
    def message(self) -> str:
        """Return one sentence for the log: which run, how it ended, why."""
        return f"Qlik Cloud {self._which}, ended as {self._status}{self._why}"

    @property
    def failure(self) -> str:
        """Return the message of an error: how the run ended, why, then which run it is."""
        return f"The run ended as {self._status}{self._why}. Qlik Cloud {self._which}"

    def verdict(self, fail_on_warnings: bool) -> str | None:
        """Return the message of the error by which the run fails its task; None for a success.

        :param fail_on_warnings: a success with warnings counts as a failure.
        """
        if not self.succeeded:
            return self.failure
        if not fail_on_warnings or self.warnings is None:
            return None
        warnings = storable(self.warnings, MESSAGE_LENGTH)
        return f"The run ended as {self._status} with warnings (fail_on_warnings): {warnings}. Qlik Cloud {self._which}"

    @property
    def _which(self) -> str:
        run = self.run
        name = f" '{printable(run.name, REASON_LENGTH)}'" if run.name else ""
        return f"{run.kind}{name} {printable(run.resource_id, REASON_LENGTH)}, run {printable(run.id, REASON_LENGTH)}"

    @property
    def _status(self) -> str:
        return f"'{printable(self.run.status, REASON_LENGTH)}'"

    @property
    def _why(self) -> str:
        if self.run.reason:
            # The reason was cut already; the note about that makes it longer than REASON_LENGTH.
            return f": {storable(self.run.reason, MESSAGE_LENGTH)}"
        return "" if self.succeeded else ": Qlik Cloud gives no reason"

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain JSON, the return value of a task."""
        return {**self.run.to_json(), "link": self.link}


def outcome(adapter: RunAdapter, run: Run, tenant_url: str, write_log: LogCallback) -> Flow[Outcome]:
    """Return the outcome of an ended run, and write the last `LOG_LINES` lines of its log, with a link to the rest.

    A line is cut at `LINE_LENGTH` characters and says how many were cut; the reason is cut at `REASON_LENGTH`.
    No error is raised: a log that cannot be fetched is a warning, and the run has ended as it has.
    """
    link = tenant_url + adapter.page(run)
    lines: list[str] = []
    try:
        lines = (yield from adapter.log(run)).splitlines() if isinstance(adapter, HasLog) else []
    except (QlikCloudError, InvalidArgumentError) as error:
        write_log(logging.WARNING, f"The log of {run.kind} run {run.id} could not be fetched: {error}")
    if lines:
        cut = len(lines) - LOG_LINES
        write_log(
            logging.INFO,
            f"Qlik's log of {run.kind} run {run.id}"
            + (f", the last {LOG_LINES} of {len(lines)} lines, all of it at {link}:" if cut > 0 else ":"),
        )
        for line in lines[-LOG_LINES:]:
            write_log(logging.INFO, f"| {printable(line, LINE_LENGTH)}")
    if run.state is not RunState.SUCCEEDED:
        reason = (yield from adapter.reason(run)) if isinstance(adapter, ExplainsFailures) else run.reason
        run = replace(run, reason=storable(reason, REASON_LENGTH) if reason else _reason_from_log(lines))
        return Outcome(run, link)
    warnings = adapter.warnings(run, lines) if isinstance(adapter, ReportsWarnings) else None
    return Outcome(run, link, storable(warnings, REASON_LENGTH) if warnings else None)


def _reason_from_log(lines: list[str]) -> str | None:
    """Return a reason made of the last line of a log that is not blank, None if there is none."""
    last = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"Qlik Cloud gives no reason; the last line of its log: {printable(last, REASON_LENGTH)}" if last else None
