"""The request for an access token (POST /oauth/token), as steps without I/O, and how its response is read.

No error in here shows an excerpt of a response: there may be a token in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

import httpx
from pydantic import SecretStr

from airflow_provider_qlik.cloud.errors import TOKEN_PATH, ConnectError, InvalidResponseError, StatusError
from airflow_provider_qlik.cloud.models.members import Number
from airflow_provider_qlik.cloud.models.moments import Moment, http_date
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.transport.bounds import MAX_ERROR_BODY, Bounds, bounded
from airflow_provider_qlik.cloud.transport.clock import (
    CLOCK_TOLERANCE,
    clock_error,
    clock_offset,
    correct_clock,
    measured_offset,
)
from airflow_provider_qlik.cloud.transport.credentials import OAuth, PrivateKey, fits_a_header, plain
from airflow_provider_qlik.cloud.transport.decoding import ACCEPT_ENCODING
from airflow_provider_qlik.cloud.transport.responses import is_web_page, refusal
from airflow_provider_qlik.cloud.transport.tenant import Tenant

REFRESH_MARGIN = 60.0
"""Seconds before its end that a token is refreshed; half of its lifetime, if that is less."""
DEFAULT_LIFETIME = 300.0
"""Seconds that a token is taken to be valid if the response does not say."""

_MAY_BE_THE_CLOCK = frozenset({400, 401, 403})
"""Statuses of a refused assertion, whose reason may be that this machine's clock is off."""

OnSecret: TypeAlias = Callable[[str], object]
TokenStep: TypeAlias = httpx.Request | partial[dict[str, Any]]
"""A request to send, whose response is sent back and has been read; or a function to call, whose result is sent back.

The function signs an assertion, which takes milliseconds: an event loop calls it in a thread."""


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


def request_token(
    tenant: Tenant, credentials: OAuth, on_secret: OnSecret | None = None
) -> Generator[TokenStep, Any, Token]:
    """Return a new token. If an assertion was refused because of the clock, sign once more by the server's clock.

    *on_secret* gets the token, to mask it in logs. Raises QlikCloudError.
    """
    signed = isinstance(credentials, PrivateKey)
    corrected = False
    while True:
        body = yield partial(credentials.token_request, tenant, clock_offset(tenant.url))
        sent_at, requested_at = time.time(), time.monotonic()
        response = yield _token_request(tenant, body)
        offset = measured_offset(http_date(response.headers.get("date", "")), sent_at, time.time()) if signed else None
        try:
            token = read_token(response, requested_at, on_secret)
        except StatusError as error:
            if not signed or error.status not in _MAY_BE_THE_CLOCK:
                raise
            if corrected or not correct_clock(tenant.url, offset):
                raise _with_clock_error(error, offset) from None
            corrected = True
        else:
            correct_clock(tenant.url, offset)
            return token


def _token_request(tenant: Tenant, body: dict[str, Any]) -> httpx.Request:
    bounds = Bounds(total=tenant.request_timeout, headers=tenant.request_timeout, limit=MAX_ERROR_BODY)
    return httpx.Request(
        "POST",
        tenant.url + TOKEN_PATH,
        json=plain(body),
        headers={"accept": "application/json", "accept-encoding": ACCEPT_ENCODING},
        extensions=bounded(tenant, bounds),
    )


def read_token(response: httpx.Response, requested_at: float, on_secret: OnSecret | None = None) -> Token:
    """Return the token in a response to a request sent at *requested_at*, a moment of the monotonic clock.

    Raises StatusError if Qlik Cloud refused to sign in, and ConnectError if the response holds no usable token.
    """
    headers = {name.lower(): value for name, value in response.headers.items()}
    reply = Reply(response.status_code, headers, response.content)
    if reply.status >= 400:
        raise refusal("POST", TOKEN_PATH, reply)
    if reply.status != 200 or is_web_page(reply):
        raise ConnectError(
            "Could not sign in: something between Airflow and Qlik Cloud answered in its place, check proxies and"
            f" firewalls (HTTP {reply.status} for POST {TOKEN_PATH})"
        )
    parsed = _parsed(reply)
    if parsed is None:
        raise ConnectError(f"Could not sign in: the response holds no token (POST {TOKEN_PATH})")
    if not fits_a_header(parsed.access_token.get_secret_value()):
        # Checked here, since the error of the HTTP library would show the token.
        raise ConnectError(f"Could not sign in: the token in the response cannot be sent (POST {TOKEN_PATH})")
    if on_secret:
        on_secret(parsed.access_token.get_secret_value())
    lifetime = parsed.expires_in
    if lifetime is None and parsed.expires_at is not None:
        # Both by the server's clock.
        lifetime = (parsed.expires_at - (reply.server_time or datetime.now(UTC))).total_seconds()
    lifetime = DEFAULT_LIFETIME if lifetime is None else lifetime
    return Token(parsed.access_token, requested_at + lifetime - min(REFRESH_MARGIN, lifetime / 2))


def _parsed(reply: Reply) -> TokenResponse | None:
    """Return the parsed response, or None if it holds no token. No error: its traceback would show the token."""
    try:
        return TokenResponse.from_reply(reply)
    except InvalidResponseError:
        return None


def _with_clock_error(error: StatusError, offset: float | None) -> StatusError:
    """Return the refusal of a sign-in with the error of the clock, if that explains it."""
    if offset is None or abs(offset) <= CLOCK_TOLERANCE:
        return error
    error.detail = f"{clock_error(offset)}: set it" + (f"; {error.detail}" if error.detail else "")
    # The text of an error is made of its parts when it is made.
    return copy(error)
