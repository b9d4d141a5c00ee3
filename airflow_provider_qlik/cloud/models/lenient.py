"""Reading a body that is invalid in its encoding, its JSON, or the types of its members.

A response has many members, and its reader needs few of them, so one invalid member must not make all of it unusable.
Reading has two steps:

1. One pass of pydantic over the bytes. It is fast, and accepts nearly all bodies.
2. A body that this refuses is decoded by lenient rules (`decoded`), and its invalid members are left out one by one
   (`repaired`): a member of a wrong type becomes None, an item of a list without a required member (id, status) is left
   out of the list. Only an object that lacks a required member itself is an error.

What does not work: a lenient validator for each member. A page of 100 tasks has thousands of members, and each would
run Python code.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from airflow_provider_qlik.cloud.models.problems import problem_in
from airflow_provider_qlik.text import storable_json

T = TypeVar("T")

PASSES = 12
"""Passes over a value, at most: a member that one pass leaves out may make the object around it invalid."""
MAX_NUMBER = 4000
"""Digits of a whole number that Python converts, about; a longer one becomes infinite."""

_log = logging.getLogger(__name__)
_warned: set[str] = set()


def has_nul(content: bytes) -> bool:
    """Return True if a body may have NUL, which cannot be stored. Pydantic itself refuses lone surrogates."""
    # Most bodies have no backslash, and the search for it takes a hundredth of the time.
    return b"\\" in content and b"\\u0000" in content


def decoded(content: bytes) -> Any:
    """Return the JSON of a body, read by lenient rules, with every text in it storable. Raises ValueError.

    A byte order mark is skipped, invalid bytes are replaced, and control characters in texts, NaN and Infinity are
    accepted.
    """
    text = content.decode(json.detect_encoding(content), "replace").removeprefix("\ufeff")
    try:
        value = json.loads(text, strict=False, parse_int=_whole_number)
        # Without a limit: the size of a response is limited elsewhere.
        return storable_json(value, len(text))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_NUMBER else float(digits)


def repaired(read: Callable[[bytes], T], value: Any) -> tuple[T, list[str]]:
    """Return the result of *read* for a JSON value without its invalid members, and the problems that were found.

    Raises ValidationError if the value itself is invalid.
    """
    problems: list[str] = []
    for _ in range(PASSES):
        try:
            return read(to_json(value)), problems
        except ValidationError as error:
            places = _places(value, error)
            if () in places:
                raise
            problems.append(problem_in(error))
            # From the end, so that the indexes of other items of a list stay valid when one is left out.
            for place in sorted(places, reverse=True):
                value = _without(value, place)
            last = error
    raise last


def _places(value: Any, error: ValidationError) -> set[tuple[Any, ...]]:
    """Return the paths of the invalid members, the innermost only."""
    found = {_place(value, problem["loc"]) for problem in error.errors(include_url=False, include_input=False)}
    return {place for place in found if not any(place != other and place == other[: len(place)] for other in found)}


def _place(value: Any, location: tuple[int | str, ...]) -> tuple[Any, ...]:
    """Return the path of a problem in the value, without the names of union members that pydantic inserts.

    For a required member that is missing or null, this is the path of the object around it.
    """
    place: list[Any] = []
    missing = False
    for part in location:
        missing = not _has(value, part) and isinstance(value, dict)
        if _has(value, part):
            value = value[part]
            place.append(part)
    in_list = bool(place) and isinstance(place[-1], int)
    return tuple(place[:-1] if value is None and place and not in_list and not missing else place)


def _has(value: Any, part: int | str) -> bool:
    in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
    return in_list or (isinstance(value, dict) and part in value)


def _without(value: Any, place: tuple[Any, ...]) -> Any:
    """Return a copy in which the member at a path is null; an item of a list that is null already is left out."""
    if not place:
        return None
    part, *rest = place
    if isinstance(value, list):
        if not rest and value[part] is None:
            return [*value[:part], *value[part + 1 :]]
        return [*value[:part], _without(value[part], tuple(rest)), *value[part + 1 :]]
    return {**value, part: _without(value[part], tuple(rest))}


def warn_once(shape: str, count: int, problem: str) -> None:
    """Log a warning about the number of items that were left out, once for each kind of response and process."""
    if shape in _warned:
        return
    _warned.add(shape)
    items = "1 item" if count == 1 else f"{count} items"
    _log.warning(
        "A response of Qlik Cloud held %s that cannot be read; the rest of it is used. The first problem: %s. This"
        " warning is logged once for each kind of response (%s)",
        items,
        problem,
        shape,
    )
