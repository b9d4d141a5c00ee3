from __future__ import annotations

import math
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_qlik.validation import (
    InvalidArgumentError,
    checked_count,
    checked_id,
    checked_json,
    checked_limit,
    checked_moment,
    checked_seconds,
    checked_word,
)


def test_an_error_names_the_argument_what_was_given_and_what_is_allowed() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        checked_word("sort", "color", ("name", "id"))

    assert str(refused.value) == "sort: one of 'name', 'id', not 'color'"
    assert (refused.value.argument, refused.value.value) == ("sort", "color")
    assert isinstance(refused.value, ValueError)


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(InvalidArgumentError("id", "", "must not be empty")))

    assert str(error) == "id: must not be empty (given: '')"
    assert error.argument == "id"


def test_a_long_value_is_shown_in_short() -> None:
    assert len(str(InvalidArgumentError("id", "x" * 10_000, "is too long"))) < 200


def test_a_secret_is_not_shown() -> None:
    assert str(InvalidArgumentError("api_key", None, "give the key")) == "api_key: give the key"


@pytest.mark.parametrize(
    "given", [None, 1.5, True, b"id", "", " \t", ".", "..", " .. ", "a/b", "a?b", "a#b", "a\\b", "a\rb"]
)
def test_what_cannot_be_an_id_is_refused(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="task_id: an id"):
        checked_id("task_id", given)


@pytest.mark.parametrize("given", ["61f9", "a-b_c.d", "a:b", "ü", "a b", "...", "%2F"])
def test_an_id_is_taken_as_it_is(given: str) -> None:
    assert checked_id("task_id", given) == given


def test_blanks_around_an_id_are_dropped() -> None:
    assert checked_id("task_id", "  61f9\n") == "61f9"


@pytest.mark.parametrize("given", [None, "5", True, math.nan, math.inf, -1, [1]])
def test_what_is_no_number_of_seconds_is_refused(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout: a number of seconds"):
        checked_seconds("timeout", given)


def test_seconds_have_a_least_number_and_may_be_without_limit() -> None:
    assert checked_seconds("timeout", 5, least=5) == 5.0
    assert checked_seconds("timeout", timedelta(minutes=1)) == 60.0
    assert checked_limit("timeout", None) is None
    assert checked_limit("timeout", 7) == 7.0
    with pytest.raises(InvalidArgumentError, match="at least 5, not 4"):
        checked_seconds("timeout", 4, least=5)
    with pytest.raises(InvalidArgumentError, match="timeout"):
        checked_limit("timeout", "never")


@pytest.mark.parametrize("given", [None, 0, -1, "5", 1.0, True])
def test_what_is_no_count_is_refused(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="limit: a whole number from 1"):
        checked_count("limit", given)
    assert checked_count("limit", 5) == 5


@pytest.mark.parametrize("given", [None, 5, "", "NAME", ["name"]])
def test_a_word_is_one_of_those_allowed(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="one of 'name'"):
        checked_word("sort", given, {"name"})


@pytest.mark.parametrize("given", [{1, 2}, object(), math.nan, {"a": [math.inf]}, datetime.now(UTC), b"x"])
def test_what_cannot_be_written_as_json_is_refused(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="inputs: must be writable as JSON"):
        checked_json("inputs", given)


def test_what_refers_to_itself_cannot_be_written_as_json() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(InvalidArgumentError, match="inputs"):
        checked_json("inputs", endless)


def test_json_comes_back_as_it_was() -> None:
    value = {"a": [1, None, "ä", {"b": 1.5}]}

    assert checked_json("inputs", value) is value


@pytest.mark.parametrize("given", [None, "", "soon", 5, "2026-13-01"])
def test_what_is_no_moment_is_refused(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="started_after: a datetime or an ISO 8601 text"):
        checked_moment("started_after", given)


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-01T12:00:00",
        "2026-01-01T12:00:00Z",
        " 2026-01-01T14:00:00+02:00 ",
        datetime(2026, 1, 1, 12),
        datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_moment_is_in_utc(given: object) -> None:
    moment = checked_moment("started_after", given)

    assert moment == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert moment.tzinfo is UTC


def test_dag_files_load_nothing_but_the_standard_library_for_their_checks() -> None:
    code = "import sys, airflow_provider_qlik.validation; print({'httpx', 'pydantic', 'airflow'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_an_id_has_room_in_a_url() -> None:
    assert checked_id("task_id", "x" * 500) == "x" * 500
    with pytest.raises(InvalidArgumentError, match="^task_id: an id has at most 500 characters") as refused:
        checked_id("task_id", "x" * 100_000)
    assert len(str(refused.value)) < 250
