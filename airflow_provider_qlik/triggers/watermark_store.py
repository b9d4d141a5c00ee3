"""The watermark of a watch in the state store of the watched asset, which Airflow has since 3.3.

Airflow stores events some time after the trigger has yielded them, so a watermark that is written at once may be stored
before them: a triggerer that is killed in between would lose the events for ever. So a watermark that covers new events
is written one poll after them, and `WRITE_DELAY` seconds at least. Killed in between, a watch reports them once more.

Where there is no store, the watermark is in memory only: before Airflow 3.3, and where several assets share a trigger.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.compat import read_asset_state, write_asset_state
from airflow_provider_qlik.text import storable_json
from airflow_provider_qlik.triggers.airflow_requests import AirflowUnavailableError, reason

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.watermark import Watermark
    from airflow_provider_qlik.triggers.task_log import TaskLogWriter

WRITE_DELAY = 5.0
"""Seconds after which Airflow has surely stored the events of a trigger."""
MAX_AGE = 600.0
"""Seconds by which the stored moment may lag while nothing happens."""


def store_key(watched: dict[str, Any]) -> str:
    """Return the key of the watermark: a hash of what is watched, since the store outlives changed arguments."""
    text = json.dumps(watched, sort_keys=True)
    return "qlik-run-events-" + hashlib.sha256(text.encode()).hexdigest()[:32]


class WatermarkStore:
    """Reads and writes the watermark of one watch.

    :param store: the asset state store that Airflow gives to the trigger; None where it has none.
    :param key: see `store_key`.
    :param log: the log of the trigger.
    :param clock: returns the seconds of a monotonic clock.
    """

    def __init__(self, store: Any, key: str, log: TaskLogWriter, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._key = key
        self._log = log
        self._clock = clock
        self._unwritten: deque[tuple[float, dict[str, Any]]] = deque()
        self._last: dict[str, Any] | None = None
        self._kept_at = 0.0
        self._failing = False

    async def read(self) -> Watermark | None:
        """Return the stored watermark, None if there is none. Raises AirflowUnavailableError."""
        from airflow_provider_qlik.runs.watermark import Watermark

        if self._store is None:
            return None
        try:
            value = await read_asset_state(self._store, self._key)
        except ValueError as error:
            self._store = None
            self._log.write(
                logging.WARNING,
                "Several assets share this trigger, so Airflow gives it no store: what ends while no triggerer runs is"
                " not reported. Give each asset a trigger of its own, such as one with another poll_interval"
                f" ({error}).",
            )
            return None
        except Exception as error:  # whatever the way to Airflow's API raises
            raise AirflowUnavailableError("The watermark could not be read", error) from error
        if value is None:
            return None
        try:
            watermark = Watermark.from_json(value)
        except ValueError as error:
            self._log.write(logging.ERROR, f"The stored watermark cannot be read, so the watch begins anew: {error}")
            return None
        self._last = watermark.to_json()
        return watermark

    def keep(self, watermark: Watermark | None, *, fired: bool) -> None:
        """Take the watermark after a poll, to be written when the events that it covers are stored for sure.

        :param fired: the poll has led to events.
        """
        if self._store is None or watermark is None:
            return
        now, state = self._clock(), storable_json(watermark.to_json())
        without_moment = {name: value for name, value in state.items() if name != "moment"}
        unchanged = self._last is not None and without_moment.items() <= self._last.items()
        if unchanged and not fired and now - self._kept_at < MAX_AGE:
            return
        due = now + WRITE_DELAY if fired else now
        if self._unwritten:
            # It covers the events of those before it, too.
            due = max(due, self._unwritten[-1][0])
        self._unwritten.append((due, state))
        self._last, self._kept_at = state, now

    async def write_due(self) -> None:
        """Write the latest watermark that is due. A failure is logged, and the next call tries again."""
        due: dict[str, Any] | None = None
        moment = 0.0
        while self._unwritten and self._unwritten[0][0] <= self._clock():
            moment, due = self._unwritten.popleft()
        if due is None or self._store is None:
            return
        try:
            await write_asset_state(self._store, self._key, due)
        except Exception as error:  # whatever the way to Airflow's API raises
            self._unwritten.appendleft((moment, due))
            if not self._failing:
                self._log.write(
                    logging.WARNING,
                    f"The watermark could not be stored, and the next poll tries again: {reason(error)}",
                )
            self._failing = True
        else:
            self._failing = False
