"""How an operator starts its run once, or takes up the one that the try before has started."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.deferral import deadline_in
from airflow_provider_qlik.lifecycle.ending import CancelsItsRun
from airflow_provider_qlik.lifecycle.resources import ResourceArguments
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.validation import checked_text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore, StoredRun
    from airflow_provider_qlik.runs import MatchTimeouts, Run

LAST_TRY = 60.0
"""Seconds that a cleared task waits, where Airflow has no task state store, for the run of its last try to end."""
TEXTS = ("download_to", "file_name")
"""Rendered arguments of some operators that are texts, besides those that say what is run."""


class StartsItsRun(CancelsItsRun, ResourceArguments):
    """Starts the run of an operator, or takes it up. What it is told is that of `QlikRunOperator`."""

    durable: bool
    retries: int | None
    match_timeout: float
    unknown_outcome_timeout: float
    settle: float

    def parameters(self) -> Mapping[str, Any]:
        """What the start is told beyond the id. Raises InvalidArgumentError that names the argument."""
        return {}

    def prepare(self, hook: QlikCloudHook) -> None:
        """Makes sure, before anything is started, that what comes after the run can be done."""

    def _take_up(self, hook: QlikCloudHook, checkpoint: CheckpointStore, left: StoredRun | None) -> Run | None:
        """The run of the try before, if that had started one and did not see it to its end."""
        from airflow_provider_qlik.cloud.errors import ForbiddenError
        from airflow_provider_qlik.runs import ADAPTERS, RunSelector, find_run

        if left is None:
            return None
        kind, run, intent = ADAPTERS[left.intent.kind], left.run, left.intent
        if left.cancelled and not left.cleared:
            if run is not None:
                self._outlast(hook, run)
            return None
        if run is None and left.cleared:
            try:
                recent = hook.run_flow(kind.recent(intent.resource_id, intent.earliest))
            except ForbiddenError as error:
                # To clear the task is what its error told the user to do, who has looked by now.
                write(self.log, logging.WARNING, f"{error} The task was cleared. Its last run may still be going on")
                recent = []
            run = next((each for each in recent if each.shows_marker(intent.marker)), None)
        elif run is None:
            # The try before was broken off between asking for the start and knowing what came of it.
            run = hook.run_flow(find_run(kind, intent, self._search(), log_callback(self.log), answered=False))
        if run is None:
            return None
        seen = hook.run_flow(kind.poll(RunSelector.of(run)))
        if seen is not None:
            seen = replace(seen, adopted=run.adopted, unconfirmed_since=run.unconfirmed_since, marker=run.marker)
        if left.cleared:
            if seen is not None and not seen.ended and self.cancel_on_kill:
                write(
                    self.log,
                    logging.INFO,
                    f"The task was cleared or changed. Its last run goes on: {seen}",
                )
                self._cancel(hook, seen)
                self._outlast(hook, seen)
            checkpoint.forget()
            return None
        write(self.log, logging.INFO, f"Taking up the run of the try before: {seen or run}")
        checkpoint.keep(intent, run)
        return seen or run

    def _start(self, hook: QlikCloudHook, context: Context, checkpoint: CheckpointStore, left: StoredRun | None) -> Run:
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.runs import ADAPTERS, AmbiguousRunError, RunNotFoundError

        self._read_texts()
        kind, mark, parameters = ADAPTERS[self.kind], start_marker(context), self.parameters()
        resource_id = self.resolve_resource(hook)
        self.prepare(hook)
        if self.cancel_on_kill and not checkpoint.lasts and was_cleared(context, self.retries):
            self._outlast_last_try(hook, resource_id)
        intent = hook.run_flow(kind.intend(resource_id, mark, parameters))
        stopping = left is not None and left.cancelled
        if self.durable and intent.resumable is not None and not stopping:
            write(self.log, logging.INFO, f"Taking up the run that carries the marker of this task: {intent.resumable}")
            return intent.resumable
        checkpoint.keep(intent)
        self._intent = intent
        write(self.log, logging.INFO, f"Starting {kind.name} {resource_id}, marked {mark}")
        try:
            run = hook.run_flow(kind.start(intent, self._search(), log_callback(self.log), parameters=parameters))
        except QlikCloudError as error:
            if not isinstance(error, (RunNotFoundError, AmbiguousRunError)) and not error.outcome_unknown:
                # Surely nothing was started: a retry must not look for it, and find somebody else's.
                checkpoint.forget()
                self._intent = None
            raise
        # Known from here on: whatever happens next, it is not left behind.
        self._run = run
        checkpoint.keep(intent, run)
        return run

    def _outlast_last_try(self, hook: QlikCloudHook, resource_id: str) -> None:
        """Wait until no run goes on where another could not begin beside it, for as long as `LAST_TRY`.

        After a clear of a deferred task, its old trigger cancels the old run: perhaps only when this try has begun.
        Without a store of Airflow's to find that run in, nothing tells it from a stranger's, so the wait is short.
        """
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
        from airflow_provider_qlik.runs import ADAPTERS, RunSelector, RunWait

        kind = ADAPTERS[self.kind]
        if not (kind.one_at_a_time or kind.cancelled_together):
            return
        try:
            for run in hook.run_flow(kind.recent(resource_id, None)):
                if not run.ended:
                    write(self.log, logging.INFO, f"The task was cleared: waiting until the last run has ended: {run}")
                    watch = RunWait(kind, RunSelector.of(run), log_callback(self.log), deadline=deadline_in(LAST_TRY))
                    hook.run_flow(watch.until_end(1.0), ONE_TRY)
        except QlikCloudError as error:
            write(self.log, logging.WARNING, f"{error}. Starting nevertheless")

    def _read_texts(self) -> None:
        for name in TEXTS:
            given = getattr(self, name, None)
            # A path of `pathlib` or of Airflow's object storage is as good as a text.
            if isinstance(given, int | float):
                setattr(self, name, checked_text(name, given, "a text, or a whole number that stands for its digits"))

    def _search(self) -> MatchTimeouts:
        from airflow_provider_qlik.runs import MatchTimeouts

        return MatchTimeouts(
            match_timeout=self.match_timeout,
            unknown_outcome_timeout=self.unknown_outcome_timeout,
            confirmation_time=self.settle,
            doubtful_confirmation_time=3 * self.settle,
        )


def was_cleared(context: Context, retries: int | None) -> bool:
    """Return True if a user has cleared the task before this try: only that raises the number of tries it may have."""
    return int(getattr(context["ti"], "max_tries", None) or 0) > (retries or 0)


def start_marker(context: Context) -> str:
    """What a start of this task is marked with: the same for its retries, another after a clear."""
    from airflow_provider_qlik.runs import marker

    task_instance = context["ti"]
    names = ("dag_id", "run_id", "task_id", "map_index", "max_tries")
    return marker(*(str(getattr(task_instance, name, "")) for name in names))
