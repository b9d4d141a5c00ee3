"""A relay between Airflow and a tenant, which can fail in several ways."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal
from urllib.parse import urlsplit

Mode = Literal["open", "refusing", "resetting", "silent", "holding"]
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Relay:
    """Passes bytes on to a tenant, in the mode that was set last.

    open: as they arrive. refusing: connections are refused. resetting: each connection is accepted, and reset. silent:
    each is accepted, and no response is sent. holding: requests are passed on, and the responses to POSTs are held back
    until the mode changes. A change to any but open and holding resets all connections.
    """

    def __init__(self, tenant_url: str) -> None:
        self._target = urlsplit(tenant_url)
        self._mode: Mode = "open"
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-relay", daemon=True)
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """Return the address at which clients reach the tenant."""
        return f"http://127.0.0.1:{self._port}"

    def set(self, mode: Mode) -> None:
        """Set the mode from now on."""
        self._await(self._set(mode))

    def _await(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "holding":
            self._released.clear()
        else:
            self._released.set()
        if mode in ("refusing", "resetting", "silent"):
            for writer in list(self._writers):
                _reset(writer)
        if mode == "refusing":
            await self._close()
        elif self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode == "resetting":
                _reset(writer)
            elif self._mode == "silent":
                while await reader.read(65536):
                    pass
            else:
                await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        is_post = False

        async def back() -> None:
            while chunk := await upstream_reader.read(65536):
                if is_post:
                    await self._released.wait()
                writer.write(chunk)
                await writer.drain()

        response_task = asyncio.ensure_future(back())
        try:
            while chunk := await reader.read(65536):
                # A client sends a request after the response to the last one, so each begins a chunk of its own.
                is_post = chunk.startswith(b"POST ") if chunk[:5] in (b"POST ", b"GET /", b"DELET") else is_post
                upstream_writer.write(chunk)
                await upstream_writer.drain()
        finally:
            response_task.cancel()
            upstream_writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await response_task

    async def _end(self) -> None:
        await self._set("refusing")
        await asyncio.sleep(0.1)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()


@contextmanager
def relay(tenant_url: str) -> Iterator[Relay]:
    """Run a relay to a tenant, open at first, until the block ends."""
    wire = Relay(tenant_url)
    wire._thread.start()
    wire.set("open")
    try:
        yield wire
    finally:
        wire._await(wire._end())
        wire._loop.call_soon_threadsafe(wire._loop.stop)
        wire._thread.join(5)
