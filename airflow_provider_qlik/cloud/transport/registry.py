"""One client for all in an event loop who use the same connection, as long as anybody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_qlik.cloud.transport.async_client import AsyncClient


@dataclass(slots=True, eq=False)
class Lease:
    """The use of a shared client. Give it back with `release`."""

    client: AsyncClient
    _shared: _Shared | None

    async def release(self) -> None:
        """The client is closed if nobody else uses it."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.leave()


class _Shared:
    """A client that is being opened or is open, and how many use it."""

    def __init__(self, name: str, opening: asyncio.Task[AsyncClient], among: dict[str, _Shared]) -> None:
        self._name = name
        self._among = among
        self._users = 0
        self.opening = opening
        opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[AsyncClient]) -> None:
        if opening.cancelled() or opening.exception() is not None:
            # Whoever comes next tries again.
            self._step_down()

    @property
    def usable(self) -> bool:
        """Whether one more may use it. If its connection by now leads elsewhere, those go on who use it already."""
        if not self.opening.done():
            return True
        return not self.opening.cancelled() and self.opening.exception() is None and not self.opening.result().outdated

    async def enter(self) -> AsyncClient:
        self._users += 1
        try:
            # Who opens it may go away; the others wait on.
            return await asyncio.shield(self.opening)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        self._step_down()
        if not self.opening.done():
            self.opening.cancel()
        elif not self.opening.cancelled() and self.opening.exception() is None:
            await self.opening.result().aclose()

    def _step_down(self) -> None:
        if self._among.get(self._name) is self:
            del self._among[self._name]


async def share(name: str, make: Callable[[], Coroutine[Any, Any, AsyncClient]]) -> Lease:
    """The client of that name in this event loop, made if there is none yet. Raises what making it raises."""
    loop = asyncio.get_running_loop()
    among = _in_loop.setdefault(loop, {})
    shared = among.get(name)
    if shared is None or not shared.usable:
        shared = among[name] = _Shared(name, loop.create_task(make()), among)
    return Lease(await shared.enter(), shared)


_in_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()
