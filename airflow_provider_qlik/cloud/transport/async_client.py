"""The client for an event loop; `client` is the one for threads.

All waits of an event loop share it: its connections, the tenant's rate limits and the polls (see `polling`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, TypeVar

import httpx

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import (
    IntermediaryResponseError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.flow import Await, Flow, FlowDriver, Pause, Poll, RefreshCredentials, Step
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.polling.dispatcher import Dispatcher
from airflow_provider_qlik.cloud.polling.permits import Permit, RateLimits
from airflow_provider_qlik.cloud.polling.slots import MAX_CONCURRENT_REQUESTS, Priority
from airflow_provider_qlik.cloud.transport.base_client import BaseClient, ConnectionSettings
from airflow_provider_qlik.cloud.transport.httpx_errors import translated_errors
from airflow_provider_qlik.cloud.transport.paths import sent, tier_of
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT, RetryPolicy
from airflow_provider_qlik.cloud.transport.transports import AsyncBoundedTransport

T = TypeVar("T")

REREAD_INTERVAL = 300.0
"""Seconds after which a client in an event loop reads its connection again."""


class AsyncClient(BaseClient[Callable[[], Awaitable[ConnectionSettings]], httpx.AsyncClient]):
    """A client for an event loop: sends calls, runs flows, goes through lists.

    Use it in an ``async with``. *count* gets the name of a metric and a number: `requests`, `polls` (that were
    answered), `merged` (polls that cost no request), `rate_limited`, `errors`, `deprecated`, `turn_seconds` (waited for
    a permit). If it fails, calls and waits go on.
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

    async def _run_polls(self, flow: Flow[T], permit: Permit) -> tuple[T, int]:
        """Return the result of a flow of polls and the number of its calls; the first request has a permit already."""
        calls = requests = 0

        async def send(call: Call[Any]) -> Any:
            nonlocal requests
            requests += 1
            # A flow that has begun goes before new polls: behind all of them, it would end after its waits' deadlines.
            return await self._send(call, Priority.FOLLOW_UP if requests > 1 else Priority.POLL, permit)

        async def counted(call: Call[Any]) -> Any:
            nonlocal calls
            calls += 1
            return await self._drive(sent(call, self.tenant, ONE_ATTEMPT), send)

        return await self._drive(flow, counted), calls

    def _rate_limits(self) -> RateLimits:
        limits = self._limits = self._limits or RateLimits.of(self.tenant, self._rotation.credentials)
        return limits

    async def _send(self, call: Call[T], priority: Priority, permit: Permit | None = None) -> T:
        """Send a request with a permit that was acquired before, or else with another one."""
        self._check_open()
        self._reread_when_due()
        with await self._permit(call, priority, permit):
            request, auth = self._request(call), self._auth
            self._count("requests", 1)
            with self._pausing_after_429(call), self._named_errors():
                with translated_errors(call, request):
                    response = await self._http.send(request, auth=auth)
                redirected = self._redirected(call, response)
                if redirected is None:
                    value = self._read(call, response)
                    self._rotation.record_accepted(auth)
                    return value
        return await self._send(redirected, priority)

    async def _permit(self, call: Call[Any], priority: Priority, permit: Permit | None) -> Permit:
        """Return a permit for a call: the one that there is, if it is still of use, or another one.

        It is of none where the call counts in another tier, as it turns out when the path of the tasks is known; where
        it was used up by the first request of a flow; or where another request has met the rate limit since.
        """
        limits = self._rate_limits()
        while permit is None or not permit.held or permit.tier is not call.tier or limits.is_paused(call.tier):
            if permit is not None:
                priority = min(priority, Priority.FOLLOW_UP)
                permit.refund()
            permit = await limits.acquire(call.tier, priority)
            self._count("turn_seconds", permit.waited)
        return permit

    @contextmanager
    def _pausing_after_429(self, call: Call[Any]) -> Iterator[None]:
        """Count an error that is raised in the block. After a 429, pause the tier for all requests of this user."""
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

    def _perform(self, step: Step) -> Awaitable[Any]:
        """Perform a step that is no call."""
        # A plain function: what is handed on as it is needs no coroutine, and thousands of waits are in here.
        if isinstance(step, RefreshCredentials):
            return self._refresh(step)
        if isinstance(step, Poll):
            return self._dispatcher.submit(step)
        if isinstance(step, Await):
            return asyncio.wrap_future(step.future)
        assert isinstance(step, Pause), step
        return asyncio.sleep(step.seconds)

    async def _drive(self, flow: Flow[T], send: Callable[[Call[Any]], Awaitable[Any]]) -> T:
        driver = FlowDriver(flow)
        for step in driver:
            with driver:
                driver.response = await (send(step) if isinstance(step, Call) else self._perform(step))
        return driver.result
