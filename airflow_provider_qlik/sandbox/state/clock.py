"""The tenant's time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta


class Clock:
    """Wall-clock time at the start, then as fast as asked, with jumps forward."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = _checked_speed(speed)
        self._base = datetime.now(UTC)
        self._mark = time.monotonic()
        self._held: datetime | None = None

    @property
    def speed(self) -> float:
        """Sandbox seconds that pass in one real second."""
        return self._speed

    def now(self) -> datetime:
        """The tenant's time, aware and in UTC."""
        return self._held or self._base + timedelta(seconds=(time.monotonic() - self._mark) * self._speed)

    @contextmanager
    def held(self) -> Iterator[None]:
        """One moment for the whole block: whoever looks twice in one request sees the same time."""
        self._held = self.now()
        try:
            yield
        finally:
            self._held = None

    def later(self, seconds: float) -> datetime:
        """The tenant's time so many sandbox seconds from now."""
        return self.now() + timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Jump forward by that many sandbox seconds."""
        if seconds < 0:
            raise ValueError(f"seconds: {seconds} is negative, and time does not run backwards here")
        self._base += timedelta(seconds=seconds)

    def set_speed(self, speed: float) -> None:
        """Go on from now at another speed; 0 holds the time still."""
        speed = _checked_speed(speed)
        self._base, self._mark = self.now(), time.monotonic()
        self._speed = speed


def _checked_speed(speed: float) -> float:
    if speed < 0:
        raise ValueError(f"speed: {speed} is negative; 0 holds the time still, 1 is real time")
    return speed
