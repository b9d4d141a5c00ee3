"""Reloads of apps. The response to a start is the reload. Qlik Cloud takes one reload of an app at a time."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import apps, catalog, reloads
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    QlikCloudError,
    StatusError,
    TooManyRequestsError,
)
from airflow_provider_qlik.cloud.flow import Flow, pause, send
from airflow_provider_qlik.cloud.models.reloads import Reload, ReloadList
from airflow_provider_qlik.cloud.transport.download import LOG, Download
from airflow_provider_qlik.runs.adapter import LogCallback, Resource, StartableRunAdapter
from airflow_provider_qlik.runs.cancelling import cancelled, not_cancelled, send_cancel
from airflow_provider_qlik.runs.capabilities import (
    CancelsRuns,
    HasLog,
    HasLogFile,
    LatestRun,
    ListsLatestRuns,
    ReportsWarnings,
)
from airflow_provider_qlik.runs.errors import ReloadPendingError, before_start
from airflow_provider_qlik.runs.intent import MARKER, Intent
from airflow_provider_qlik.runs.run import Run, StatusMap

MAX_PENDING_ATTEMPTS = 5
"""Attempts that are refused because of a pending reload that the list does not show."""
MAX_STOPPING_ATTEMPTS = 60
"""Attempts that are refused while the pending reload is being cancelled: two minutes, at `PENDING_PAUSE` each."""
PENDING_PAUSE = 2.0
"""Seconds between two of those attempts."""
MARKER_RESOURCE_TYPE = "api"
"""The resource type of a reload whose resource id is our marker: Qlik's word for the callers of its API."""
WARNING = re.compile(r"^\W*(?:[\d:.TZ -]*\W)?warning\b|\bwith warnings?\b|\b[1-9]\d* forced error", re.IGNORECASE)
"""A log line with a warning: [assumed], no document says how Qlik writes them.

A script continues after errors if its ErrorMode says so; the log counts them as forced errors.
"""
MAX_WARNINGS = 5
"""Warnings that are reported, at most."""
OTHER_ORIGINS = frozenset({"hub", "chronos", "choreographer", "automations", "data-refresh"})
"""The types of reloads that the hub, a schedule, a task or an automation has started, not the API (`external`)."""


