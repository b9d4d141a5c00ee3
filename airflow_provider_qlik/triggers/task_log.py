"""What triggers say, written in a thread: a busy triggerer makes whoever writes wait, and its event loop must not."""

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
def _writing() -> ThreadPoolExecutor:
    # One thread keeps the lines in order. It is not of those that Airflow's own lines go through.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="qlik-log")


# A thread does not live on in another process.
os.register_at_fork(after_in_child=_writing.cache_clear)


class TaskLogWriter:
    """What one trigger says, line after line, by its *log*. A line that cannot be written is lost, and nothing else."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._spoke = False

    def write_log(self, level: int, text: str) -> None:
        """Says it soon, from where this is called: Airflow tells by the context whose log it goes to."""
        with suppress(RuntimeError):  # where no thread can be had
            _writing().submit(copy_context().run, self._write, level, text)
            self._spoke = True

    async def said(self) -> None:
        """Returns when all of it is written."""
        if not self._spoke:
            return
        # The thread comes to this when it is through with all before. To keep each line's future costs 1.6 KB a wait.
        with suppress(RuntimeError):
            await asyncio.wait([asyncio.wrap_future(_writing().submit(lambda: None))])

    def _write(self, level: int, text: str) -> None:
        with suppress(Exception):
            write(self._log, level, text)
