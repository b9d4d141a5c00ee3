"""An event loop whose time passes as soon as nothing is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing that waits takes any time, and everything happens at the moment it should."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        scheduled = self._scheduled  # type: ignore[attr-defined]
        if not self._ready and scheduled:  # type: ignore[attr-defined]
            # Those that were cancelled are still there, and not worth waiting for.
            moments = (each.when() for each in scheduled if not each.cancelled())
            when = min(moments, default=self._now) if scheduled[0].cancelled() else scheduled[0].when()
            self._now = max(self._now, when)
        super()._run_once()  # type: ignore[misc]


def run(work: Coroutine[Any, Any, T]) -> T:
    """What comes of it, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now() -> float:
    """The time of the running loop in seconds."""
    return asyncio.get_running_loop().time()
