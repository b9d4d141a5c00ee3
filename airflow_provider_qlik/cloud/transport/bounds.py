"""HTTP transports that bound every request in time and every response body in size.

httpx bounds each *read* of a socket, not a request: a server or proxy that sends one byte every half second keeps a
request going for ever, and twenty such requests keep every wait of a triggerer from being polled. It also decodes and
keeps whatever comes: a gzip body of 1 MB becomes 1 GB in memory.

Both bounds are set here, below httpx's client, so that they hold for whatever it sends: a call, a sign-in inside its
authentication flow, and the bodies that it reads by itself. A request says in its `extensions` which bounds it has (see
`bounds`):

- `total`: seconds from the first byte sent to the last byte received. On threads the deadline is passed down to the
  socket, since nothing can interrupt a thread that waits in `recv`: the network backend of httpcore is wrapped, so each
  socket operation waits no longer than the time that remains. In an event loop `asyncio.timeout_at` does the same.
  The look-up of a host name by a thread is not bounded: the resolver's own time-outs are.
- `limit`: bytes of the decoded body that are accepted. With `keep_end` only the last bytes are kept and the rest is
  counted: logs are read for their end.

Decoding is done by `decoding.Decoder` instead of httpx, part by part, and an encoded body that is cut off is an error.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpcore
import httpx

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.transport.decoding import Decoder

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a decoded response body that are read into memory, at most."""
MAX_ERROR_BODY = 256 * 1024
"""Bytes of the body of a response with status 400 or above, at most: an error of Qlik Cloud's has some hundred."""
MIN_REQUEST = 0.05
"""Seconds that a request may take, at least, however near the end of `ending_by` is."""
KEPT_END = 1024 * 1024
"""Bytes that are kept of the end of a log."""

_BOUNDS, _LOCATION = "qlik_bounds", "qlik_location"
_deadline: ContextVar[float | None] = ContextVar("qlik_cloud_deadline", default=None)
"""The moment of the monotonic clock at which the request of this thread must be over."""
_call_deadline: ContextVar[float | None] = ContextVar("qlik_cloud_call_deadline", default=None)
"""The same for all requests that a call needs: a sign-in sends one of its own before it."""


@dataclass(slots=True, kw_only=True)
class Bounds:
    """The bounds of one request.

    :param total: seconds for all of it; None for no bound (the headers of a download are bounded all the same).
    :param headers: seconds until the headers of the response are there, where `total` is None.
    :param limit: bytes of the decoded body; None for any number.
    :param keep_end: keep this many bytes of the body's end instead, and count the others in `left_out`.
    """

    total: float | None
    headers: float
    limit: int | None = MAX_BODY
    keep_end: int | None = None
    left_out: int = 0
    _began: float = field(default_factory=time.monotonic)

    def restart(self) -> None:
        """Begin to count the time: the request is sent now."""
        self._began = time.monotonic()
        if (call_deadline := _call_deadline.get()) is not None and self.total is not None:
            self.total = min(self.total, max(MIN_REQUEST, call_deadline - self._began))

    @property
    def headers_deadline(self) -> float:
        """The moment of the monotonic clock at which the headers must be there."""
        return self._began + (self.headers if self.total is None else self.total)

    @property
    def body_deadline(self) -> float | None:
        """The moment of the monotonic clock at which the body must be there."""
        return None if self.total is None else self._began + self.total

    def exceeded(self, request: httpx.Request) -> NoReturn:
        """Raise the time-out of httpx for a request that took too long as a whole."""
        seconds = self.headers if self.total is None else self.total
        raise httpx.ReadTimeout(f"the whole request took longer than {seconds:g} s", request=request) from None


def bounds(request: httpx.Request) -> Bounds:
    """Return the bounds of a request, to be set and read."""
    return request.extensions[_BOUNDS]  # type: ignore[no-any-return]


def bounded(**members: Any) -> dict[str, Bounds]:
    """Return the extension that gives a request its bounds."""
    return {_BOUNDS: Bounds(**members)}


@contextmanager
def ending_by(moment: float | None) -> Iterator[None]:
    """Bound all requests that this thread sends in the block by a moment of the monotonic clock, sign-ins included."""
    token = _call_deadline.set(moment)
    try:
        yield
    finally:
        _call_deadline.reset(token)


