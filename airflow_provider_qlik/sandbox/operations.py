"""Operations of the API, the parsed request that a handler gets, and the responses that it returns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from airflow_provider_qlik.sandbox.errors import ApiError, Family
from airflow_provider_qlik.sandbox.rate_limits import Tier
from airflow_provider_qlik.sandbox.schemas import Schema
from airflow_provider_qlik.sandbox.state.access import Access, Identity
from airflow_provider_qlik.sandbox.state.state import TenantState


@dataclass(slots=True)
class ApiRequest:
    """One request, read and parsed."""

    tenant_state: TenantState
    access: Access
    path: str
    params: dict[str, str]
    query: list[tuple[str, str]]
    headers: Headers
    body: Any
    base_url: str
    identity: Identity | None = None
    credential: str | None = None
    """A short name of the credentials, for the request log."""

    @property
    def caller(self) -> Identity:
        """Return the identity of the caller. Raises ApiError (401) in an operation that needs no credentials."""
        if self.identity is None:
            raise ApiError(401, "Unauthorized", "the request has no credentials")
        return self.identity

    def parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter."""
        return next(reversed(self.parameters(name)), None)

    def parameters(self, name: str) -> list[str]:
        """Return every value of a query parameter, in order."""
        return [value for key, value in self.query if key == name]

    def flag(self, name: str) -> bool | None:
        """Return the value of a boolean query parameter. Raises ApiError (400) unless it is true or false."""
        value = self.parameter(name)
        if value not in (None, "true", "false"):
            raise ApiError(400, "Bad request", f"{name} must be true or false, not {value!r}")
        return None if value is None else value == "true"

    def starts(self, disabled_reason: str | None, busy_reason: str | None) -> bool:
        """Return True if a start takes effect for a disabled or busy resource. Raises ApiError (400) if refused."""
        switches = self.tenant_state.switches
        starts = True
        for reason, switch in (
            (disabled_reason, switches.disabled_start),
            (busy_reason, switches.running_start),
        ):
            if reason and switch == "refused":
                raise ApiError(400, "Bad request", reason)
            starts = starts and not (reason and switch == "ignored")
        return starts


Handler = Callable[[ApiRequest], Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its paths, rate limit, body schema, and handler."""

    name: str
    method: str
    paths: tuple[str, ...]
    family: Family
    tier: Tier | None
    handler: Handler
    body: Schema | None = None
    is_body_required: bool = True
    needs_credentials: bool = True


class Json(JSONResponse):
    """A JSON response that carries any text, half a surrogate pair included."""

    def render(self, content: Any) -> bytes:
        """Return the body: raw UTF-8, or escapes where UTF-8 cannot hold the text."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content, separators=(",", ":")).encode()


class Text(PlainTextResponse):
    """A plain text response that carries any text; half a surrogate pair becomes invalid UTF-8."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return content if isinstance(content, bytes) else str(content).encode(errors="surrogatepass")


class Streamed(StreamingResponse):
    """A response whose body is generated while it is sent.

    size: length of the body in bytes.
    has_length: True if the response has a Content-Length.
    """

    def __init__(self, chunks: Iterator[bytes], size: int, media_type: str | None, *, has_length: bool) -> None:
        super().__init__(_iterate(chunks), media_type=media_type)
        self._chunks = chunks
        self.size = size
        if has_length:
            self.headers["content-length"] = str(size)

    def buffered(self) -> Response:
        """Return the same response with its body in memory. The stream is used up."""
        return Response(b"".join(self._chunks), self.status_code, media_type=self.media_type)

    def truncate(self) -> None:
        """Cut the body to its first half."""
        self.size //= 2
        self.body_iterator = take_bytes(self.size, self.body_iterator)
        if "content-length" in self.headers:
            self.headers["content-length"] = str(self.size)


async def _iterate(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    # Starlette would fetch each chunk in another thread, which takes longer than generating it.
    for chunk in chunks:
        await asyncio.sleep(0)  # lets other requests run, and a disconnect be noticed
        yield chunk


async def take_bytes(size: int, chunks: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    """Yield the first `size` bytes."""
    async for chunk in chunks:
        yield bytes(chunk[:size])
        size -= len(chunk)
        if size <= 0:
            return


def ok(body: Any, status: int = 200) -> Response:
    """Return a response with a JSON body."""
    return Json(body, status)


def tier_of(method: str) -> Tier:
    """Return the rate limit of most operations: `tier_1` for reads, `tier_2` for writes."""
    return "tier_1" if method == "GET" else "tier_2"


def no_content(status: int = 204) -> Response:
    """Return a response without a body."""
    return Response(status_code=status)
