"""How an operator ends what it has started."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from airflow_provider_qlik.lifecycle.deferral import deadline_in
from airflow_provider_qlik.lifecycle.task_log import log_callback, write

if TYPE_CHECKING:
    from airflow_provider_qlik.cloud import Client
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore, StoredRun
    from airflow_provider_qlik.runs import Intent, Run

    RunsFlows: TypeAlias = Client | QlikCloudHook

MAX_CANCEL = 120.0


class CancelsItsRun:
    """Cancels the run of an operator, known or still looked for.

    `_run` and `_intent` are what it has started, `_left` what the try before has left and nobody has looked at yet,
    `_hook` and `_memory` what it uses for that while `execute` runs.
    """

    kind: ClassVar[str]
    log: Any
    cancel_on_kill: bool
    _run: Run | None = None
    _intent: Intent | None = None
    _left: StoredRun | None = None
    _hook: QlikCloudHook | None = None
    _memory: CheckpointStore | None = None

    def on_kill(self) -> None:
        """Cancels the run, if `cancel_on_kill`. Asks and does not wait: a worker that is killed has seconds left."""
        left = self._left
        if left is not None and not left.cancelled and self._run is None and self._intent is None:
            # Killed while that is taken up: it would be left by this try, too.
            self._run, self._intent = left.run, left.intent
        started = self._run is not None or self._intent is not None
        if not self.cancel_on_kill or not started or self._hook is None:
            return
        client = self._hook.beside()
        if client is None:
            return
        with client:
            run = self._run or self._started_but_not_found(client)
            if run is not None and self._cancel(client, run) and self._memory is not None:
                # Its way to Airflow may be blocked by what the signal has interrupted.
                aside(self._memory.cancelled)

    def _started_but_not_found(self, client: RunsFlows) -> Run | None:
        """The run that was asked for, if it can be told by its marker already."""
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
        from airflow_provider_qlik.runs import ADAPTERS

        if self._intent is None:
            return None
        intent = self._intent
        try:
            recent = client.run_flow(ADAPTERS[self.kind].recent(intent.resource_id, intent.earliest), ONE_TRY)
        except QlikCloudError as error:
            write(self.log, logging.WARNING, error)
            recent = []
        run = next(
            (
                each
                for each in recent
                if each.id not in (intent.known_run_ids or ()) and each.shows_marker(intent.marker)
            ),
            None,
        )
        if run is None:
            what = f"a run of {self.kind} {intent.resource_id} that was started may go on"
            write(self.log, logging.ERROR, f"Killed while its run was looked for: {what}")
        return run

    def _cancel(self, client: RunsFlows, run: Run) -> bool:
        """Whether the run was asked to stop."""
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
        from airflow_provider_qlik.runs import ADAPTERS
        from airflow_provider_qlik.runs.cancelling import cancel

        if run.adopted:
            write(self.log, logging.INFO, f"{run} was started by somebody else: it is left alone")
            return False
        try:
            asked = client.run_flow(cancel(ADAPTERS[run.kind], run), RetryPolicy(max_attempts=2, max_total_wait=4.0))
        except QlikCloudError as error:
            write(self.log, logging.ERROR, f"{run} could not be cancelled and may still be going on: {error}")
            return False
        write(self.log, logging.INFO, f"Asked Qlik Cloud to stop {asked}")
        return True

    def _outlast(self, client: RunsFlows, run: Run) -> None:
        """Waits until a cancelled run is gone, where another could not begin beside it; not for ever."""
        from airflow_provider_qlik.cloud import QlikCloudError
        from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
        from airflow_provider_qlik.runs import ADAPTERS, RunSelector, RunWait

        kind = ADAPTERS[run.kind]
        if run.adopted or not (kind.one_at_a_time or kind.cancelled_together):
            return
        watch = RunWait(kind, RunSelector.of(run), log_callback(self.log), deadline=deadline_in(MAX_CANCEL))
        try:
            client.run_flow(watch.until_end(1.0), ONE_TRY)
        except QlikCloudError as error:
            write(self.log, logging.WARNING, error)


def aside(work: Callable[[], object], seconds: float = 1.0) -> None:
    """Does something in a thread of its own and waits for it no longer than so many seconds."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
