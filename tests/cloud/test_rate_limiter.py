"""The rate limiter, the rate limits of a user and the slots, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import weakref
from collections import Counter, deque
from collections.abc import Sequence

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, ClientCredentials, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.permits import Permit, RateLimits
from airflow_provider_qlik.cloud.polling.rate_limiter import (
    BURST_SECONDS,
    LOT_INTERVAL,
    MIN_RATE_FACTOR,
    REQUESTS_PER_MINUTE,
)
from airflow_provider_qlik.cloud.polling.slots import MAX_CONCURRENT_REQUESTS, RESERVED_SLOTS, Priority
from airflow_provider_qlik.cloud.transport.credentials import Credentials
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.virtual_time import now, run

pytestmark = pytest.mark.slow


FOR_POLLS = MAX_CONCURRENT_REQUESTS - RESERVED_SLOTS
TENANT, KEY = Tenant.at("acme.eu.qlikcloud.com"), ApiKey("one")


async def acquire(limits: RateLimits, tier: Tier, priority: Priority = Priority.POLL) -> Permit:
    """Wait for a permit, and return it; its slot is released at once, as by a request that takes no time."""
    with await limits.acquire(tier, priority) as permit:
        return permit


def enqueue(limits: RateLimits, tier: Tier, since: float) -> asyncio.Future[Permit]:
    """Return the ticket of a poll whose slot is released as soon as it has its permit."""
    ticket = limits.enqueue(tier, Priority.POLL, since)
    ticket.add_done_callback(lambda done: None if done.cancelled() else done.result().release())
    return ticket


def granted_at_once(tier: Tier, count: int, *, share: float = 1.0, high_priority: bool = False) -> list[float]:
    """Return when each of so many requests that come at once gets its token."""

    async def all_at_once() -> list[float]:
        limits = RateLimits(share, now)
        moments: list[float] = []

        async def one() -> None:
            await acquire(limits, tier, Priority.HIGH if high_priority else Priority.POLL)
            moments.append(now())

        await asyncio.gather(*(one() for _ in range(count)))
        return moments

    return run(all_at_once())


@pytest.mark.parametrize("tier", [Tier.ONE, Tier.TASKS], ids=str)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_polls_never_pass_nine_tenths_of_a_limit_but_for_a_small_burst(tier: Tier, share: float) -> None:
    moments = granted_at_once(tier, 2000, share=share)
    a_minute = REQUESTS_PER_MINUTE[tier] * share * 0.9
    for begin in moments[::50]:
        for minutes in (1, 5):
            within = sum(begin <= moment < begin + minutes * 60 for moment in moments)
            assert within <= a_minute * (minutes + 5 / 60) + 1


def test_beyond_the_rate_polls_are_granted_in_lots_and_high_priority_at_once() -> None:
    moments = granted_at_once(Tier.ONE, 600)
    lots = sorted(Counter(moments).items())
    assert [count for _, count in lots[1:-1]] == pytest.approx([15 * LOT_INTERVAL] * (len(lots) - 2), abs=1)
    assert set(granted_at_once(Tier.ONE, 600, high_priority=True)) == {0}


def test_a_thousand_cancels_use_all_of_tier_2_and_take_two_windows_of_it() -> None:
    moments = Counter(granted_at_once(Tier.TWO, 1000, high_priority=True))
    assert moments == {0: 500, 301: 500}


def test_high_priority_waits_for_the_window_and_not_for_the_bucket() -> None:
    async def play() -> list[float]:
        limits = RateLimits(clock=now)
        for _ in range(250):
            await acquire(limits, Tier.TWO, Priority.HIGH)
        await asyncio.sleep(100)
        turns = await asyncio.gather(*(acquire(limits, Tier.TWO, Priority.HIGH) for _ in range(260)))
        return [turn.waited for turn in turns]

    waited = Counter(run(play()))
    # 500 in five minutes: room for 250, and the first of the earlier ones leave the window 201 seconds later.
    assert waited == {0: 250, 201: 10}


def test_a_request_of_high_priority_counts_from_when_it_is_sent() -> None:
    """The window has room for five hundred cancels at once, and there are twenty slots for them."""

    async def play() -> list[float]:
        limits, sent = RateLimits(clock=now), list[float]()

        async def one() -> None:
            with await limits.acquire(Tier.TWO, Priority.HIGH):
                sent.append(now())
                await asyncio.sleep(0.4 if now() < 300 else 0.02)

        await asyncio.gather(*(one() for _ in range(1000)))
        return sent

    sent = run(play())
    for moment in sent:
        assert sum(moment - 300 < each <= moment for each in sent) <= REQUESTS_PER_MINUTE[Tier.TWO] * 5
    assert sent[499] == pytest.approx(9.6)
    assert sent[-1] == pytest.approx(301 + 9.6, abs=1)


def test_polls_use_what_they_may() -> None:
    moments = granted_at_once(Tier.TASKS, 1000)
    assert moments[-1] == pytest.approx((1000 - 45) / 9, abs=1)


@pytest.mark.parametrize("tier", list(Tier), ids=str)
def test_high_priority_may_use_the_window_at_once_and_never_exceeds_it(tier: Tier) -> None:
    moments = granted_at_once(tier, 3000, high_priority=True)
    for begin in moments[::50]:
        assert sum(begin <= moment < begin + 300 for moment in moments) <= REQUESTS_PER_MINUTE[tier] * 5
    at_once = sum(moment == 0 for moment in moments)
    assert at_once >= {Tier.ONE: 3000, Tier.TASKS: 2850, Tier.TWO: 500, Tier.RELOADS: 250}[tier]


def test_tokens_are_granted_first_come_first_served_within_a_priority() -> None:
    async def play() -> list[str]:
        limits = RateLimits(1.0, now)
        order: list[str] = []

        async def one(name: str, high_priority: bool = False) -> None:
            await acquire(limits, Tier.ONE, Priority.HIGH if high_priority else Priority.POLL)
            order.append(name)

        polls = [asyncio.ensure_future(one(f"poll {number}")) for number in range(200)]
        await asyncio.sleep(1.2)
        high_priority = [asyncio.ensure_future(one(f"cancel {number}", high_priority=True)) for number in range(3)]
        before = len(order)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order[before:] == ["cancel 0", "cancel 1", "cancel 2"]
        await asyncio.gather(*polls, *high_priority)
        return [name for name in order if name.startswith("poll")]

    assert run(play()) == [f"poll {number}" for number in range(200)]


def test_follow_up_requests_go_before_new_polls_and_after_high_priority() -> None:
    async def play() -> list[str]:
        limits = RateLimits(1.0, now)
        order: list[str] = []

        async def one(name: str, priority: Priority) -> None:
            await acquire(limits, Tier.ONE, priority)
            order.append(name)

        polls = [asyncio.ensure_future(one("poll", Priority.POLL)) for _ in range(100)]
        await asyncio.sleep(0.01)
        others = [asyncio.ensure_future(one("going on", Priority.FOLLOW_UP)) for _ in range(300)]
        high_priority = asyncio.ensure_future(one("urgent", Priority.HIGH))
        await asyncio.gather(*polls, *others, high_priority)
        assert now() == pytest.approx((401 - 75) / 15, abs=1)
        return order[75:]

    order = run(play())
    assert order[0] == "urgent"
    assert order[1:301] == ["going on"] * 300


def test_a_pause_holds_up_all_priorities_of_its_tier() -> None:
    async def play() -> list[float]:
        limits = RateLimits(1.0, now)
        await acquire(limits, Tier.ONE)
        limits.pause(Tier.ONE, 7)
        began = now()
        waited = [await acquire(limits, Tier.ONE), await acquire(limits, Tier.ONE, Priority.HIGH)]
        assert now() - began == pytest.approx(7)
        assert (await acquire(limits, Tier.TASKS)).waited == 0
        return [turn.waited for turn in waited]

    assert run(play()) == pytest.approx([7, 0])


def test_after_a_pause_there_is_no_burst() -> None:
    async def play() -> list[float]:
        limits = RateLimits(1.0, now)
        limits.pause(Tier.ONE, 30)
        moments: list[float] = []

        async def one() -> None:
            await acquire(limits, Tier.ONE)
            moments.append(now())

        await asyncio.gather(*(one() for _ in range(100)))
        return moments

    moments = run(play())
    assert moments[0] == pytest.approx(30)
    assert sum(moment < 31 for moment in moments) <= 16


def test_follow_up_requests_do_not_wait_for_lots() -> None:
    async def play() -> float:
        limits = RateLimits(1.0, now)
        polls = [asyncio.ensure_future(acquire(limits, Tier.ONE)) for _ in range(1000)]
        await asyncio.sleep(10)
        began = now()
        for _ in range(20):
            await acquire(limits, Tier.ONE, Priority.FOLLOW_UP)
        for each in polls:
            each.cancel()
        return now() - began

    assert run(play()) == pytest.approx(20 / 15, abs=LOT_INTERVAL)


def test_a_pause_lasts_five_minutes_at_most() -> None:
    async def play() -> float:
        limits = RateLimits(1.0, now)
        limits.pause(Tier.TWO, 86400)
        return (await acquire(limits, Tier.TWO, Priority.HIGH)).waited

    assert run(play()) == pytest.approx(300)


def test_rate_limits_are_kept_when_no_client_uses_them() -> None:
    async def play() -> float:
        RateLimits.of(TENANT, KEY).pause(Tier.ONE, 50)
        await asyncio.sleep(0)
        return (await asyncio.wait_for(acquire(RateLimits.of(TENANT, KEY), Tier.ONE), 10)).waited

    with pytest.raises(TimeoutError):
        run(play())


def test_a_cancelled_wait_for_a_token_uses_none() -> None:
    async def play() -> float:
        limits = RateLimits(1.0, now)
        for _ in range(75):
            await acquire(limits, Tier.ONE)
        gone = [asyncio.ensure_future(acquire(limits, Tier.ONE)) for _ in range(100)]
        await asyncio.sleep(0)
        last = asyncio.ensure_future(acquire(limits, Tier.ONE))
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        return (await last).waited

    assert run(play()) <= LOT_INTERVAL


@pytest.mark.parametrize("going", [0, 3, MAX_CONCURRENT_REQUESTS])
@pytest.mark.parametrize("priority", Priority)
def test_the_concurrency_limit_holds_when_waits_are_cancelled(priority: Priority, going: int) -> None:
    async def play() -> int:
        limits = RateLimits(1.0, now)
        used = most = 0

        async def one() -> None:
            nonlocal used, most
            with await limits.acquire(Tier.ONE, priority):
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

    assert run(play()) == (MAX_CONCURRENT_REQUESTS if priority is Priority.HIGH else FOR_POLLS)


class OneByOne:
    """A source with one ticket in the queue: the next is enqueued as soon as one is granted."""

    def __init__(self, limits: RateLimits, sinces: Sequence[float], turns: list[float]) -> None:
        self._limits, self._sinces, self._turns = limits, iter(sinces), turns
        self.through = asyncio.Event()

    def join(self) -> None:
        since = next(self._sinces, None)
        if since is None:
            self.through.set()
        else:
            enqueue(self._limits, Tier.ONE, since).add_done_callback(lambda _: self._token_granted(since))

    def _token_granted(self, since: float) -> None:
        self._turns.append(since)
        self.join()


async def limits_after_burst() -> RateLimits:
    """Return rate limits whose burst is used up: tokens are granted in lots."""
    limits = RateLimits(1.0, now)
    while not (await acquire(limits, Tier.ONE)).waited:
        pass
    return limits


def test_within_a_lot_the_source_with_the_oldest_polls_is_first() -> None:
    async def play() -> list[float]:
        limits, turns = await limits_after_burst(), list[float]()
        old = OneByOne(limits, range(-60, -20), turns)
        young = OneByOne(limits, [each + 0.5 for each in range(-25, -5)], turns)
        began = now()
        for source in (young, old):
            source.join()
        await asyncio.gather(old.through.wait(), young.through.wait())
        assert now() - began == pytest.approx(60 / 15, abs=LOT_INTERVAL)
        return turns

    turns = run(play())
    assert turns == sorted(turns)
    assert len(turns) == 60


def test_a_younger_poll_does_not_get_the_token_before_the_next_of_an_older_source() -> None:
    async def play() -> list[float]:
        limits, turns = await limits_after_burst(), list[float]()
        old, young = OneByOne(limits, [-60, -59, -58], turns), OneByOne(limits, [-1], turns)
        old.join()
        # In the very moment of the next lot.
        asyncio.get_running_loop().call_at(now() + LOT_INTERVAL, young.join)
        await asyncio.gather(old.through.wait(), young.through.wait())
        return turns

    assert run(play()) == [-60, -59, -58, -1]


def test_a_lot_is_granted_together_to_a_source_with_one_ticket() -> None:
    async def play() -> list[float]:
        limits, moments = await limits_after_burst(), list[float]()

        class PollSource(OneByOne):
            def _token_granted(self, since: float) -> None:
                moments.append(now())
                super()._token_granted(since)

        source = PollSource(limits, range(-60, 0), [])
        source.join()
        await source.through.wait()
        return moments

    lots = [count for _, count in sorted(Counter(run(play())).items())]
    assert lots[1:-1] == pytest.approx([15 * LOT_INTERVAL] * (len(lots) - 2), abs=1)


def test_polls_get_no_token_while_there_is_no_slot() -> None:
    async def play() -> None:
        limits = RateLimits(1.0, now)
        granted_at: list[float] = []

        async def one() -> None:
            with await limits.acquire(Tier.ONE):
                granted_at.append(now())
                await asyncio.sleep(1)

        polls = [asyncio.ensure_future(one()) for _ in range(60)]
        for _ in range(FOR_POLLS + 6):
            await asyncio.sleep(0)
        assert len(granted_at) == FOR_POLLS, "one in each step of the event loop"
        await asyncio.sleep(0.5)
        assert len(granted_at) == FOR_POLLS
        # The tokens of those that wait have not been taken: high priority may have them.
        assert (await acquire(limits, Tier.ONE, Priority.HIGH)).waited == 0
        await asyncio.gather(*polls)
        assert now() == pytest.approx(4)
        assert Counter(granted_at) == {0: FOR_POLLS, 1: FOR_POLLS, 2: FOR_POLLS, 3: 60 - 3 * FOR_POLLS}

    run(play())


def test_a_released_slot_goes_to_the_oldest_poll_of_all_tiers() -> None:
    async def play() -> list[float]:
        limits = RateLimits(1.0, now)
        turns: list[float] = []

        async def one(tier: Tier, since: float) -> None:
            with await limits.enqueue(tier, Priority.POLL, since):
                turns.append(since)
                await asyncio.sleep(1 + len(turns) / 100)

        sinces = [(Tier.ONE, -each) for each in range(10, 30)] + [(Tier.TASKS, -each - 0.5) for each in range(20, 30)]
        hanging = [asyncio.ensure_future(one(Tier.ONE, -100)) for _ in range(FOR_POLLS)]
        await asyncio.sleep(0.1)
        await asyncio.gather(*hanging, *(one(*each) for each in sinces))
        return turns[FOR_POLLS:]

    turns = run(play())
    assert turns == sorted(turns)


def test_a_token_that_is_not_used_blocks_no_slot() -> None:
    async def play() -> float:
        limits = RateLimits(1.0, now)
        for _ in range(FOR_POLLS):
            enqueue(limits, Tier.ONE, 0)
        return (await acquire(limits, Tier.TASKS)).waited

    assert run(play()) == 0


def test_some_slots_are_reserved_for_high_priority_which_is_first_for_the_others() -> None:
    async def play() -> list[Priority]:
        limits = RateLimits(1.0, now)
        order: list[Priority] = []

        async def one(priority: Priority, seconds: float) -> None:
            with await limits.acquire(Tier.ONE, priority):
                order.append(priority)
                await asyncio.sleep(seconds)

        holding = [asyncio.ensure_future(one(Priority.POLL, 5 + each)) for each in range(FOR_POLLS)]
        await asyncio.sleep(1)
        waiting = [
            asyncio.ensure_future(one(priority, 50))
            for priority in (Priority.POLL, Priority.FOLLOW_UP, *[Priority.HIGH] * 4)
        ]
        await asyncio.sleep(1)
        assert order[FOR_POLLS:] == [Priority.HIGH] * RESERVED_SLOTS
        await asyncio.gather(*holding, *waiting)
        return order[FOR_POLLS:]

    assert run(play()) == [Priority.HIGH] * 4 + [Priority.FOLLOW_UP, Priority.POLL]


def test_a_task_cancelled_after_the_grant_releases_its_slot_and_token() -> None:
    async def play() -> None:
        limits = RateLimits(1.0, now)
        *others, last = [await limits.acquire(Tier.TASKS, Priority.HIGH) for _ in range(MAX_CONCURRENT_REQUESTS)]
        gone = asyncio.ensure_future(limits.acquire(Tier.TASKS, Priority.HIGH))
        await asyncio.sleep(0)
        last.release()
        gone.cancel()
        async with asyncio.timeout(1):
            await acquire(limits, Tier.TASKS, Priority.HIGH)
        for permit in others:
            permit.release()
        while not (await acquire(limits, Tier.ONE, Priority.FOLLOW_UP)).waited:
            pass
        refunded = await limits.acquire(Tier.ONE, Priority.FOLLOW_UP)
        gone_too = asyncio.ensure_future(limits.acquire(Tier.ONE, Priority.FOLLOW_UP))
        await asyncio.sleep(0)
        refunded.refund()
        gone_too.cancel()
        await asyncio.sleep(0)
        assert (await acquire(limits, Tier.ONE, Priority.FOLLOW_UP)).waited == 0

    run(play())


def test_a_permit_is_given_back_once() -> None:
    async def play() -> None:
        limits = RateLimits(1.0, now)
        held = [await limits.acquire(Tier.ONE, Priority.HIGH) for _ in range(MAX_CONCURRENT_REQUESTS)]
        for _ in range(3):
            held[0].release()
            held[0].refund()
        await limits.acquire(Tier.ONE, Priority.HIGH)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limits.acquire(Tier.ONE, Priority.HIGH), 60)

    run(play())


def test_a_ticket_can_be_advanced_in_the_queue() -> None:
    async def play() -> list[str]:
        limits, order = await limits_after_burst(), list[str]()
        first, second = (enqueue(limits, Tier.ONE, since) for since in (-2.0, -1.0))
        first.add_done_callback(lambda _: order.append("first"))
        second.add_done_callback(lambda _: order.append("second"))
        limits.advance(second, Tier.ONE, Priority.POLL, -3.0)
        await asyncio.sleep(60)
        # It gets one permit, and its old place in the queue is skipped.
        assert (await acquire(limits, Tier.ONE)).waited == 0
        return order

    assert run(play()) == ["second", "first"]


@pytest.mark.parametrize("seed", range(20))
def test_random_cancellations_lose_no_slot_and_no_token(seed: int) -> None:
    chance = random.Random(seed)

    async def play() -> None:
        limits = RateLimits(1.0, now)

        async def one(priority: Priority) -> None:
            with await limits.acquire(chance.choice([Tier.ONE, Tier.TASKS]), priority):
                await asyncio.sleep(chance.choice([0.1, 1, 3]))

        async def goes_away(priority: Priority) -> None:
            await asyncio.sleep(chance.uniform(0, 5))
            one_of_them = asyncio.ensure_future(one(priority))
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice([0, chance.uniform(0, 5)]))
            one_of_them.cancel()

        await asyncio.gather(*(goes_away(chance.choice(list(Priority))) for _ in range(300)))
        await asyncio.sleep(60)
        began = now()

        async def poll() -> None:
            with await limits.acquire(Tier.ONE):
                await asyncio.sleep(1)

        await asyncio.gather(*(poll() for _ in range(FOR_POLLS * 4)))
        assert now() - began == pytest.approx(4)

    run(play())


def test_with_three_times_the_demand_nobody_is_polled_less_than_half_as_often_as_another() -> None:
    async def play() -> Counter[int]:
        limits = RateLimits(1.0, now)
        polls: Counter[int] = Counter()

        async def one(name: int) -> None:
            await asyncio.sleep(name % 7)
            while True:
                await acquire(limits, Tier.TASKS)
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


def test_rate_limits_belong_to_a_user_and_not_to_a_client() -> None:

    async def kept() -> list[bool]:
        first = RateLimits.of(TENANT, KEY)
        others: list[tuple[Tenant, Credentials]] = [
            (TENANT, ApiKey("one")),
            (Tenant.at(TENANT.url, read_timeout=5), KEY),
            (TENANT, ClientCredentials("a", "b")),
            (Tenant.at("other.eu.qlikcloud.com"), KEY),
        ]
        return [first is RateLimits.of(*each) for each in others]

    assert run(kept()) == [True, True, False, False]


async def granted(limits: RateLimits, seconds: float) -> int:
    """Return how many polls get a token within so many seconds, if there are always more."""
    tickets = [enqueue(limits, Tier.ONE, now()) for _ in range(1000)]
    await asyncio.sleep(seconds)
    turns = sum(ticket.done() for ticket in tickets)
    for ticket in tickets:
        ticket.cancel()
    return turns


@pytest.mark.parametrize(("tier", "share"), [(Tier.ONE, 1.0), (Tier.ONE, 0.2), (Tier.TASKS, 1.0)], ids=str)
def test_an_idle_hour_saves_up_no_more_than_a_burst(tier: Tier, share: float) -> None:
    async def play() -> int:
        limits = RateLimits(share, now)
        await acquire(limits, tier)
        await asyncio.sleep(3600)
        tickets = [enqueue(limits, tier, now()) for _ in range(1000)]
        await asyncio.sleep(1)
        return sum(ticket.done() for ticket in tickets)

    a_second = REQUESTS_PER_MINUTE[tier] / 60 * 0.9 * share
    assert run(play()) == pytest.approx(a_second * (BURST_SECONDS + 1), abs=a_second * LOT_INTERVAL + 1)


def limits_of_share(share: float) -> RateLimits:
    return RateLimits.of(Tenant.at(TENANT.url, rate_limit_share=share), KEY)


def test_a_connection_uses_its_share_of_the_limits() -> None:
    async def play() -> int:
        return await granted(limits_of_share(0.2), 20)

    assert run(play()) == pytest.approx(20 * 3 + 15, abs=2)


@pytest.mark.parametrize(("before", "after"), [(1.0, 0.2), (0.2, 1.0)])
def test_a_changed_share_applies_to_waiting_polls_as_well(before: float, after: float) -> None:
    async def play() -> tuple[int, int]:
        limits = limits_of_share(before)
        at_first = asyncio.ensure_future(granted(limits, 10))
        await asyncio.sleep(9)
        assert limits_of_share(after) is limits
        return await at_first, await granted(limits, 20)

    first, then = run(play())
    assert first == pytest.approx(15 * before * (9 + 5), abs=15)
    assert then == pytest.approx(15 * after * 20, abs=8)


def test_a_changed_share_brings_no_new_burst() -> None:
    async def play() -> list[int]:
        first = await granted(limits_of_share(1.0), 0.1)
        return [first, *[await granted(limits_of_share(share), 0.1) for share in (0.5, 1.0, 0.2, 1.0)]]

    first, *others = run(play())
    assert first >= 75
    assert sum(others) <= 15


def test_tokens_saved_under_a_small_share_are_counted_by_that_share() -> None:
    async def play() -> int:
        await granted(limits_of_share(0.2), 0.1)
        await asyncio.sleep(4)
        return await granted(limits_of_share(1.0), 0.1)

    assert run(play()) == pytest.approx(4 * 3, abs=2)


def test_a_larger_share_grants_waiting_requests_at_once() -> None:
    async def play() -> None:
        limits = limits_of_share(0.01)
        for _ in range(47):
            assert not (await acquire(limits, Tier.ONE, Priority.HIGH)).waited
        waiting = asyncio.ensure_future(acquire(limits, Tier.ONE, Priority.HIGH))
        await asyncio.sleep(1)
        assert not waiting.done()
        limits_of_share(1.0)
        assert (await waiting).waited == pytest.approx(1)

    run(play())


def test_a_smaller_share_leaves_room_for_high_priority() -> None:
    async def play() -> float:
        limits = limits_of_share(1.0)
        for _ in range(200):
            await acquire(limits, Tier.ONE, Priority.HIGH)
        return (await acquire(limits_of_share(0.1), Tier.ONE, Priority.HIGH)).waited

    assert run(play()) < 1


def test_rate_limits_keep_no_event_loop_alive() -> None:
    """Repeated calls of `asyncio.run` would otherwise keep each loop, with its credentials."""

    async def ask() -> weakref.ref[asyncio.AbstractEventLoop]:
        limits = RateLimits.of(TENANT, KEY)
        await asyncio.gather(*(acquire(limits, Tier.ONE) for _ in range(80)))
        await acquire(limits, Tier.ONE, Priority.HIGH)
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(ask())
    gc.collect()
    assert loop() is None


# The limits of the whole tenant, which no response shows


REFUSED_LATER = 0.2
"""Seconds after which a refusal comes back."""


async def polled(limits: RateLimits, seconds: float, allowed: float = math.inf, tier: Tier = Tier.ONE) -> list[float]:
    """Return when requests were sent by a client that polls as it may. The tenant allows it *allowed* a minute.

    Qlik Cloud counts over five minutes, and refuses requests as long as that window is full.
    """
    counted: deque[float] = deque()
    sent: list[float] = []
    under_way: set[asyncio.Future[None]] = set()
    end = now() + seconds

    async def one() -> None:
        sent_at = limits.clock()
        sent.append(sent_at)
        while counted and counted[0] <= sent_at - 300:
            counted.popleft()
        if len(counted) < allowed * 5:
            counted.append(sent_at)
            return
        await asyncio.sleep(REFUSED_LATER)
        limits.pause(tier, max(1.0, counted[0] + 300 - sent_at))
        limits.slow_down(tier, sent_at)

    while now() < end:
        await acquire(limits, tier)
        if not limits.is_paused(tier):
            request = asyncio.ensure_future(one())
            under_way.add(request)
            request.add_done_callback(under_way.discard)
    return sent


def a_minute(sent: list[float], begin: float, end: float) -> float:
    return sum(begin <= moment < end for moment in sent) / (end - begin) * 60


def test_an_undeserved_429_halves_the_rate_of_polls_for_up_to_ten_minutes() -> None:
    async def play() -> list[float]:
        limits = RateLimits(clock=now)
        await polled(limits, 60)
        limits.slow_down(Tier.ONE, limits.clock())
        return await polled(limits, 900)

    sent = run(play())
    assert a_minute(sent, 60, 120) == pytest.approx(450, rel=0.02)
    assert a_minute(sent, 120, 180) == pytest.approx(495, rel=0.02)
    assert a_minute(sent, 540, 600) == pytest.approx(810, rel=0.02)
    assert a_minute(sent, 720, 900) == pytest.approx(900, rel=0.02)


def test_a_lone_refusal_never_takes_more_than_half_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> list[float]:
        limits, parts = RateLimits(clock=now), list[float]()
        for _ in range(3):
            sent_at = limits.clock()
            # Twenty were under way, and all of them are refused.
            for _ in range(20):
                await asyncio.sleep(0.01)
                limits.pause(Tier.ONE, 1)
                limits.slow_down(Tier.ONE, sent_at)
            parts.append(limits.rate_factor(Tier.ONE))
            await polled(limits, 700)
        return parts

    assert run(play()) == [0.5, 0.5, 0.5]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "others use up the limit of the whole tenant" in line
    assert "50 %" in line
    assert "tier 1" in line


def test_polls_always_keep_a_quarter_of_their_rate() -> None:
    async def play() -> list[float]:
        limits = RateLimits(clock=now)
        for _ in range(10):
            await asyncio.sleep(1)
            limits.slow_down(Tier.ONE, limits.clock())
        assert limits.rate_factor(Tier.ONE) == MIN_RATE_FACTOR
        return await polled(limits, 50)

    assert a_minute(run(play()), 20, 60) == pytest.approx(225, rel=0.05)


def test_only_the_tier_that_was_refused_slows_down() -> None:
    async def play() -> list[float]:
        limits = RateLimits(clock=now)
        limits.slow_down(Tier.TASKS, limits.clock())
        return [limits.rate_factor(tier) for tier in (Tier.ONE, Tier.TASKS)]

    assert run(play()) == [1.0, 0.5]


def test_starts_and_cancels_go_on_as_before() -> None:
    async def play() -> list[float]:
        limits = RateLimits(clock=now)
        for _ in range(5):
            await asyncio.sleep(0.1)
            limits.slow_down(Tier.TWO, limits.clock())
        turns = await asyncio.gather(*(acquire(limits, Tier.TWO, Priority.HIGH) for _ in range(500)))
        return [turn.waited for turn in turns]

    assert set(run(play())) == {0}


def test_a_429_for_a_limit_that_this_user_used_up_does_not_slow_down() -> None:
    async def play() -> float:
        limits = RateLimits(clock=now)
        for _ in range(500):
            await acquire(limits, Tier.TWO, Priority.HIGH)
        limits.slow_down(Tier.TWO, limits.clock())
        return limits.rate_factor(Tier.TWO)

    assert run(play()) == 1.0


@pytest.mark.parametrize("users", [1, 2])
def test_polls_find_the_limit_of_the_whole_tenant_and_use_most_of_it(users: int) -> None:
    """A tenant with one user has 500 requests a minute in tier 1, one with two users the limit of a single user."""
    minutes, allowed = 50, 500.0 * users

    async def play() -> list[float]:
        return await polled(RateLimits(clock=now), minutes * 60, allowed)

    sent = run(play())
    assert a_minute(sent, 900, minutes * 60) >= 0.75 * min(allowed, 900)
    assert a_minute(sent, 900, minutes * 60) <= min(allowed, 900) * 1.01


def test_the_share_and_the_probed_rate_both_apply() -> None:
    async def play() -> list[float]:
        limits = RateLimits(0.5, now)
        limits.slow_down(Tier.ONE, limits.clock())
        limits.change_share(1.0)
        return await polled(limits, 50)

    assert a_minute(run(play()), 10, 50) == pytest.approx(450, rel=0.05)


def test_against_a_tenant_of_one_user_polls_settle_below_its_limit_and_starts_go_on(
    sandbox: SandboxTenant, caplog: pytest.LogCaptureFixture
) -> None:
    task = sandbox.add_task()
    # A user may send 66 requests in four seconds, the whole tenant 33; at full speed polls are 60, and 75 at first.
    sandbox.set_limits(window=4, tenant_users=1)
    where, key = Tenant.at(sandbox.url), ApiKey(sandbox.api_key)

    async def play() -> tuple[int, list[bool]]:
        limits = RateLimits.of(where, key)
        async with AsyncClient(where, key) as client:
            polls = [asyncio.ensure_future(client.call(tasks.get(task), ONE_ATTEMPT)) for _ in range(100)]
            await asyncio.sleep(1)
            before = len(sandbox.request_log())
            await client.call(tasks.start(task))
            await asyncio.wait(polls)
            # Half of the rate is just below the limit: on a busy machine a second refusal may come.
            assert limits.rate_factor(Tier.ONE) in {0.5, 0.25}
            assert limits.rate_factor(Tier.TWO) == 1.0
            return before, [each.exception() is None for each in polls]

    before, answered = asyncio.run(play())
    # Those that were in flight when the tenant refused, twice at most.
    assert answered.count(False) <= 2 * FOR_POLLS
    (start,) = sandbox.request_log("start_task")
    assert sandbox.request_log().index(start) <= before + FOR_POLLS, "it went before the polls that were waiting"
    assert sum("whole tenant" in record.getMessage() for record in caplog.records) == 1
