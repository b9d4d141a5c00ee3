"""Checks of what a user hands in. Standard library only: Dag files import this each time they are parsed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

ID_LENGTH = 500
"""Characters that an id may have, at most: longer ones are no ids, and no URL has room for them."""

LONGEST_TIMEOUT = 86_400
"""Seconds that a time-out of a connection may have, at most: a day. The operating system's timers have an end."""

_FORBIDDEN_IN_ID = re.compile(r"[/?#\\\x00-\x1f\x7f\ud800-\udfff]")


class InvalidArgument(ValueError):
    """An argument that cannot be used: which one, what was given, what is allowed.

    Nothing has been sent when this is raised. A secret is never repeated: give ``None`` for *given* then.
    """

    def __init__(self, argument: str, given: object, allowed: str) -> None:
        self.argument = argument
        self.given = given
        self.allowed = allowed
        shown = "" if given is None else f", not {_short(given)}"
        super().__init__(f"{argument}: {allowed}{shown}")

    def __reduce__(self) -> tuple[type[InvalidArgument], tuple[str, object, str]]:
        return type(self), (self.argument, self.given, self.allowed)


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 120 else text[:117] + "..."


def checked_id(argument: str, given: object) -> str:
    """The id as Qlik will get it, without surrounding blanks.

    Raises InvalidArgument for what is no text, empty, far too long, or would change the path it is put into.
    """
    if not isinstance(given, str):
        raise InvalidArgument(argument, given if given is not None else "None", "an id is a text")
    stripped = given.strip()
    if not stripped:
        raise InvalidArgument(argument, given, "an id must not be empty")
    if len(stripped) > ID_LENGTH:
        raise InvalidArgument(argument, given, f"an id has at most {ID_LENGTH} characters")
    if stripped in {".", ".."} or _FORBIDDEN_IN_ID.search(stripped):
        raise InvalidArgument(argument, given, "an id has no '/', '?', '#', '\\' or control characters")
    return stripped


def checked_seconds(argument: str, given: object, *, least: float = 0.0) -> float:
    """A number of seconds, also from a timedelta, at least *least*."""
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not least <= seconds < math.inf:
        shown = "None" if given is None else given
        raise InvalidArgument(argument, shown, f"a number of seconds or a timedelta, at least {least:g}")
    return float(seconds)


def checked_limit(argument: str, given: object) -> float | None:
    """A number of seconds, or None for "no limit"."""
    return None if given is None else checked_seconds(argument, given)


def checked_count(argument: str, given: object) -> int:
    """A whole number from 1."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidArgument(argument, "None" if given is None else given, "a whole number from 1")
    return given


def checked_word(argument: str, given: object, allowed: Collection[str]) -> str:
    """One of the allowed words."""
    if not isinstance(given, str) or given not in allowed:
        raise InvalidArgument(argument, "None" if given is None else given, "one of " + ", ".join(map(repr, allowed)))
    return given


def checked_json(argument: str, given: Any) -> Any:
    """A value that can be written as JSON and comes back the same."""
    try:
        json.dumps(given, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(argument, given, f"must be writable as JSON ({error})") from None
    return given


def checked_moment(argument: str, given: object) -> datetime:
    """A moment as an aware UTC datetime, from a datetime or ISO 8601 text; without a zone it is taken as UTC."""
    moment = given
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given.strip())
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise InvalidArgument(argument, "None" if given is None else given, "a datetime or an ISO 8601 text")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
