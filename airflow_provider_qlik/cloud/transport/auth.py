"""Authentication, as `httpx.Auth` flows: an API key, or an OAuth access token that is refreshed.

Which token is used, and who requests it, is decided in `token_cache`; how it is requested, in `token_request`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any

import httpx
from pydantic import SecretStr

from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.cloud.transport.credentials import ApiKey, Credentials, OAuth
from airflow_provider_qlik.cloud.transport.tenant import Tenant
from airflow_provider_qlik.cloud.transport.token_cache import PendingToken, SharedToken
from airflow_provider_qlik.cloud.transport.token_request import OnSecret, TokenStep, request_token


def auth_for(tenant: Tenant, credentials: Credentials, on_secret: OnSecret | None = None) -> httpx.Auth:
    """Return the httpx authentication for credentials. *on_secret* gets each new token, to mask it in logs."""
    if isinstance(credentials, ApiKey):
        return _ApiKeyAuth(tenant, credentials.key)
    return _OAuthAuth(tenant, credentials, on_secret)


class _BearerAuth(httpx.Auth):
    def __init__(self, tenant: Tenant) -> None:
        # By the rules of httpx, which sends it: it shows an international host name in another form than it looks up.
        own = httpx.URL(tenant.url)
        self._origin = (own.scheme, own.host, own.port)

    def _authorize(self, request: httpx.Request, token: SecretStr) -> None:
        if (request.url.scheme, request.url.host, request.url.port) != self._origin:
            raise QlikCloudError(
                f"The request was not sent: the token for {self._origin[1]} must not be sent to {request.url.host}"
            )
        request.headers["authorization"] = f"Bearer {token.get_secret_value()}"


class _ApiKeyAuth(_BearerAuth):
    def __init__(self, tenant: Tenant, key: SecretStr) -> None:
        super().__init__(tenant)
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._authorize(request, self._key)
        yield request


class _OAuthAuth(_BearerAuth):
    """Requests a token where there is none, refreshes it a minute early, and once more after a 401.

    The rules are in `_steps`. It yields requests to send, functions to call in another thread (to sign an assertion
    takes a while), and tokens to wait for where another request has requested one already. The two flows below are the
    drivers that httpx needs; `httpx.Auth.auth_flow` has room for requests alone.
    """

    def __init__(self, tenant: Tenant, credentials: OAuth, on_secret: OnSecret | None) -> None:
        super().__init__(tenant)
        self._shared_token = SharedToken.of(tenant, credentials)
        self._request_token = partial(request_token, tenant, credentials, on_secret)

    def _steps(self, request: httpx.Request) -> Generator[TokenStep | PendingToken, Any, None]:
        token = yield from self._shared_token.get(None, self._request_token)
        self._authorize(request, token.value)
        response = yield request
        if response.status_code == 401:
            token = yield from self._shared_token.get(token, self._request_token)
            self._authorize(request, token.value)
            yield request

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        steps = self._steps(request)
        try:
            step = next(steps)
            while True:
                if isinstance(step, PendingToken):
                    step = steps.send(step.wait())
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
                if isinstance(step, PendingToken):
                    step = steps.send(await step.wait_async())
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
