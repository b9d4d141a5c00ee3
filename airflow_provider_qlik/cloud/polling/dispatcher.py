"""Questions of many, answered together: as few requests as will do, whoever waits."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Any, Protocol

from airflow_provider_qlik.cloud.call import Flow, Poll, PollSource, Tier
from airflow_provider_qlik.cloud.errors import ConnectError, QlikCloudError
from airflow_provider_qlik.cloud.polling.bulk_list import BulkList
from airflow_provider_qlik.cloud.polling.poll import Batch, PendingPoll, failures_told, tell
from airflow_provider_qlik.cloud.polling.rate_limiter import Limits

JITTER = 0.2
"""The part of its interval by which a question may come early, so that those who began together drift apart."""
AHEAD = 0.6
"""The part of the time from look to look, for all who wait in line, after which a list of everything may be read again,
since it answers for many; more than half, so that nobody is asked for more than twice as often as another."""
A_MOMENT = 0.001
"""Seconds by which a question may be asked too soon, so that one turn will do for all whose time is up together."""


class Ask(Protocol):
    """Runs a flow whose first call has its turn of a tier already, and says how many calls that took."""

    def __call__(self, flow: Flow[Any], tier: Tier, /) -> Coroutine[Any, Any, tuple[Any, int]]: ...


class Dispatcher:
    """All questions to one tenant in one event loop.

    A question whose time is up waits in line for its turn, under the tenant's limits. When that has come, it takes
    along those that may be asked by then: all of its group, since one list answers for them; and, where a list of
    everything costs fewer requests than asking for each group, all.
    """

    def __init__(
        self,
        ask: Ask,
        limits: Callable[[], Limits],
        polls: Callable[[int], object] = lambda _: None,
        merged: Callable[[int], object] = lambda _: None,
        waited: Callable[[float], object] = lambda _: None,
        chance: Callable[[], float] = random.random,
        tier: Callable[[Tier], Tier] = lambda tier: tier,
    ) -> None:
        self._ask = ask
        self.tier = tier
        """In which tier reads count that a source says to count in another: on this tenant, and by now."""
        self._polls = polls
        self._merged = merged
        self._chance = chance
        self._closed = False
        self.nobodys = Context()
        """What asks for all runs in this, and not in the context of whoever happened to set it going: that may be
        over long before, and its log closed."""
        self._sources: dict[str, _SourceDispatcher] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.limits = limits
        self.waited = waited

    def answer(self, poll: Poll) -> asyncio.Future[Any]:
        """The answer, to be awaited, which raises what went wrong with it. Raises ConnectError after `close`."""
        if self._closed:
            raise ConnectError("the client was closed")
        rounds = self._sources.get(poll.source.name)
        if rounds is None:
            rounds = self._sources[poll.source.name] = _SourceDispatcher(poll.source, self)
        waiting = PendingPoll(poll, asyncio.get_running_loop().create_future())
        rounds.add(waiting, poll.soonest, poll.latest)
        return waiting.answer

    def early(self) -> float:
        """The part of its interval by which a question comes early."""
        return self._chance() * JITTER

    def close(self) -> None:
        """Nothing is asked any more, and nobody waits any more."""
        self._closed = True
        for rounds in self._sources.values():
            rounds.close()
        for task in self._tasks:
            task.cancel()

    async def ask(self, tier: Tier, flow: Flow[Any]) -> tuple[Mapping[Any, Any], int]:
        """Return the result of a flow and the number of its calls; the first call has a turn of that tier."""
        answers, calls = await self._ask(flow, tier)
        if not calls:
            self.limits().refund(tier)
        return answers, calls

    def count(self, told: int, calls: int) -> None:
        """So many have their answer, for so many calls."""
        self._polls(told)
        self._merged(max(0, told - calls))

    def begin(self, work: Coroutine[Any, Any, None], ready: Sequence[PendingPoll]) -> None:
        """Asks for those who are ready, beside."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, ready))

    def _ended(self, task: asyncio.Task[None], ready: Sequence[PendingPoll]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Perhaps before its first step: then nothing in it could tell them.
            for each in ready:
                each.answer.cancel()


class _SourceDispatcher:
    """The questions to one source.

    Each that waits is on the list of those to come (`_due`), or put aside until what is being asked is through, or
    being asked: so none is forgotten. All but those that are being asked are in their groups.
    """

    def __init__(self, source: PollSource, rounds: Dispatcher) -> None:
        self._source = source
        self._all = rounds
        self._groups: dict[str, Batch] = {}
        self._due: list[tuple[float, int, PendingPoll]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._place: asyncio.Future[float] | None = None
        self._since = 0.0
        self._tier = source.tier
        """The tier of the place in line, or of the last turn."""
        self._closed = self._crowding = False
        self._everything = BulkList(source.is_over)
        self._aside: list[PendingPoll] = []

    def add(self, waiting: PendingPoll, soonest: float, latest: float) -> None:
        """Lets it wait, from *soonest* to *latest* seconds from now; also one that was asked and waits on."""
        now, latest = asyncio.get_running_loop().time(), max(soonest, latest)
        waiting.began, waiting.soonest = now, now + soonest
        waiting.due = now + latest - self._all.early() * (latest - soonest)
        waiting.asked = False
        self._groups.setdefault(waiting.poll.group, Batch()).waiting[waiting] = None
        self._remind([waiting])

    def close(self) -> None:
        self._closed = True
        self._wait_for_the_next()
        if self._place is not None:
            self._place.cancel()
        for group in self._groups.values():
            for waiting in group.waiting:
                waiting.answer.cancel()

    # Whose turn it is

    def _remind(self, waiting: Sequence[PendingPoll]) -> None:
        for each in waiting:
            heapq.heappush(self._due, (each.due, next(self._count), each))
        if self._due and self._due[0][2] in waiting:
            if self._place is not None and not self._place.done() and self._due[0][0] < self._since:
                # Who was put aside has waited longer than whoever is in line for this source.
                self._place.cancel()
                self._place = None
            self._wait_for_the_next()

    def _wait_for_the_next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and self._place is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_at(self._due[0][0], self._join, context=self._all.nobodys)

    def _join(self) -> None:
        """Somebody's time is up: joins the line for all of this source."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        while self._due and self._is_stale(*self._due[0]):
            heapq.heappop(self._due)
        now = asyncio.get_running_loop().time()
        if not self._due or self._due[0][0] > now + A_MOMENT:
            self._wait_for_the_next()
            return
        limits, (since, _, first) = self._all.limits(), self._due[0]
        self._tier = self._all.tier(self._source.tier)
        if self._suits_a_crowd(first, now) and not self._crowding and self._a_crowd_is_cheaper(now):
            # Whoever else waits so long is asked then, and this no sooner than a part of that after the last time.
            lag, interval = limits.lag(self._tier), since - first.began
            since -= lag - max(0.0, AHEAD * (interval + lag) - interval)
        self._since = since
        self._place = limits.join(self._tier, since)
        self._place.add_done_callback(self._turn_came)

    def _turn_came(self, place: asyncio.Future[float]) -> None:
        if place.cancelled():
            return
        self._place = None
        try:
            if self._closed or not self._ask_next(asyncio.get_running_loop().time()):
                self._all.limits().refund(self._tier)
        finally:
            if self._place is None:
                # Before another's turn comes: so whoever is next here is compared with all who wait elsewhere.
                self._join()

    def _ask_next(self, now: float) -> bool:
        """Whether there was anything to ask."""
        while self._due and self._due[0][0] <= now + A_MOMENT:
            due, count, waiting = heapq.heappop(self._due)
            if not self._is_stale(due, count, waiting) and self._begin(waiting, now):
                self._all.waited(max(0.0, now - due))
                return True
        return False

    def _begin(self, waiting: PendingPoll, now: float) -> bool:
        """Whether it is asked now. If not, it is put aside until what is being asked is through."""
        group = self._groups[waiting.poll.group]
        if group.asking:
            # First of all: a list of everything is not asked for those of a group that is being asked.
            group.aside.append(waiting)
            return False
        if self._suits_a_crowd(waiting, now):
            if self._crowding:
                self._aside.append(waiting)
                return False
            if self._a_crowd_is_cheaper(now):
                self._begin_crowd(now)
                return True
        ready = [each for each in group.waiting if each.soonest <= now + A_MOMENT and not each.gone]
        # Not all of them may be told in one go: those who have waited longest come first.
        ready.sort(key=lambda each: each.due)
        group.take(ready)
        group.asking = True
        self._all.begin(self._ask_group(group, ready, self._tier), ready)
        return True

    def _is_stale(self, due: float, _: int, waiting: PendingPoll) -> bool:
        """Whether this time of somebody's is nobody's any more: gone, or asked already, and perhaps waiting again."""
        group = self._groups.get(waiting.poll.group)
        if waiting.gone and group is not None:
            group.waiting.pop(waiting, None)
            self._tidy(waiting.poll.group, group)
        return waiting.gone or waiting.asked or waiting.due != due

    def _tidy(self, name: str, group: Batch) -> None:
        if not group.waiting and not group.asking:
            del self._groups[name]

    # One group

    async def _ask_group(self, group: Batch, ready: list[PendingPoll], tier: Tier) -> None:
        answers: Mapping[Any, Any] = {}
        try:
            about = list(dict.fromkeys(each.poll.about for each in ready))
            async with failures_told(ready):
                answers, calls = await self._all.ask(tier, self._source.poll_batch(about))
                self._everything.seen_alone(answers, asyncio.get_running_loop().time())
                await self._tell(ready, answers, calls)
        finally:
            group.asking = False
            aside, group.aside = group.aside, []
            self._go_on_with(ready, answers, aside)

    # All groups

    def _suits_a_crowd(self, waiting: PendingPoll, now: float) -> bool:
        return self._source.has_bulk_list and self._everything.tells_of(waiting.poll.about, now)

    def _in_a_crowd(self, group: Batch, now: float) -> Iterator[PendingPoll]:
        """Those of a group that may be asked together with others."""
        for each in group.waiting if not group.asking else ():
            if each.soonest <= now + A_MOMENT and not each.gone and self._suits_a_crowd(each, now):
                yield each

    def _a_crowd_is_cheaper(self, now: float) -> bool:
        needed = self._everything.groups_needed(now)
        if len(self._groups) < needed:
            return False
        suiting = (group for group in self._groups.values() if any(True for _ in self._in_a_crowd(group, now)))
        return sum(1 for _ in itertools.islice(suiting, needed)) == needed

    def _begin_crowd(self, now: float) -> None:
        ready: list[PendingPoll] = []
        for group in self._groups.values():
            suiting = list(self._in_a_crowd(group, now))
            group.take(suiting)
            ready += suiting
        self._crowding = True
        self._all.begin(self._ask_crowd(ready, self._tier), ready)

    async def _ask_crowd(self, ready: list[PendingPoll], tier: Tier) -> None:
        answers: Mapping[Any, Any] = {}
        try:
            async with failures_told(ready):
                answers, calls = await self._read_everything(ready, tier)
                await self._tell(ready, answers, calls)
        finally:
            self._crowding = False
            aside, self._aside = self._aside, []
            self._go_on_with(ready, answers, aside)

    async def _read_everything(self, ready: Sequence[PendingPoll], tier: Tier) -> tuple[Mapping[Any, Any], int]:
        """What the list of everything tells, and in how many calls; nothing where it is of no use."""
        everything, now = self._everything, asyncio.get_running_loop().time
        about, seen = list(dict.fromkeys(each.poll.about for each in ready)), everything.take_seen(now())
        most = everything.most_pages(len({each.poll.group for each in ready}))
        try:
            answers, calls = await self._all.ask(tier, self._source.poll_bulk_list(about, most, list(seen)))
        except QlikCloudError as error:
            if everything.failed(error, now()):
                raise
            return {}, 0
        return (answers, calls) if everything.was_read(calls, about, answers, seen, now()) else ({}, calls)

    # Those who were asked for, and those who came meanwhile

    async def _tell(self, ready: Sequence[PendingPoll], answers: Mapping[Any, Any], calls: int) -> None:
        told = [each for each in ready if each.poll.about in answers]
        self._all.count(len(told), calls)
        await tell(told, answers, self.add)

    def _go_on_with(
        self, ready: Sequence[PendingPoll], answers: Mapping[Any, Any], aside: Sequence[PendingPoll]
    ) -> None:
        """Those that were not told anything are asked for by group, when their turn comes."""
        left = [each for each in ready if each.poll.about not in answers and not each.gone]
        for each in left:
            each.asked = False
            self._groups.setdefault(each.poll.group, Batch()).waiting[each] = None
        for name in {each.poll.group for each in ready}:
            if name in self._groups:
                self._tidy(name, self._groups[name])
        self._remind([*left, *aside])
