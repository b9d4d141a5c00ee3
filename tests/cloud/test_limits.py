"""Whose turn it is, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, Tenant
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.limits import A_MINUTE, CONNECTIONS, TOGETHER, Lane, Limits
from tests.virtual_time import now, run

TENANT, KEY = Tenant.at("acme.eu.qlikcloud.com"), ApiKey("one")


def taken(tier: Tier, count: int, *, share: float = 1.0, urgent: bool = False) -> list[float]:
    """When each of so many who come at once gets its turn."""

    async def all_at_once() -> list[float]:
        limits = Limits(share, now)
        moments: list[float] = []

        async def one() -> None:
            await limits.turn(tier, Lane.URGENT if urgent else Lane.POLL)
            moments.append(now())

        await asyncio.gather(*(one() for _ in range(count)))
        return moments

    return run(all_at_once())


@pytest.mark.parametrize("tier", [Tier.ONE, Tier.TASKS], ids=str)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_polls_never_pass_nine_tenths_of_a_limit_but_for_a_small_burst(tier: Tier, share: float) -> None:
    moments = taken(tier, 2000, share=share)
    a_minute = A_MINUTE[tier] * share * 0.9
    for begin in moments[::50]:
        for minutes in (1, 5):
            within = sum(begin <= moment < begin + minutes * 60 for moment in moments)
            assert within <= a_minute * (minutes + 5 / 60) + 1


def test_beyond_the_limits_polls_go_out_in_small_lots_and_what_is_urgent_waits_for_none() -> None:
    moments = taken(Tier.ONE, 600)
    lots = sorted(Counter(moments).items())
    assert [count for _, count in lots[1:-1]] == pytest.approx([15 * TOGETHER] * (len(lots) - 2), abs=1)
    urgent = Counter(taken(Tier.ONE, 600, urgent=True))
    assert max(count for moment, count in urgent.items() if moment > 0) == 1


def test_polls_use_what_they_may() -> None:
    moments = taken(Tier.TASKS, 1000)
    assert moments[-1] == pytest.approx((1000 - 45) / 9, abs=1)


@pytest.mark.parametrize("tier", list(Tier), ids=str)
def test_what_is_urgent_may_come_all_at_once_and_never_passes_the_limit(tier: Tier) -> None:
    moments = taken(tier, 3000, urgent=True)
    for begin in moments[::50]:
        assert sum(begin <= moment < begin + 300 for moment in moments) <= A_MINUTE[tier] * 5
    at_once = sum(moment == 0 for moment in moments)
    assert at_once >= {Tier.ONE: 250, Tier.TASKS: 150, Tier.TWO: 275, Tier.RELOADS: 137}[tier]


def test_turns_come_in_the_order_of_asking_but_for_the_urgent() -> None:
    async def play() -> list[str]:
        limits = Limits(1.0, now)
        order: list[str] = []

        async def one(name: str, urgent: bool = False) -> None:
            await limits.turn(Tier.ONE, Lane.URGENT if urgent else Lane.POLL)
            order.append(name)

        polls = [asyncio.ensure_future(one(f"poll {number}")) for number in range(200)]
        await asyncio.sleep(1.2)
        urgent = [asyncio.ensure_future(one(f"cancel {number}", urgent=True)) for number in range(3)]
        begun = len(order)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order[begun:] == ["cancel 0", "cancel 1", "cancel 2"]
        await asyncio.gather(*polls, *urgent)
        return [name for name in order if name.startswith("poll")]

    assert run(play()) == [f"poll {number}" for number in range(200)]


def test_who_has_begun_goes_before_those_who_have_not_and_takes_no_room_of_the_urgent() -> None:
    async def play() -> list[str]:
        limits = Limits(1.0, now)
        order: list[str] = []

        async def one(name: str, lane: Lane) -> None:
            await limits.turn(Tier.ONE, lane)
            order.append(name)

        polls = [asyncio.ensure_future(one("poll", Lane.POLL)) for _ in range(100)]
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(one("going on", Lane.GOING_ON)) for _ in range(300)]
        urgent = asyncio.ensure_future(one("urgent", Lane.URGENT))
        await asyncio.gather(*polls, *others, urgent)
        assert now() == pytest.approx((401 - 75) / 15, abs=1)
        return order[75:]

    order = run(play())
    assert order[0] == "urgent"
    assert order[1:301] == ["going on"] * 300


def test_a_rate_limit_that_is_met_holds_up_everybody() -> None:
    async def play() -> list[float]:
        limits = Limits(1.0, now)
        await limits.turn(Tier.ONE)
        limits.hold(Tier.ONE, 7)
        began = now()
        waited = [await limits.turn(Tier.ONE), await limits.turn(Tier.ONE, Lane.URGENT)]
        assert now() - began == pytest.approx(7)
        assert await limits.turn(Tier.TASKS) == 0
        return waited

    assert run(play()) == pytest.approx([7, 0])


def test_after_a_rate_limit_polls_begin_slowly() -> None:
    async def play() -> list[float]:
        limits = Limits(1.0, now)
        limits.hold(Tier.ONE, 30)
        moments: list[float] = []

        async def one() -> None:
            await limits.turn(Tier.ONE)
            moments.append(now())

        await asyncio.gather(*(one() for _ in range(100)))
        return moments

    moments = run(play())
    assert moments[0] == pytest.approx(30)
    assert sum(moment < 31 for moment in moments) <= 16


def test_what_was_begun_is_not_held_up_by_those_who_wait_in_lots() -> None:
    async def play() -> float:
        limits = Limits(1.0, now)
        polls = [asyncio.ensure_future(limits.turn(Tier.ONE)) for _ in range(1000)]
        await asyncio.sleep(10)
        began = now()
        for _ in range(20):
            await limits.turn(Tier.ONE, Lane.GOING_ON)
        for each in polls:
            each.cancel()
        return now() - began

    assert run(play()) == pytest.approx(20 / 15, abs=TOGETHER)


def test_nobody_is_held_up_for_longer_than_five_minutes() -> None:
    async def play() -> float:
        limits = Limits(1.0, now)
        limits.hold(Tier.TWO, 86400)
        return await limits.turn(Tier.TWO, Lane.URGENT)

    assert run(play()) == pytest.approx(300)


def test_limits_are_kept_when_nobody_asks_for_a_while() -> None:
    async def play() -> float:
        Limits.of(TENANT, KEY).hold(Tier.ONE, 50)
        await asyncio.sleep(0)
        return await asyncio.wait_for(Limits.of(TENANT, KEY).turn(Tier.ONE), 10)

    with pytest.raises(TimeoutError):
        run(play())


def test_who_goes_away_takes_nobodys_turn() -> None:
    async def play() -> float:
        limits = Limits(1.0, now)
        for _ in range(75):
            await limits.turn(Tier.ONE)
        gone = [asyncio.ensure_future(limits.turn(Tier.ONE)) for _ in range(100)]
        await asyncio.sleep(0)
        last = asyncio.ensure_future(limits.turn(Tier.ONE))
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        return await last

    assert run(play()) <= TOGETHER


@pytest.mark.parametrize("going", [0, 3, CONNECTIONS])
def test_no_more_connections_are_used_at_once_whoever_goes_away(going: int) -> None:
    async def play() -> int:
        limits = Limits(1.0, now)
        used = most = 0

        async def one() -> None:
            nonlocal used, most
            async with limits.connection():
                used += 1
                most = max(most, used)
                try:
                    await asyncio.sleep(1)
                finally:
                    used -= 1

        tasks = [asyncio.ensure_future(one()) for _ in range(100)]
        await asyncio.sleep(0.5)
        for task in tasks[:going] + tasks[40 : 40 + going]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert now() <= 6
        return most

    assert run(play()) == CONNECTIONS


def test_with_three_times_the_demand_nobody_is_polled_less_than_half_as_often_as_another() -> None:
    async def play() -> Counter[int]:
        limits = Limits(1.0, now)
        polls: Counter[int] = Counter()

        async def one(name: int) -> None:
            await asyncio.sleep(name % 7)
            while True:
                await limits.turn(Tier.TASKS)
                polls[name] += 1
                await asyncio.sleep(15)

        waits = [asyncio.ensure_future(one(name)) for name in range(9 * 15 * 3)]
        await asyncio.sleep(1800)
        for wait in waits:
            wait.cancel()
        return polls

    polls = run(play())
    assert len(polls) == 405
    assert min(polls.values()) > max(polls.values()) / 2
    assert sum(polls.values()) == pytest.approx(1800 * 9, rel=0.02)


def test_limits_are_those_of_a_user_and_not_of_a_client() -> None:

    async def kept() -> list[bool]:
        first = Limits.of(TENANT, KEY)
        return [first is Limits.of(TENANT, ApiKey("one")), first is Limits.of(TENANT, ClientCredentials("a", "b"))]

    assert run(kept()) == [True, False]
