"""The dispatcher and the bulk list, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import pytest

from airflow_provider_qlik.cloud import Flow, QlikCloudError
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.errors import ConnectError, ForbiddenError, UnauthorizedError
from airflow_provider_qlik.cloud.flow import FlowDriver, Poll
from airflow_provider_qlik.cloud.polling import bulk_list as bulk_list_module
from airflow_provider_qlik.cloud.polling import dispatcher as dispatcher_module
from airflow_provider_qlik.cloud.polling.bulk_list import (
    INITIAL_BACK_OFF,
    MAX_AUDITS,
    MAX_STALENESS,
    RETRY_INTERVAL,
    STALE_BACK_OFF,
)
from airflow_provider_qlik.cloud.polling.dispatcher import MAX_LOGGED_POLLS, Dispatcher
from airflow_provider_qlik.cloud.polling.permits import Permit, RateLimits
from airflow_provider_qlik.cloud.polling.queue import DUE_TOLERANCE
from tests.virtual_time import now, run


class ListedSource:
    """Answers the key "batch/name" with itself and the moment; `requests` are the moments, ways and keys.

    The bulk list lags by `lag` seconds. No more than `max_batch` polls of a batch are answered by one request.
    """

    name = "source"
    tier = Tier.ONE

    def __init__(self, *, pages: int | None = None) -> None:
        self.has_bulk_list = pages is not None
        self.pages = pages or 0
        self.absent: set[str] = set()
        self.ended: dict[str, float] = {}
        self.lag = 0.0
        self.max_batch = sys.maxsize
        self.requests: list[tuple[float, str, tuple[str, ...]]] = []
        self.fails: dict[str, QlikCloudError] = {}

    def poll(self, key: Any) -> Flow[Any]:
        raise AssertionError("polled singly")

    def poll_batch(self, keys: Sequence[Any]) -> Flow[Mapping[Any, Any]]:
        return self._poll("batch", 1, keys[: self.max_batch])

    def is_terminal(self, answer: Any) -> bool:
        return answer is not None and self.ended.get(answer[0], math.inf) <= answer[1]

    def poll_bulk_list(
        self, keys: Sequence[Any], max_pages: int, audited: Sequence[Any] = ()
    ) -> Flow[Mapping[Any, Any]]:
        pages = min(max_pages, self.pages)
        answered = [each for each in dict.fromkeys((*keys, *audited)) if each not in self.absent]
        return self._poll("bulk list", pages, answered if pages else [])

    def _poll(self, how: str, calls: int, keys: Sequence[Any]) -> Flow[Mapping[Any, Any]]:
        self.requests.append((now(), how, tuple(keys)))
        for _ in range(calls):
            yield None  # type: ignore[misc]
        if how in self.fails:
            raise self.fails[how]
        moment = now() - (self.lag if how == "bulk list" else 0.0)
        return {each: self.fails.get(each, (each, moment)) for each in keys}

    def calls(self, how: str | None = None) -> int:
        return sum(how in {None, each[1]} for each in self.requests)


async def run_flow(flow: Flow[Any], permit: Permit, seconds: Callable[[], float] = lambda: 0.1) -> tuple[Any, int]:
    """Each call takes a tenth of a second."""
    driver, calls = FlowDriver(flow), 0
    for _ in driver:
        calls += 1
        await asyncio.sleep(seconds())
        permit.release()
    return driver.result, calls


def poll(source: ListedSource, key: str, min_delay: float = 5, max_delay: float = 10, **more: Any) -> Poll[Any, Any]:
    return Poll(
        source=source, key=key, batch_key=key.partition("/")[0], min_delay=min_delay, max_delay=max_delay, **more
    )


def limits_of(share: float = 1000.0) -> Callable[[], RateLimits]:
    """Return rate limits that nobody reaches, unless a smaller share is passed."""
    return cache(lambda: RateLimits(share, now))


def steady(chance: float = 0.0, share: float = 1000.0, **answered: Any) -> Dispatcher:
    return Dispatcher(run_flow, limits_of(share), draw=lambda: chance, **answered)


async def waits(
    dispatcher: Dispatcher, source: ListedSource, names: Sequence[str], seconds: float, **when: Any
) -> Counter[str]:
    """Return how often each run was polled by waits that poll for so long; they begin one after the other."""
    answered: Counter[str] = Counter()

    async def wait(name: str, begin: float) -> None:
        await asyncio.sleep(begin)
        while True:
            try:
                assert (await dispatcher.submit(poll(source, name, **when)))[0] == name
            except QlikCloudError:
                answered[f"{name} failed"] += 1
            else:
                answered[name] += 1

    tasks = [asyncio.ensure_future(wait(name, 10 * number / len(names))) for number, name in enumerate(names)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return answered


def test_a_poll_is_sent_when_it_is_due_at_the_latest() -> None:
    async def play() -> float:
        return float((await steady().submit(poll(ListedSource(), "a/1")))[1])

    assert run(play()) == pytest.approx(10.1)


def test_jitter_makes_a_poll_earlier_and_never_too_early() -> None:
    async def play(chance: float) -> float:
        return float((await steady(chance).submit(poll(ListedSource(), "a/1", min_delay=9)))[1])

    assert 9 < run(play(1.0)) < run(play(0.5)) < 10.1


@pytest.mark.parametrize("count", [2, 100])
def test_polls_of_one_batch_cost_one_request_for_each_poll_interval(count: int) -> None:
    source = ListedSource()
    answered = run(waits(steady(), source, [f"a/{number}" for number in range(count)], 600))
    # A request every five seconds, the soonest that polls may be sent again, up to every ten.
    assert 58 <= source.calls() <= 122
    assert min(answered.values()) >= 57


def test_batches_without_a_bulk_list_are_polled_one_by_one() -> None:
    source = ListedSource()
    run(waits(steady(), source, [f"{number}/x" for number in range(50)], 600))
    assert source.calls("bulk list") == 0
    assert source.calls("batch") == pytest.approx(50 * 60, rel=0.05)


def test_a_bulk_list_answers_for_all_batches() -> None:
    source = ListedSource(pages=3)
    answered = run(waits(steady(), source, [f"{number}/x" for number in range(300)], 600))
    assert source.calls("bulk list") <= 122
    # Polls that were sent before there were enough batches, and audits.
    assert source.calls("batch") <= 20 + MAX_AUDITS * source.calls("bulk list")
    assert min(answered.values()) >= 57


def test_a_bulk_list_that_costs_more_than_it_saves_is_not_read() -> None:
    source = ListedSource(pages=30)
    source.absent = {f"{number}/x" for number in range(10)}
    run(waits(steady(), source, sorted(source.absent), 500))
    assert source.calls("bulk list") <= 3
    assert source.calls("batch") == pytest.approx(10 * 50, rel=0.1)


def test_runs_that_the_bulk_list_leaves_out_are_polled_in_batches() -> None:
    source = ListedSource(pages=1)
    source.absent = {"3/x", "4/x"}
    answered = run(waits(steady(), source, [f"{number}/x" for number in range(20)], 590))
    assert min(answered.values()) >= 55
    alone = Counter(name for _, how, names in source.requests if how == "batch" for name in names)
    assert alone["3/x"] >= 50
    assert alone["7/x"] <= 10


def test_the_audit_of_a_bulk_list_polls_every_run_singly() -> None:
    source = ListedSource(pages=1)
    run(waits(steady(), source, [f"{number}/x" for number in range(40)], 600))
    lists = source.calls("bulk list")
    alone = Counter(name for moment, how, names in source.requests if how == "batch" and moment > 30 for name in names)
    assert len(alone) == 40
    assert max(alone.values()) <= 2 * min(alone.values())
    assert lists < sum(alone.values()) <= 2 * lists  # a twentieth of forty


@pytest.mark.parametrize("count", [4, 100, 1000])
def test_audits_cost_at_most_five_requests_for_each_bulk_list(count: int) -> None:
    source = ListedSource(pages=count // 200 + 1)
    run(waits(steady(), source, [f"{number}/x" for number in range(count)], 300))
    late = [(how, names) for moment, how, names in source.requests if moment > 30]
    lists = sum(how == "bulk list" for how, _ in late)
    assert 20 <= lists <= 60
    assert len(late) - lists <= min(5, count / 20 + 1) * lists


def test_a_stale_bulk_list_is_noticed_and_not_used() -> None:
    """The runs have ended long before the list shows it: all waits notice it soon after the first audit."""
    source = ListedSource(pages=1)
    source.lag = 1e6
    source.ended = {f"{number}/x": 100.0 for number in range(40)}
    noticed: dict[str, float] = {}

    async def wait(dispatcher: Dispatcher, name: str) -> None:
        while name not in noticed:
            if source.is_terminal(await dispatcher.submit(poll(source, name))):
                noticed[name] = now()

    async def play() -> None:
        dispatcher = steady()
        await asyncio.gather(*(wait(dispatcher, name) for name in source.ended))

    run(play())
    assert max(noticed.values()) < 100 + MAX_STALENESS + 40
    assert source.calls("bulk list") < 20


def test_a_stale_bulk_list_is_tried_again_after_an_hour() -> None:
    source = ListedSource(pages=1)
    source.lag, source.ended = 1e6, {"3/x": 100.0}

    async def play() -> None:
        dispatcher = steady()
        others = asyncio.ensure_future(waits(dispatcher, source, [f"{n}/x" for n in range(40)], STALE_BACK_OFF + 600))
        await asyncio.sleep(1000)
        source.lag = 0.0
        await others

    run(play())
    lists = [moment for moment, how, _ in source.requests if how == "bulk list"]
    gaps = [(sooner, later) for sooner, later in itertools.pairwise(lists) if later - sooner > 60]
    assert [round(later - sooner, -2) for sooner, later in gaps] == [STALE_BACK_OFF]


def test_a_bulk_list_that_hides_runs_is_stale() -> None:
    """The list shows no run long after it has begun, and waits for a run to begin must notice it."""
    noticed: dict[str, float] = {}

    class Blind(ListedSource):
        def poll_bulk_list(
            self, keys: Sequence[Any], max_pages: int, audited: Sequence[Any] = ()
        ) -> Flow[Mapping[Any, Any]]:
            return dict.fromkeys((yield from super().poll_bulk_list(keys, max_pages, audited)))

    source = Blind(pages=1)

    async def wait(dispatcher: Dispatcher, name: str) -> None:
        while await dispatcher.submit(poll(source, name)) is None or now() < 100:
            pass
        noticed[name] = now()

    async def play() -> None:
        dispatcher = steady()
        await asyncio.gather(*(wait(dispatcher, f"{number}/x") for number in range(60)))

    run(play())
    assert max(noticed.values()) < 100 + MAX_STALENESS + 40


def test_a_bulk_list_that_lags_by_less_than_a_minute_is_used() -> None:
    source = ListedSource(pages=1)
    source.lag = MAX_STALENESS / 2
    source.ended = {f"{number}/x": 300.0 for number in range(40)}
    run(waits(steady(), source, list(source.ended), 900))
    assert any(how == "batch" and 300 <= moment < 300 + MAX_STALENESS / 2 for moment, how, _ in source.requests)
    lists = [moment for moment, how, _ in source.requests if how == "bulk list"]
    assert max(later - sooner for sooner, later in itertools.pairwise([*lists, 900])) < 30


def test_waits_that_ended_do_not_block_the_audits() -> None:
    source = ListedSource(pages=1)

    async def play() -> None:
        dispatcher = steady()
        others = asyncio.ensure_future(waits(dispatcher, source, [f"{number}/x" for number in range(20)], 1500))
        await asyncio.sleep(350)
        for number in range(10):
            # Polled once, and never again; the others have all been audited by then.
            passing = dispatcher.submit(poll(source, f"passing {number}/x", 0, 10))
            await asyncio.sleep(12)
            passing.cancel()
        await others

    run(play())
    alone = Counter(name for moment, how, names in source.requests if how == "batch" and moment > 700 for name in names)
    assert len(alone) == 20


def test_a_bulk_list_that_is_read_while_a_run_ends_is_not_stale() -> None:
    source = ListedSource(pages=1)
    source.ended = {f"{number}/x": 10.0 * number for number in range(40)}
    run(waits(steady(), source, list(source.ended), 600))
    # The list is read all the time.
    lists = [moment for moment, how, _ in source.requests if how == "bulk list"]
    assert max(later - sooner for sooner, later in itertools.pairwise([*lists, 600])) < 30


def test_a_bulk_list_that_fails_costs_one_poll_and_then_the_batches_are_polled() -> None:
    source = ListedSource(pages=1)
    source.fails["bulk list"] = ConnectError("away")
    answered = run(waits(steady(), source, [f"{number}/x" for number in range(20)], 300))
    failed = {name: count for name, count in answered.items() if name.endswith("failed")}
    assert set(failed.values()) == {1}
    assert min(answered[f"{number}/x"] for number in range(20)) >= 20


def test_a_bulk_list_that_always_fails_is_read_with_back_off_and_costs_one_poll() -> None:
    source = ListedSource(pages=1)
    source.fails["bulk list"] = ConnectError("away")
    answered = run(waits(steady(), source, [f"{number}/x" for number in range(20)], 7200))
    assert {count for name, count in answered.items() if name.endswith("failed")} == {1}
    tried = [moment for moment, how, _ in source.requests if how == "bulk list"]
    gaps = [later - sooner for sooner, later in itertools.pairwise(tried)]
    assert gaps[0] == pytest.approx(INITIAL_BACK_OFF, abs=11)
    assert gaps[3:] == pytest.approx([RETRY_INTERVAL] * len(gaps[3:]), abs=130)
    assert max(gaps) < RETRY_INTERVAL + 11


def test_a_bulk_list_that_worked_in_between_costs_another_poll_when_it_fails() -> None:
    source = ListedSource(pages=1)

    async def play() -> Counter[str]:
        others = asyncio.ensure_future(waits(steady(), source, [f"{number}/x" for number in range(20)], 3000))
        for failing in (False, True, False, True, False):
            source.fails = {"bulk list": ConnectError("away")} if failing else {}
            await asyncio.sleep(500)
        return await others

    answered = run(play())
    # The first list of two that failed was read for some of the polls only.
    assert {count for name, count in answered.items() if name.endswith("failed")} == {1, 2}


def test_refused_credentials_fail_all_polls_at_once() -> None:
    source = ListedSource(pages=1)
    source.fails["bulk list"] = UnauthorizedError(status=401, method="GET", path="/all")

    async def play() -> list[Any]:
        dispatcher = steady()
        polls = (dispatcher.submit(poll(source, f"{number}/x")) for number in range(50))
        return await asyncio.gather(*polls, return_exceptions=True)

    assert {type(answer) for answer in run(play())} == {UnauthorizedError}
    assert source.calls() == 1


def test_a_batch_that_is_too_large_for_one_request_is_polled_evenly() -> None:
    source = ListedSource()
    source.max_batch = 20
    names = [f"a/{number}" for number in range(100)]

    async def run_slowly(flow: Flow[Any], permit: Permit) -> tuple[Any, int]:
        await asyncio.sleep(4)
        return await run_flow(flow, permit)

    async def play() -> list[list[Any]]:
        dispatcher = Dispatcher(run_slowly, limits_of(), draw=lambda: 0.0)
        seen: list[list[Any]] = [[] for _ in names]
        for name, of in zip(names, seen, strict=True):
            dispatcher.submit(poll(source, name, 0, 0, reschedule=reschedule_until(1000, of)))
        await asyncio.sleep(600)
        dispatcher.close()
        return seen

    counts = [len(of) for of in run(play())]
    assert min(counts) > max(counts) / 1.3


def test_polls_that_a_request_did_not_answer_are_sent_again_at_once() -> None:
    source = ListedSource()
    source.max_batch = 20
    names = [f"a/{number}" for number in range(100)]

    async def play() -> list[Any]:
        dispatcher = steady()
        return await asyncio.gather(*(dispatcher.submit(poll(source, name, 0, 0)) for name in names))

    assert [name for name, _ in run(play())] == names
    assert [len(keys) for _, _, keys in source.requests] == [20] * 5


def test_the_back_off_of_a_bulk_list_begins_when_it_has_failed() -> None:
    class Hanging(ListedSource):
        def poll_bulk_list(
            self, keys: Sequence[Any], max_pages: int, audited: Sequence[Any] = ()
        ) -> Flow[Mapping[Any, Any]]:
            return self._poll("bulk list", 900, keys)  # a minute and a half

    source = Hanging(pages=1)
    source.fails["bulk list"] = ConnectError("hangs")
    run(waits(steady(), source, [f"{number}/x" for number in range(20)], 140))
    assert source.calls("bulk list") == 1
    assert source.calls("batch") >= 20


def test_a_bulk_list_that_is_forbidden_fails_no_poll() -> None:
    source = ListedSource(pages=1)
    source.fails["bulk list"] = ForbiddenError(status=403, method="GET", path="/all")
    answered = run(waits(steady(), source, [f"{number}/x" for number in range(20)], RETRY_INTERVAL - 20))
    assert not any(name.endswith("failed") for name in answered)
    assert source.calls("bulk list") == 1


def test_each_poll_gets_its_own_error() -> None:
    source = ListedSource()
    source.fails["a/1"] = ConnectError("only this one")

    async def play() -> list[Any]:
        dispatcher = steady()
        polls = (dispatcher.submit(poll(source, name)) for name in ("a/0", "a/1", "a/1", "a/2"))
        return await asyncio.gather(*polls, return_exceptions=True)

    fine, failed, also, well = run(play())
    assert (fine[0], well[0]) == ("a/0", "a/2")
    assert str(failed) == str(also) == "only this one"
    assert failed is not also


def test_a_batch_that_fails_fails_its_own_polls_only() -> None:
    source = ListedSource()
    source.fails["batch"] = ConnectError("away")
    answered = run(waits(steady(), source, ["a/1", "a/2", "b/1"], 100))
    assert set(answered) == {"a/1 failed", "a/2 failed", "b/1 failed"}


def test_a_programming_error_in_a_source_is_raised_in_the_wait() -> None:
    class Broken(ListedSource):
        def poll_batch(self, keys: Sequence[Any]) -> Flow[Mapping[Any, Any]]:
            raise ZeroDivisionError

    async def play() -> None:
        with pytest.raises(ZeroDivisionError):
            await steady().submit(poll(Broken(), "a/1"))

    run(play())


def test_a_withdrawn_poll_is_not_sent_and_blocks_no_other() -> None:
    source = ListedSource()

    async def play() -> None:
        dispatcher = steady()
        gone = asyncio.ensure_future(dispatcher.submit(poll(source, "a/1")))
        stays = asyncio.ensure_future(dispatcher.submit(poll(source, "b/1")))
        await asyncio.sleep(1)
        gone.cancel()
        assert (await stays)[0] == "b/1"

    run(play())
    assert [names for _, _, names in source.requests] == [("b/1",)]


def test_a_batch_has_one_request_in_flight_at_most() -> None:
    source = ListedSource()

    async def play() -> None:
        dispatcher = steady()
        first = asyncio.ensure_future(dispatcher.submit(poll(source, "a/1", 0, 0)))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(dispatcher.submit(poll(source, "a/2", 0, 0)))
        await asyncio.gather(first, second)

    run(play())
    assert [(round(moment, 2), names) for moment, _, names in source.requests] == [(0, ("a/1",)), (0.1, ("a/2",))]


def test_polls_and_merged_polls_are_counted() -> None:
    polls: list[int] = []
    merged: list[int] = []
    source = ListedSource()

    async def play() -> None:
        dispatcher = steady(count_polls=polls.append, count_merged=merged.append)
        # Two waits each for one run.
        await asyncio.gather(*(dispatcher.submit(poll(source, f"a/{number // 2}")) for number in range(10)))

    run(play())
    assert (sum(polls), sum(merged)) == (10, 9)


def test_close_cancels_pending_polls_and_sends_no_more() -> None:
    source = ListedSource()

    async def play() -> None:
        dispatcher = steady()
        waiting = asyncio.ensure_future(dispatcher.submit(poll(source, "a/1")))
        await asyncio.sleep(1)
        dispatcher.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(ConnectError, match="closed"):
            await dispatcher.submit(poll(source, "a/2"))
        await asyncio.sleep(100)

    run(play())
    assert source.requests == []


def test_polls_that_become_due_while_the_bulk_list_is_read_are_sent_after_it() -> None:
    source = ListedSource(pages=30)

    async def play() -> None:
        dispatcher = steady()
        first = [asyncio.ensure_future(dispatcher.submit(poll(source, f"{number}/x", 0, 0))) for number in range(100)]
        await asyncio.sleep(0.5)
        later = [asyncio.ensure_future(dispatcher.submit(poll(source, f"late {n}/x", 0, 0))) for n in range(3)]
        await asyncio.wait_for(asyncio.gather(*first, *later), 100)

    run(play())


def test_polls_of_a_batch_of_which_the_bulk_list_covers_only_one_are_both_answered() -> None:
    source = ListedSource(pages=1)
    source.absent = {"3/alone"}

    async def play() -> None:
        dispatcher = steady()
        polls = [dispatcher.submit(poll(source, f"{number}/x", 0, 10)) for number in range(20)]
        polls.append(dispatcher.submit(poll(source, "3/alone", 0, 10)))
        await asyncio.wait_for(asyncio.gather(*polls), 100)

    run(play())


def test_new_polls_do_not_make_a_bulk_list_look_shorter_than_it_is() -> None:
    source = ListedSource(pages=5)

    async def play() -> None:
        dispatcher = steady()
        many = asyncio.ensure_future(waits(dispatcher, source, [f"{number}/x" for number in range(300)], 200))
        await asyncio.sleep(40)
        await asyncio.gather(*(dispatcher.submit(poll(source, f"new {number}/x", 0, 0)) for number in range(4)))
        await many

    run(play())
    assert source.calls("batch") <= 30 + MAX_AUDITS * source.calls("bulk list")


def test_a_batch_is_chosen_when_its_token_is_granted() -> None:
    source, alone = ListedSource(pages=2), ListedSource()
    alone.name = "another"

    async def play() -> None:
        dispatcher = steady(share=0.2)  # three tokens a second
        others = asyncio.ensure_future(
            waits(dispatcher, alone, [f"{n}/x" for n in range(100)], 60, min_delay=0, max_delay=0)
        )
        many = waits(dispatcher, source, [f"{n}/x" for n in range(100)], 59.9, min_delay=0, max_delay=10)
        await many
        others.cancel()

    run(play())
    # They became due one after the other, while the tokens went to another source.
    assert source.calls("batch") <= 20
    assert {name for _, how, names in source.requests if how == "bulk list" for name in names} >= {"98/x", "99/x"}


@pytest.mark.parametrize("checked", [0, MAX_AUDITS], ids=["no checks", "checks"])
def test_beyond_the_rate_limit_no_run_is_polled_less_than_half_as_often_as_another(
    monkeypatch: pytest.MonkeyPatch, checked: int
) -> None:
    # An audit holds the one ticket of its source, which delays the bulk list as well.
    monkeypatch.setattr(bulk_list_module, "MAX_AUDITS", checked)
    listed, one_by_one, shared = ListedSource(pages=2), ListedSource(), ListedSource()
    one_by_one.name, shared.name = "one by one", "shared"

    async def play() -> tuple[Counter[str], ...]:
        dispatcher = steady(share=0.1)  # one and a half a second, where eight are wanted
        return await asyncio.gather(
            waits(dispatcher, listed, [f"{n}/x" for n in range(60)], 3600, min_delay=5, max_delay=10),
            waits(dispatcher, one_by_one, [f"{n}/x" for n in range(60)], 3600, min_delay=5, max_delay=10),
            waits(dispatcher, shared, [f"{n // 10}/{n}" for n in range(100)], 3600, min_delay=5, max_delay=10),
        )

    counts = [count for answered in run(play()) for count in answered.values()]
    assert len(counts) == 220
    assert min(counts) > max(counts) / 2


def test_the_poll_that_has_waited_longest_is_first_among_all_sources() -> None:
    """At the true limits a lot of tokens is granted at once; it does not go half to each source."""
    many, few = ListedSource(), ListedSource()
    few.name = "few"

    async def play() -> tuple[Counter[str], ...]:
        dispatcher = steady(share=1.0)  # fifteen a second, where 45 are wanted
        return await asyncio.gather(
            waits(dispatcher, many, [f"{n}/x" for n in range(420)], 1200, min_delay=5, max_delay=10),
            waits(dispatcher, few, [f"{n}/x" for n in range(30)], 1200, min_delay=5, max_delay=10),
        )

    counts = [count for answered in run(play()) for count in answered.values()]
    assert len(counts) == 450
    assert min(counts) > max(counts) / 1.3


def test_a_bulk_list_goes_before_single_polls_that_wait_less_than_its_interval() -> None:
    listed, one_by_one = ListedSource(pages=2), ListedSource()
    one_by_one.name = "one by one"

    async def play() -> tuple[Counter[str], ...]:
        dispatcher = steady(share=0.1)  # one and a half a second
        return await asyncio.gather(
            waits(dispatcher, listed, [f"{n}/x" for n in range(60)], 3600, min_delay=5, max_delay=10),
            waits(dispatcher, one_by_one, [f"{n}/x" for n in range(20)], 3600, min_delay=5, max_delay=10),
        )

    many, single = run(play())
    assert min(many.values()) > 3600 / 11.5
    assert max(single.values()) < 3600 / 14


def test_two_clients_of_one_user_share_tokens_by_the_age_of_their_polls() -> None:
    source, another = ListedSource(), ListedSource()

    async def play() -> tuple[Counter[str], ...]:
        limits = limits_of(0.1)
        first, second = (Dispatcher(run_flow, limits, draw=lambda: 0.0) for _ in range(2))
        return await asyncio.gather(
            waits(first, source, [f"{n}/x" for n in range(90)], 1800),
            waits(second, another, [f"{n}/x" for n in range(10)], 1800),
        )

    counts = [count for answered in run(play()) for count in answered.values()]
    assert len(counts) == 100
    assert min(counts) > max(counts) / 2


def test_the_token_of_a_withdrawn_poll_is_refunded() -> None:
    source = ListedSource()

    async def play() -> float:
        limits = limits_of(0.1)
        for _ in range(8):
            (await limits().acquire(Tier.ONE)).release()
        dispatcher = Dispatcher(run_flow, limits, draw=lambda: 0.0)
        gone = asyncio.ensure_future(dispatcher.submit(poll(source, "a/1", 0, 0)))
        await asyncio.sleep(0.01)
        gone.cancel()
        began = now()
        (await limits().acquire(Tier.ONE)).release()
        return now() - began

    assert run(play()) < 1
    assert source.requests == []


async def still_waiting(dispatcher: Dispatcher, polls: Sequence[asyncio.Future[Any]]) -> int:
    """Return how many polls are not answered after a day."""
    _, pending = await asyncio.wait(polls, timeout=86400)
    return len(pending)


def test_a_poll_deferred_by_its_batch_is_not_lost_when_a_bulk_list_is_read() -> None:
    source = ListedSource(pages=1)

    async def play() -> int:
        dispatcher = steady()
        first = dispatcher.submit(poll(source, "a/1", 0, 0))
        await asyncio.sleep(0.05)
        names = ("a/2", "b/1", "c/1", "d/1")
        return await still_waiting(
            dispatcher, [first, *(dispatcher.submit(poll(source, name, 0, 0)) for name in names)]
        )

    assert run(play()) == 0


def test_close_before_the_first_step_of_a_request_cancels_its_polls() -> None:
    async def play() -> int:
        dispatcher = steady()
        polls = dispatcher.submit(poll(ListedSource(), "a/1", 0, 0))
        while not dispatcher._requests:
            await asyncio.sleep(0)
        dispatcher.close()
        return await still_waiting(dispatcher, [polls])

    assert run(play()) == 0


def test_metrics_that_fail_stop_no_poll() -> None:
    def fail(_: float) -> None:
        raise OSError("no statistics")

    async def play() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        dispatcher = steady(count_wait=fail)
        source = ListedSource()
        return await still_waiting(
            dispatcher, [dispatcher.submit(poll(source, f"{number}/x", 0, 0)) for number in range(3)]
        )

    assert run(play()) == 0


def test_an_error_that_cannot_be_copied_is_raised_as_it_is() -> None:
    class OddError(Exception):
        def __init__(self, of: ListedSource) -> None:
            super().__init__(f"of {of.name}")

    class Broken(ListedSource):
        def poll_batch(self, keys: Sequence[Any]) -> Flow[Mapping[Any, Any]]:
            raise OddError(self)

    async def play() -> None:
        source, dispatcher = Broken(), steady()
        for polls in [dispatcher.submit(poll(source, f"a/{number}", 0, 0)) for number in range(3)]:
            with pytest.raises(OddError, match="of source"):
                await asyncio.wait_for(polls, 100)

    run(play())


def test_a_run_that_the_bulk_list_leaves_out_waits_once_in_the_queue() -> None:
    source = ListedSource(pages=3)
    source.absent = {"gone/x"}

    async def play() -> tuple[float, float]:
        limits = limits_of(0.1)
        dispatcher = Dispatcher(run_flow, limits, draw=lambda: 0.0)

        async def others() -> None:
            while True:
                (await limits().acquire(Tier.ONE)).release()

        busy = [asyncio.ensure_future(others()) for _ in range(60)]
        await asyncio.sleep(60)
        began, lag = now(), limits().poll_delay(Tier.ONE)
        gone = dispatcher.submit(poll(source, "gone/x", 0, 0))
        rest = [dispatcher.submit(poll(source, f"{number}/x", 0, 0)) for number in range(3)]
        for number in range(400):
            rest.append(dispatcher.submit(poll(source, f"new {number}/x", 0, 0)))
            await asyncio.sleep(0.25)
            if gone.done():
                break
        waited = now() - began
        for each in busy:
            each.cancel()
        await asyncio.gather(*rest)
        return waited, lag

    waited, lag = run(play())
    assert lag > 35
    assert waited < 1.2 * lag


def reschedule_until(count: int, seen: list[Any]) -> Callable[[Any], tuple[float, float] | None]:
    """Return a `Poll.reschedule` for which all of so many results but the last are nothing new."""

    def reschedule(answer: Any) -> tuple[float, float] | None:
        seen.append(answer)
        return (5.0, 10.0) if len(seen) < count else None

    return reschedule


@pytest.mark.parametrize("pages", [None, 3], ids=["by group", "all together"])
def test_a_poll_with_nothing_new_is_sent_again_without_waking_the_wait(pages: int | None) -> None:
    source = ListedSource(pages=pages)
    names = [f"{number % 5}/{number}" for number in range(20)]

    async def play() -> list[list[Any]]:
        dispatcher = steady()
        seen: list[list[Any]] = [[] for _ in names]
        polls = []
        for name, of in zip(names, seen, strict=True):
            polls.append(dispatcher.submit(poll(source, name, 0, 0, reschedule=reschedule_until(30, of))))
            await asyncio.sleep(0.7)
        assert [answer[0] for answer in await asyncio.gather(*polls)] == names
        return seen

    for name, answers in zip(names, run(play()), strict=True):
        assert {keys for keys, _ in answers} == {name}
        moments = [moment for _, moment in answers]
        assert len(moments) == 30
        assert all(5 <= later - sooner < 10.5 for sooner, later in itertools.pairwise(moments))
    # One request for each batch, or for all, in each interval; more before they have drifted together.
    assert source.calls() <= (35 * 5 if pages is None else 35 * 3)


def test_a_rescheduled_poll_can_be_withdrawn() -> None:
    source = ListedSource()

    async def play() -> None:
        dispatcher = steady()
        polls = dispatcher.submit(poll(source, "a/1", 0, 0, reschedule=reschedule_until(100, [])))
        await asyncio.sleep(55)
        polls.cancel()
        before = source.calls()
        await asyncio.sleep(100)
        assert source.calls() == before > 5

    run(play())


owner = ContextVar("owner", default="no wait")


@pytest.mark.parametrize("pages", [None, 3], ids=["by group", "all together"])
def test_requests_do_not_run_in_the_context_of_a_wait(pages: int | None) -> None:
    """Else its log lines would go to the log of one wait, which may have ended."""
    contexts: Counter[str] = Counter()

    class Noting(ListedSource):
        def _poll(self, how: str, calls: int, keys: Sequence[Any]) -> Flow[Mapping[Any, Any]]:
            contexts[owner.get()] += 1
            return (yield from super()._poll(how, calls, keys))

    source, dispatcher = Noting(pages=pages), Dispatcher(run_flow, limits_of(0.05), draw=lambda: 0.0)

    async def one(name: str, count: int) -> None:
        owner.set(name)
        await asyncio.sleep(count / 10)
        await dispatcher.submit(poll(source, f"{count % 4}/{name}", 0, 0, reschedule=reschedule_until(count, [])))
        assert owner.get() == name

    async def play() -> None:
        await asyncio.gather(*(one(str(number), 2 + number) for number in range(12)))

    run(play())
    assert set(contexts) == {"no wait"}


def test_a_rescheduled_poll_gets_errors_and_the_close() -> None:
    source = ListedSource()

    async def play() -> None:
        dispatcher = steady()
        failing = dispatcher.submit(poll(source, "a/1", 0, 0, reschedule=reschedule_until(100, [])))
        going = dispatcher.submit(poll(source, "b/1", 0, 0, reschedule=reschedule_until(100, [])))
        await asyncio.sleep(25)
        source.fails["a/1"] = ForbiddenError(status=403, method="GET", path="/x")
        with pytest.raises(ForbiddenError):
            await failing
        dispatcher.close()
        with pytest.raises(asyncio.CancelledError):
            await going

    run(play())


def test_an_error_in_reschedule_fails_its_own_poll_only() -> None:
    source = ListedSource()

    def mistaken(_: object) -> None:
        raise ZeroDivisionError

    async def play() -> None:
        dispatcher = steady()
        wrong = dispatcher.submit(poll(source, "a/1", 0, 0, reschedule=mistaken))
        right = dispatcher.submit(poll(source, "a/2", 0, 0))
        with pytest.raises(ZeroDivisionError):
            await wrong
        assert (await right)[0] == "a/2"

    run(play())


class Moody:
    """A source that is slow, fails at times, and has a bulk list that leaves out some runs.

    `wrong` notes polls that are sent too early, or twice at the same time.
    """

    name = "moody"
    tier = Tier.ONE
    has_bulk_list = True

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.min_delay: dict[Any, float] = {}
        self.in_flight: set[Any] = set()
        self.wrong: list[str] = []

    def poll(self, key: Any) -> Flow[Any]:
        raise AssertionError("polled singly")

    def poll_batch(self, keys: Sequence[Any]) -> Flow[Mapping[Any, Any]]:
        with self._noted(keys):
            yield from [None] * self.chance.choice([1, 1, 2, 4])  # type: ignore[misc]
            if self.chance.random() < 0.1:
                raise ConnectError("not now")
        answered = keys[: self.chance.choice([1, 3, 100])]
        return {each: ConnectError("singly") if self.chance.random() < 0.05 else each for each in answered}

    def is_terminal(self, answer: Any) -> bool:
        return False

    def poll_bulk_list(
        self, keys: Sequence[Any], max_pages: int, audited: Sequence[Any] = ()
    ) -> Flow[Mapping[Any, Any]]:
        with self._noted(keys):
            yield from [None] * min(max_pages, self.chance.choice([1, 2, 3]))  # type: ignore[misc]
            if self.chance.random() < 0.15:
                raise ConnectError("not now")
        return {each: each for each in (*keys, *audited) if self.chance.random() < 0.7}

    @contextmanager
    def _noted(self, keys: Sequence[Any]) -> Iterator[None]:
        self.wrong += [
            f"{each} at {now()} too soon" for each in keys if now() < self.min_delay[each] - 2 * DUE_TOLERANCE
        ]
        self.wrong += [f"{each} at {now()} twice" for each in keys if each in self.in_flight]
        self.in_flight |= set(keys)
        try:
            yield
        finally:
            self.in_flight -= set(keys)


@pytest.mark.parametrize("game", range(200))
def test_random_waits_are_all_answered_soon_after_they_are_due(game: int) -> None:
    """Waits that come and go at random: each poll is answered, soon after it is due."""
    chance = random.Random(game)
    source = Moody(chance)

    async def run_slowly(flow: Flow[Any], permit: Permit) -> tuple[Any, int]:
        return await run_flow(flow, permit, lambda: chance.choice([0.0004, 0.1, 0.5, 3]))

    async def play() -> list[float]:
        dispatcher = Dispatcher(run_slowly, limits_of(chance.choice([1000.0, 0.1])), draw=chance.random)
        late: list[float] = []

        async def wait(name: int, group: str, begin: float, looks: int) -> None:
            await asyncio.sleep(begin)
            max_delay, min_delay, scheduled_at = 0.0, 0.0, now()
            still_waiting = looks

            def reschedule(_: object) -> tuple[float, float] | None:
                nonlocal still_waiting, min_delay, max_delay, scheduled_at
                still_waiting -= 1
                late.append(now() - scheduled_at - max_delay)
                if still_waiting <= 0 or chance.random() < 0.3:
                    return None
                min_delay, max_delay, scheduled_at = 15 * chance.choice([0.01, 0.5, 0.5, 1]), 15.0, now()
                source.min_delay[name] = scheduled_at + min_delay
                return min_delay, max_delay

            while still_waiting > 0:
                scheduled_at = now()
                source.min_delay[name] = scheduled_at + min_delay
                polls = Poll(
                    source=source,
                    key=name,
                    batch_key=group,
                    min_delay=min_delay,
                    max_delay=max_delay,
                    reschedule=reschedule,
                )
                try:
                    await dispatcher.submit(polls)
                except QlikCloudError:
                    still_waiting -= 1
                    late.append(now() - scheduled_at - max_delay)
                min_delay, max_delay = 15 * chance.choice([0.5, 0.5, 1]), 15.0

        count = chance.choice([3, 6, 20])
        groups = max(1, count // chance.choice([1, 2]))
        begins = [chance.choice([0, 0, chance.random() * 60]) for _ in range(count)]
        tasks = [
            wait(name, f"group {chance.randrange(groups)}", begin, chance.randrange(1, 20))
            for name, begin in enumerate(begins)
        ]
        await asyncio.wait_for(asyncio.gather(*tasks), 5000)
        assert source.wrong == []
        return late

    assert max(run(play())) < 30


def poll_tasks() -> list[str]:
    return sorted(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("qlik poll"))


def test_the_name_of_the_task_says_what_a_request_in_flight_polls() -> None:
    async def play() -> list[list[str]]:
        dispatcher, source = steady(), ListedSource()
        # Two waits for one run are one run.
        polls = [dispatcher.submit(poll(source, key, 0, 0)) for key in ("a/1", "a/2", "a/2", "a/3", "b/1")]
        before = poll_tasks()
        await asyncio.sleep(0.05)
        in_flight = poll_tasks()
        await asyncio.gather(*polls)
        await asyncio.sleep(0)
        return [before, in_flight, poll_tasks()]

    assert run(play()) == [[], ["qlik poll: source a (3 runs)", "qlik poll: source b (1 run)"], []]


def test_the_name_of_the_task_says_that_a_bulk_list_is_read() -> None:
    async def play() -> list[str]:
        dispatcher, source = steady(), ListedSource(pages=1)
        polls = [dispatcher.submit(poll(source, f"{number}/x", 0, 0)) for number in range(4)]
        await asyncio.sleep(0.05)
        in_flight = poll_tasks()
        await asyncio.gather(*polls)
        return in_flight

    assert run(play()) == ["qlik poll: source bulk list (4 runs)"]


LOGGER = "airflow_provider_qlik.cloud.polling.dispatcher"


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_a_debug_line_says_which_polls_one_request_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        dispatcher, source = steady(), ListedSource()
        await asyncio.gather(*(dispatcher.submit(poll(source, key)) for key in ("a/1", "a/2", "a/2", "b/1")))

    with caplog.at_level(logging.DEBUG, LOGGER):
        run(play())
    assert sorted(messages(caplog)) == [
        "One request answered 1 poll: source b (b/1)",
        "One request answered 3 polls: source a (a/1), source a (a/2), source a (a/2)",
    ]


def test_a_debug_line_of_a_long_bulk_list_names_only_the_first_polls(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        dispatcher, source = steady(), ListedSource(pages=2)
        await asyncio.gather(*(dispatcher.submit(poll(source, f"{number}/x", 0, 0)) for number in range(50)))

    with caplog.at_level(logging.DEBUG, LOGGER):
        run(play())
    (line,) = messages(caplog)
    assert line.startswith("2 requests answered 50 polls: source 0 (0/x), source 1 (1/x), ")
    assert line.endswith(f"source 19 (19/x) and {50 - MAX_LOGGED_POLLS} more")


def test_without_debug_no_line_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Key(str):
        def __format__(self, spec: str) -> str:
            raise AssertionError("composed")

    async def play(debug: bool) -> None:
        # The search for planted secrets, which runs around all tests, enables every level of every logger.
        monkeypatch.setattr(dispatcher_module._log, "isEnabledFor", lambda level: debug or level > logging.DEBUG)
        await steady().submit(Poll(source=ListedSource(), key=Key("a/1"), batch_key="a"))

    run(play(debug=False))
    with pytest.raises(AssertionError, match="composed"):
        run(play(debug=True))
