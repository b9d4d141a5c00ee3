"""How calls are sent in an event loop, in virtual time: who goes first, over how many connections, and when nobody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Call, QlikCloudError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.api import tasks, users
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.permits import RateLimits
from airflow_provider_qlik.cloud.polling.slots import MAX_CONCURRENT_REQUESTS, RESERVED_SLOTS, Priority
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from tests.virtual_time import now, run

TENANT = Tenant.at("acme.eu.qlikcloud.com", tasks_path="/api/v1/tasks")
POLL = tasks.get("poll").read_as(str)
LOOK = tasks.get("look").read_as(str)
PAGE = tasks.get("page").read_as(str)
CANCEL = tasks.delete("cancel")
URGENT = RetryPolicy(max_attempts=1, high_priority=True)
FOR_POLLS = MAX_CONCURRENT_REQUESTS - RESERVED_SLOTS


class Qlik:
    """Answers every request after so many seconds, and knows when which came and how many were there at once."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds
        self.came: list[tuple[float, str]] = []
        self.most = self._here = 0
        self.refuses_first = False
        self.in_its_form = True

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.came.append((now(), request.url.path.rpartition("/")[2]))
        self._here += 1
        self.most = max(self.most, self._here)
        try:
            if self.refuses_first and len(self.came) == 1:
                await asyncio.sleep(self.seconds / 2)
                said = {"errors": [{"code": "HTTP-429", "title": "Too many"}]} if self.in_its_form else None
                return httpx.Response(429, headers={"retry-after": "30"}, json=said)
            await asyncio.sleep(self.seconds)
            return httpx.Response(200, text="there it is")
        finally:
            self._here -= 1

    def moments(self, name: str) -> list[float]:
        return [moment for moment, each in self.came if each == name]


def play(scene: Callable[[AsyncClient], Coroutine[Any, Any, None]], answer: Any, **told: Any) -> None:
    async def with_client() -> None:
        async with AsyncClient(TENANT, ApiKey("one"), **told) as client:
            await client._http.aclose()
            client._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
            await scene(client)

    run(with_client())


def many(
    client: AsyncClient, call: Call[Any], count: int, retry_policy: RetryPolicy = ONE_ATTEMPT
) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(client.call(call, retry_policy)) for _ in range(count)]


async def stop(*waiting: asyncio.Future[Any]) -> None:
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("name", "call", "retry_policy"),
    [("cancel", CANCEL, ONE_ATTEMPT), ("look", LOOK, URGENT)],
    ids=["cancel", "urgent look"],
)
def test_high_priority_goes_before_polls_that_wait_for_a_token(
    name: str, call: Call[Any], retry_policy: RetryPolicy
) -> None:
    qlik = Qlik()

    async def scene(client: AsyncClient) -> None:
        polls = many(client, POLL, 500)
        await asyncio.sleep(10.2)
        began = now()
        await client.call(call, retry_policy)
        assert qlik.moments(name) == [began]
        await stop(*polls)

    play(scene, qlik)


@pytest.mark.parametrize(
    ("call", "most"), [(POLL, FOR_POLLS), (CANCEL, MAX_CONCURRENT_REQUESTS)], ids=["polls", "cancels"]
)
def test_requests_in_flight_never_exceed_the_concurrency_limit(call: Call[Any], most: int) -> None:
    qlik = Qlik(seconds=1)

    async def scene(client: AsyncClient) -> None:
        await asyncio.gather(*many(client, call, 45))
        assert now() == pytest.approx(3, abs=0.1)

    play(scene, qlik)
    assert qlik.most == most


def test_polls_that_hang_block_no_cancel() -> None:
    qlik = Qlik(seconds=60)

    async def scene(client: AsyncClient) -> None:
        polls = many(client, POLL, 40)
        await asyncio.sleep(5)
        cancels = many(client, CANCEL, RESERVED_SLOTS)
        await asyncio.sleep(0.01)
        assert qlik.moments("cancel") == [5] * RESERVED_SLOTS
        await stop(*polls, *cancels)

    play(scene, qlik)


def test_cancels_are_first_to_get_a_released_slot() -> None:
    qlik = Qlik(seconds=1)

    async def scene(client: AsyncClient) -> None:
        first = many(client, POLL, 100)
        await asyncio.sleep(0.5)
        cancels = many(client, CANCEL, RESERVED_SLOTS + 10)
        await asyncio.sleep(0.7)
        assert qlik.came[FOR_POLLS : FOR_POLLS + len(cancels)] == [(0.5, "cancel")] * 2 + [(1, "cancel")] * 10
        await stop(*first, *cancels)

    play(scene, qlik)


