"""Checkpoints: what an attempt of a task stores for the next one, in Airflow's task state store (3.3 and later).

An attempt that is killed, or loses its worker, leaves a run behind. The next attempt must resume this run, and must not
start a second one; but if a user has cleared the task, it must start a new one. So the next attempt needs to know two
things: what the attempt before it did, and if there was a clear in between.

The store keeps JSON for a task instance over retries and reschedules, and on 3.3 also over a user's clear. A clear
raises the task instance's `max_tries`, which a retry does not. So each entry holds that number, and an entry with
another number is from before a clear. The entry also names the resource: a Dag may have been changed meanwhile.

What does not work:

- XComs: Airflow deletes those of a task instance when its next attempt begins.
- The number of the attempt (`try_number`) in place of `max_tries`: it grows with retries and with clears alike.
- To delete the entry when the run has succeeded: Airflow may fail to store that success, see `mark_completed`.

Stored entries outlive the version that wrote them. The names of their members ("asked" is the resource, "done" a run
that has succeeded) stay as they are, and new members get a default in `load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from airflow_provider_qlik.text import MESSAGE_LENGTH, storable, storable_json
from airflow_provider_qlik.validation import checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.runs import Intent, Run

KEY = "qlik_run"
SEEN_KEY = "qlik_seen_run"
VERSION = 1
"""The version of a stored entry. An entry without a version is from a release that wrote none, and is read as version
1. Raise it when older releases could not read an entry, or would misread it."""


class StoredRun(NamedTuple):
    """The checkpoint of the previous attempt: what it was about to start, and the run once it was known.

    :param cleared: a user has cleared the task since, or its Dag has changed so that it runs something else: a new run
        is started, and the old one is not resumed.
    :param cancelled: the run was cancelled, which may take a while: it is not resumed.
    """

    intent: Intent
    run: Run | None
    cleared: bool
    cancelled: bool


class _TaskState:
    """One entry in the task state store of a task instance, with the number of its clears and its resource.

    It is disabled, and stores nothing, on an older Airflow or if the caller has no use for it.
    """

    _key: ClassVar[str]

    def __init__(self, context: Context, enabled: bool, resource: Mapping[str, Any]) -> None:
        self._store: Any = context.get("task_state_store") if enabled else None
        self._max_tries = getattr(context["ti"], "max_tries", None)
        self._resource = storable_json(resource, MESSAGE_LENGTH)

    @property
    def enabled(self) -> bool:
        """True if the entry is stored, so that the next attempt or poke finds it."""
        return self._store is not None

    def delete(self) -> None:
        """Delete the entry."""
        if self._store is not None:
            self._store.delete(self._key)

    def _read(self) -> Mapping[str, Any] | None:
        entry = self._store.get(self._key) if self._store is not None else None
        return entry if isinstance(entry, Mapping) else None

    def _write(self, members: Mapping[str, Any]) -> None:
        if self._store is not None:
            entry = {"version": VERSION, "max_tries": self._max_tries, "asked": self._resource, **members}
            self._store.set(self._key, storable_json(entry, MESSAGE_LENGTH))


class CheckpointStore(_TaskState):
    """Stores the intent before a start, and the run after it, until the run has failed or the task is cleared.

    The entry itself may survive a clear or not.

    :param context: the task's context.
    :param enabled: False: store nothing.
    :param resource: the resource that the task runs, so that a run of another one is not resumed.
    """

    _key: ClassVar[str] = KEY

    def load(self) -> StoredRun | None:
        """Return the checkpoint of the previous attempt, or None.

        Raises RunError for an entry that cannot be read, unless the task was cleared since.
        """
        from airflow_provider_qlik.runs import Intent, Run, RunError

        entry = self._read()
        if entry is None:
            return None
        # Entries of earlier builds do not name the resource.
        changed = entry.get("asked", self._resource) != self._resource
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
                f"The checkpoint of the previous attempt cannot be read ({storable(str(error))}). Its run may still be"
                " active: check it in Qlik Cloud, then clear this task to start a new run"
            ) from None

    def save(self, intent: Intent, run: Run | None = None) -> None:
        """Store what is about to be started, or has been."""
        self._write({"intent": intent.to_json(), "run": None if run is None else run.to_json()})

    def mark_cancelled(self) -> None:
        """Store that the run was cancelled."""
        self._mark("cancelled")

    def mark_completed(self) -> None:
        """Store that the attempt has succeeded.

        Airflow may fail to store that success, and then it retries a task that nobody has cleared: the API server is
        away, an XCom cannot be stored, or the scheduler processes a deferral after its trigger has fired. That retry
        finds the run here, and starts no second one. After a clear the entry is of no use.
        """
        self._mark("done")

    def _mark(self, member: str) -> None:
        entry = self._read()
        if entry is not None:
            self._store.set(self._key, {**entry, member: True})


class SensorState(NamedTuple):
    """The run that earlier pokes of a rescheduled sensor found.

    :param run: the run.
    :param refused_since: the moment since which Qlik Cloud refuses to show the run.
    """

    run: Run | None = None
    refused_since: datetime | None = None


class SensorCheckpoint(_TaskState):
    """Stores the state of a rescheduled sensor, since each of its pokes may be in another process.

    The stored state is used only by a sensor that waits for the same run and was not cleared since. It can be missing,
    as on Airflow before 3.3: then the next poke looks for the run as the first one did.

    :param context: the task's context.
    :param enabled: False: all pokes are in one process, and nothing is stored.
    :param resource: the resource and the run that the sensor waits for.
    """

    _key: ClassVar[str] = SEEN_KEY

    def __init__(self, context: Context, enabled: bool, resource: Mapping[str, Any]) -> None:
        super().__init__(context, enabled, resource)
        self._stored = SensorState()

    def load(self) -> SensorState:
        """Return the stored state, or an empty one if there is none for this wait."""
        from airflow_provider_qlik.runs import Run

        entry = self._read()
        if entry is None or (entry.get("max_tries"), entry.get("asked")) != (self._max_tries, self._resource):
            return self._stored
        try:
            _check_version(entry)
            run, since = entry["run"], entry["refused_since"]
            self._stored = SensorState(
                None if run is None else Run.from_json(run),
                None if since is None else checked_moment("refused_since", since),
            )
        except (LookupError, ValueError):
            pass  # The entry is of no use, and the next `save` replaces it.
        return self._stored

    def save(self, run: Run | None, refused_since: datetime | None) -> None:
        """Store the state, unless it has not changed."""
        state = SensorState(run, refused_since)
        if state != self._stored:
            self._write(
                {
                    "run": None if run is None else run.to_json(),
                    "refused_since": None if refused_since is None else refused_since.isoformat(),
                }
            )
            self._stored = state


def _check_version(entry: Mapping[str, Any]) -> None:
    version = entry.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        shown = storable(repr(version), 40)
        raise ValueError(
            f"it is of version {shown}, and this release of airflow-provider-qlik reads version {VERSION} and entries"
            " without a version: a newer release is needed on this worker to resume the run"
        )
