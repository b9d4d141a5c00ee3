"""Questions of many, answered together: as few requests as will do, whoever waits."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_qlik.cloud.call import Flow, Question, Source
from airflow_provider_qlik.cloud.errors import CouldNotConnect, QlikCloudError

JITTER = 0.2
"""The part of its interval by which a question may come early, so that those who began together drift apart."""
CROWD = 3
"""From so many groups on a list of everything is worth a try."""
TRY_AGAIN = 600.0
"""Seconds after which a list that did not help is tried again."""
AT_A_TIME = 20
"""So many get their answers before others may do something."""
NOT_NOW = 60.0
"""Seconds after which a list that failed is tried again."""
A_MOMENT = 0.001
"""Seconds by which a question may be asked too soon, so that one bell rings for all whose time is up together."""


class Ask(Protocol):
    """Runs a flow, and says how many calls that took."""

    def __call__(self, flow: Flow[Any], ahead: bool = False, /) -> Coroutine[Any, Any, tuple[Any, int]]: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A question, from when to when it is to be asked, and who waits for the answer."""

    question: Question
    soonest: float
    due: float
    answer: asyncio.Future[Any]

    @property
    def gone(self) -> bool:
        return self.answer.done()

    def told(self, answer: Any) -> None:
        """Gives it what there is to give, if it still waits. An error is copied: it collects things on its way."""
        if self.gone:
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(copy(answer))
        else:
            self.answer.set_result(answer)


@dataclass(slots=True, eq=False)
class _Group:
    """Questions that one list answers. While they are asked, those that come are kept for the next time."""

    name: str
    waiting: list[_Waiting] = field(default_factory=list)
    asking: bool = False

    def take(self, now: float) -> list[_Waiting]:
        """Those that may be asked now; the others stay."""
        ready = [each for each in self.waiting if each.soonest <= now and not each.gone]
        self.waiting = [each for each in self.waiting if each.soonest > now and not each.gone]
        return ready