class BoundedTransport(httpx.HTTPTransport):
    """The transport of a client for threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # httpx has no argument for the backend. All pools of httpcore, those of proxies included, ask this one for
        # their connections.
        self._pool._network_backend = _Backend(self._pool._network_backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request within its bounds. Raises httpx's errors."""
        allowed = bounds(request)
        allowed.restart()
        token = _deadline.set(allowed.headers_deadline)
        try:
            response = super().handle_request(request)
        finally:
            _deadline.reset(token)
        _hide_location(response)
        try:
            response.stream = _Body(response, request, allowed)
        except BaseException:  # an unknown encoding: a response that nobody closes would keep its connection
            response.close()
            raise
        return response


class AsyncBoundedTransport(httpx.AsyncHTTPTransport):
    """The transport of a client for an event loop."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request within its bounds. Raises httpx's errors."""
        allowed = bounds(request)
        allowed.restart()
        try:
            async with asyncio.timeout_at(_loop_time(allowed.headers_deadline)):
                response = await super().handle_async_request(request)
        except TimeoutError:
            allowed.exceeded(request)
        _hide_location(response)
        try:
            response.stream = _AsyncBody(response, request, allowed)
        except BaseException:  # an unknown encoding: a response that nobody closes would keep its connection
            await response.aclose()
            raise
        return response


def _loop_time(moment: float) -> float:
    """Return the event loop's time at a moment of the monotonic clock."""
    return asyncio.get_running_loop().time() + moment - time.monotonic()


@contextmanager
def _decoding(request: httpx.Request) -> Iterator[None]:
    """Raise httpx's error for a body that cannot be decoded in the block: it tells whose response that is.

    A sign-in sends a request of its own inside the one that it is for, and what became of that one depends on it.
    """
    try:
        yield
    except InvalidResponseError as error:
        raise httpx.DecodingError(error.what, request=request) from None


def _hide_location(response: httpx.Response) -> None:
    # httpx makes the request of each redirect, also of one that is not to be followed, and fails where there is no
    # address: what was answered would be lost.
    if (location := response.headers.pop("location", None)) is not None:
        response.extensions[_LOCATION] = location


def location_of(response: httpx.Response) -> str:
    """Return where a response redirects to, empty if it does not say."""
    location: str = response.extensions.get(_LOCATION) or response.headers.get("location", "")
    return location


class _Reader:
    """Decodes a body within its bounds: which parts of it are handed on."""

    def __init__(self, response: httpx.Response, request: httpx.Request, allowed: Bounds) -> None:
        self._allowed = allowed
        self._request = request
        error = response.status_code >= 400
        limit = MAX_ERROR_BODY if error else None if allowed.keep_end is not None else allowed.limit
        with _decoding(request):
            self._decoder = Decoder(response.headers.get("content-encoding"), limit=limit)
        # What is handed on is decoded already; httpx must not try again.
        response.headers.pop("content-encoding", None)
        self._keep = None if error else allowed.keep_end
        self._end: deque[bytes] = deque()
        self._kept = 0

    def take(self, chunk: bytes) -> Iterable[bytes]:
        """Return the decoded parts of a chunk; none where only the end is kept. Raises httpx.DecodingError."""
        parts = self._decoded(chunk)
        if self._keep is None:
            return parts
        for part in parts:
            self._end.append(part)
            self._kept += len(part)
            while self._kept - len(self._end[0]) >= self._keep:
                dropped = len(self._end.popleft())
                self._kept -= dropped
                self._allowed.left_out += dropped
        return ()

    def finish(self) -> Iterable[bytes]:
        """Return the end that was kept, after the last chunk. Raises httpx.DecodingError for a truncated body."""
        with _decoding(self._request):
            self._decoder.finish()
        return self._end

    def _decoded(self, chunk: bytes) -> Iterator[bytes]:
        with _decoding(self._request):
            yield from self._decoder.decode(chunk)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response, request: httpx.Request, allowed: Bounds) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)
        self._stream = response.stream
        self._allowed = allowed
        self._reader = _Reader(response, request, allowed)

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        while True:
            token = _deadline.set(self._allowed.body_deadline)
            try:
                chunk = next(chunks, None)
            finally:
                _deadline.reset(token)
            if chunk is None:
                break
            yield from self._reader.take(chunk)
        yield from self._reader.finish()

    def close(self) -> None:
        self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, request: httpx.Request, allowed: Bounds) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        self._request = request
        self._allowed = allowed
        self._reader = _Reader(response, request, allowed)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        while True:
            deadline = self._allowed.body_deadline
            try:
                async with asyncio.timeout_at(None if deadline is None else _loop_time(deadline)):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                self._allowed.exceeded(self._request)
            if chunk is None:
                break
            for part in self._reader.take(chunk):
                yield part
        for part in self._reader.finish():
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Backend(httpcore.NetworkBackend):
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
        remaining = _remaining_seconds(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, remaining, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
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
