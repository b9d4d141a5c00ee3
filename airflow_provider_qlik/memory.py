"""What a task remembers of its run from try to try, where Airflow has a place for that (3.3 and later)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.runs import Intent, Run

KEY = "qlik_run"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the try before left behind: what it was about to start, and the run if it got to know it.

    `cleared` tells that a user has cleared the task since: then it starts anew, and the old run is of no use any more.
    `cancelled` tells that the run was asked to stop, which may take a while: it is not to be taken up.
    """

    intent: Intent
    run: Run | None
    cleared: bool
    cancelled: bool


class Memory:
    """Keeps the intent before a start, and the run after it, until the try has ended in order.

    A user's clear raises `max_tries`, which a retry does not: so the number beside the entry tells the two apart. The
    entry itself may survive a clear or not. With *durable* off, or on an older Airflow, nothing is kept.
    """

    def __init__(self, context: Context, durable: bool) -> None:
        self._store: Any = context.get("task_state_store") if durable else None
        self._max_tries = getattr(context["ti"], "max_tries", None)

    def recall(self) -> Remembered | None:
        """What is remembered, or None. Raises RunError for what cannot be read, unless the task was cleared since."""
        from airflow_provider_qlik.runs import Intent, Run, RunError

        entry = self._store.get(KEY) if self._store is not None else None
        if not isinstance(entry, Mapping):
            return None
        cleared = entry.get("max_tries") != self._max_tries
        try:
            run = entry.get("run")
            return Remembered(
                intent=Intent.from_json(entry.get("intent", {})),
                run=None if run is None else Run.from_json(run),
                cleared=cleared,
                cancelled=bool(entry.get("cancelled")),
            )
        except ValueError as error:
            if cleared:
                return None
            raise RunError(
                f"what the try before has left cannot be read ({error}): a run of it may go on. Look at it in Qlik"
                " Cloud, then clear this task"
            ) from error

    @property
    def lasts(self) -> bool:
        """Whether anything is remembered at all: whether a retry would know of this try."""
        return self._store is not None

    def keep(self, intent: Intent, run: Run | None = None) -> None:
        """Remembers what is about to be started, or has been."""
        if self._store is not None:
            entry = {
                "max_tries": self._max_tries,
                "intent": intent.to_json(),
                "run": None if run is None else run.to_json(),
            }
            self._store.set(KEY, entry)

    def cancelled(self) -> None:
        """Remembers that the run was asked to stop."""
        entry = self._store.get(KEY) if self._store is not None else None
        if isinstance(entry, Mapping):
            self._store.set(KEY, {**entry, "cancelled": True})

    def forget(self) -> None:
        """Remembers nothing: the run has ended, and what came of it was told."""
        if self._store is not None:
            self._store.delete(KEY)
