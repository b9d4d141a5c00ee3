"""The table that `make chaos` writes into the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.report import BEGIN, END, Report, Row, rows_in

ROWS = [
    Row(3, "One is stopped", "tasks", "2 success", "2 success", True),
    Row(3, "One is stopped", "runs", "2", "3", False),
    Row(3, "Another is killed", "a | b", "", "", True),
    Row(4, "All are cleared", "tasks", "2 success", "2 success", True),
]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "reliability.md"
    path.write_text(f"before\n{BEGIN}\n\nNot run yet.\n\n{END}\nafter\n")
    return path


def test_rows_that_were_written_are_read_again(document: Path) -> None:
    Report(list(ROWS)).write_into(document, "30 minutes.")
    text = document.read_text()
    assert rows_in(text) == ROWS
    assert "Not run yet" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_scenario_that_is_run_alone_takes_the_place_of_its_rows(document: Path) -> None:
    Report(list(ROWS)).write_into(document, "30 minutes.")
    again = Row(3, "One is stopped", "tasks", "2 success", "2 success", True)
    Report([again]).write_into(document, "5 minutes.", only=[3])
    text = document.read_text()
    assert rows_in(text) == [again, ROWS[3]]
    assert "30 minutes.\nThen scenario 3 alone: " in text


def test_a_scenario_that_breaks_off_leaves_no_old_rows_of_its_own(document: Path) -> None:
    Report(list(ROWS)).write_into(document, "30 minutes.")
    Report([]).write_into(document, "1 minute.", only=[3])
    assert rows_in(document.read_text()) == [ROWS[3]]
