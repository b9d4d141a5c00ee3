"""How calls and flows are sent in an event loop, for all who wait there; `client` does the same for a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self, TypeVar

import httpx

from airflow_provider_qlik.cloud.call import Await, Call, Flow, Pause, Poll, Renew, Tier
from airflow_provider_qlik.cloud.errors import (
    IntermediaryResponseError,
    InvalidArgumentError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher
from airflow_provider_qlik.cloud.polling.rate_limiter import Limits
from airflow_provider_qlik.cloud.polling.slots import CONNECTIONS, WaitingList
from airflow_provider_qlik.cloud.transport.base_client import Known, Wire, as_our_errors
from airflow_provider_qlik.cloud.transport.bounds import AsyncBoundedTransport
from airflow_provider_qlik.cloud.transport.paths import sent, tier_of
from airflow_provider_qlik.cloud.transport.retry import ONE_TRY, RetryPolicy

T = TypeVar("T")

REREAD_INTERVAL = 300.0
"""Seconds after which a client in an event loop reads its connection again."""


class AsyncClient(Wire[Callable[[], Awaitable[Known]], httpx.AsyncClient]):
    """What `Client` is, for an event loop and all who wait there: they share the tenant's rate limits, and their polls.

    Use it in an ``async with``. *count* is told what happens, by name and number: `requests`, `polls` (answers that
    waits asked for), `merged` (answers that cost no request), `rate_limited`, `errors`, `deprecated`, `turn_seconds`
    (waited for a turn). If it fails, calls and waits go on.
    """

    def __init__(self, *of: Any, **arguments: Any) -> None:
        super().__init__(*of, **arguments)
        self._renewing = asyncio.Lock()
        self._limits: Limits | None = None
        self._keeping_up: asyncio.Task[None] | None = None
        self._rounds = Dispatcher(
            self._ask,
            self._kept,
            tier=lambda tier: tier_of(self.tenant, tier),
            polls=lambda answers: self._count("polls", answers),
            merged=lambda answers: self._count("merged", answers),
            waited=lambda seconds: self._count("turn_seconds", seconds),
        )

    def _open_http(self) -> httpx.AsyncClient:
        options, transport = self._http_options()
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        return httpx.AsyncClient(**options, transport=AsyncBoundedTransport(**transport, limits=limits))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Nothing is left open."""
        self._rounds.close()
        if self._keeping_up is not None:
            self._keeping_up.cancel()
        for http in (*self._retired, self._http):
            await http.aclose()

    async def call(self, call: Call[T], patience: RetryPolicy | None = None) -> T:
        """The answer of a call, retried where that is safe. Raises QlikCloudError."""
        patience = patience or self.patience
        lane = WaitingList.URGENT if patience.high_priority or call.method != "GET" else WaitingList.POLL
        return await self._drive(sent(call, self.tenant, patience), partial(self._send, lane=lane))

    async def run_flow(self, flow: Flow[T], patience: RetryPolicy | None = None) -> T:
        """The result of a flow. Raises QlikCloudError, or what the flow raises."""
        return await self._drive(flow, partial(self.call, patience=patience))

    async def iterate(self, call: Call[Page[ItemT]]) -> AsyncIterator[ItemT]:
        """All items of a paged list, fetched page by page as they are asked for."""
        pages = Pages[ItemT](call)
        while pages.next_call is not None:
            for item in pages.take(await self.call(pages.next_call)):
                yield item

    async def _ask(self, flow: Flow[T], tier: Tier) -> tuple[T, int]:
        begun = calls = 0
        has_turn = True

        async def send(call: Call[Any]) -> Any:
            nonlocal begun, has_turn
            begun += 1
            # The first has its turn. Then what was begun is brought to its end, and not put behind all others again.
            lane, first, has_turn = WaitingList.GOING_ON if begun > 1 else WaitingList.POLL, has_turn, False
            if first and call.tier is not tier:
                # Only now is it known where the tenant has its tasks.
                self._kept().refund(tier)
                first = False
            return await self._send(call, lane, has_turn=first)

        async def counted(call: Call[Any]) -> Any:
            nonlocal calls
            calls += 1
            return await self._drive(sent(call, self.tenant, ONE_TRY), send)

        try:
            return await self._drive(flow, counted), calls
        finally:
            if calls and has_turn:
                # Nothing was sent, since the probe for the path failed: the turn is returned.
                self._kept().refund(tier)

    def _kept(self) -> Limits:
        limits = self._limits = self._limits or Limits.of(self.tenant, self._credentials)
        return limits

    async def _send(self, call: Call[T], lane: WaitingList, has_turn: bool = False) -> T:
        self._check_open()
        self._keep_up()
        async with self._connection(call, lane, has_turn):
            request, auth = self._request(call), self._auth
            self._count("requests", 1)
            with self._errors_noted(call), self._named_errors():
                with as_our_errors(call, request):
                    response = await self._http.send(request, auth=auth)
                redirected = self._redirected(call, response)
                if redirected is None:
                    value = self._read(call, response)
                    self._worked(auth)
                    return value
        return await self._send(redirected, lane)

    @asynccontextmanager
    async def _connection(self, call: Call[Any], lane: WaitingList, has_turn: bool) -> AsyncIterator[None]:
        """A connection, once the call's turn has come and unless everybody is held up by then."""
        limits = self._kept()
        while True:
            turn = None
            if not has_turn:
                turn = await limits.turn(call.tier, lane)
                self._count("turn_seconds", turn.waited)
            async with limits.connection(lane):
                if not limits.held(call.tier):
                    if turn is not None:
                        limits.sent(call.tier, turn)
                    yield
                    return
            # The turn was one of before the rate limit was met.
            has_turn, lane = False, min(lane, WaitingList.GOING_ON)

    @contextmanager
    def _errors_noted(self, call: Call[Any]) -> Iterator[None]:
        """Whatever goes wrong in the block is counted, and a rate limit that is met holds up all others at once."""
        sent_at, limits = time.monotonic(), self._kept()
        begun = limits.time()
        try:
            yield
        except QlikCloudError as error:
            error.sent_at = sent_at
            self._count("errors", 1)
            if isinstance(error, StatusError | IntermediaryResponseError) and error.status == 429 and error.transient:
                self._count("rate_limited", 1)
                limits.hold(call.tier, error.retry_after or 1.0)
                if isinstance(error, StatusError) and error.rate_limited and not error.signing_in:
                    limits.refused(call.tier, begun)
            raise

    def _keep_up(self) -> None:
        """Read the connection again every few minutes, beside; that it cannot be read just now does no harm."""
        if self._reread is None or time.monotonic() - self._reread_at < REREAD_INTERVAL or self._keeping_up is not None:
            return
        self._keeping_up = asyncio.get_running_loop().create_task(self._read_again())
        self._keeping_up.add_done_callback(self._kept_up)

    def _kept_up(self, done: asyncio.Task[None]) -> None:
        self._keeping_up = None
        if not done.cancelled() and (error := done.exception()) is not None:
            self._not_reread(error if isinstance(error, Exception) else RuntimeError(str(error)))

    async def _read_again(self) -> None:
        assert self._reread is not None
        async with self._renewing:
            self._take_over(await self._reread(), refused=False)

    async def _renew(self, step: Renew) -> bool:
        # One reading for all whose credentials were refused together.
        async with self._renewing:
            if self._may_renew(step):
                known = None
                with self._reading_again(step):
                    known = await self._reread() if self._reread is not None and self._may_reread(step) else None
                self._exchange(step, known)
        return self._renewed_at >= step.since

    def _take(self, step: Pause | Renew | Await | Poll) -> Awaitable[Any]:
        # A plain function: what is handed on as it is needs no coroutine, and thousands of waits are in here.
        if isinstance(step, Renew):
            return self._renew(step)
        if isinstance(step, Poll):
            return self._rounds.answer(step)
        if isinstance(step, Await):
            return asyncio.wrap_future(step.future)
        return asyncio.sleep(step.seconds)

    async def _drive(self, flow: Flow[T], perform: Callable[[Call[Any]], Awaitable[Any]]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await (perform(step) if isinstance(step, Call) else self._take(step))
                except (QlikCloudError, InvalidArgumentError) as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()
