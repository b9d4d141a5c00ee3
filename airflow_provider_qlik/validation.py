"""Checks of arguments. Standard library only: Dag files import this each time they are parsed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

ID_LENGTH = 500
"""Characters of an id, at most: no URL has room for a longer one."""

MAX_TIMEOUT = 86_400
"""Seconds of a time-out of a connection, at most: a day. The operating system's timers have a limit."""

MAX_VARIABLES = 20
"""Variables that one start of a reload can set, at most."""
MAX_VARIABLE_LENGTH = 256
"""Characters of the name, and of the value, of such a variable, at most."""

# Patterns are compiled when they are first needed: Dag files import this module each time they are parsed.
_FORBIDDEN_IN_ID = r"[/?#\\\x00-\x1f\x7f\ud800-\udfff]"

_REQUIREMENT = r"must be |one of |[\w.]+ takes |True or False|an id is |(a|an) (?!id |variable |task|reload )"
"""Beginnings of texts that say what something must be: ", not 'x'" can follow them."""
_DIGITS = r"[0-9]{1,18}"
_DATE_LENGTH = len("20260101")


class InvalidArgumentError(ValueError):
    """An argument is invalid. Nothing has been sent when this is raised.

    :param argument: the name of the argument.
    :param value: its value; None for a secret, which must not be repeated.
    :param allowed: what is allowed.
    """

    def __init__(self, argument: str, value: object, allowed: str) -> None:
        self.argument = argument
        self.value = value
        self.allowed = allowed
        super().__init__(f"{argument}: {allowed}{_shown_value(value, allowed)}")

    def __reduce__(self) -> tuple[type[InvalidArgumentError], tuple[str, object, str]]:
        return type(self), (self.argument, self.value, self.allowed)


def _shown_value(value: object, allowed: str) -> str:
    """Return the end of a message that shows the value: ", not 'x'" where that reads as English."""
    if value is None:
        return ""
    return f", not {_short(value)}" if re.match(_REQUIREMENT, allowed) else f" (given: {_short(value)})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def checked_text(argument: str, value: object, allowed: str) -> str:
    """Return a text as it is, and a whole number as its digits.

    With ``render_template_as_native_obj`` Airflow makes a number of a template that renders to digits. A float or a
    boolean is refused: the text that it was rendered to is lost (``1.50``, ``true``). Raises
    InvalidArgumentError that says what is *allowed*.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, "None" if value is None else value, allowed)
    return value


def checked_id(argument: str, value: object) -> str:
    """Return the id without surrounding blanks, and a whole number as its digits.

    Raises InvalidArgumentError for other types, and for a text that is empty, too long, or would change the path of its
    URL.
    """
    stripped = checked_text(argument, value, "an id is a text, or a whole number that stands for its digits").strip()
    if not stripped:
        raise InvalidArgumentError(argument, value, "an id must not be empty")
    if len(stripped) > ID_LENGTH:
        raise InvalidArgumentError(argument, value, f"an id has at most {ID_LENGTH} characters")
    if stripped in {".", ".."} or re.search(_FORBIDDEN_IN_ID, stripped):
        raise InvalidArgumentError(argument, value, "an id has no '/', '?', '#', '\\' or control characters")
    return stripped


def checked_name(argument: str, value: object) -> str:
    """Return the name unchanged, and a whole number as its digits.

    Raises InvalidArgumentError for other types and for an empty text.
    """
    allowed = "a name is a text that is not empty, or a whole number that stands for its digits"
    name = checked_text(argument, value, allowed)
    if not name.strip():
        raise InvalidArgumentError(argument, value, allowed)
    return name


def checked_flag(argument: str, value: object) -> bool:
    """Return True or False, also for the texts "true" and "false", such as a rendered template."""
    if isinstance(value, bool):
        return value
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word not in {"true", "false"}:
        raise InvalidArgumentError(argument, "None" if value is None else value, "True or False")
    return word == "true"


def checked_number(argument: str, value: object, least: int, most: int) -> int:
    """Return a whole number within bounds, also for a text of digits, such as a rendered template."""
    number = int(value) if isinstance(value, str) and re.fullmatch(_DIGITS, value.strip()) else value
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        allowed = f"a whole number from {least} to {most}"
        raise InvalidArgumentError(argument, "None" if value is None else value, allowed)
    return number


def checked_seconds(argument: str, value: object, *, least: float = 0.0) -> float:
    """Return a number of seconds, also from a timedelta, that is *least* or more."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not least <= seconds < math.inf:
        shown = "None" if value is None else value
        raise InvalidArgumentError(argument, shown, f"a number of seconds or a timedelta, at least {least:g}")
    return float(seconds)


def checked_limit(argument: str, value: object) -> float | None:
    """Return a number of seconds, or None for "no limit"."""
    return None if value is None else checked_seconds(argument, value)


def checked_count(argument: str, value: object) -> int:
    """Return a whole number that is 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgumentError(argument, "None" if value is None else value, "a whole number from 1")
    return value


def checked_word(argument: str, value: object, allowed: Collection[str]) -> str:
    """Return one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise InvalidArgumentError(
            argument, "None" if value is None else value, "one of " + ", ".join(map(repr, allowed))
        )
    return value


def checked_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a reload. Raises InvalidArgumentError if they are too many, too long or have no name."""
    if len(variables) > MAX_VARIABLES:
        raise InvalidArgumentError("variables", len(variables), f"at most {MAX_VARIABLES} variables")
    for name, value in variables.items():
        if not name.strip():
            raise InvalidArgumentError("variables", name, "a variable needs a name")
        if len(name) > MAX_VARIABLE_LENGTH or len(value) > MAX_VARIABLE_LENGTH:
            # Without the value, which may be a secret.
            allowed = f"names and values have at most {MAX_VARIABLE_LENGTH} characters"
            raise InvalidArgumentError("variables", name, allowed)
    return dict(variables)


def checked_json(argument: str, value: Any) -> Any:
    """Return a value that can be written as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(argument, value, f"must be writable as JSON ({error})") from None
    return value


def checked_moment(argument: str, value: object) -> datetime:
    """Return a moment as an aware UTC datetime; one without a zone is taken as UTC.

    Accepts a datetime, a date (its first moment), ISO 8601 text, or eight digits, as text or as the number that
    ``render_template_as_native_obj`` makes of them: 20260101 is 2026-01-01.
    """
    moment = _moment(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    if moment is None:
        allowed = "a datetime or an ISO 8601 text, such as 2026-01-31T06:00:00Z"
        raise InvalidArgumentError(argument, "None" if value is None else value, allowed)
    return moment


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        # Python takes the ninth of more than eight digits for the separator of date and time.
        if not (text.isdigit() and len(text) != _DATE_LENGTH):
            try:
                value = datetime.fromisoformat(text)
            except ValueError:
                return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    # A plain datetime, without the methods of a subclass such as pendulum's.
    moment = datetime.combine(value.date(), value.timetz())
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None
