"""Runs a tenant in this process."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_qlik.sandbox.tenant import Tenant

try:
    import uvicorn

    from airflow_provider_qlik.sandbox.app import TenantApp
    from airflow_provider_qlik.sandbox.faulty_responses import Address
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"the sandbox needs {error.name}: install airflow-provider-qlik[sandbox]", name=error.name
    ) from error

_HOST = "127.0.0.1"
_HANG_UP_AT_ONCE = struct.pack("ii", 1, 0)


@contextmanager
def serve(speed: float = 1.0, port: int = 0) -> Iterator[Tenant]:
    """A handle on a tenant that runs in a thread of this process until the block ends.

    speed: sandbox seconds that pass in one real second.
    port: where it listens on 127.0.0.1; 0: any free port.
    """
    listener = _listen(port)
    server = Server(speed)
    thread = threading.Thread(target=server.run, args=([listener],), name="qlik-sandbox", daemon=True)
    thread.start()
    try:
        server.is_listening.wait()
        if not server.started:
            raise RuntimeError("the sandbox could not start; its log says why")
        yield Tenant(f"http://{_HOST}:{listener.getsockname()[1]}")
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio switches Nagle's algorithm off only where it reads TCP; with it
    # on, each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
    except BaseException:
        listener.close()
        raise
    return listener


class Server(uvicorn.Server):
    """The uvicorn server of one tenant, which can also hang up on its callers."""

    def __init__(self, speed: float) -> None:
        # Plain asyncio and h11 wherever it runs, so that a fault does not depend on what is installed.
        super().__init__(
            uvicorn.Config(
                TenantApp(self, speed),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                date_header=False,
                server_header=False,
            )
        )
        self.is_listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        try:
            await super().startup(sockets)
        finally:
            self.is_listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and leave nobody waiting for an answer that is delayed."""
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # lets each connection learn that it is gone
        await super().shutdown(sockets)

    def hang_up(self, peer: Address, at_once: bool) -> None:
        """End the connection with that peer: at once with a reset (True), or after what was sent (False)."""
        for transport in self._transports(peer):
            if at_once:
                # Without lingering the kernel sends a reset, not an orderly end.
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HANG_UP_AT_ONCE)
                transport.abort()
            else:
                transport.close()

    def write(self, peer: Address, data: bytes) -> None:
        """Send raw bytes to that peer, past the HTTP server."""
        for transport in self._transports(peer):
            transport.write(data)

    def _transports(self, peer: Address) -> list[asyncio.Transport]:
        transports = [connection.transport for connection in list(self.server_state.connections)]
        return [
            each for each in transports if each is not None and each.get_extra_info("peername") == tuple(peer or ())
        ]
