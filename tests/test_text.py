from __future__ import annotations

import json

import pytest

from airflow_provider_qlik.text import printable, shortened, storable, storable_json


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Table 'x' not found\x00", "Table 'x' not found\\x00"),
        ("a\x00b", "a\\x00b"),
        ("caf\ud83d", "caf\\ud83d"),
        ("\udc00\ud83d", "\\udc00\\ud83d"),
        ("whole: \U0001f600, tab\t, line\nend", "whole: \U0001f600, tab\t, line\nend"),
        ("", ""),
    ],
)
def test_nul_and_lone_surrogates_are_shown_as_escapes(text: str, stored: str) -> None:
    assert storable(text) == stored
    assert "\\u0000" not in json.dumps(stored)
    stored.encode()


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert storable("x" * 2500, 2000) == "x" * 2000 + "… [500 more characters left out]"
    assert shortened("short", 5) == "short"


def test_values_are_cleaned_at_any_depth_keys_included() -> None:
    value = {"a\x00": [{"b": "c\ud83d"}, ("d\x00",), 5, None, True, 1.5]}

    assert storable_json(value) == {"a\\x00": [{"b": "c\\ud83d"}, ["d\\x00"], 5, None, True, 1.5]}


def test_control_characters_of_a_line_are_shown() -> None:
    assert printable("\x1b[31mred\x1b[0m\ttab \x07 \x9b2J") == "\\x1b[31mred\\x1b[0m\ttab \\x07 \\x9b2J"
