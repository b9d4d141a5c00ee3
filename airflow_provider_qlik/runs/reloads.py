"""Reloads of apps: Qlik says which reload a start made, and takes only one at a time for each app."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import apps, catalog, reloads
from airflow_provider_qlik.cloud.call import Call, Flow, pause, send
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    QlikCloudError,
    StatusError,
    TooManyRequestsError,
)
from airflow_provider_qlik.cloud.models.reloads import Reload, ReloadList
from airflow_provider_qlik.runs.adapter import Resource, RunAdapter
from airflow_provider_qlik.runs.cancelling import insist
from airflow_provider_qlik.runs.errors import ReloadPendingError, before_start
from airflow_provider_qlik.runs.matching import MARKER, Intent, LogCallback
from airflow_provider_qlik.runs.run import Run, StatusMap

TRIES_FOR_A_PENDING_ONE = 5
"""Starts that are refused because of a reload that does not show."""
LOOKS_AT_A_STOPPING_ONE = 60
"""So often a start is tried again while the pending reload is being cancelled: for two minutes."""
PENDING_PAUSE = 2.0
"""Seconds between two of those starts."""
MARKED_AS = "api"
"""The resource type of a reload whose resource id is our marker: Qlik's word for the callers of its API."""
WARNING = re.compile(r"^\W*(?:[\d:.TZ -]*\W)?warning\b|\bwith warnings?\b|\b[1-9]\d* forced error", re.IGNORECASE)
"""What a line of a log looks like that tells of a warning: [assumed], no document says how Qlik writes them.

A script goes past errors where its ErrorMode says so; the log counts them as forced.
"""
MAX_WARNINGS = 5
"""So many of them are told."""
OTHER_ORIGINS = frozenset({"hub", "chronos", "choreographer", "automations", "data-refresh"})
"""What Qlik calls reloads that did not come from a caller of its API (`external`)."""


