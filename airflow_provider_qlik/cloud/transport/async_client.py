"""The client for an event loop; `client` is the one for threads.

All waits of an event loop share it: its connections, the tenant's rate limits and the polls (see `polling`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self, TypeVar

import httpx

from airflow_provider_qlik.cloud.call import Await, Call, Flow, Pause, Poll, RefreshCredentials, Tier
from airflow_provider_qlik.cloud.errors import (
    IntermediaryResponseError,
    InvalidArgumentError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher
from airflow_provider_qlik.cloud.polling.rate_limits import RateLimits
from airflow_provider_qlik.cloud.polling.slots import MAX_CONCURRENT_REQUESTS, Priority
from airflow_provider_qlik.cloud.transport.base_client import BaseClient, ConnectionSettings
from airflow_provider_qlik.cloud.transport.http_errors import translated_errors
from airflow_provider_qlik.cloud.transport.paths import sent, tier_of
from airflow_provider_qlik.cloud.transport.retry import ONE_TRY, RetryPolicy
from airflow_provider_qlik.cloud.transport.transports import AsyncBoundedTransport

T = TypeVar("T")

REREAD_INTERVAL = 300.0
"""Seconds after which a client in an event loop reads its connection again."""


class AsyncClient(BaseClient[Callable[[], Awaitable[ConnectionSettings]], httpx.AsyncClient]):
    """A client for an event loop: sends calls, runs flows, goes through lists.

    Use it in an ``async with``. *count* gets the name of a metric and a number: `requests`, `polls` (that were
    answered), `merged` (polls that cost no request), `rate_limited`, `errors`, `deprecated`, `turn_seconds` (waited for
    a token). If it fails, calls and waits go on.
    """

    def __init__(self, *of: Any, **arguments: Any) -> None:
        super().__init__(*of, **arguments)
        self._refresh_lock = asyncio.Lock()
        self._limits: RateLimits | None = None
        self._reread_task: asyncio.Task[None] | None = None
        self._dispatcher = Dispatcher(
            self._run_polls,
            self._rate_limits,
            count_polls=lambda answered: self._count("polls", answered),
            count_merged=lambda merged: self._count("merged", merged),
            count_wait=lambda seconds: self._count("turn_seconds", seconds),
            tier=lambda tier: tier_of(self.tenant, tier),
        )

    def _open_http(self) -> httpx.AsyncClient:
        options, transport = self._http_options()
        limits = httpx.Limits(
            max_connections=MAX_CONCURRENT_REQUESTS, max_keepalive_connections=MAX_CONCURRENT_REQUESTS
        )
        return httpx.AsyncClient(**options, transport=AsyncBoundedTransport(**transport, limits=limits))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client, its connections and its polls. Flows that are under way are cancelled."""
        self._dispatcher.close()
        if self._reread_task is not None:
            self._reread_task.cancel()
        for http in (*self._replaced_clients, self._http):
            await http.aclose()

    async def call(self, call: Call[T], retry_policy: RetryPolicy | None = None) -> T:
        """Send a call and return its response, retried where that is safe. Raises QlikCloudError."""
        retry_policy = retry_policy or self.retry_policy
        priority = Priority.HIGH if retry_policy.high_priority or call.method != "GET" else Priority.POLL
        return await self._drive(sent(call, self.tenant, retry_policy), partial(self._send, priority=priority))

    async def run_flow(self, flow: Flow[T], retry_policy: RetryPolicy | None = None) -> T:
        """Run a flow and return its result. Raises QlikCloudError, or what the flow raises."""
        return await self._drive(flow, partial(self.call, retry_policy=retry_policy))

    async def iterate(self, call: Call[Page[ItemT]]) -> AsyncIterator[ItemT]:
        """Yield all items of a paged list; each page is fetched when its first item is needed."""
        pages = Pages[ItemT](call)
        while pages.next_call is not None:
            for item in pages.take(await self.call(pages.next_call)):
                yield item

    async def _run_polls(self, flow: Flow[T], tier: Tier) -> tuple[T, int]:
        """Return the result of a flow of polls and the number of its calls.

        The dispatcher has acquired a token of *tier* for the first request. It is refunded if no request needs it.
        """
        calls = requests = 0
        has_token = True

        async def send(call: Call[Any]) -> Any:
            nonlocal requests, has_token
            requests += 1
            # A flow that has begun goes before new polls: behind all of them, it would end after its waits' deadlines.
            priority, use_token = Priority.FOLLOW_UP if requests > 1 else Priority.POLL, has_token
            has_token = False
            if use_token and call.tier is not tier:
                # Only now is it known on which path the tenant has its tasks.
                self._rate_limits().refund(tier)
                use_token = False
            return await self._send(call, priority, has_token=use_token)

        async def counted(call: Call[Any]) -> Any:
            nonlocal calls
            calls += 1
            return await self._drive(sent(call, self.tenant, ONE_TRY), send)

        try:
            return await self._drive(flow, counted), calls
        finally:
            if calls and has_token:
                # The probe for the path has failed, so the request itself was not sent.
                self._rate_limits().refund(tier)

    def _rate_limits(self) -> RateLimits:
        limits = self._limits = self._limits or RateLimits.of(self.tenant, self._rotation.credentials)
        return limits

    async def _send(self, call: Call[T], priority: Priority, has_token: bool = False) -> T:
        self._check_open()
        self._reread_when_due()
        async with self._token_and_slot(call, priority, has_token):
            request, auth = self._request(call), self._auth
            self._count("requests", 1)
            with self._errors_noted(call), self._named_errors():
                with translated_errors(call, request):
                    response = await self._http.send(request, auth=auth)
                redirected = self._redirected(call, response)
                if redirected is None:
                    value = self._read(call, response)
                    self._rotation.record_accepted(auth)
                    return value
        return await self._send(redirected, priority)

    @asynccontextmanager
    async def _token_and_slot(self, call: Call[Any], priority: Priority, has_token: bool) -> AsyncIterator[None]:
        """Acquire a token, unless there is one already, and then a slot, which is held in the block.

        While the request waited for its slot, another may have met the rate limit. Then the tier is paused, the token
        from before counts for nothing, and a new one is acquired.
        """
        limits = self._rate_limits()
        while True:
            acquired = None
            if not has_token:
                acquired = await limits.acquire(call.tier, priority)
                self._count("turn_seconds", acquired.waited)
            async with limits.slot(priority):
                if not limits.is_paused(call.tier):
                    if acquired is not None:
                        limits.mark_sent(call.tier, acquired)
                    yield
                    return
            has_token, priority = False, min(priority, Priority.FOLLOW_UP)

    @contextmanager
    def _errors_noted(self, call: Call[Any]) -> Iterator[None]:
        """Count an error that is raised in the block. If it is Qlik Cloud's rate limit, pause the tier for all."""
        sent_at, limits = time.monotonic(), self._rate_limits()
        sent_at_in_loop = limits.clock()
        try:
            yield
        except QlikCloudError as error:
            error.sent_at = sent_at
            self._count("errors", 1)
            if isinstance(error, StatusError | IntermediaryResponseError) and error.status == 429 and error.transient:
                self._count("rate_limited", 1)
                limits.pause(call.tier, error.retry_after or 1.0)
                if isinstance(error, StatusError) and error.rate_limited and not error.signing_in:
                    limits.slow_down(call.tier, sent_at_in_loop)
            raise

    def _reread_when_due(self) -> None:
        """Start to read the connection again if the last time is some minutes ago; a failure is only logged."""
        if (
            self._reread is None
            or time.monotonic() - self._rotation.reread_at < REREAD_INTERVAL
            or self._reread_task is not None
        ):
            return
        self._reread_task = asyncio.get_running_loop().create_task(self._reread_and_apply())
        self._reread_task.add_done_callback(self._reread_ended)

    def _reread_ended(self, done: asyncio.Task[None]) -> None:
        self._reread_task = None
        if not done.cancelled() and (error := done.exception()) is not None:
            self._record_reread_failure(error if isinstance(error, Exception) else RuntimeError(str(error)))

    async def _reread_and_apply(self) -> None:
        assert self._reread is not None
        async with self._refresh_lock:
            self._apply_reread(await self._reread(), refused=False)

    async def _refresh(self, step: RefreshCredentials) -> bool:
        # The connection is read once for all requests that were refused together.
        async with self._refresh_lock:
            if self._rotation.should_refresh(step):
                settings = None
                if self._reread is not None and self._rotation.should_reread(step):
                    with self._tolerating_failure(step):
                        settings = await self._reread()
                self._switch_credentials(step, settings)
        return self._rotation.refreshed_since(step)

    def _take(self, step: Pause | RefreshCredentials | Await | Poll) -> Awaitable[Any]:
        # A plain function: what is handed on as it is needs no coroutine, and thousands of waits are in here.
        if isinstance(step, RefreshCredentials):
            return self._refresh(step)
        if isinstance(step, Poll):
            return self._dispatcher.submit(step)
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
