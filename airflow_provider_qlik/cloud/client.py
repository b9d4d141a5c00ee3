"""How calls and flows are sent: two short drivers of the same rules, one for threads and one for an event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import NoneType
from typing import Any, BinaryIO, Generic, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

import httpx

from airflow_provider_qlik import __version__
from airflow_provider_qlik.cloud.answer import read
from airflow_provider_qlik.cloud.auth import sign_in
from airflow_provider_qlik.cloud.call import Call, Flow, Pause, Question, Renew, by_itself
from airflow_provider_qlik.cloud.credentials import Credentials
from airflow_provider_qlik.cloud.download import Download
from airflow_provider_qlik.cloud.errors import CouldNotConnect, NoAnswer, QlikCloudError, Refused, UnreadableAnswer
from airflow_provider_qlik.cloud.limits import CONNECTIONS, Limits
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.retry import ONE_TRY, Patience, attempts
from airflow_provider_qlik.cloud.rounds import Rounds
from airflow_provider_qlik.cloud.tenant import Tenant

T = TypeVar("T")

Known: TypeAlias = tuple[Tenant, Credentials]
"""What a client is made of; what reading it again gives."""

PART_BYTES = 256 * 1024
REREAD_AFTER = 300.0
"""Seconds after which a client in an event loop reads its connection again."""

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


class _Wire(Generic[RereadT]):
    """What both drivers know: how a call becomes a request, and what came of it an answer or an error.

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
def _as_our_errors(call: Call[Any], request: httpx.Request) -> Iterator[None]:
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