class ReloadAdapter(RunAdapter):
    """How reloads of apps are handled."""

    name: ClassVar[str] = "reload"
    enable_hint: ClassVar[str] = ""
    polled_by_list: ClassVar[bool] = True
    one_at_a_time: ClassVar[bool] = True
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"queued", "reloading"}),
        succeeded=frozenset({"succeeded"}),
        failed=frozenset({"failed", "exceeded_limit"}),
        cancelled=frozenset({"canceled", "cancelled"}),
        stopping=frozenset({"canceling", "cancelling"}),
    )

    def resource(self, resource_id: str) -> Flow[Resource]:
        """The app, of which no more is known than its id."""
        yield from ()
        return Resource(resource_id, None, None)

    def described(self, run: Run) -> Flow[Run]:
        """Return the reload with the name and space of its app, as the catalog has them."""
        if run.name:
            return run
        try:
            page = yield from send(catalog.items(resource_type="app", resource_id=run.resource_id))
        except (QlikCloudError, InvalidArgumentError):
            return run
        app = next((item for item in page.items if item.resource_id == run.resource_id), None)
        return run if app is None else replace(run, name=app.name, space_id=app.space_id or None)

    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return what a reload that succeeded complains of: an error that it names, or such lines of its log."""
        found = [run.reason] if run.reason else []
        found += [line.strip() for line in log if WARNING.search(line)]
        return "; ".join(dict.fromkeys(found[:MAX_WARNINGS])) or None

    def newest(self, resource_id: str, limit: int) -> Call[ReloadList]:
        """The call for the reloads of an app."""
        return reloads.list(resource_id, sort="-creationTime", limit=limit)

    def run_of(self, resource_id: str, item: Reload) -> Run:
        """The run in an item of the list, or alone."""
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.id,
            state=self.status_map.state(item.status, item.end_time is not None),
            status=item.status,
            known_word=self.status_map.knows(item.status),
            created_at=item.creation_time,
            started_at=item.start_time,
            ended_at=item.end_time,
            reason=reason_of(item),
            triggered_by=item.resource_id if MARKER.search(item.resource_id or "") else item.user_id,
            origin=item.type,
            log=item.log,
        )

    def can_be_api_run(self, run: Run) -> bool:
        """Return False for a reload that the hub, a schedule, a task or an automation has set off."""
        return (run.origin or "").casefold() not in OTHER_ORIGINS

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True: the response is the reload."""
        return True

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """The reload, from the answer; or the one that was pending already, if `if_pending` is "wait".

        A pending one that is being cancelled is waited for in any case. Raises ReloadPendingError when there is another and
        it is not to be waited for.
        """
        told = {name: parameters.get(name) for name in ("partial", "weight", "variables")}
        marked: dict[str, Any] = {"resource_type": MARKED_AS, "resource_id": intent.marker}
        waits = parameters.get("if_pending") == "wait"
        tries, stopping = 0, 0
        while tries < TRIES_FOR_A_PENDING_ONE and stopping < LOOKS_AT_A_STOPPING_ONE:
            try:
                reload = yield from send(reloads.start(intent.resource_id, **told, **marked))
            except BadRequestError as error:
                if not marked:
                    raise
                # Nobody says what a resource id may look like. A 400 started nothing; without one it is asked plainly.
                write_log(logging.INFO, f"{error} Starting without a marker.")
                marked = {}
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
                if waits:
                    raise
                break
            if pending is not None and self.stopping(pending):
                # As after a clear: it was asked to stop, and that takes a while.
                if not stopping:
                    write_log(logging.INFO, f"A reload of this app is being cancelled and is waited for: {pending}")
                stopping += 1
            elif pending is not None and not waits:
                break
            elif pending is not None:
                write_log(logging.INFO, f"A reload of this app was pending already and is waited for: {pending}")
                return replace(pending, adopted=True)
            else:
                # It has ended since, or does not show up yet.
                tries += 1
            yield from pause(PENDING_PAUSE)
        raise ReloadPendingError(
            f"a reload of app {intent.resource_id} is pending already, and Qlik takes one at a time: {refused}"
        ) from refused

    def _pending(self, app_id: str) -> Flow[Run | None]:
        page = yield from send(self.newest(app_id, 20))
        runs = [self.run_of(app_id, item) for item in page.items]
        return next((run for run in runs if not run.ended), None)

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """One reload. Raises NotFound."""
        reload = yield from send(reloads.get(run_id))
        return self.run_of(resource_id, reload)

    def cancel(self, run: Run) -> Flow[str]:
        """The reload is asked to stop."""
        return (yield from self.stop(run.id))

    def stop(self, reload_id: str) -> Flow[str]:
        """A reload is asked to stop, whether it was started as such or by a task."""
        try:
            yield from insist(reloads.cancel(reload_id))
        except (ConflictError, NotFoundError):
            return f"nothing: reload {reload_id} has ended already"
        return f"reload {reload_id}"

    def log(self, run: Run) -> Flow[str]:
        """Return the log of the reload's script; the short one of the reload itself where that cannot be had.

        The former takes the right to reload the app, the latter only to see it. Lists leave it out.
        """
        try:
            return (yield from send(apps.reload_log(run.resource_id, run.id)))
        except QlikCloudError as error:
            short = run.log or (yield from self._short_log(run.id))
            if not short:
                raise error from None
            return short

    def _short_log(self, reload_id: str) -> Flow[str | None]:
        try:
            return (yield from send(reloads.get(reload_id))).log
        except QlikCloudError:
            return None

    def reason(self, run: Run) -> Flow[str | None]:
        """What the reload itself says."""
        yield from ()
        return run.reason

    def page(self, run: Run) -> str:
        """The page of the app."""
        return f"/sense/app/{run.resource_id}"


def reason_of(reload: Reload) -> str | None:
    """What went wrong in a reload, with Qlik's code for it."""
    return ": ".join(part for part in (reload.error_code, reload.error_message) if part) or None
