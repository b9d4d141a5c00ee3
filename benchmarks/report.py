"""The findings of a benchmark: a table of goals and figures, for the terminal and for `docs/performance.md`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
HEADINGS = ("Metric", "Goal", "Observed", "Ratio", "Verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and its goal. *met* is None if there is no goal and the figure is only for comparison."""

    metric: str
    goal: str
    observed: str
    ratio: str = ""
    met: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the rows as texts."""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return (self.metric, self.goal, self.observed, self.ratio, verdict)


@dataclass(slots=True)
class Finding:
    """The findings of one benchmark: the rows, and how they were measured."""

    rows: list[Row] = field(default_factory=list)
    about: str = ""

    @property
    def missed(self) -> list[Row]:
        """Return the rows whose goal was not met."""
        return [row for row in self.rows if row.met is False]

    def as_markdown(self) -> str:
        """Return the section of the document, with the day and the machine."""
        parts = [
            f"Measured on {date.today().isoformat()}, {machine()}.",
            table(HEADINGS, self.cells),
            self.about.strip(),
        ]
        return "\n\n".join(part for part in parts if part)

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows as texts."""
        return [row.cells for row in self.rows]

    def as_text(self) -> str:
        """Return the table for a terminal."""
        rows = [HEADINGS, *self.cells]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def machine() -> str:
    """Return the machine and versions on which the figures depend."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, Airflow {version('apache-airflow')}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows))


def write_section(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Write the text between the markers of that section of the document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    written, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n{text}\n{end}",
        document.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{document} must have the markers of {name} once")
    document.write_text(written, encoding="utf-8")


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which that part of the sorted values lies; 0 for an empty list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
