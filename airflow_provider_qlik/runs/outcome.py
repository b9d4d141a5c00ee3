"""How a run ended and why, as a user should read it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_qlik.cloud.call import Flow
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.runs.adapter import RunAdapter
from airflow_provider_qlik.runs.matching import LogCallback
from airflow_provider_qlik.runs.run import Run, RunState
from airflow_provider_qlik.text import LINE_LENGTH, MESSAGE_LENGTH, REASON_LENGTH, printable, storable

LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """An ended run with Qlik's own reason, the link to its page, and what Qlik warns of where it succeeded."""

    run: Run
    link: str
    warnings: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether all is well."""
        return self.run.state is RunState.SUCCEEDED

    @property
    def message(self) -> str:
        """One sentence: what, how it ended, why."""
        return f"Qlik Cloud {self._what}, ended as {self._status}{self._why}"

    @property
    def failure(self) -> str:
        """The same as an error tells it: how the run ended and why first, then which run it is."""
        return f"The run ended as {self._status}{self._why}. Qlik Cloud {self._what}"

    def failure_by_warnings(self) -> str | None:
        """Return how an error tells of a run that succeeded with warnings; None if it did not."""
        if not self.succeeded or self.warnings is None:
            return None
        why = storable(self.warnings, MESSAGE_LENGTH)
        return f"The run ended as {self._status} with warnings (fail_on_warnings): {why}. Qlik Cloud {self._what}"

    @property
    def _what(self) -> str:
        run = self.run
        name = f" '{printable(run.name, REASON_LENGTH)}'" if run.name else ""
        return f"{run.kind}{name} {printable(run.resource_id, REASON_LENGTH)}, run {printable(run.id, REASON_LENGTH)}"

    @property
    def _status(self) -> str:
        return f"'{printable(self.run.status, REASON_LENGTH)}'"

    @property
    def _why(self) -> str:
        if self.run.reason:
            # The reason was cut already, and what says so makes it longer than REASON_LENGTH.
            return f": {storable(self.run.reason, MESSAGE_LENGTH)}"
        return "" if self.succeeded else ": Qlik Cloud gives no reason"

    def to_json(self) -> dict[str, Any]:
        """The outcome as plain JSON: what a task returns."""
        return {**self.run.to_json(), "link": self.link}


def outcome(kind: RunAdapter, run: Run, tenant_url: str, write_log: LogCallback) -> Flow[Outcome]:
    """What came of an ended run. Its log is said line by line, the last 200 of them, and where the rest is.

    A line is cut at `LINE_LENGTH` characters, and says how many were left out; the reason is cut at `REASON_LENGTH`.

    Nothing that goes wrong here changes how the run ended: a log that cannot be had is a warning.
    """
    link = tenant_url + kind.page(run)
    lines: list[str] = []
    try:
        text = yield from kind.log(run)
        lines = text.splitlines()
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
        reason = (yield from kind.reason(run)) or run.reason
        run = replace(run, reason=storable(reason, REASON_LENGTH) if reason else _last_words(lines))
        return Outcome(run, link)
    warnings = kind.warnings(run, lines)
    return Outcome(run, link, storable(warnings, REASON_LENGTH) if warnings else None)


def _last_words(lines: list[str]) -> str | None:
    """The last line of a log that tells something."""
    last = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"Qlik Cloud gives no reason; the last line of its log: {printable(last, REASON_LENGTH)}" if last else None
