"""The bounds of a request in time and of its response in size.

httpx bounds each *read* of a socket, not a request: a server or proxy that sends one byte every half second keeps a
request going for ever, and twenty such requests keep every wait of a triggerer from being polled. It also decodes and
keeps whatever comes: a gzip body of 1 MB becomes 1 GB in memory.

A request says in its `extensions` which bounds it has, and the transports of both clients keep them (`transports`).
They are set there, below httpx's client, so that they hold for whatever it sends: a call, a sign-in inside its
authentication flow, and the bodies that it reads by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx

from airflow_provider_qlik.cloud.transport.tenant import Tenant

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a decoded response body that are read into memory, at most."""
MAX_ERROR_BODY = 256 * 1024
"""Bytes of the body of a response with status 400 or above, at most: an error of Qlik Cloud's has some hundred."""
MIN_REQUEST = 0.05
"""Seconds that a request may take, at least, however near the deadline of its call is."""
KEPT_END = 1024 * 1024
"""Bytes that are kept of the end of a log."""

_EXTENSION = "qlik_bounds"
_call_deadline: ContextVar[float | None] = ContextVar("qlik_cloud_call_deadline", default=None)
"""The moment of the monotonic clock at which all requests of a call must be over: a sign-in sends one before it."""


@dataclass(slots=True, kw_only=True)
class Bounds:
    """The bounds of one request.

    :param total: seconds from the first byte sent to the last byte received; None for no bound.
    :param headers: seconds until the headers of the response are there, where `total` is None, as for a download.
    :param limit: bytes of the decoded body; None for any number.
    :param keep_end: keep this many bytes of the body's end instead, and count the others in `left_out`: logs are read
        for their end.
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
        if (deadline := _call_deadline.get()) is not None and self.total is not None:
            self.total = min(self.total, max(MIN_REQUEST, deadline - self._began))

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


def bounds_of(request: httpx.Request) -> Bounds:
    """Return the bounds of a request, to be set and read."""
    return request.extensions[_EXTENSION]  # type: ignore[no-any-return]


def bounded(tenant: Tenant, bounds: Bounds) -> dict[str, Any]:
    """Return the extensions that give a request its bounds, and the time-outs of httpx for its single steps."""
    return {
        "timeout": httpx.Timeout(tenant.read_timeout, connect=tenant.connect_timeout).as_dict(),
        _EXTENSION: bounds,
    }


@contextmanager
def call_deadline(moment: float | None) -> Iterator[None]:
    """Bound all requests that this thread sends in the block by a moment of the monotonic clock, sign-ins included."""
    token = _call_deadline.set(moment)
    try:
        yield
    finally:
        _call_deadline.reset(token)
