"""What a trigger says: it holds up nobody, keeps its order, and is all there before the event."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import textwrap
import threading
import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import cancellation, task_log
from airflow_provider_qlik.triggers import run as trigger_module
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.triggers.task_log import TaskLogWriter

whose = ContextVar("whose", default="nobody's")


class Log:
    """Takes a line when it is let to, as the process does that reads a triggerer's log."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.lines: list[tuple[str, int, str]] = []

    def log(self, level: int, text: str, *values: Any) -> None:
        assert self.free.wait(60)
        self.lines.append((whose.get(), level, text % values))


def test_whoever_reads_the_log_slowly_holds_up_nobody() -> None:
    log = Log()

    async def play() -> int:
        writer = TaskLogWriter(log)
        for number in range(50):
            writer.write(logging.INFO, f"{number} %")
        written = asyncio.ensure_future(writer.flush())
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
        writer = TaskLogWriter(log)
        writer.write(logging.WARNING, "so")
        await writer.flush()

    async def play() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(play())
    assert sorted(log.lines) == [("a", logging.WARNING, "so"), ("b", logging.WARNING, "so")]


def test_who_goes_away_before_all_is_written_still_has_said_it() -> None:
    log = Log()

    async def play() -> None:
        writer = TaskLogWriter(log)
        writer.write(logging.INFO, "so")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.flush(), 0.01)
        log.free.set()
        await writer.flush()

    asyncio.run(play())
    assert len(log.lines) == 1


class SlowLog(Log):
    """Takes a second and a half for a line, and may then fail to write it."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails

    def log(self, level: int, text: str, *values: Any) -> None:
        time.sleep(1.5)
        if self.fails:
            raise BrokenPipeError
        self.lines.append((whose.get(), level, text % values))


@pytest.mark.parametrize("fails", [False, True], ids=["", "a log that takes nothing"])
def test_a_trigger_has_said_all_before_its_event_and_leaves_the_end_to_its_task(tenant: Tenant, fails: bool) -> None:
    automation = tenant.add_automation("Morning")
    run_id = tenant.add_run(automation, started_ago=0, script=Script(wait=20, run=20))
    complaints: list[Any] = []

    async def play() -> tuple[Any, list[str]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run_id, poll_interval=0.1)
        log = trigger.log_writer._log = SlowLog(fails)
        event = await first(trigger)
        return event.payload, [text for _, _, text in log.lines]

    payload, said = asyncio.run(play())
    gc.collect()
    assert payload["run"]["status"] == "finished"
    statuses = () if fails else ("not started", "running")
    assert said == [f"automation run {run_id}: {status}" for status in statuses]
    assert complaints == []


async def first(trigger: QlikRunTrigger) -> Any:
    async for event in trigger.run():
        return event
    raise AssertionError


def test_a_trigger_that_is_cancelled_has_said_all_by_then(tenant: Tenant) -> None:
    """Airflow closes the log of its task then."""
    automation = tenant.add_automation("Morning")
    run_id = tenant.add_run(automation, started_ago=0, script=Script(end=None))
    trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run_id, poll_interval=0.1)
    log = trigger.log_writer._log = SlowLog()

    async def play() -> list[str]:
        waiting = asyncio.ensure_future(first(trigger))
        while not trigger.log_writer._has_written:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return [text for _, _, text in log.lines]

    assert asyncio.run(play()) == [f"automation run {run_id}: running"]


def test_a_cancel_has_said_what_it_did_when_it_is_over(tenant: Tenant) -> None:
    automation = tenant.add_automation("Morning")
    run_id = tenant.add_run(automation, started_ago=0, script=Script(end=None))
    trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run_id, cancel_on_kill=True)
    log = trigger.log_writer._log = SlowLog()

    asyncio.run(trigger.on_kill())  # without a task, Airflow cannot tell that it is over

    assert [text for _, _, text in log.lines] == [f"The task is deferred: automation run {run_id} is not cancelled"]


def test_a_kill_while_the_last_lines_are_written_still_stops_the_run(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failed(_: object) -> str:
        return "failed"

    monkeypatch.setattr(trigger_module, "kills_deferred_tasks", lambda: False)
    monkeypatch.setattr(cancellation, "task_state", failed)
    automation = tenant.add_automation("Morning")
    run_id = tenant.add_run(automation, started_ago=0, script=Script(end=None))
    trigger = QlikRunTrigger(
        kind="automation",
        resource_id=automation,
        run_id=run_id,
        cancel_on_kill=True,
        poll_interval=0.1,
        deadline=(datetime.now(UTC) + timedelta(seconds=0.5)).isoformat(),
    )
    log = trigger.log_writer._log = Log()
    about_to_wait = threading.Event()
    flush = trigger.log_writer.flush

    async def noted() -> None:
        about_to_wait.set()
        await flush()

    monkeypatch.setattr(trigger.log_writer, "flush", noted)

    async def play() -> None:
        waiting = asyncio.ensure_future(first(trigger))
        while not about_to_wait.is_set():
            await asyncio.sleep(0.01)
        waiting.cancel()
        log.free.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(play())
    assert [entry.operation for entry in tenant.request_log(method="POST")] == ["stop_automation_run"]


def test_where_no_thread_can_be_had_a_line_is_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    task_log._executor.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refused)

    async def play() -> None:
        writer = TaskLogWriter(Log())
        writer.write(logging.INFO, "so")
        await asyncio.wait_for(writer.flush(), 10)

    asyncio.run(play())
    task_log._executor.cache_clear()


def test_after_a_fork_lines_are_written_as_before() -> None:
    script = textwrap.dedent("""
        import asyncio, logging, os
        from airflow_provider_qlik.triggers.task_log import TaskLogWriter

        class Log:
            def log(self, level, text, *values):
                print(text % values, flush=True)

        async def play():
            writer = TaskLogWriter(Log())
            writer.write(logging.INFO, "so")
            await asyncio.wait_for(writer.flush(), 20)

        asyncio.run(play())
        child = os.fork()
        if child:
            raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        asyncio.run(play())
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "so\nso\n"), done.stderr