class Rounds:
    """All questions to one tenant in one event loop.

    A question is asked when its time is up, and takes along those that may be asked by then: all of its group, since
    one list answers for them; and, where a list of everything costs fewer requests than asking for each group, all.
    """

    def __init__(
        self,
        ask: Ask,
        merged: Callable[[int], object] = lambda _: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ask = ask
        self._merged = merged
        self._chance = chance
        self._closed = False
        self._sources: dict[str, _Rounds] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def answer(self, question: Question) -> Any:
        """The answer, when it is there. Raises what went wrong with it."""
        if self._closed:
            raise CouldNotConnect("the client was closed")
        rounds = self._sources.get(question.source.name)
        if rounds is None:
            rounds = self._sources[question.source.name] = _Rounds(question.source, self)
        loop = asyncio.get_running_loop()
        now = loop.time()
        early = self._chance() * JITTER * (question.latest - question.soonest)
        waiting = _Waiting(question, now + question.soonest, now + question.latest - early, loop.create_future())
        rounds.add(waiting)
        return await waiting.answer

    def close(self) -> None:
        """Nothing is asked any more, and nobody waits any more."""
        self._closed = True
        for rounds in self._sources.values():
            rounds.close()
        for task in self.tasks:
            task.cancel()

    async def ask(self, flow: Flow[Any], ahead: bool = False) -> tuple[Mapping[Any, Any], int]:
        """What a flow gives, and in how many calls."""
        answers, calls = await self._ask(flow, ahead)
        self._merged(max(0, len(answers) - calls))
        return answers, calls

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something beside."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class _Rounds:
    """The questions to one source.

    Each that waits is on the list of those to come (`_due`), among the `_late`, being asked, or in a group that is
    being asked: so none is forgotten.
    """

    def __init__(self, source: Source, rounds: Rounds) -> None:
        self._source = source
        self._all = rounds
        self._groups: dict[str, _Group] = {}
        self._due: list[tuple[float, int, _Waiting]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._crowding = False
        self._pages: tuple[int, float] | None = None
        self._absent: dict[Any, float] = {}
        self._late: list[_Waiting] = []

    def add(self, waiting: _Waiting) -> None:
        group = self._groups.get(waiting.question.group)
        if group is None:
            group = self._groups[waiting.question.group] = _Group(waiting.question.group)
        group.waiting.append(waiting)
        self._remind(waiting)
        if self._due[0][2] is waiting:
            self._wind()

    def _remind(self, waiting: _Waiting) -> None:
        heapq.heappush(self._due, (waiting.due, next(self._count), waiting))

    def close(self) -> None:
        self._closed = True
        self._wind()
        for group in self._groups.values():
            for waiting in group.waiting:
                waiting.answer.cancel()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and not self._closed:
            self._timer = asyncio.get_running_loop().call_at(self._due[0][0], self._ring)

    def _ring(self) -> None:
        """Somebody's time is up."""
        if self._closed:
            return
        now = asyncio.get_running_loop().time()
        crowd: list[_Waiting] = []
        groups: list[_Waiting] = []
        while self._due and self._due[0][0] <= now + A_MOMENT:
            waiting = heapq.heappop(self._due)[2]
            if not waiting.gone:
                (crowd if self._suits_a_crowd(waiting, now) else groups).append(waiting)
        if not crowd or not self._a_crowd_is_cheaper(now):
            groups += crowd
        elif self._crowding:
            # Their bell has rung: it rings again when this crowd is through.
            self._late += crowd
        else:
            self._begin_crowd(now)
        for name in dict.fromkeys(each.question.group for each in groups):
            self._begin_group(name)
        self._wind()

    # One group

    def _begin_group(self, name: str) -> None:
        group = self._groups.get(name)
        if group is None or group.asking:
            return
        ready = group.take(asyncio.get_running_loop().time() + A_MOMENT)
        if ready:
            group.asking = True
            self._all.begin(self._ask_group(group, ready))
        elif not group.waiting:
            del self._groups[name]

    async def _ask_group(self, group: _Group, ready: list[_Waiting]) -> None:
        try:
            about = list(dict.fromkeys(each.question.about for each in ready))
            with failures_told(ready):
                await tell(ready, (await self._all.ask(self._source.look_together(about)))[0])
        finally:
            group.asking = False
            now = asyncio.get_running_loop().time()
            if not self._closed and (not group.waiting or any(each.due <= now + A_MOMENT for each in group.waiting)):
                self._begin_group(group.name)

    # All groups

    def _suits_a_crowd(self, waiting: _Waiting, now: float) -> bool:
        if not self._source.crowded or waiting.question.alone:
            return False
        return self._absent.get(waiting.question.about, 0.0) <= now

    def _a_crowd_is_cheaper(self, now: float) -> bool:
        groups = sum(
            not group.asking
            and any(each.soonest <= now + A_MOMENT and self._suits_a_crowd(each, now) for each in group.waiting)
            for group in self._groups.values()
        )
        if self._pages is not None and self._pages[1] <= now:
            self._pages = None
        return groups >= CROWD if self._pages is None else self._pages[0] < groups

    def _begin_crowd(self, now: float) -> None:
        ready: list[_Waiting] = []
        for group in self._groups.values():
            if group.asking:
                continue
            suits = [
                each for each in group.waiting if each.soonest <= now + A_MOMENT and self._suits_a_crowd(each, now)
            ]
            if suits:
                ready += suits
                taken = set(map(id, suits))
                group.waiting = [each for each in group.waiting if id(each) not in taken]
        ready = [each for each in ready if not each.gone]
        if ready:
            self._crowding = True
            self._all.begin(self._ask_crowd(ready))

    async def _ask_crowd(self, ready: list[_Waiting]) -> None:
        about = list(dict.fromkeys(each.question.about for each in ready))
        groups = len({each.question.group for each in ready})
        most = groups if self._pages is None else max(groups, self._pages[0] + 1)
        loop = asyncio.get_running_loop()
        answers: Mapping[Any, Any] = {}
        try:
            with failures_told(ready):
                try:
                    answers, calls = await self._all.ask(self._source.look_at_many(about, most), ahead=True)
                    if calls and (self._pages is None or calls > self._pages[0] or len(answers) < len(about)):
                        # It was read to its end, or further than ever: not where all were found on the first pages.
                        self._pages = (calls, loop.time() + TRY_AGAIN)
                except QlikCloudError as error:
                    # What one list does not tell, the other way may: nobody's wait hangs on it.
                    self._pages = (sys.maxsize, loop.time() + (NOT_NOW if error.transient else TRY_AGAIN))
                    if error.transient:
                        raise
            now = loop.time()
            self._absent = {each: until for each, until in self._absent.items() if until > now}
            self._absent |= dict.fromkeys((each for each in about if each not in answers), now + TRY_AGAIN)
            await tell([each for each in ready if each.question.about in answers], answers)
        finally:
            self._crowding = False
            self._go_on_with([each for each in ready if not each.gone])

    def _go_on_with(self, left: list[_Waiting]) -> None:
        """Those that no list of everything tells of are asked for by group, when their time is up."""
        if self._closed:
            return
        now = asyncio.get_running_loop().time()
        for each in left:
            self._groups.setdefault(each.question.group, _Group(each.question.group)).waiting.append(each)
        for name in dict.fromkeys(each.question.group for each in left if each.due <= now + A_MOMENT):
            self._begin_group(name)
        late, self._late = self._late, []
        for each in late:
            self._remind(each)
        self._ring()


@contextmanager
def failures_told(waiting: Sequence[_Waiting]) -> Iterator[None]:
    """Whatever goes wrong in the block is told to those who wait, and to nobody else."""
    try:
        yield
    except Exception as error:
        for each in waiting:
            each.told(error)
    except asyncio.CancelledError:
        for each in waiting:
            each.answer.cancel()
        raise


async def tell(waiting: Sequence[_Waiting], answers: Mapping[Any, Any]) -> None:
    """Gives each its answer, or an error of its own; some at a time, so that the loop never stands still for all."""
    for count, each in enumerate(waiting, 1):
        each.told(answers.get(each.question.about))
        if count % AT_A_TIME == 0:
            await asyncio.sleep(0)
