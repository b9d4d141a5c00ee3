"""The server that runs a tenant in a thread of this process."""

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
    from airflow_provider_qlik.sandbox.fault_responses import Address
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"the sandbox needs {error.name}: install airflow-provider-qlik[sandbox]", name=error.name
    ) from error

_HOST = "127.0.0.1"
_LINGER_ZERO = struct.pack("ii", 1, 0)


@contextmanager
def serve(speed: float = 1.0, port: int = 0) -> Iterator[Tenant]:
    """Run a tenant in a thread of this process until the block ends, and yield a handle on it.

    speed: sandbox seconds that pass in one real second.
    port: the port of 127.0.0.1 on which it listens; 0: any free port.
    """
    listener = _listen(port)
    server = Server(speed)
    thread = threading.Thread(target=server.run, args=([listener],), name="qlik-sandbox", daemon=True)
    thread.start()
    try:
        server.is_listening.wait()
        if not server.started:
            raise RuntimeError("the sandbox could not start; see its log for the reason")
        yield Tenant(f"http://{_HOST}:{listener.getsockname()[1]}")
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio disables Nagle's algorithm only for IPPROTO_TCP; with it, each response
    # takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
    except BaseException:
        listener.close()
        raise
    return listener


class Server(uvicorn.Server):
    """The uvicorn server of one tenant, which can also reset or close its connections."""

    def __init__(self, speed: float) -> None:
        # Always plain asyncio and h11, so that a fault does not depend on the packages that are installed.
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
        """Stop listening, and abort all connections, so that nobody waits for a delayed response."""
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # lets each connection notice that it is closed
        await super().shutdown(sockets)

    def disconnect(self, peer: Address, with_reset: bool) -> None:
        """Close the connection to a peer: with a reset (True), or after the data sent so far (False)."""
        for transport in self._transports(peer):
            if with_reset:
                # Without lingering the kernel sends a reset, not an orderly end.
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                transport.abort()
            else:
                transport.close()

    def write(self, peer: Address, data: bytes) -> None:
        """Send raw bytes to a peer, bypassing the HTTP server."""
        for transport in self._transports(peer):
            transport.write(data)

    def _transports(self, peer: Address) -> list[asyncio.Transport]:
        transports = [connection.transport for connection in list(self.server_state.connections)]
        return [
            transport
            for transport in transports
            if transport is not None and transport.get_extra_info("peername") == tuple(peer or ())
        ]
