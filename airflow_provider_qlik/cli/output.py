"""The output of a command: data on stdout, all else on stderr, so that what is on stdout can be parsed."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from typing import Any, Self, TextIO, TypeVar

from airflow_provider_qlik.text import printable

T = TypeVar("T")

_PACKAGE = "airflow_provider_qlik"
PROGRESS_INTERVAL = 0.5
"""Seconds between two updates of a progress line on a terminal."""
VERBOSE_INTERVAL = 5.0
"""Seconds between two lines of progress where stderr is no terminal, with `--verbose`."""


def say(text: str) -> None:
    """Write one line for the user to stderr; control characters in it are shown as escapes."""
    print(printable(text), file=sys.stderr, flush=True)


def print_rows(rows: Sequence[Mapping[str, Any]], output: str) -> None:
    """Print rows in Airflow's way: as a table, JSON, YAML or plain text. Missing values are empty in a table."""
    from airflow.cli.simple_table import AirflowConsole

    in_cells = output in {"table", "plain"}
    data = [{name: _shown(value, in_cells) for name, value in row.items()} for row in rows]
    # Names from Qlik Cloud are no markup: "[red]" and ":smile:" are printed as they are.
    with data_on_stdout():
        AirflowConsole(markup=False, emoji=False, highlight=False).print_as(data=data, output=output)


def print_line(text: str) -> None:
    """Print one line to stdout; control characters in it are shown as escapes."""
    with data_on_stdout():
        print(printable(text, len(text)))


def _shown(value: Any, in_cells: bool) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if not in_cells:
        return value
    return "" if value is None else printable(str(value))


class Progress:
    """The number of things read so far, on stderr: on a terminal, or with *verbose* anywhere.

    A short list shows none: the first line comes after `PROGRESS_INTERVAL`.
    """

    def __init__(self, noun: str, verbose: bool) -> None:
        self._noun = noun
        self._terminal = sys.stderr.isatty()
        self._shown = self._terminal or verbose
        self._interval = PROGRESS_INTERVAL if self._terminal else VERBOSE_INTERVAL
        self._next = time.monotonic() + self._interval
        self._line_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._line_open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def through(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and show how many there were."""
        for number, item in enumerate(items, 1):
            if self._shown and time.monotonic() >= self._next:
                self._show(f"{number} {self._noun} read …")
            yield item

    def _show(self, text: str) -> None:
        self._next = time.monotonic() + self._interval
        if self._terminal:
            self._line_open = True
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            say(text)


_stdout: TextIO | None = None
"""The stdout of the process while a command runs and `sys.stdout` is stderr."""


@contextmanager
def data_on_stdout() -> Iterator[None]:
    """Write to stdout in the block, inside of `only_data_on_stdout`."""
    if _stdout is None:
        yield
        return
    with redirect_stdout(_stdout):
        yield
        sys.stdout.flush()


@contextmanager
def only_data_on_stdout(verbose: bool) -> Iterator[None]:
    """Write all that is no data to stderr in the block, also what Airflow logs and prints.

    Airflow logs to stdout, where a line in between would spoil JSON. Its handlers are made when it is imported, before
    this block or in it. Of the log of this package, warnings are shown, and with *verbose* all from INFO on.
    """
    global _stdout
    before, _stdout = _stdout, sys.stdout
    moved = [
        handler
        for handler in logging.getLogger().handlers
        # A handler of Airflow 2 has a property in this place, which follows `sys.stdout` by itself.
        if isinstance(handler, logging.StreamHandler) and vars(handler).get("stream") is _stdout
    ]
    try:
        for handler in moved:
            handler.setStream(sys.stderr)
        with redirect_stdout(sys.stderr), _own_log_on_stderr(logging.INFO if verbose else logging.WARNING):
            yield
    finally:
        for handler in moved:
            handler.setStream(_stdout)
        _stdout = before


@contextmanager
def _own_log_on_stderr(level: int) -> Iterator[None]:
    logger, handler = logging.getLogger(_PACKAGE), _StderrHandler()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            say(f"{record.levelname.capitalize()}: {record.getMessage()}")
        except Exception:
            self.handleError(record)


def abandon_stdout() -> None:
    """Discard what is still to be written to stdout, whose reader has ended, also when the process ends."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
