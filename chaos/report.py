"""The table of a test run: actions, checks, expected and observed values."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

BEGIN = "<!-- The table below is written by `make chaos`. -->"
END = "<!-- Here it ends. -->"
HEADINGS = ("", "Action", "Check", "Expected", "Observed", "")
VERDICTS = ("as expected", "DIFFERENT")


@dataclass(frozen=True, slots=True)
class Row:
    """One check after an action."""

    scenario: int
    action: str
    check: str
    expected: str
    observed: str
    holds: bool

    def cells(self) -> tuple[str, ...]:
        """Return the row as texts."""
        verdict = VERDICTS[0 if self.holds else 1]
        return (str(self.scenario), self.action, self.check, self.expected, self.observed, verdict)


@dataclass(slots=True)
class Report:
    """All rows, printed as they come; safe to be filled by several scenarios at a time."""

    rows: list[Row] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Row) -> None:
        """Add a row, and print it."""
        with self._lock:
            self.rows.append(row)
            mark = "  " if row.holds else "! "
            print(f"{mark}{row.scenario}  {row.check}: expected {row.expected}, observed {row.observed}", flush=True)

    def write_log(self, scenario: int, text: str) -> None:
        """Print what is happening."""
        with self._lock:
            print(f"  {scenario}  .. {text}", flush=True)

    @property
    def differences(self) -> int:
        """Return how many rows are not as expected."""
        return sum(not row.holds for row in self.rows)

    def sorted(self) -> list[Row]:
        """Return the rows, scenario by scenario."""
        return sorted(self.rows, key=lambda row: row.scenario)

    def as_text(self) -> str:
        """Return the table for a terminal: each action stands above its checks."""
        lines: list[str] = []
        rows = [row.cells() for row in self.sorted()]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(HEADINGS))]
        action = ""
        for row in rows:
            if row[1] != action:
                action = row[1]
                lines += ["", f"{row[0]}. {action}"]
            columns = (row[2].ljust(widths[2]), row[3].ljust(widths[3]), row[4].ljust(widths[4]), row[5])
            lines.append("   " + "   ".join(columns).rstrip())
        return "\n".join(lines)

    def write_into(self, document: Path, about: str, name: str = "", only: Sequence[int] = ()) -> None:
        """Write the table between the two markers of a document, with the day and *about* the run.

        *name*: of a table among several in the document. *only*: the scenarios that were run, where not all were: their
        rows take the place of those that the document has of them, and the summary says when they were run.
        """
        text = document.read_text(encoding="utf-8")
        begin = BEGIN if not name else BEGIN.replace("make chaos", f"make chaos AIRFLOW={name}")
        before, rest = text.split(begin)
        old, after = rest.split(END, 1)
        day = date.today().isoformat()
        summary, rows = f"Last run: {day}, {about}", self.sorted()
        if only:
            other_rows = [row for row in rows_in(old) if row.scenario not in {*only, *(each.scenario for each in rows)}]
            rows = sorted([*other_rows, *rows], key=lambda row: row.scenario)
            earlier = [line for line in old.splitlines() if line.startswith(("Last run: ", "Then "))]
            names = ("scenario " if len(only) == 1 else "scenarios ") + ", ".join(map(str, sorted(only)))
            summary = "\n".join([*earlier, f"Then {names} alone: {day}, {about}"])
        document.write_text(f"{before}{begin}\n\n{summary}\n\n{as_markdown(rows)}\n\n{END}{after}", encoding="utf-8")


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    action = ""
    for row in rows:
        cells = row.cells()
        lines.append(_line(cells if row.action != action else ("", "", *cells[2:])))
        action = row.action
    return "\n".join(lines)


def rows_in(text: str) -> list[Row]:
    """Return the rows of a table in a document."""
    rows: list[Row] = []
    for line in text.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == len(HEADINGS) and cells[-1] in VERDICTS:
            number, action = (int(cells[0]), cells[1]) if cells[0] else (rows[-1].scenario, rows[-1].action)
            rows.append(Row(number, action, cells[2], cells[3], cells[4], cells[5] == VERDICTS[0]))
    return rows


def tally(things: Iterable[object]) -> str:
    """Count equal things, such as "17 success, 3 failed"; the most frequent first, "none" without any."""
    counts = Counter(map(str, things))
    return (
        ", ".join(f"{count} {thing}" for thing, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])))
        or "none"
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
