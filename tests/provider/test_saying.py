"""What a trigger says: it holds up nobody, keeps its order, and is all there before the event."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers.runs import QlikRunTrigger
from airflow_provider_qlik.triggers.saying import Saying

whose = ContextVar("whose", default="nobody's")


class Log:
    """Takes a line when it is let to, as the process does that reads a triggerer's log."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.lines: list[tuple[str, int, str]] = []
        self.fails = False

    def log(self, level: int, text: str, *values: Any) -> None:
        if self.fails:
            raise BrokenPipeError
        assert self.free.wait(60)
        self.lines.append((whose.get(), level, text % values))


def test_whoever_reads_the_log_slowly_holds_up_nobody() -> None:
    log = Log()

    async def play() -> int:
        saying = Saying(log)
        for number in range(50):
            saying.say(logging.INFO, f"{number} %")
        written = asyncio.ensure_future(saying.said())
        steps = 0
        for _ in range(20):
            await asyncio.sleep(0.001)
            steps += not written.done()
        log.free.set()
        await written
        return steps

    assert asyncio.run(play()) == 20
    assert log.lines == [("nobody's", logging.INFO, f"{number} %") for number in range(50)]


def test_a_line_goes_to_the_log_of_whoever_said_it() -> None:
    log = Log()
    log.free.set()

    async def one(name: str) -> None:
        whose.set(name)
        saying = Saying(log)
        saying.say(logging.WARNING, "so")
        await saying.said()

    async def play() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(play())
    assert sorted(log.lines) == [("a", logging.WARNING, "so"), ("b", logging.WARNING, "so")]


def test_who_goes_away_before_all_is_written_still_has_said_it() -> None:
    log = Log()

    async def play() -> None:
        saying = Saying(log)
        saying.say(logging.INFO, "so")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(saying.said(), 0.01)
        log.free.set()
        await saying.said()

    asyncio.run(play())
    assert len(log.lines) == 1


@pytest.mark.parametrize("fails", [False, True], ids=["", "a log that takes nothing"])
def test_a_trigger_says_what_happens_before_its_event_and_leaves_the_end_to_its_task(
    tenant: Tenant, fails: bool
) -> None:
    automation = tenant.add_automation("Morning")
    run_id = tenant.add_run(automation, started_ago=0, script=Script(wait=30, run=30))
    trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run_id, poll_interval=0.1)
    log = trigger._saying._log = Log()
    log.fails = fails
    log.free.set()

    async def play() -> tuple[Any, list[str]]:
        async for event in trigger.run():
            return event.payload, [text for _, _, text in log.lines]
        raise AssertionError

    payload, said = asyncio.run(play())
    assert payload["run"]["status"] == "finished"
    statuses = () if fails else ("not started", "running")
    assert said == [f"automation run {run_id}: {status}" for status in statuses]
