"""Questions that wait for their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_qlik.cloud.call import Poll

AT_A_TIME = 20
"""So many get their answers before others may do something."""


@dataclass(slots=True, eq=False)
class PendingPoll:
    """A question, since when it waits, from when to when it is to be asked, and who waits for the answer."""

    poll: Poll
    answer: asyncio.Future[Any]
    began: float = 0.0
    soonest: float = 0.0
    due: float = 0.0
    asked: bool = False
    """Whether it is being asked just now."""

    @property
    def gone(self) -> bool:
        return self.answer.done()

    def told(self, answer: Any) -> None:
        """Gives it what there is to give, if it still waits. An error is copied: it collects things on its way."""
        if self.gone:
            return
        if isinstance(answer, Exception):
            with suppress(Exception):  # what is not ours may not let itself be copied: then all get the same
                answer = copy(answer)
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


@dataclass(slots=True, eq=False)
class Batch:
    """Questions that one list answers. While some are asked, those that come are kept for the next time."""

    waiting: dict[PendingPoll, None] = field(default_factory=dict)
    asking: bool = False
    aside: list[PendingPoll] = field(default_factory=list)
    """Those whose turn came meanwhile."""

    def take(self, ready: Sequence[PendingPoll]) -> None:
        """Those are asked now."""
        for each in ready:
            each.asked = True
            del self.waiting[each]


@asynccontextmanager
async def failures_told(waiting: Sequence[PendingPoll]) -> AsyncIterator[None]:
    """Whatever goes wrong in the block is told to those who wait, and to nobody else."""
    try:
        try:
            yield
        except Exception as error:
            async for each in _some_at_a_time(waiting):
                each.told(error)
    except asyncio.CancelledError:
        for each in waiting:
            each.answer.cancel()
        raise


async def tell(
    waiting: Sequence[PendingPoll],
    answers: Mapping[Any, Any],
    ask_again: Callable[[PendingPoll, float, float], object],
) -> None:
    """Gives each its answer, or an error of its own.

    Those to whom it tells nothing new wait on: *ask_again* is told from when to when, in seconds from now.
    """
    async for each in _some_at_a_time(waiting):
        answer, when = answers.get(each.poll.about), None
        if each.poll.again is not None and not each.gone and not isinstance(answer, Exception):
            try:
                when = each.poll.again(answer)
            except Exception as error:  # whatever goes wrong in there is for this one alone
                answer = error
        if when is None:
            each.told(answer)
        else:
            ask_again(each, *when)


async def _some_at_a_time(waiting: Sequence[PendingPoll]) -> AsyncIterator[PendingPoll]:
    """All of them; the event loop never stands still until it is done with the last."""
    for count, each in enumerate(waiting, 1):
        yield each
        if count % AT_A_TIME == 0:
            await asyncio.sleep(0)
