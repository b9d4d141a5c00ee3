"""The log of an Airflow task, in which control characters and long texts of Qlik Cloud are made safe to show.

Operators, sensors and triggers write every line by `write`. The flows of `runs` get a `log_callback`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_qlik.text import LINE_LENGTH, printable

MAX_LINE = 2 * LINE_LENGTH
"""Characters of a line of a task's log, at most. A line of a run's log that was cut to `LINE_LENGTH` fits together with
the note about the cut, so it is not cut a second time."""


def write(log: Any, level: int, text: object) -> None:
    """Write one line: control characters as escapes, no longer than `MAX_LINE`. *level* is one of `logging`."""
    log.log(level, "%s", printable(str(text), MAX_LINE))


def log_callback(log: Any) -> Callable[[int, str], None]:
    """Return the callback by which a flow writes lines to the task log."""
    return partial(write, log)
