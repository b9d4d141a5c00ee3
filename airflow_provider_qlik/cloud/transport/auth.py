"""Authentication, as `httpx.Auth` flows: one access token per process and credentials, and one request for it.

Thousands of requests may need a new token at the same moment. One of them requests it, and the others wait for that
one: they may be in other event loops or threads of the process, so they wait for a `concurrent.futures.Future`. What
does not work: that each of them requests a token itself when the first request has failed. They would do so one after
the other, each after its time-out. So a failure fails all of them, and their retries spread out.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, TypeAlias

import httpx
from pydantic import SecretStr

from airflow_provider_qlik.cloud.errors import (
    TOKEN_PATH,
    ConnectError,
    InvalidResponseError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.models.members import Number
from airflow_provider_qlik.cloud.models.moments import Moment, http_date
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.transport.bounds import MAX_ERROR_BODY, bounded
from airflow_provider_qlik.cloud.transport.clock import (
    CLOCK_TOLERANCE,
    clock_error,
    clock_offset,
    correct_clock,
    measured_offset,
)
from airflow_provider_qlik.cloud.transport.credentials import (
    ApiKey,
    Credentials,
    OAuth,
    PrivateKey,
    digest,
    fits_a_header,
    plain,
)
from airflow_provider_qlik.cloud.transport.decoding import ACCEPT_ENCODING
from airflow_provider_qlik.cloud.transport.responses import is_web_page, refusal
from airflow_provider_qlik.cloud.transport.tenant import Tenant

REFRESH_MARGIN = 60.0
MAX_WAIT_FOR_PENDING = 90.0
DEFAULT_LIFETIME = 300.0


def auth_type(tenant: Tenant, credentials: Credentials, on_secret: Callable[[str], object] | None = None) -> httpx.Auth:
    """Return the httpx authentication for credentials. *on_secret* gets each new token, to mask it in logs."""
    if isinstance(credentials, ApiKey):
        return _ApiKeyAuth(tenant, credentials.key)
    return _OAuth(tenant, credentials, on_secret)


class TokenResponse(Shape):
    """The response of the token endpoint."""

    access_token: SecretStr
    expires_in: Number = None
    expires_at: Moment = None

    model_config = Shape.model_config | {"alias_generator": None}


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and when to refresh it, by this process's monotonic clock in seconds."""

    value: SecretStr = field(repr=False)
    refresh_at: float

    @property
    def fresh(self) -> bool:
        """True if it can be used, and need not be refreshed first."""
        return time.monotonic() < self.refresh_at


_TokenOutcome: TypeAlias = Token | QlikCloudError | None
"""The end of a token request: the token, the error, or None where the request was interrupted."""


class _PendingToken(Future[_TokenOutcome]):
    """A token that has been requested, and the thread that requests it."""

    def __init__(self) -> None:
        super().__init__()
        self.thread_id = threading.get_ident()


class _TokenHolder:
    """The token of one tenant and one set of credentials, shared by all clients of the process."""

    _all: ClassVar[dict[tuple[object, ...], _TokenHolder]] = {}
    _lock = threading.RLock()

    def __init__(self) -> None:
        # Re-entrant, since a signal may interrupt a thread in here to cancel what it has started.
        self.lock = threading.RLock()
        self.token: Token | None = None
        self.pending: Future[_TokenOutcome] | None = None

    @classmethod
    def forget_all(cls) -> None:
        """Begin anew in a child process: a lock that a thread of the parent held would never be released."""
        cls._all, cls._lock = {}, threading.RLock()

    @classmethod
    def of(cls, tenant: Tenant, credentials: OAuth) -> _TokenHolder:
        # A digest: the table must not be a place where secrets lie about.
        key = (tenant.url, repr(credentials), digest(credentials))
        with cls._lock:
            return cls._all.setdefault(key, cls())


os.register_at_fork(after_in_child=_TokenHolder.forget_all)


def forget_tokens() -> None:
    """Forget all tokens of this process: the next request gets a new one."""
    with _TokenHolder._lock:
        for holder in _TokenHolder._all.values():
            # Clients that live on have the holder, not the table.
            holder.token = None
        _TokenHolder._all.clear()