@pytest.mark.parametrize("in_its_form", [True, False], ids=["of Qlik", "of something in between"])
@pytest.mark.parametrize("call", [POLL, CANCEL], ids=["polls", "cancels"])
def test_a_pause_also_stops_requests_that_wait_for_a_slot(call: Call[Any], in_its_form: bool) -> None:
    qlik = Qlik(seconds=1)
    qlik.refuses_first, qlik.in_its_form = True, in_its_form
    told: Counter[str] = Counter()

    async def scene(client: AsyncClient) -> None:
        results = await asyncio.gather(*many(client, call, 60), return_exceptions=True)
        assert sum(isinstance(each, QlikCloudError) for each in results) == 1

    play(scene, qlik, count=lambda name, number: told.update({name: number}))
    before = [moment for moment, _ in qlik.came if moment < 0.5]
    after = [moment for moment, _ in qlik.came if moment >= 0.5]
    assert len(before) == (FOR_POLLS if call is POLL else MAX_CONCURRENT_REQUESTS)
    assert len(before) + len(after) == 60 == told["requests"]
    assert min(after) >= 30.5
    if call is CANCEL:
        # Still before all others: as soon as there are connections.
        assert max(after) <= 31.6


def test_a_pause_also_stops_further_pages() -> None:
    qlik = Qlik(seconds=1)

    async def scene(client: AsyncClient) -> None:
        limits = client._rate_limits()
        waiting = many(client, CANCEL, MAX_CONCURRENT_REQUESTS)
        await asyncio.sleep(0.2)
        going_on = asyncio.ensure_future(client._send(PAGE, Priority.FOLLOW_UP))
        await asyncio.sleep(0.2)
        limits.pause(Tier.TASKS, 30)
        await asyncio.gather(*waiting)
        polls = many(client, POLL, 10)
        await going_on
        # Who had begun is the first to go on.
        assert qlik.came[MAX_CONCURRENT_REQUESTS][1] == "page"
        assert qlik.moments("page") == pytest.approx([30.4])
        await stop(*polls)

    play(scene, qlik)


def test_a_poll_with_a_permit_from_before_a_pause_is_the_first_after_it() -> None:
    qlik = Qlik()

    async def scene(client: AsyncClient) -> None:
        limits = client._rate_limits()
        permit = await limits.acquire(PAGE.tier)
        limits.pause(Tier.TASKS, 30)
        polls = many(client, POLL, 10)
        await asyncio.sleep(1)
        await client._send(PAGE, Priority.POLL, permit)
        assert qlik.came[0] == (30, "page")
        assert not permit.held
        await stop(*polls)

    play(scene, qlik)


def test_cancelled_requests_keep_neither_token_nor_slot() -> None:
    qlik = Qlik(seconds=1)

    async def scene(client: AsyncClient) -> None:
        for moment in (0.0, 0.5, 1.0):
            gone = [*many(client, POLL, 60), *many(client, CANCEL, 40)]
            await asyncio.sleep(moment)
            await stop(*gone)
        await asyncio.sleep(60)
        qlik.most, began = 0, now()
        await asyncio.gather(*many(client, CANCEL, MAX_CONCURRENT_REQUESTS))
        assert (qlik.most, now()) == (MAX_CONCURRENT_REQUESTS, began + 1)
        await asyncio.gather(*many(client, POLL, FOR_POLLS))
        assert now() == began + 2

    play(scene, qlik)


def test_metrics_that_fail_end_no_call() -> None:
    def fail(_name: str, _number: float) -> None:
        raise OSError("no statistics")

    async def scene(client: AsyncClient) -> None:
        assert await client.call(POLL) == "there it is"

    play(scene, Qlik(), count=fail)


def test_an_error_behind_a_redirect_is_counted_once() -> None:
    told: Counter[str] = Counter()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/me"):
            return httpx.Response(308, headers={"location": "/api/v1/users/somebody"})
        return httpx.Response(403, json={"errors": [{"code": "X-1", "title": "No"}]})

    async def scene(client: AsyncClient) -> None:
        with pytest.raises(QlikCloudError):
            await client.call(users.me())

    play(scene, answer, count=lambda name, number: told.update({name: number}))
    assert (told["requests"], told["errors"]) == (2, 1)


def test_clients_of_one_user_share_their_rate_limits() -> None:
    qlik = Qlik()

    async def scene(client: AsyncClient) -> None:
        RateLimits.of(Tenant.at("acme.eu.qlikcloud.com", read_timeout=5), ApiKey("one")).pause(Tier.TASKS, 30)
        await client.call(POLL)
        assert qlik.came == [(30, "poll")]

    play(scene, qlik)
