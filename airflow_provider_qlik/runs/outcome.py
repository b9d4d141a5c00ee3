"""How a run ended and why, as a user should read it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_qlik.cloud.call import Flow
from airflow_provider_qlik.cloud.errors import InvalidArgument, QlikCloudError
from airflow_provider_qlik.runs.find import Say
from airflow_provider_qlik.runs.kind import RunKind
from airflow_provider_qlik.runs.run import Run, State

LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """An ended run with Qlik's own reason, and the link to its page."""

    run: Run
    link: str

    @property
    def succeeded(self) -> bool:
        """Whether all is well."""
        return self.run.state is State.SUCCEEDED

    @property
    def message(self) -> str:
        """One sentence: what, how it ended, why."""
        run = self.run
        name = f" {run.name!r}" if run.name else ""
        why = f": {run.reason}" if run.reason else ("" if self.succeeded else ": Qlik Cloud gives no reason")
        return f"Qlik Cloud {run.kind}{name} {run.resource_id}, run {run.id}, ended as {run.status!r}{why}"

    def to_json(self) -> dict[str, Any]:
        """The outcome as plain JSON: what a task returns."""
        return {**self.run.to_json(), "link": self.link}


def outcome(kind: RunKind, run: Run, tenant_url: str, say: Say) -> Flow[Outcome]:
    """What came of an ended run. Its log is said line by line, the last 200 of them, and where the rest is.

    Nothing that goes wrong here changes how the run ended: a log that cannot be had is a warning.
    """
    link = tenant_url + kind.page(run)
    lines: list[str] = []
    try:
        text = yield from kind.log(run)
        lines = text.splitlines()
    except (QlikCloudError, InvalidArgument) as error:
        say(logging.WARNING, f"The log of {run.kind} run {run.id} could not be fetched: {error}")
    if lines:
        cut = len(lines) - LOG_LINES
        say(
            logging.INFO,
            f"Qlik's log of {run.kind} run {run.id}"
            + (f", the last {LOG_LINES} of {len(lines)} lines, all of it at {link}:" if cut > 0 else ":"),
        )
        for line in lines[-LOG_LINES:]:
            say(logging.INFO, f"| {line}")
    if run.state is not State.SUCCEEDED:
        reason = (yield from kind.reason(run)) or run.reason or _last_words(lines)
        run = replace(run, reason=reason)
    return Outcome(run, link)


def _last_words(lines: list[str]) -> str | None:
    """The last line of a log that tells something."""
    last = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"Qlik Cloud gives no reason; the last line of its log: {last}" if last else None
