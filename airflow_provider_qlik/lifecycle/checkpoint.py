"""What a task remembers of its run from try to try, where Airflow has a place for that (3.3 and later).

Airflow calls that place the task state store. It keeps JSON for a task instance over retries and reschedules, and on
3.3 also over a user's clear. A clear raises the task instance's `max_tries`, which a retry does not: so each entry
holds that number, and an entry with another number is known to be from before a clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qlik.text import MESSAGE_LENGTH, storable, storable_json
from airflow_provider_qlik.validation import checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.runs import Intent, Run

KEY = "qlik_run"
SEEN_KEY = "qlik_seen_run"
VERSION = 1
"""The version of what is stored. An entry without one was stored by a release that did not write any, and is read as
version 1. Raise it when older releases could not read an entry, or would misread it."""


class StoredRun(NamedTuple):
    """What the try before left behind: what it was about to start, and the run if it got to know it.

    `cleared` tells that a user has cleared the task since, or that it asks for something else now, since its Dag was
    changed: then it starts anew, and the old run is of no use any more.
    `cancelled` tells that the run was asked to stop, which may take a while: it is not to be taken up.
    """

    intent: Intent
    run: Run | None
    cleared: bool
    cancelled: bool


class CheckpointStore:
    """Keeps the intent before a start, and the run after it, until the run has failed or the task is cleared.

    *asked*: what the task asks for, so that a run of something else is not taken for one of it.

    The entry itself may survive a clear or not. With *durable* off, or on an older Airflow, nothing is kept.
    """

    def __init__(self, context: Context, durable: bool, asked: Mapping[str, Any]) -> None:
        self._store: Any = context.get("task_state_store") if durable else None
        self._max_tries = getattr(context["ti"], "max_tries", None)
        self._asked = storable_json(asked, MESSAGE_LENGTH)

    def load(self) -> StoredRun | None:
        """What is remembered, or None. Raises RunError for what cannot be read, unless the task was cleared since."""
        from airflow_provider_qlik.runs import Intent, Run, RunError

        entry = self._store.get(KEY) if self._store is not None else None
        if not isinstance(entry, Mapping):
            return None
        # Entries of earlier builds do not tell what was asked for.
        changed = entry.get("asked", self._asked) != self._asked
        cleared = changed or entry.get("max_tries") != self._max_tries
        if cleared and entry.get("done"):
            return None
        try:
            _check_version(entry)
            run = entry.get("run")
            return StoredRun(
                intent=Intent.from_json(entry.get("intent", {})),
                run=None if run is None else Run.from_json(run),
                cleared=cleared,
                cancelled=bool(entry.get("cancelled")),
            )
        except ValueError as error:
            if cleared:
                return None
            raise RunError(
                f"What the try before has left cannot be read ({storable(str(error))}). A run of it may be going on:"
                " look at it in Qlik Cloud, then clear this task to start a new run"
            ) from None

    @property
    def lasts(self) -> bool:
        """Whether anything is remembered at all: whether a retry would know of this try."""
        return self._store is not None

    def keep(self, intent: Intent, run: Run | None = None) -> None:
        """Remembers what is about to be started, or has been."""
        if self._store is not None:
            entry = {
                "version": VERSION,
                "max_tries": self._max_tries,
                "asked": self._asked,
                "intent": intent.to_json(),
                "run": None if run is None else run.to_json(),
            }
            self._store.set(KEY, storable_json(entry, MESSAGE_LENGTH))

    def cancelled(self) -> None:
        """Remembers that the run was asked to stop."""
        entry = self._store.get(KEY) if self._store is not None else None
        if isinstance(entry, Mapping):
            self._store.set(KEY, {**entry, "cancelled": True})

    def done(self) -> None:
        """Remembers that the try has ended well.

        Airflow may fail to store that, and then it tries again, though nobody has cleared the task: the API server is
        away, an XCom cannot be stored, or the scheduler hears of a deferral when its trigger has fired already. That
        try finds the run here, and starts no second one. After a clear the entry is of no use.
        """
        entry = self._store.get(KEY) if self._store is not None else None
        if isinstance(entry, Mapping):
            self._store.set(KEY, {**entry, "done": True})

    def forget(self) -> None:
        """Remembers nothing: the run has failed, and that was told."""
        if self._store is not None:
            self._store.delete(KEY)


class Seen(NamedTuple):
    """What a rescheduled sensor knows from its earlier pokes: the run, and since when Qlik Cloud refuses to show it."""

    run: Run | None = None
    refused_since: datetime | None = None


class SensorCheckpoint:
    """Keeps what a rescheduled sensor has seen, since each of its pokes may be in another process.

    What is stored is of use only to a sensor that waits for the same thing (*asked*) since no later clear. It can be
    lost, as on an Airflow before 3.3: then the next poke looks for the run as the first one did.
    """

    def __init__(self, context: Context, kept: bool, asked: Mapping[str, Any]) -> None:
        self._store: Any = context.get("task_state_store") if kept else None
        self._max_tries = getattr(context["ti"], "max_tries", None)
        self._asked = storable_json(asked, MESSAGE_LENGTH)
        self._stored = Seen()

    @property
    def lasts(self) -> bool:
        """Whether anything is kept at all: whether the next poke would know of this one."""
        return self._store is not None

    def load(self) -> Seen:
        """Return what was seen, as far as it counts for this wait."""
        from airflow_provider_qlik.runs import Run

        entry = self._store.get(SEEN_KEY) if self._store is not None else None
        if not isinstance(entry, Mapping):
            return self._stored
        if (entry.get("max_tries"), entry.get("asked")) != (self._max_tries, self._asked):
            return self._stored
        try:
            _check_version(entry)
            run, since = entry["run"], entry["refused_since"]
            self._stored = Seen(
                None if run is None else Run.from_json(run),
                None if since is None else checked_moment("refused_since", since),
            )
        except (LookupError, ValueError):
            pass  # It is of no use, and the next `keep` replaces it.
        return self._stored

    def keep(self, run: Run | None, refused_since: datetime | None) -> None:
        """Store what was seen, unless nothing has changed."""
        seen = Seen(run, refused_since)
        if self._store is None or seen == self._stored:
            return
        entry = {
            "version": VERSION,
            "max_tries": self._max_tries,
            "asked": self._asked,
            "run": None if seen.run is None else seen.run.to_json(),
            "refused_since": None if seen.refused_since is None else seen.refused_since.isoformat(),
        }
        self._store.set(SEEN_KEY, storable_json(entry, MESSAGE_LENGTH))
        self._stored = seen

    def forget(self) -> None:
        """Delete what is stored: the wait is over."""
        if self._store is not None:
            self._store.delete(SEEN_KEY)


def _check_version(entry: Mapping[str, Any]) -> None:
    version = entry.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        shown = storable(repr(version), 40)
        raise ValueError(
            f"it is of version {shown}, and this release of airflow-provider-qlik reads version {VERSION} and entries"
            " without a version: a newer release is needed on this worker to resume the run"
        )
