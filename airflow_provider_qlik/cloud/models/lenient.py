"""How a body is read that is not as it should be: in encoding, in form, or in what its members hold.

A response tells of many things at once, and whoever reads it wants one of them. Reading is therefore done twice:

1. The usual way is one pass of pydantic over the bytes. Nearly all bodies come through here, and it is fast.
2. A body that this refuses is decoded as a lenient JSON reader would (`decoded`), and what makes no sense in it is left
   out, member by member (`repaired`): a member of a wrong type reads as None, an item of a list that lacks what it
   cannot do without (id, status) is left out of the list. Only what cannot do without itself is an error.

What does not work: to make every member lenient in its own validator. A page of 100 tasks has thousands of them, and
each would run Python.
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
"""Times that a value is read again with less in it, at most: what a pass leaves out may leave what holds it empty."""
MAX_NUMBER = 4000
"""Digits that Python takes for a whole number, about; a longer one is infinite."""

_log = logging.getLogger(__name__)
_told: set[str] = set()


def has_nul(content: bytes) -> bool:
    """Return whether a body may hold NUL, which no store takes. Half a surrogate pair is refused by pydantic itself."""
    # Most bodies have no backslash, which takes a hundredth of the time to find out.
    return b"\\" in content and b"\\u0000" in content


def decoded(content: bytes) -> Any:
    """Return the JSON of a body with every text in it storable, as leniently as can be. Raises ValueError.

    A byte order mark is skipped, bytes that are no text are replaced, control characters may stand in texts, and the
    numbers that JSON does not have (NaN, Infinity) are read.
    """
    text = content.decode(json.detect_encoding(content), "replace").removeprefix("\ufeff")
    try:
        value = json.loads(text, strict=False, parse_int=_whole_number)
        # As long as they are: what bounds a response is not here.
        return storable_json(value, len(text))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_NUMBER else float(digits)


def repaired(read: Callable[[bytes], T], value: Any) -> tuple[T, list[str]]:
    """Return what *read* makes of a JSON value once all that makes no sense is left out, and the problems there were.

    Raises ValidationError where nothing is left that can be read.
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
            # From the end, so that the places of other items stay right where one is left out of its list.
            for place in sorted(places, reverse=True):
                value = _without(value, place)
            last = error
    raise last


def _places(value: Any, error: ValidationError) -> set[tuple[Any, ...]]:
    """Return where what cannot be read stands, the innermost places only."""
    found = {_place(value, problem["loc"]) for problem in error.errors(include_url=False, include_input=False)}
    return {place for place in found if not any(place != other and place == other[: len(place)] for other in found)}


def _place(value: Any, location: tuple[int | str, ...]) -> tuple[Any, ...]:
    """Return the place that a problem is about, without the names of forms that pydantic puts between.

    Where a member is missing or null, what cannot do without it goes: the object that it is in.
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
    """Return a copy in which a member is null, or an item of a list, too: which, read again, is left out itself."""
    if not place:
        return None
    part, *rest = place
    if isinstance(value, list):
        if not rest and value[part] is None:
            return [*value[:part], *value[part + 1 :]]
        return [*value[:part], _without(value[part], tuple(rest)), *value[part + 1 :]]
    return {**value, part: _without(value[part], tuple(rest))}


def tell_once(shape: str, count: int, problem: str) -> None:
    """Warn that so many items of a response were left out, once for each operation and process."""
    if shape in _told:
        return
    _told.add(shape)
    items = "1 item" if count == 1 else f"{count} items"
    _log.warning(
        "A response of Qlik Cloud held %s that cannot be read; the rest of it is used. The first problem: %s. This is"
        " said once for each kind of response (%s)",
        items,
        problem,
        shape,
    )
