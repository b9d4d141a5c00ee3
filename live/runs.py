"""One real run, by the flows that operators use: start it, wait for it, read its log, and leave nothing running."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.api import reloads, tasks
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.runs import (
    Intent,
    MatchTimeouts,
    Run,
    RunSelector,
    RunWait,
    StartableRunAdapter,
    find_run,
    marker,
    outcome,
)
from airflow_provider_qlik.runs.cancelling import cancel
from airflow_provider_qlik.runs.errors import AmbiguousRunError, RunNotFoundError, WaitTimeoutError
from airflow_provider_qlik.runs.starting import intend, start
from airflow_provider_qlik.runs.waiting import utc_now
from airflow_provider_qlik.tasks_api import SCHEDULING_TASKS
from live.recording import RecordingClient
from live.survey import Survey, at, failure

POLL_INTERVAL = 2.0
"""Seconds between two polls of a run, at first; the interval grows with its age."""
MAX_INTERVAL = 15.0
"""Seconds between two polls of a run, at most."""
CANCEL_TIMEOUT = 120.0
"""Seconds to wait until a cancelled run has ended."""
SEARCH = MatchTimeouts()
"""How long a started run is looked for: as operators do by default."""
LOG_LINE = "| "
"""The beginning of lines of Qlik's log in the output of `outcome`; they are counted and not shown."""


@dataclass(slots=True)
class RealRun:
    """The result of one run. `problem`: why it has not succeeded. `may_be_active`: it may not have ended."""

    kind: str
    marker: str
    began: float = 0.0
    run: Run | None = None
    log_lines: int = 0
    problem: str | None = None
    may_be_active: bool = False


@dataclass(slots=True)
class Runner:
    """Make real runs. *timeout*: seconds that each may take. *write_log* takes lines about its progress."""

    client: RecordingClient
    survey: Survey
    timeout: float
    write_log: Callable[[str], object]

    def perform(self, kind: StartableRunAdapter[Any], resource_id: str, done: list[RealRun]) -> None:
        """Make one run, and add its result to *done*, also after a KeyboardInterrupt.

        A run that has not ended in time is cancelled.
        """
        mark = marker("live", uuid.uuid4().hex)
        real = RealRun(kind.name, mark)
        done.append(real)
        intent: Intent | None = None
        sent = interrupted = False
        try:
            self.write_log(f"{kind.name}: starting a run")
            intent = self.client.run_flow(intend(kind, resource_id, mark))
            real.began, sent = time.monotonic(), True
            search = replace(SEARCH, match_timeout=min(self.timeout, SEARCH.match_timeout))
            real.run = self.client.run_flow(start(kind, intent, search, self._line(real)))
            real.run = self._wait(kind, real.run, self.timeout, real)
            ended = self.client.run_flow(outcome(kind, real.run, self.client.tenant.url, self._line(real)))
            real.run = ended.run
            self._read_again(real)
        except WaitTimeoutError:
            real.problem = f"had not ended after {self.timeout:g} s"
        except (QlikCloudError, InvalidArgumentError) as error:
            real.problem = _problem(error)
            # A run that cannot be identified must not be cancelled: it may be somebody else's.
            real.may_be_active = isinstance(error, (RunNotFoundError, AmbiguousRunError))
        except KeyboardInterrupt:
            real.problem, interrupted = "was interrupted", True
            raise
        finally:
            if sent and intent is not None and not real.may_be_active and not (real.run and real.run.ended):
                self._cancel(kind, intent, real, interrupted)
            if real.problem:
                self.write_log(f"{kind.name}: {real.problem}")

    def _wait(self, kind: StartableRunAdapter[Any], run: Run, seconds: float, real: RealRun) -> Run:
        deadline = utc_now() + timedelta(seconds=seconds)
        wait = RunWait(kind, RunSelector.of(run), self._line(real), deadline=deadline)
        try:
            return self.client.run_flow(wait.until_end(POLL_INTERVAL, MAX_INTERVAL), ONE_ATTEMPT, deadline=deadline)
        finally:
            real.run = wait.run or run

    def _cancel(self, kind: StartableRunAdapter[Any], intent: Intent, real: RealRun, interrupted: bool) -> None:
        """Cancel the run if there is one, and wait until it has ended."""
        if real.run is None and not interrupted:
            return  # Qlik Cloud has refused the start
        real.may_be_active = True
        try:
            if real.run is None:
                self.write_log(f"{kind.name}: looking for the run that may have been started")
                real.run = self.client.run_flow(find_run(kind, intent, SEARCH, self._line(real), accepted=False))
            if real.run is None:
                # Without the right to list runs it is unknown if there is one; with it, there was none for long enough.
                real.may_be_active = intent.known_run_ids is None
                real.problem = f"{real.problem}, and no run of it showed up"
                return
            self.write_log(f"{kind.name}: cancelling the run")
            self.client.run_flow(cancel(kind, real.run))
            real.run = self._wait(kind, real.run, CANCEL_TIMEOUT, real)
            real.may_be_active = False
            real.problem = f"{real.problem}, and was cancelled"
        except (QlikCloudError, InvalidArgumentError) as error:
            real.problem = f"{real.problem}, and could not be cancelled ({_problem(error)})"

    def _read_again(self, real: RealRun) -> None:
        """Send the calls again whose responses answer open questions, directly after the end of the run."""
        run = real.run
        if run is None:
            return
        if real.kind == "task" and self._has_scheduling():
            self.survey.poll(at(tasks.get(run.resource_id), SCHEDULING_TASKS))
            marked = tasks.list(filter=f'lastTriggeredBy eq "{real.marker}"', limit=20)
            self.survey.poll(at(marked, SCHEDULING_TASKS))
        elif real.kind == "reload":
            self.survey.poll(reloads.get(run.id))

    def _has_scheduling(self) -> bool:
        return any(exchange.succeeded for exchange in self.client.recording.of("list_scheduling_tasks"))

    def _line(self, real: RealRun) -> Callable[[int, str], None]:
        """Return a log callback that only counts the lines of the run's log: they may hold texts of the tenant."""

        def line(_level: int, text: str) -> None:
            real.log_lines += text.startswith(LOG_LINE)

        return line


def _problem(error: Exception) -> str:
    sentences = {
        "CannotStartError": "Qlik Cloud refused to start it",
        "ReloadPendingError": "a reload of the app is pending already, nothing was started",
        "RunNotFoundError": "it may have been started, but no run of it showed up: check its runs in Qlik Cloud",
        "AmbiguousRunError": "several runs may be the one that was started; none was cancelled: check them in Qlik",
        "RunGoneError": "Qlik Cloud does not show the run any more",
        "RunNotVisibleError": "Qlik Cloud refuses to show the run",
        "WaitTimeoutError": "it has not ended in time",
    }
    return sentences.get(type(error).__name__) or failure(error)
