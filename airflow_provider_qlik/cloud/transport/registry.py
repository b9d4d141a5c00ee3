"""One client for each connection in an event loop, shared by all who use it and closed by the last of them.

A triggerer runs thousands of triggers in one event loop. With a client for each, every one would sign in, hold its own
connections and send its own polls. So they share one by the name of the connection. A plain cache does not work: it
would never close a client, and one whose connection has been changed to another tenant would go on being handed out.
Nor does a cache of clients alone: while the first user still reads the connection and signs in, the second would open
another. So the task that opens the client is shared, and users are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_qlik.cloud.transport.async_client import AsyncClient


@dataclass(slots=True, eq=False)
class Lease:
    """The use of a shared client. End it with `release`."""

    client: AsyncClient
    _shared: _SharedClient | None

    async def release(self) -> None:
        """End the use, and close the client if nobody else uses it. Does nothing the second time."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.leave()


class _SharedClient:
    """A client that is being opened or is open, and the number of its users."""

    def __init__(self, name: str, opening: asyncio.Task[AsyncClient], registry: dict[str, _SharedClient]) -> None:
        self._name = name
        self._registry = registry
        self._users = 0
        self.opening = opening
        opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[AsyncClient]) -> None:
        if opening.cancelled() or opening.exception() is not None:
            # The next user tries again.
            self._unregister()

    @property
    def usable(self) -> bool:
        """True if one more may use it. If its connection leads to another tenant by now, only its users go on."""
        if not self.opening.done():
            return True
        return not self.opening.cancelled() and self.opening.exception() is None and not self.opening.result().outdated

    async def enter(self) -> AsyncClient:
        self._users += 1
        try:
            # The user whose task opens it may be cancelled; the others still wait for it.
            return await asyncio.shield(self.opening)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        self._unregister()
        if not self.opening.done():
            self.opening.cancel()
        elif not self.opening.cancelled() and self.opening.exception() is None:
            await self.opening.result().aclose()

    def _unregister(self) -> None:
        if self._registry.get(self._name) is self:
            del self._registry[self._name]


async def share(name: str, make: Callable[[], Coroutine[Any, Any, AsyncClient]]) -> Lease:
    """Return a lease of the client of that name in this event loop; *make* opens it if there is none yet.

    Raises what *make* raises.
    """
    loop = asyncio.get_running_loop()
    registry = _in_loop.setdefault(loop, {})
    shared = registry.get(name)
    if shared is None or not shared.usable:
        shared = registry[name] = _SharedClient(name, loop.create_task(make()), registry)
    return Lease(await shared.enter(), shared)


_in_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _SharedClient]] = WeakKeyDictionary()