class Client(_Wire[Callable[[], Known]]):
    """A client for threads: sends calls, runs flows, goes through lists. Use it in a ``with``."""

    def _open(self) -> None:
        self._http = httpx.Client(**self.tenant.http_options())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left open."""
        self._http.close()

    def call(self, call: Call[T], patience: Patience | None = None) -> T:
        """The answer of a call, retried where that is safe. Raises QlikCloudError."""
        return self._drive(attempts(call, patience or self.patience), self._send)

    def run_flow(self, flow: Flow[T], patience: Patience | None = None) -> T:
        """The result of a flow. Raises QlikCloudError, or what the flow raises."""
        return self._drive(by_itself(flow), partial(self.call, patience=patience))

    def iterate(self, call: Call[Page[ItemT]]) -> Iterator[ItemT]:
        """All items of a paged list, fetched page by page as they are asked for."""
        pages = Pages[ItemT](call)
        while pages.next_call is not None:
            yield from pages.take(self.call(pages.next_call))

    def download(
        self,
        call: Call[Download],
        write_to: Callable[[], AbstractContextManager[BinaryIO]],
        patience: Patience | None = None,
    ) -> None:
        """Nothing: the file is in what *write_to* opens, which is opened anew for each try, and left with the error.

        Streamed: no more than a part of it is ever in memory. Raises QlikCloudError, or what writing raises.
        """
        self._drive(attempts(call, patience or self.patience), partial(self._receive, write_to))

    def _receive(self, write_to: Callable[[], AbstractContextManager[BinaryIO]], call: Call[Any]) -> None:
        request = self._request(call)
        with _as_our_errors(call, request):
            response = self._http.send(request, auth=self._auth, stream=True)
            try:
                if response.status_code != 200:
                    response.read()
                    self._read(replace(call, answer=NoneType), response)
                    raise UnreadableAnswer(f"{call} was answered with {response.status_code} and no file")
                with write_to() as sink:
                    for part in response.iter_bytes(PART_BYTES):
                        sink.write(part)
            finally:
                response.close()

    def _send(self, call: Call[T]) -> T:
        request = self._request(call)
        with _as_our_errors(call, request):
            response = self._http.send(request, auth=self._auth)
        redirected = self._redirected(call, response)
        return self._send(redirected) if redirected else self._read(call, response)

    def _renew(self, step: Renew) -> bool:
        if self._reread is not None and self._reread_at < step.since:
            self._take_over(self._reread())
        return self._renewed_at >= step.since

    def _take(self, step: Pause | Renew | Question) -> Any:
        if isinstance(step, Renew):
            return self._renew(step)
        assert isinstance(step, Pause), step
        return time.sleep(step.seconds)

    def _drive(self, flow: Flow[T], perform: Callable[[Call[Any]], Any]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = perform(step) if isinstance(step, Call) else self._take(step)
                except QlikCloudError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()


class AsyncClient(_Wire[Callable[[], Awaitable[Known]]]):
    """The same for an event loop, and for all who wait there: they share the tenant's rate limits, and their polls.

    Use it in an ``async with``. *count* is told what happens, by name and number: `requests`, `merged` (answers that
    cost no request), `rate_limited`, `errors`, `turn_seconds` (waited for a turn).
    """

    def __init__(
        self, *of: Any, count: Callable[[str, float], object] = lambda _name, _number: None, **arguments: Any
    ) -> None:
        super().__init__(*of, **arguments)
        self._count = count

    def _open(self) -> None:
        self._http = httpx.AsyncClient(
            **self.tenant.http_options(),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        )
        self._renewing = asyncio.Lock()
        self._limits: Limits | None = None
        self._keeping_up: asyncio.Task[bool] | None = None
        self._rounds = Rounds(self._ask, lambda answers: self._count("merged", answers))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Nothing is left open."""
        self._rounds.close()
        if self._keeping_up is not None:
            self._keeping_up.cancel()
        await self._http.aclose()

    async def call(self, call: Call[T], patience: Patience | None = None) -> T:
        """The answer of a call, retried where that is safe. Raises QlikCloudError."""
        patience = patience or self.patience
        return await self._drive(attempts(call, patience), partial(self._send, urgent=patience.urgent))

    async def run_flow(self, flow: Flow[T], patience: Patience | None = None) -> T:
        """The result of a flow. Raises QlikCloudError, or what the flow raises."""
        return await self._drive(flow, partial(self.call, patience=patience))

    async def iterate(self, call: Call[Page[ItemT]]) -> AsyncIterator[ItemT]:
        """All items of a paged list, fetched page by page as they are asked for."""
        pages = Pages[ItemT](call)
        while pages.next_call is not None:
            for item in pages.take(await self.call(pages.next_call)):
                yield item

    async def _ask(self, flow: Flow[T]) -> tuple[T, int]:
        calls = 0

        async def counted(call: Call[Any]) -> Any:
            nonlocal calls
            calls += 1
            return await self.call(call, ONE_TRY)

        return await self._drive(flow, counted), calls

    async def _send(self, call: Call[T], urgent: bool = False) -> T:
        limits = self._limits = self._limits or Limits.of(self.tenant, self._credentials)
        urgent = urgent or call.method != "GET"
        self._keep_up()
        self._count("turn_seconds", await limits.turn(call.tier, urgent))
        request = self._request(call)
        self._count("requests", 1)
        sent_at = time.monotonic()
        try:
            async with limits.connection(urgent):
                with _as_our_errors(call, request):
                    response = await self._http.send(request, auth=self._auth)
            redirected = self._redirected(call, response)
            return await self._send(redirected, urgent) if redirected else self._read(call, response)
        except QlikCloudError as error:
            error.sent_at = sent_at
            self._count("errors", 1)
            if isinstance(error, Refused) and error.status == 429 and error.transient:
                self._count("rate_limited", 1)
                limits.hold(call.tier, error.retry_after or 1.0)
            raise

    def _keep_up(self) -> None:
        """Reads the connection again every few minutes, beside; that it cannot be read just now does no harm."""
        if self._reread is None or time.monotonic() - self._reread_at < REREAD_AFTER or self._keeping_up is not None:
            return
        self._keeping_up = asyncio.get_running_loop().create_task(self._renew(Renew(since=time.monotonic())))
        self._keeping_up.add_done_callback(self._kept_up)

    def _kept_up(self, done: asyncio.Task[bool]) -> None:
        self._keeping_up = None
        if done.cancelled() or done.exception() is not None:
            self._reread_at = time.monotonic()

    async def _renew(self, step: Renew) -> bool:
        # One reading for all whose credentials were refused together.
        async with self._renewing:
            if self._reread is not None and self._reread_at < step.since:
                self._take_over(await self._reread())
        return self._renewed_at >= step.since

    async def _take(self, step: Pause | Renew | Question) -> Any:
        if isinstance(step, Renew):
            return await self._renew(step)
        if isinstance(step, Question):
            return await self._rounds.answer(step)
        return await asyncio.sleep(step.seconds)

    async def _drive(self, flow: Flow[T], perform: Callable[[Call[Any]], Awaitable[Any]]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await (perform(step) if isinstance(step, Call) else self._take(step))
                except QlikCloudError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()
