"""What the documentation promises of each Airflow, checked against the tables that `make chaos` has written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
RELIABILITY = (DOCS / "reliability.md").read_text(encoding="utf-8")
VERSIONS = (DOCS / "airflow-versions.md").read_text(encoding="utf-8")
COLUMNS = {"2.11": ("2.11",), "3.0 to 3.2": ("3.0", "3.1", "3.2"), "3.3": ("3.3",)}
SHOWN_BY = {
    "A lost response to a start is never followed by a second start": {1},
    "A retry resumes the run of a task": {1},
    "A retry resumes the run of an automation, an app, a sharing task": {1},
    "A clear cancels the old run if it is still active, and starts a new one": {4},
    "A task is killed or marked, or times out (by Airflow or by `timeout`): the run is cancelled": {4},
    "A triggerer that dies or loses its waits cancels nothing": {2, 3},
    "An outage ends no wait; refused credentials are read again": {6, 7},
}
"""The scenarios that show a promise. What is not here is shown by tests alone."""
NOT_RUN = "Not run yet."


def written_by(version: str) -> str:
    """What `make chaos` has written about a version."""
    text = RELIABILITY if version == "3.3" else VERSIONS
    command = "make chaos" if version == "3.3" else f"make chaos AIRFLOW={version}"
    _, _, rest = text.partition(f"<!-- The table below is written by `{command}`. -->")
    return rest.partition("<!-- Here it ends. -->")[0].strip()


def verdicts(table: str) -> dict[int, list[str]]:
    """The last cells of the rows of each scenario."""
    found: dict[int, list[str]] = {}
    number = 0
    for line in table.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 6 and (cells[0].isdigit() or not cells[0]) and cells[5] in {"as expected", "DIFFERENT"}:
            number = int(cells[0] or number)
            found.setdefault(number, []).append(cells[5])
    return found


def promises() -> dict[str, dict[str, str]]:
    """The table of what is promised: by promise, then by column."""
    rows = {}
    for line in VERSIONS.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in SHOWN_BY:
            rows[cells[0]] = dict(zip(COLUMNS, cells[1:], strict=True))
    return rows


def test_every_promise_is_in_the_table() -> None:
    assert set(promises()) == set(SHOWN_BY)


@pytest.mark.parametrize("version", ["2.11", "3.0", "3.1", "3.2", "3.3"])
def test_what_is_promised_was_seen(version: str) -> None:
    table = written_by(version)
    assert table
    if table == NOT_RUN:
        # It is said where the promises are.
        said = re.search(r"Not yet tried on real ones: ([\d., ]*\d)\.", VERSIONS)
        assert said
        assert version in said[1].split(", ")
        return
    seen = verdicts(table)
    for promise, cells in promises().items():
        (cell,) = (cell for column, cell in cells.items() if version in COLUMNS[column])
        if cell.startswith("yes"):
            # Of an older Airflow some scenarios may have been run alone; which, stands above the table.
            for scenario in SHOWN_BY[promise] if version == "3.3" else SHOWN_BY[promise] & set(seen):
                assert set(seen[scenario]) == {"as expected"}, (promise, scenario)