class ReloadAdapter(StartableRunAdapter[Reload], CancelsRuns, HasLog, HasLogFile, ReportsWarnings, ListsLatestRuns):
    """The adapter for reloads of apps."""

    name: ClassVar[str] = "reload"
    polled_by_list: ClassVar[bool] = True
    one_at_a_time: ClassVar[bool] = True
    log_file_type: ClassVar[str] = LOG
    other_origins: ClassVar[frozenset[str]] = OTHER_ORIGINS
    lists_every_resource: ClassVar[bool] = False
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"queued", "reloading"}),
        succeeded=frozenset({"succeeded"}),
        failed=frozenset({"failed", "exceeded_limit"}),
        cancelled=frozenset({"canceled", "cancelled"}),
        stopping=frozenset({"canceling", "cancelling"}),
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the app, with its id only: no request is made for it."""
        yield from ()
        return Resource(resource_id)

    def described(self, run: Run) -> Flow[Run]:
        """Return the reload with the name and the space of its app from the catalog."""
        if run.name:
            return run
        try:
            page = yield from send(catalog.items(resource_type="app", resource_id=run.resource_id))
        except (QlikCloudError, InvalidArgumentError):
            return run
        app = next((item for item in page.items if item.resource_id == run.resource_id), None)
        return run if app is None else replace(run, name=app.name, space_id=app.space_id or None)

    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return the warnings of a reload that succeeded: its error, if it has one, and the log lines with warnings."""
        found = [run.reason] if run.reason else []
        found += [line.strip() for line in log if WARNING.search(line)]
        return "; ".join(dict.fromkeys(found[:MAX_WARNINGS])) or None

    def newest(self, resource_id: str, limit: int) -> Call[ReloadList]:
        """Return the call that lists the reloads of an app."""
        return reloads.list(resource_id, sort="-creationTime", limit=limit)

    def run_of(self, resource_id: str, item: Reload) -> Run:
        """Return the run in a list item or in the response about a single reload."""
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.id,
            state=self.status_map.state(item.status, item.end_time is not None),
            status=item.status,
            status_known=self.status_map.knows(item.status),
            created_at=item.creation_time,
            started_at=item.start_time,
            ended_at=item.end_time,
            reason=reason_of(item),
            triggered_by=item.resource_id if MARKER.search(item.resource_id or "") else item.user_id,
            origin=item.type,
            log=item.log,
        )

    def latest_runs(self, space_id: str | None) -> Call[ReloadList]:
        """Return the call that lists the reloads of all apps, which is for tenant administrators."""
        return reloads.list(sort="-creationTime", limit=100)

    def latest_run(self, item: Reload) -> LatestRun | None:
        """Return the app of a reload, with that reload as its last run."""
        return LatestRun.of(item.app_id, self.run_of(item.app_id, item)) if item.app_id else None

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True, since the response is the reload."""
        return True

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """Start a reload and return it, or the pending one if `if_pending` is "wait".

        If the pending reload is being cancelled, the start is sent again until it has ended. Raises ReloadPendingError
        if another reload is pending and is not to be waited for.
        """
        options = {name: parameters.get(name) for name in ("partial", "weight", "variables")}
        marker: dict[str, Any] = {"resource_type": MARKER_RESOURCE_TYPE, "resource_id": intent.marker}
        wait_for_pending = parameters.get("if_pending") == "wait"
        attempts, stopping = 0, 0
        while attempts < MAX_PENDING_ATTEMPTS and stopping < MAX_STOPPING_ATTEMPTS:
            try:
                reload = yield from send(reloads.start(intent.resource_id, **options, **marker))
            except BadRequestError as error:
                if not marker:
                    raise
                # No document says which resource ids are valid. A 400 started nothing: it is sent again without one.
                write_log(logging.INFO, f"{error}. Starting the reload without a marker.")
                marker = {}
                continue
            except TooManyRequestsError as error:
                if error.rate_limited:
                    raise
                refused = error
            else:
                return self.run_of(intent.resource_id, reload)
            try:
                pending = yield from before_start(self._pending(intent.resource_id))
            except StatusError:
                # A user may be allowed to start a reload and not to list reloads.
                if wait_for_pending:
                    raise
                break
            if pending is not None and self.stopping(pending):
                # As after a clear: a cancel takes a while.
                if not stopping:
                    write_log(
                        logging.INFO, f"A reload of this app is being cancelled; the start waits for its end: {pending}"
                    )
                stopping += 1
            elif pending is not None and not wait_for_pending:
                break
            elif pending is not None:
                write_log(
                    logging.INFO, f"A reload of this app was pending already; the task waits for that one: {pending}"
                )
                return replace(pending, adopted=True)
            else:
                # It has ended since, or the list does not show it yet.
                attempts += 1
            yield from pause(PENDING_PAUSE)
        raise ReloadPendingError(
            "A reload of the app is pending already, and Qlik Cloud takes one at a time. No other was started (app"
            f" {intent.resource_id}). {refused}"
        ) from refused

    def _pending(self, app_id: str) -> Flow[Run | None]:
        """Return the active reload of an app, None if the list shows none."""
        page = yield from send(self.newest(app_id, 20))
        runs = [self.run_of(app_id, item) for item in page.items]
        return next((run for run in runs if not run.ended), None)

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """Return one reload. Raises NotFoundError."""
        reload = yield from send(reloads.get(run_id))
        return self.run_of(resource_id, reload)

    def cancel(self, run: Run) -> Flow[str]:
        """Cancel the reload."""
        return (yield from self.stop(run.id))

    def stop(self, reload_id: str) -> Flow[str]:
        """Cancel a reload, whether it was started as such or by a task."""
        try:
            yield from send_cancel(reloads.cancel(reload_id))
        except (ConflictError, NotFoundError):
            return not_cancelled(f"reload {reload_id}")
        return cancelled(f"reload {reload_id}")

    def log(self, run: Run) -> Flow[str]:
        """Return the log of the reload's script, or the short log of the reload where that one cannot be read.

        The former needs the right to reload the app, the latter only the right to see it. Lists contain neither.
        """
        try:
            return (yield from send(apps.reload_log(run.resource_id, run.id)))
        except QlikCloudError as error:
            short = run.log or (yield from self._short_log(run.id))
            if not short:
                raise error from None
            return short

    def log_file(self, run: Run) -> Call[Download]:
        """Return the call that downloads the log of the reload's script."""
        return apps.reload_log(run.resource_id, run.id).read_as(Download)

    def _short_log(self, reload_id: str) -> Flow[str | None]:
        try:
            return (yield from send(reloads.get(reload_id))).log
        except QlikCloudError:
            return None

    def page(self, run: Run) -> str:
        """Return the path of the app's page."""
        return f"/sense/app/{run.resource_id}"


def reason_of(reload: Reload) -> str | None:
    """Return the error of a reload, with Qlik's code for it."""
    return ": ".join(part for part in (reload.error_code, reload.error_message) if part) or None
