"""Deadlines that end an operation on a socket, in threads and in event loops.

Nothing can interrupt a thread that waits in `recv`. So the deadline is passed down to the socket: the network backend
of httpcore is wrapped, and each socket operation waits no longer than the time that remains. httpcore has no argument
for that, so a context variable carries the deadline. What does not work: a smaller read time-out of httpx. It holds
for each read, and a body may need any number of them.

In an event loop `asyncio.timeout_at` does the same. The look-up of a host name by a thread is not bounded: the
resolver's own time-outs are.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore

_deadline: ContextVar[float | None] = ContextVar("qlik_cloud_deadline", default=None)
"""The moment of the monotonic clock at which the request of this thread must be over."""


@contextmanager
def socket_deadline(moment: float | None) -> Iterator[None]:
    """Bound the socket operations of this thread in the block by a moment of the monotonic clock; None for no bound.

    They raise httpcore's time-out errors.
    """
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


def loop_deadline(moment: float | None) -> asyncio.Timeout:
    """Bound an ``async with`` block by a moment of the monotonic clock; None for no bound. Raises TimeoutError."""
    loop_time = asyncio.get_running_loop().time()
    return asyncio.timeout_at(None if moment is None else loop_time + moment - time.monotonic())


class DeadlineBackend(httpcore.NetworkBackend):
    """A network backend whose connections keep the deadline of the request that uses them."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection; raises httpcore.ConnectTimeout."""
        remaining = _remaining_seconds(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, remaining, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self._backend.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining_seconds(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining_seconds(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        remaining = _remaining_seconds(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, remaining))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining_seconds(timeout: float | None, error: type[Exception]) -> float | None:
    """Return the seconds that a socket operation may take. Raises *error* when the deadline has passed."""
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise error("the whole request took longer than its total time-out")
    return remaining if timeout is None else min(timeout, remaining)
