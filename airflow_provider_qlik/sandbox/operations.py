"""What an operation is, and what one request for it says."""

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
from airflow_provider_qlik.sandbox.schemas import Shape
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
    """A short name of who asks, for the journal."""

    @property
    def caller(self) -> Identity:
        """Who asks; only operations that need credentials may wonder."""
        if self.identity is None:
            raise ApiError(401, "Unauthorized", "nobody is signed in")
        return self.identity

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next(reversed(self.parameters(name)), None)

    def parameters(self, name: str) -> list[str]:
        """Every value of a query parameter, in order."""
        return [value for key, value in self.query if key == name]

    def flag(self, name: str) -> bool | None:
        """The value of a query parameter that is true or false; anything else is refused."""
        value = self.parameter(name)
        if value not in (None, "true", "false"):
            raise ApiError(400, "Bad request", f"{name} must be true or false, and not {value!r}")
        return None if value is None else value == "true"

    def starts(self, why_disabled: str | None, why_busy: str | None) -> bool:
        """Whether what is disabled or busy for these reasons starts all the same; 400 where that is refused."""
        switches = self.tenant_state.switches
        starts = True
        for why, switch in ((why_disabled, switches.disabled_start), (why_busy, switches.running_start)):
            if why and switch == "refused":
                raise ApiError(400, "Bad request", why)
            starts = starts and not (why and switch == "ignored")
        return starts


Handler = Callable[[ApiRequest], Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: where it is, how it is limited and checked, and what answers it."""

    name: str
    method: str
    paths: tuple[str, ...]
    family: Family
    tier: Tier | None
    handler: Handler
    body: Shape | None = None
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
    """An answer whose body is made while it is sent; `size` is its length in bytes, told or not."""

    def __init__(self, chunks: Iterator[bytes], size: int, media_type: str | None, *, is_length_told: bool) -> None:
        super().__init__(_one_by_one(chunks), media_type=media_type)
        self._chunks = chunks
        self.size = size
        if is_length_told:
            self.headers["content-length"] = str(size)

    def whole(self) -> Response:
        """Return the same response with its body in memory. The stream is used up."""
        return Response(b"".join(self._chunks), self.status_code, media_type=self.media_type)

    def halve(self) -> None:
        """Make half of the body the whole of it."""
        self.size //= 2
        self.body_iterator = up_to(self.size, self.body_iterator)
        if "content-length" in self.headers:
            self.headers["content-length"] = str(self.size)


async def _one_by_one(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    # Starlette would fetch each chunk in another thread, which takes longer than making it.
    for chunk in chunks:
        await asyncio.sleep(0)  # so that others get answers, and somebody who has gone is noticed
        yield chunk


async def up_to(size: int, chunks: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    """The first so many bytes."""
    async for chunk in chunks:
        yield bytes(chunk[:size])
        size -= len(chunk)
        if size <= 0:
            return


def ok(body: Any, status: int = 200) -> Response:
    """An answer with a JSON body."""
    return Json(body, status)


def tier_of(method: str) -> Tier:
    """The rate limit of most operations: reading has more room than writing."""
    return "tier_1" if method == "GET" else "tier_2"


def nothing(status: int = 204) -> Response:
    """An answer without a body."""
    return Response(status_code=status)
