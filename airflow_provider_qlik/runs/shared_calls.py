"""Flows that want to know much the same: what several of them would ask is asked once."""

from __future__ import annotations

from copy import copy
from typing import Any, TypeVar

from airflow_provider_qlik.cloud.call import Call, Flow
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError

T = TypeVar("T")


class Answers:
    """The answers to the calls of several flows, in the order in which they came: to so many calls, *most*."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: dict[Call[Any], list[tuple[int, Any]]] = {}
        self._calls = 0

    @property
    def enough(self) -> bool:
        """Whether no more calls are to be made."""
        return self._calls >= self._most

    def answer(self, call: Call[Any], after: int) -> tuple[int, Any] | None:
        """The first answer to a call after so many others, and how many answers there were with it; None: none yet."""
        return next((known for known in self._answers.get(call, ()) if known[0] > after), None)

    def add(self, call: Call[Any], answer: Any) -> tuple[int, Any]:
        """Keeps an answer."""
        self._calls += 1
        self._answers.setdefault(call, []).append((self._calls, answer))
        return self._calls, answer


class Unknown(Exception):
    """What a flow asks is not known, and would take more calls than are to be made."""


def remembering(flow: Flow[T], known: Answers, *, new: bool = True) -> Flow[T | Exception]:
    """The result of a flow of reads, or what went wrong; its calls are not made if their answer is *known*.

    Raises Unknown before a call of a flow that is not *new*, once there are enough.

    What a flow asks a second time has to be later than all that it was told before: it wants to know what has happened
    since.
    """
    asked: set[Call[Any]] = set()
    latest = 0
    try:
        step = next(flow)
        while True:
            if not isinstance(step, Call):
                step = flow.send((yield step))
                continue
            told = known.answer(step, latest if step in asked else 0)
            if told is None:
                if known.enough and not new:
                    raise Unknown
                try:
                    told = known.add(step, (yield step))
                except QlikCloudError as error:
                    told = known.add(step, error)
            asked.add(step)
            latest = max(latest, told[0])
            answer = told[1]
            step = flow.throw(copy(answer)) if isinstance(answer, QlikCloudError) else flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    except (QlikCloudError, InvalidArgumentError) as error:
        return error
    finally:
        flow.close()
