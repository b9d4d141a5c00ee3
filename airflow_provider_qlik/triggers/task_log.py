"""The log of a trigger, written in a thread: a busy triggerer blocks writers, and its event loop must not block."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from typing import Any

from airflow_provider_qlik.lifecycle.task_log import write


@cache
def _executor() -> ThreadPoolExecutor:
    # One thread keeps the lines in order. It is not one of those that Airflow's own lines go through.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="qlik-log")


# A thread does not survive a fork.
os.register_at_fork(after_in_child=_executor.cache_clear)


class TaskLogWriter:
    """Write the lines of one trigger, in order, without blocking. A line that cannot be written is dropped.

    :param log: the trigger's logger.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._has_written = False

    def write(self, level: int, text: str) -> None:
        """Write a line soon, in the caller's context: Airflow finds the task's log by the context."""
        with suppress(RuntimeError):  # if no thread can be started
            _executor().submit(copy_context().run, self._write, level, text)
            self._has_written = True

    async def flush(self) -> None:
        """Wait until all lines are written."""
        if not self._has_written:
            return
        # The thread reaches this job after all lines before it. To keep the future of each line takes 1.6 KB a wait.
        with suppress(RuntimeError):
            await asyncio.wait([asyncio.wrap_future(_executor().submit(lambda: None))])

    def _write(self, level: int, text: str) -> None:
        with suppress(Exception):
            write(self._log, level, text)
