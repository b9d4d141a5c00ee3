"""The httpx transports of both clients, which keep the bounds of each request (see `bounds`).

Bodies are decoded by `decoding.Decoder` instead of httpx, part by part, and an encoded body that is cut off is an
error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.transport.bounds import MAX_ERROR_BODY, bounds_of
from airflow_provider_qlik.cloud.transport.deadlines import DeadlineBackend, loop_deadline, socket_deadline
from airflow_provider_qlik.cloud.transport.decoding import Decoder

_LOCATION = "qlik_location"


class BoundedTransport(httpx.HTTPTransport):
    """The transport of a client for threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # httpx has no argument for the backend. All pools of httpcore, those of proxies included, ask this one for
        # their connections.
        self._pool._network_backend = DeadlineBackend(self._pool._network_backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request within its bounds. Raises httpx's errors."""
        bounds = bounds_of(request)
        bounds.restart()
        with socket_deadline(bounds.headers_deadline):
            response = super().handle_request(request)
        try:
            response.stream = _Body(response.stream, _BodyReader(response, request))
        except BaseException:  # an unknown encoding: a response that nobody closes would keep its connection
            response.close()
            raise
        return response


class AsyncBoundedTransport(httpx.AsyncHTTPTransport):
    """The transport of a client for an event loop."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request within its bounds. Raises httpx's errors."""
        bounds = bounds_of(request)
        bounds.restart()
        try:
            async with loop_deadline(bounds.headers_deadline):
                response = await super().handle_async_request(request)
        except TimeoutError:
            bounds.exceeded(request)
        try:
            response.stream = _AsyncBody(response.stream, _BodyReader(response, request))
        except BaseException:  # as above
            await response.aclose()
            raise
        return response


class _BodyReader:
    """Decodes a body within its bounds, and says which parts of it are handed on.

    What the transport does itself is hidden from httpx: content is decoded once, and no redirect is followed there.
    """

    def __init__(self, response: httpx.Response, request: httpx.Request) -> None:
        self.request = request
        self.bounds = bounds_of(request)
        _hide_location(response)
        is_error = response.status_code >= 400
        self._keep_end = None if is_error else self.bounds.keep_end
        limit = MAX_ERROR_BODY if is_error else self.bounds.limit if self._keep_end is None else None
        with _decoding(request):
            self._decoder = Decoder(response.headers.get("content-encoding"), limit=limit)
        response.headers.pop("content-encoding", None)
        self._end: deque[bytes] = deque()
        self._kept = 0

    def take(self, chunk: bytes) -> Iterable[bytes]:
        """Return the decoded parts of a chunk; none where only the end is kept. Raises httpx.DecodingError."""
        parts = self._decoded(chunk)
        if self._keep_end is None:
            return parts
        for part in parts:
            self._end.append(part)
            self._kept += len(part)
            while self._kept - len(self._end[0]) >= self._keep_end:
                dropped = len(self._end.popleft())
                self._kept -= dropped
                self.bounds.left_out += dropped
        return ()

    def finish(self) -> Iterable[bytes]:
        """Return the end that was kept, after the last chunk. Raises httpx.DecodingError for a truncated body."""
        with _decoding(self.request):
            self._decoder.finish()
        return self._end

    def _decoded(self, chunk: bytes) -> Iterator[bytes]:
        with _decoding(self.request):
            yield from self._decoder.decode(chunk)


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, reader: _BodyReader) -> None:
        assert isinstance(stream, httpx.SyncByteStream)
        self._stream = stream
        self._reader = reader

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        while True:
            with socket_deadline(self._reader.bounds.body_deadline):
                chunk = next(chunks, None)
            if chunk is None:
                break
            yield from self._reader.take(chunk)
        yield from self._reader.finish()

    def close(self) -> None:
        self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, reader: _BodyReader) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        while True:
            try:
                async with loop_deadline(self._reader.bounds.body_deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                self._reader.bounds.exceeded(self._reader.request)
            if chunk is None:
                break
            for part in self._reader.take(chunk):
                yield part
        for part in self._reader.finish():
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


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
    """Keep the location of a redirect from httpx.

    httpx makes the request of each redirect, also of one that is not to be followed, and fails where there is no
    address: the response would be lost.
    """
    if (location := response.headers.pop("location", None)) is not None:
        response.extensions[_LOCATION] = location


def location_of(response: httpx.Response) -> str:
    """Return where a response redirects to, empty if it does not say."""
    location: str = response.extensions.get(_LOCATION) or response.headers.get("location", "")
    return location
