"""The trigger that starts Dags when runs of Qlik Cloud end: the watcher of an asset."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import TriggerEvent

from airflow_provider_qlik.compat import EventTrigger, watches_assets
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.imports import load_modules
from airflow_provider_qlik.lifecycle.resources import literal
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json
from airflow_provider_qlik.triggers.airflow_requests import connect, reason, repeat_while_unavailable
from airflow_provider_qlik.triggers.task_log import TaskLogWriter
from airflow_provider_qlik.triggers.watermark_store import WatermarkStore, store_key
from airflow_provider_qlik.validation import (
    InvalidArgumentError,
    checked_flag,
    checked_id,
    checked_moment,
    checked_name,
    checked_seconds,
    checked_word,
)

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Run
    from airflow_provider_qlik.runs.events import RunWatch

KINDS = ("task", "automation", "reload", "sharing_task")
OUTCOMES = ("succeeded", "failed", "cancelled")
WATCHED = ("kind", "resource_id", "space_id", "outcomes", "since", "include_own_runs", "qlik_conn_id")
"""The arguments that say what is watched."""
ERROR_PAUSE = 60.0
"""Seconds before a watch goes on after an error that has nothing to do with Qlik Cloud's responses."""


class QlikRunEventTrigger(EventTrigger):
    """Fire for each run of Qlik Cloud that ends. It is the watcher of an asset, and starts the Dags scheduled on that.

    ::

        sales = Asset("qlik_sales", watchers=[AssetWatcher(name="sales", trigger=QlikRunEventTrigger(
            kind="reload", resource_id="<app id>"))])

        with DAG("after_sales", schedule=[sales]): ...

    Needs Airflow 3.0 or later. All watchers of a connection and kind share their requests: one list for each poll, and
    one more for each resource of which a run has ended.

    An event is about all runs whose ends one poll shows. Its payload has the member `runs`, a list with `kind`,
    `resource_id`, `run_id`, `name`, `space_id`, `state` (one of the outcomes), `status` (Qlik's word), `started_at`,
    `ended_at` (ISO 8601), `link`, and `reason` (of a failure, if Qlik's list shows it) of each, and the same members of
    the run that ended last. Each end is reported at least once: if it comes again, `run_id` says so. Events that come
    together start one Dag run, so a Dag reads all of ``triggering_asset_events``.

    How far the watch has got is stored with the asset (Airflow 3.3 and later), so that no event is lost while no
    triggerer runs. Before 3.3 it is kept in memory: what ends meanwhile is not reported, or with `since` all of it is
    reported again.

    :param kind: ``task``, ``automation``, ``reload`` (of an app) or ``sharing_task``.
    :param resource_id: the id of the task, automation, app or sharing task.
    :param space_id: watch all resources of this space. With neither, all that the user of the connection sees are
        watched. Where Qlik Cloud does not list these (Tasks v1; reloads, for other users than tenant administrators),
        a resource_id is needed.
    :param outcomes: the outcomes that fire, one or several of ``succeeded``, ``failed`` and ``cancelled``.
    :param since: fire also for what ended before the first poll, from this moment on.
    :param include_own_runs: fire also for runs that a task of this package has started. Qlik Cloud shows that for tasks
        and reloads only.
    :param poll_interval: seconds between two polls.
    :param qlik_conn_id: the Airflow connection.

    No argument may be a template: Airflow renders none here.
    """

    def __init__(
        self,
        *,
        kind: str,
        resource_id: str | None = None,
        space_id: str | None = None,
        outcomes: str | Sequence[str] = ("succeeded",),
        since: str | datetime | None = None,
        include_own_runs: bool = False,
        poll_interval: float = 60.0,
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
    ) -> None:
        if not watches_assets():
            raise AirflowException(
                "QlikRunEventTrigger needs Airflow 3.0 or later, which starts Dags by events: upgrade Airflow, or wait"
                " for the run with a sensor such as QlikTaskRunSensor"
            )
        super().__init__()  # type: ignore[no-untyped-call]
        for name, value in (("resource_id", resource_id), ("space_id", space_id), ("qlik_conn_id", qlik_conn_id)):
            if isinstance(value, str) and not literal(value):
                raise InvalidArgumentError(
                    name, value, "must not be a template, since Airflow renders none in the trigger of a watcher"
                )
        self.kind = checked_word("kind", kind, KINDS)
        self.resource_id = None if resource_id is None else checked_id("resource_id", resource_id)
        self.space_id = None if space_id is None else checked_id("space_id", space_id)
        if self.resource_id is not None and self.space_id is not None:
            raise InvalidArgumentError("space_id", space_id, "must not be given beside resource_id: give one of them")
        self.outcomes = _checked_outcomes(outcomes)
        self.since = None if since is None else checked_moment("since", since).isoformat()
        self.include_own_runs = checked_flag("include_own_runs", include_own_runs)
        self.poll_interval = checked_seconds("poll_interval", poll_interval, least=0.1)
        self.qlik_conn_id = checked_name("qlik_conn_id", qlik_conn_id)
        self.log_writer = TaskLogWriter(self.log)
        self._watermarks: WatermarkStore | None = None
        self._watch: RunWatch | None = None
        self._last_error: str | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class and the arguments to make it again, fit to be stored."""
        arguments = {name: getattr(self, name) for name in (*WATCHED, "poll_interval")}
        return f"{type(self).__module__}.{type(self).__qualname__}", storable_json(arguments, MESSAGE_LENGTH)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each poll that shows ended runs, without end."""
        await load_modules("airflow_provider_qlik.hooks.qlik_cloud", "airflow_provider_qlik.runs.events")
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        watched = {name: getattr(self, name) for name in WATCHED}
        self._watermarks = WatermarkStore(getattr(self, "asset_state_store", None), store_key(watched), self.log_writer)
        self.log_writer.write(logging.INFO, f"Watching for ends of runs of Qlik Cloud: {watched}")
        try:
            async with QlikCloudHook(self.qlik_conn_id) as hook:
                while True:
                    if facts := await self._round(hook, self._watermarks):
                        # One event for all of them. The scheduler starts a Dag run with the first event that it sees,
                        # and hands over what follows within its loop only when another event comes.
                        payload = {**facts[-1], "runs": facts}
                        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]
        finally:
            await self.log_writer.flush()

    async def _round(self, hook: QlikCloudHook, watermarks: WatermarkStore) -> list[dict[str, Any]]:
        """Return the facts of the runs whose ends one poll shows. An error is logged, and followed by a pause."""
        try:
            await repeat_while_unavailable(partial(connect, hook), self.log_writer)
            url = (await hook.get_async_conn()).tenant.url
            runs = await self._poll(hook, watermarks)
        except Exception as error:  # raised from here it would restart the watcher every two seconds
            text = reason(error)
            if text != self._last_error:
                self.log_writer.write(
                    logging.ERROR,
                    f"Ends of runs cannot be watched: {text}. The watch tries again every {ERROR_PAUSE:g} s (connection"
                    f" {self.qlik_conn_id!r})",
                )
            self._last_error = text
            # The connection may have been corrected by then.
            await hook.aclose()
            await asyncio.sleep(ERROR_PAUSE)
            return []
        self._last_error = None
        return [self._facts(run, url) for run in runs]

    async def _poll(self, hook: QlikCloudHook, watermarks: WatermarkStore) -> list[Run]:
        from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT

        if self._watch is None:
            watermark = await repeat_while_unavailable(watermarks.read, self.log_writer)
            self._watch = self._run_watch(watermark)
        watch = self._watch
        # One attempt for each request: the next poll repeats those that fail for a transient reason.
        runs = await hook.arun_flow(watch.poll(self.poll_interval), ONE_ATTEMPT)
        await watermarks.write_due()
        watermarks.keep(watch.watermark, fired=bool(runs))
        if not runs:
            await watermarks.write_due()
        if watch.failing:
            # Opened anew, the connection is read again: it may have been corrected.
            await hook.aclose()
        return runs

    def _run_watch(self, watermark: Any) -> RunWatch:
        from airflow_provider_qlik.runs import STARTABLE_ADAPTERS, RunState
        from airflow_provider_qlik.runs.events import RunWatch

        return RunWatch(
            STARTABLE_ADAPTERS[self.kind],
            self.log_writer.write,
            resource_id=self.resource_id,
            space_id=self.space_id,
            states=[RunState(outcome) for outcome in self.outcomes],
            include_own_runs=self.include_own_runs,
            since=None if self.since is None else checked_moment("since", self.since),
            watermark=watermark,
        )

    def _facts(self, run: Run, tenant_url: str) -> dict[str, Any]:
        """Return the facts of a run for the payload of an event: plain JSON that every database can store."""
        from airflow_provider_qlik.runs import STARTABLE_ADAPTERS

        stored = run.to_json()
        members = (
            *("kind", "resource_id", "run_id", "name", "space_id", "state", "status"),
            *("started_at", "ended_at", "reason"),
        )
        facts = {name: stored[name] for name in members}
        facts["link"] = tenant_url + STARTABLE_ADAPTERS[run.kind].page(run)
        self.log_writer.write(logging.INFO, f"The end of a run is reported: {run}")
        storable_facts: dict[str, Any] = storable_json(facts, MESSAGE_LENGTH)
        return storable_facts


def _checked_outcomes(outcomes: object) -> list[str]:
    """Return the outcomes, each once and in the order of `OUTCOMES`: equal watchers have equal arguments."""
    words = [outcomes] if isinstance(outcomes, str) else outcomes
    if not isinstance(words, Sequence) or not words:
        raise InvalidArgumentError(
            "outcomes", "None" if outcomes is None else outcomes, f"must be one or several of {', '.join(OUTCOMES)}"
        )
    checked = {checked_word("outcomes", word, OUTCOMES) for word in words}
    return [outcome for outcome in OUTCOMES if outcome in checked]
