"""What is sent and what comes back, whoever drives it: calls become requests, what came of them answers or errors."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit

import httpx

from airflow_provider_qlik import __version__
from airflow_provider_qlik.cloud.answer import read
from airflow_provider_qlik.cloud.auth import sign_in
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.credentials import Credentials
from airflow_provider_qlik.cloud.errors import CouldNotConnect, NoAnswer, UnreadableAnswer
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.retry import Patience
from airflow_provider_qlik.cloud.tenant import Tenant

T = TypeVar("T")

Known: TypeAlias = tuple[Tenant, Credentials]
"""What a client is made of; what reading it again gives."""

_SURELY_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


_sending: ContextVar[bool] = ContextVar("qlik_cloud_sending", default=False)


class _NotOurs(logging.Filter):
    """Keeps httpx from logging a line for each of our requests: a wait has thousands. What others send is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not _sending.get()


_not_ours = _NotOurs()


RereadT = TypeVar("RereadT")


class Wire(Generic[RereadT]):
    """What both drivers share: how a call becomes a request, and what came of it an answer or an error.

    *reread* gives tenant and credentials anew, for when Qlik Cloud refuses these. `outdated` tells that it gave another
    tenant, or other settings for it: whoever begins now needs another client.
    """

    def __init__(
        self,
        tenant: Tenant,
        credentials: Credentials,
        *,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        on_secret: Callable[[str], object] | None = None,
        reread: RereadT | None = None,
    ) -> None:
        self.tenant = tenant
        self.patience = patience
        self._on_secret = on_secret
        self._reread = reread
        self._reread_at = time.monotonic()
        self._renewed_at = -math.inf
        self.outdated = False
        self._use(credentials)
        self._open()

    def _use(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._auth = sign_in(self.tenant, credentials, self._on_secret)

    def _take_over(self, known: Known) -> None:
        """Goes on with what was read anew. Another tenant knows nothing of what was begun with this one."""
        tenant, credentials = known
        self._reread_at = time.monotonic()
        self.outdated = tenant != self.tenant
        if credentials != self._credentials and tenant.url == self.tenant.url:
            self._renewed_at = self._reread_at
            self._use(credentials)

    def _open(self) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tenant.url!r})"

    def _request(self, call: Call[Any]) -> httpx.Request:
        # Made by hand and not by the client: nothing of httpx's joining of addresses may move a call to another path.
        headers = {"accept": call.accept, "user-agent": f"airflow-provider-qlik/{__version__}", **dict(call.headers)}
        return httpx.Request(
            call.method,
            self.tenant.address_of(call),
            headers=headers,
            **({} if call.body is None else {"json": call.body}),
            extensions={
                "timeout": httpx.Timeout(self.tenant.read_timeout, connect=self.tenant.connect_timeout).as_dict()
            },
        )

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        # httpx ties a response to its stream and that to the response: all of it would stay until the garbage collector
        # looks at what is old, which it hardly ever does in a process as large as a triggerer.
        response.stream = httpx.ByteStream(b"")
        headers = {name.lower(): given for name, given in response.headers.items()}
        answer = read(call, self.tenant.path_of(call), Reply(response.status_code, headers, response.content))
        if self._on_secret and isinstance(answer, Shape):
            for secret in answer.secrets:
                self._on_secret(secret)
        return answer

    def _redirected(self, call: Call[T], response: httpx.Response) -> Call[T] | None:
        """Where the one documented redirect leads, if the call allows it and it stays on the tenant's host."""
        if not call.follows_redirect or not response.has_redirect_location:
            return None
        own = urlsplit(self.tenant.url)
        target = urlsplit(str(response.request.url.join(response.headers["location"])))
        if (target.scheme, target.netloc) != (own.scheme, own.netloc):
            raise UnreadableAnswer(
                f"{call} was answered with a redirect to another host, {target.hostname}: not followed"
            )
        return replace(call, path=target.path, follows_redirect=False)


@contextmanager
def as_our_errors(call: Call[Any], request: httpx.Request) -> Iterator[None]:
    """Whatever goes wrong on the way is an error of this package in the block."""
    logging.getLogger("httpx").addFilter(_not_ours)  # does nothing the second time
    token = _sending.set(True)
    asked = f"{call.method} {request.url.raw_path.decode().partition('?')[0]}"
    try:
        yield
    except httpx.HTTPError as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        # Every other failing request is the one that signs in, before this call was sent.
        signing_in = getattr(error, "_request", None) not in (None, request)
        if signing_in:
            raise CouldNotConnect(f"could not sign in for {asked} at {request.url.host} ({what})") from error
        if isinstance(error, _SURELY_NOT_SENT):
            raise CouldNotConnect(f"could not connect to {request.url.host} for {asked} ({what})") from error
        if isinstance(error, httpx.DecodingError):
            raise UnreadableAnswer(f"{asked} was answered with a body that cannot be decoded ({what})") from error
        raise NoAnswer(
            f"{asked} was sent to {request.url.host}, but no answer came ({what}): it may have happened"
        ) from error
    finally:
        _sending.reset(token)
