"""The tenant's time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that starts at the wall-clock time, runs at `speed`, and can be advanced."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = _checked_speed(speed)
        self._base = datetime.now(UTC)
        self._base_monotonic = time.monotonic()
        self._frozen_at: datetime | None = None

    @property
    def speed(self) -> float:
        """Return the sandbox seconds that pass in one real second."""
        return self._speed

    def now(self) -> datetime:
        """Return the tenant's time, aware and in UTC."""
        return self._frozen_at or self._base + timedelta(
            seconds=(time.monotonic() - self._base_monotonic) * self._speed
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the time for the whole block, so that a request sees one time only."""
        self._frozen_at = self.now()
        try:
            yield
        finally:
            self._frozen_at = None

    def later(self, seconds: float) -> datetime:
        """Return the tenant's time so many sandbox seconds from now."""
        return self.now() + timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Advance the clock by so many sandbox seconds."""
        if seconds < 0:
            raise ValueError(f"seconds: {seconds} is negative, but the clock cannot run backwards")
        self._base += timedelta(seconds=seconds)

    def set_speed(self, speed: float) -> None:
        """Set the speed from now on; 0 stops the clock."""
        speed = _checked_speed(speed)
        self._base, self._base_monotonic = self.now(), time.monotonic()
        self._speed = speed


def _checked_speed(speed: float) -> float:
    if speed < 0:
        raise ValueError(f"speed: {speed} is negative; 0 stops the clock, 1 is real time")
    return speed