_Step: TypeAlias = httpx.Request | Future[_TokenOutcome] | partial[dict[str, Any]]


class _BearerAuth(httpx.Auth):
    def __init__(self, tenant: Tenant) -> None:
        # By the rules of whoever sends it: httpx shows an international host name in another form than it looks up.
        own = httpx.URL(tenant.url)
        self._origin = (own.scheme, own.host, own.port)

    def _authorize(self, request: httpx.Request, token: SecretStr) -> None:
        if (request.url.scheme, request.url.host, request.url.port) != self._origin:
            raise QlikCloudError(f"a token for {self._origin[1]} must not be sent to {request.url.host}")
        request.headers["authorization"] = f"Bearer {token.get_secret_value()}"


class _ApiKeyAuth(_BearerAuth):
    def __init__(self, tenant: Tenant, key: SecretStr) -> None:
        super().__init__(tenant)
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._authorize(request, self._key)
        yield request


class _OAuth(_BearerAuth):
    """Requests a token where there is none, refreshes it a minute early, and once more after a 401.

    The rules are in `_steps`. It yields requests to send, functions to call in another thread (to sign an assertion
    takes a while), and futures to wait for where another request has requested a token already. The two flows below
    are the drivers that httpx needs.
    """

    def __init__(self, tenant: Tenant, credentials: OAuth, on_secret: Callable[[str], object] | None) -> None:
        super().__init__(tenant)
        self._tenant = tenant
        self._credentials = credentials
        self._on_secret = on_secret
        self._holder = _TokenHolder.of(tenant, credentials)

    def _steps(self, request: httpx.Request) -> Generator[_Step, Any, None]:
        token = yield from self._token(None)
        self._authorize(request, token.value)
        response = yield request
        if response.status_code == 401:
            renewed = yield from self._token(token)
            self._authorize(request, renewed.value)
            yield request

    def _token(self, refused: Token | None) -> Generator[_Step, Any, Token]:
        """Return a token that is fresh and not the refused one."""
        holder = self._holder
        while True:
            with holder.lock:
                token = holder.token
                if token is not None and token.fresh and token != refused:
                    return token
                pending, is_first = holder.pending, holder.pending is None
                if pending is None:
                    pending = holder.pending = _PendingToken()
                    # So no waiting request can cancel it for the others.
                    pending.set_running_or_notify_cancel()
            if is_first:
                return (yield from self._fetch(pending))
            outcome = yield pending
            if isinstance(outcome, QlikCloudError):
                # A copy for each waiting request: an error collects notes and a traceback on its way.
                raise copy(outcome)
            if outcome is None:
                # Not requested from here, see the module: the retries of the calls spread them out.
                with holder.lock:
                    if holder.pending is pending:
                        holder.pending = None
                raise ConnectError("Could not sign in: the sign-in that this request waited for got no response")

    def _fetch(self, pending: Future[_TokenOutcome]) -> Generator[_Step, Any, Token]:
        holder = self._holder
        outcome: _TokenOutcome = None
        try:
            outcome = token = yield from self._request_token()
            return token
        except QlikCloudError as error:
            outcome = error
            raise
        finally:
            with holder.lock:
                if isinstance(outcome, Token):
                    holder.token = outcome
                if holder.pending is pending:
                    holder.pending = None
            pending.set_result(outcome)

    def _request_token(self) -> Generator[_Step, Any, Token]:
        """Request a token, and once more by the server's clock if that is why an assertion was refused."""
        corrected = False
        while True:
            body = yield partial(self._credentials.token_request, self._tenant, clock_offset(self._tenant.url))
            sent_at, requested_at = time.time(), time.monotonic()
            response = yield self._token_request(body)
            try:
                token = self._read(response, requested_at)
            except StatusError as error:
                if error.status not in {400, 401, 403} or not isinstance(self._credentials, PrivateKey):
                    raise
                offset = self._clock_offset(response, sent_at)
                if corrected or not correct_clock(self._tenant.url, offset):
                    raise _with_clock_error(error, offset) from None
                corrected = True
            else:
                if isinstance(self._credentials, PrivateKey):
                    correct_clock(self._tenant.url, self._clock_offset(response, sent_at))
                return token

    def _token_request(self, body: dict[str, Any]) -> httpx.Request:
        return httpx.Request(
            "POST",
            self._tenant.url + TOKEN_PATH,
            json=plain(body),
            headers={"accept": "application/json", "accept-encoding": ACCEPT_ENCODING},
            extensions={
                "timeout": httpx.Timeout(self._tenant.read_timeout, connect=self._tenant.connect_timeout).as_dict(),
                **bounded(
                    total=self._tenant.request_timeout, headers=self._tenant.request_timeout, limit=MAX_ERROR_BODY
                ),
            },
        )

    def _clock_offset(self, response: httpx.Response, sent_at: float) -> float | None:
        return measured_offset(http_date(response.headers.get("date", "")), sent_at, time.time())

    def _read(self, response: httpx.Response, requested_at: float) -> Token:
        reply = Reply(
            response.status_code, {name.lower(): given for name, given in response.headers.items()}, response.content
        )
        if reply.status >= 400:
            raise refusal("POST", TOKEN_PATH, reply)
        if reply.status != 200 or is_web_page(reply):
            # Without an excerpt: what signs in and comes with another status may hold a token.
            raise ConnectError(
                "Could not sign in: something between Airflow and Qlik Cloud answered in its place, check proxies and"
                f" firewalls (HTTP {reply.status} for POST {TOKEN_PATH})"
            )
        parsed = _token_response(reply)
        if parsed is None:
            # Without an excerpt: there may be a token in it.
            raise ConnectError(f"Could not sign in: the response holds no token (POST {TOKEN_PATH})")
        if not fits_a_header(parsed.access_token.get_secret_value()):
            # Not left to the HTTP library, whose error would show it.
            raise ConnectError(f"Could not sign in: the token in the response cannot be sent (POST {TOKEN_PATH})")
        if self._on_secret:
            self._on_secret(parsed.access_token.get_secret_value())
        lifetime = parsed.expires_in
        if lifetime is None and parsed.expires_at is not None:
            lifetime = (parsed.expires_at - (reply.server_time or datetime.now(UTC))).total_seconds()
        lifetime = DEFAULT_LIFETIME if lifetime is None else lifetime
        return Token(parsed.access_token, requested_at + lifetime - min(REFRESH_MARGIN, lifetime / 2))

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        steps = self._steps(request)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Future):
                    step = steps.send(_result(step))
                elif isinstance(step, partial):
                    step = steps.send(step())
                else:
                    response = yield step
                    if step is not request:
                        response.read()  # of the call itself no more than the status: it may be a file
                    step = steps.send(response)
        except StopIteration:
            return
        finally:
            steps.close()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        steps = self._steps(request)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Future):
                    step = steps.send(await _result_async(step))
                elif isinstance(step, partial):
                    step = steps.send(await asyncio.to_thread(step))
                else:
                    response = yield step
                    if step is not request:
                        await response.aread()
                    step = steps.send(response)
        except StopIteration:
            return
        finally:
            steps.close()


