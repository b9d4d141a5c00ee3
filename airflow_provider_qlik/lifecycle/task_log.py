"""Lines for the log of an Airflow task: what Qlik Cloud has written in them is made fit to be shown first.

Operators, sensors and triggers write every line through `write`. The flows of `runs` get `log_callback` for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_qlik.text import LINE_LENGTH, printable

MAX_LINE = 2 * LINE_LENGTH
"""Characters that a line of a task's log may have, at most: a line of a run's log that was cut to `LINE_LENGTH` fits
with what was said of the cut, so it is not cut a second time."""


def write(log: Any, level: int, text: object) -> None:
    """Write one line: control characters as escapes, no longer than `MAX_LINE`. *level* is one of `logging`."""
    log.log(level, "%s", printable(str(text), MAX_LINE))


def log_callback(log: Any) -> Callable[[int, str], None]:
    """Return where a flow writes lines for the task log."""
    return partial(write, log)
