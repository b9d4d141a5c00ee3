"""Names of downloaded files: what they hold, how long they are, and that no two are one file anywhere."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_qlik.lifecycle.file_names import (
    FIELDS,
    FILE_NAME,
    MAX_NAME_BYTES,
    FileNames,
    checked_pattern,
    cut,
)
from airflow_provider_qlik.validation import InvalidArgumentError

ANNA = "anna@example.com"


def fields(**members: Any) -> dict[str, Any]:
    return {
        "task": "Weekly",
        "recipient": ANNA,
        "execution": "e",
        "alias": "sales",
        "number": 1,
        "type": "pdf",
        "run": "r",
        **members,
    }


def name(pattern: str = FILE_NAME, **members: Any) -> str:
    return FileNames(pattern).make(fields(**members))


def test_a_name_is_made_by_the_pattern() -> None:
    assert name() == "Weekly-anna@example.com-1.pdf"
    assert name("{run}_{number:03}_{alias}.{type}", number=7) == "r_007_sales.pdf"
    assert name(task="Weekly sales: 2026/47") == "Weekly_sales_2026_47-anna@example.com-1.pdf"


@pytest.mark.parametrize("letter", ["ü", "日", "\U0001f4c8", "a"])
@pytest.mark.parametrize("length", [60, 120, 121, 240, 5000])
def test_a_long_name_of_a_task_is_cut_and_recipient_number_and_extension_are_kept(letter: str, length: int) -> None:
    made = name(task=letter * length, number=12)

    assert len(made.encode()) <= MAX_NAME_BYTES
    assert made.endswith("-anna@example.com-12.pdf")
    assert set(made.removesuffix("-anna@example.com-12.pdf")) <= {letter, "_"}


def test_a_name_that_fits_is_not_cut_and_one_that_does_not_is_cut_by_no_more_than_a_character() -> None:
    rest = len("-anna@example.com-1.pdf")
    fits = "x" * (MAX_NAME_BYTES - rest)

    assert name(task=fits) == f"{fits}-anna@example.com-1.pdf"
    assert len(name(task=fits + "x").encode()) == MAX_NAME_BYTES
    assert MAX_NAME_BYTES - 2 < len(name(task="ü" * 5000).encode()) <= MAX_NAME_BYTES


def test_all_fields_may_be_long() -> None:
    made = name(
        "{task}-{recipient}-{alias}-{number}.{type}", **dict.fromkeys(("task", "recipient", "alias"), "ü" * 999)
    )

    assert len(made.encode()) <= MAX_NAME_BYTES
    assert made.endswith("-1.pdf")
    assert made.count("-") == 3


@pytest.mark.parametrize(
    "pattern", ["x" * 500 + ".{type}", "{execution}.{type}", "{number:0300}.{type}", "{task:ü>300}.pdf"]
)
def test_what_cannot_be_cut_field_by_field_is_cut_before_the_extension(pattern: str) -> None:
    names = FileNames(pattern)
    made = [names.make(fields(execution="e" * 400, number=number)) for number in (1, 2, 3)]

    assert all(len(each.encode()) <= MAX_NAME_BYTES and each.endswith(".pdf") for each in made)
    assert len(set(made)) == 3


def test_a_long_type_does_not_crowd_out_the_name() -> None:
    assert name(type="t" * 300) == f"Weekly-anna@example.com-1.{'t' * 20}"


@pytest.mark.parametrize("pattern", ["{task}", "{alias}", "{task}.{type}"])
@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", " . ", "../..", "/", "\\", "\x00", "\n\r\t", "\ud83d", "\u2028", "\x7f\x9b", "~", "a. ."],
)
def test_odd_texts_become_safe_names(tmp_path: Path, pattern: str, text: str) -> None:
    made = name(pattern, task=text, alias=text)

    assert made.strip(". ") == made != ""
    (tmp_path / made).write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == [made]


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("reports/{task}.{type}", "reports_Weekly.pdf"),
        ("..", "file"),
        (" .{task}. ", "Weekly"),
        ("a\x00b\x1b[2J\u2028{type}", "a_b_[2J_pdf"),
        ("\ud83d{number}", "_1"),
        ("{{{task}}}", "{Weekly}"),
    ],
)
def test_odd_patterns_make_safe_names(pattern: str, made: str) -> None:
    assert name(pattern) == made


def test_names_are_in_nfc() -> None:
    decomposed = unicodedata.normalize("NFD", "Umsätze")

    assert name("{task}", task=decomposed) == name("{task}", task="Umsätze") == "Umsätze"


def test_names_that_become_equal_get_the_number_of_their_file() -> None:
    names = FileNames("{task}.{type}")

    made = [names.make(fields(task=task, number=number)) for number, task in enumerate(("a b", "a/b", "a:b"), 1)]

    assert made == ["a_b.pdf", "a_b-2.pdf", "a_b-3.pdf"]


def test_a_number_that_is_a_name_already_is_told_apart_too() -> None:
    names = FileNames("{alias}.{type}")

    made = [names.make(fields(alias=alias, number=number)) for number, alias in enumerate(("a", "a-3", "a", "A-3"), 1)]

    assert made == ["a.pdf", "a-3.pdf", "a-3-2.pdf", "A-3-4.pdf"]
    assert [names.make(fields(alias="a", number=3)) for _ in range(2)] == ["a-3-3.pdf", "a-3-5.pdf"]


@pytest.mark.parametrize(
    ("one", "another"), [("Sales", "SALES"), ("Straße", "STRASSE"), ("Ä", "a\u0308"), ("Ümlaut", "U\u0308MLAUT")]
)
def test_names_that_are_one_file_on_some_file_systems_are_told_apart(one: str, another: str) -> None:
    names = FileNames("{task}.{type}")

    first, second = names.make(fields(task=one)), names.make(fields(task=another, number=2))

    assert first == f"{one}.pdf"
    assert second == f"{unicodedata.normalize('NFC', another)}-2.pdf"


def test_names_that_are_equal_only_after_they_were_cut_stay_two() -> None:
    names = FileNames("{task}.{type}")

    made = [names.make(fields(task="ü" * 200 + ending, number=number)) for number, ending in enumerate("abc", 8)]

    assert len(set(made)) == 3
    assert [each[-7:].lstrip("ü") for each in made] == [".pdf", "-9.pdf", "-10.pdf"]
    assert all(len(each.encode()) <= MAX_NAME_BYTES for each in made)


def test_an_address_has_no_extension_and_a_pattern_may_have_one() -> None:
    for pattern, expected in [("{recipient}", f"{ANNA}-2"), ("{task}.dat", "Weekly-2.dat"), ("{task}", "Weekly-2")]:
        names = FileNames(pattern)
        names.make(fields())
        assert names.make(fields(number=2)) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=120), st.text(max_size=30)), max_size=6))
def test_any_names_are_safe_short_and_different(texts: list[tuple[str, str, str]]) -> None:
    names = FileNames("{task}-{recipient}.{type}")
    made = [
        names.make(fields(task=task, recipient=recipient, type=type, number=number))
        for number, (task, recipient, type) in enumerate(texts, 1)
    ]

    assert len({unicodedata.normalize("NFC", each.casefold()) for each in made}) == len(made)
    for each in made:
        assert 0 < len(each.encode()) <= MAX_NAME_BYTES
        assert "/" not in each
        assert "\\" not in each
        assert each.isprintable()
        assert each.strip(". ") == each


@given(st.text(), st.integers(0, 50))
def test_a_text_is_cut_between_characters(text: str, size: int) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    assert text.startswith(cut(text, size))
    assert len(cut(text, size).encode()) <= size


@pytest.mark.parametrize(
    "given", ["{nobody}", "{task", "{}", "{number[0]}", "{number:d!}", "{task.x}", None, True, 1.5, b"a"]
)
def test_a_pattern_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^file_name: a pattern with \{task\}, "):
        checked_pattern(given)


def test_digits_are_a_pattern() -> None:
    assert checked_pattern(20261127) == "20261127"
    assert set(FIELDS) == set(fields())