def _token_response(reply: Reply) -> TokenResponse | None:
    """Return the parsed response, or None if it holds no token. No error: its text might show one."""
    try:
        return TokenResponse.from_reply(reply)
    except InvalidResponseError:
        return None


def _with_clock_error(error: StatusError, offset: float | None) -> StatusError:
    """Return the refusal of a sign-in with the error of the clock, if that explains it."""
    if offset is None or abs(offset) <= CLOCK_TOLERANCE:
        return error
    error.detail = f"{clock_error(offset)}: set it" + (f"; {error.detail}" if error.detail else "")
    # Its text is made anew of its parts.
    return copy(error)


def _result(pending: Future[_TokenOutcome]) -> _TokenOutcome:
    if isinstance(pending, _PendingToken) and pending.thread_id == threading.get_ident():
        # A signal has interrupted the token request of this very thread: it would wait for itself.
        return None
    try:
        return pending.result(timeout=MAX_WAIT_FOR_PENDING)
    except FutureTimeoutError:
        return None


async def _result_async(pending: Future[_TokenOutcome]) -> _TokenOutcome:
    waiting = asyncio.wrap_future(pending)
    await asyncio.wait({waiting}, timeout=MAX_WAIT_FOR_PENDING)
    return waiting.result() if waiting.done() else None
