"""Moments in responses: read from every form that services write, and always aware and in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import NoneType
from typing import Annotated, Any

from pydantic import (
    PlainSerializer,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from airflow_provider_qlik.cloud.models.reading import READING, reading


def http_date(text: str) -> datetime | None:
    """Return the moment in a header such as Date, in UTC; None if it has no valid one."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        # A day at the end of time, for "never ends".
        return moment.replace(tzinfo=UTC)


def _as_text(moment: datetime | None) -> str | None:
    """Return a moment as Qlik writes it: with milliseconds, unless that would lose digits."""
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond and moment.microsecond % 1000 == 0 else "auto"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


FIRST_YEAR = 1980
"""The first year that a moment in a response can have. Earlier ones stand for "never": 1753-01-01 is the first day of
SQL Server's calendar, year 1 that of Go's and .NET's, 1970 that of Unix."""

_USUAL_MOMENT = re.compile(r"(?:19[89]\d|[2-9]\d{3})-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z", re.ASCII)
_LEAP_SECOND = re.compile(r"(\d\d:\d\d):60(?!\d)", re.ASCII)
_END_OF_DAY = re.compile(r"(?<=[Tt ])24:00(?=$|[Zz+-]|:00(?:\.0*)?(?:$|[Zz+-]))", re.ASCII)


def _moment(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> datetime | None:
    if isinstance(value, str):
        if _USUAL_MOMENT.fullmatch(value):
            # The usual form has a fast path, since long lists are full of moments.
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                pass  # the 30th of February
        # Services in Go write year 1 for "never"; an empty text says the same.
        if not value.strip() or value.startswith("0001-01-01"):
            return None
    elif not isinstance(value, (datetime, NoneType)) and not reading(info):
        raise ValueError("must be a datetime or an ISO 8601 text")
    return _read_moment(value, check) if reading(info) else _in_utc(check(value))


def _read_moment(value: Any, check: ValidatorFunctionWrapHandler) -> datetime | None:
    """Return the moment in a value of a response; None if it cannot be read."""
    correction = timedelta()
    if isinstance(value, str):
        value, leap_seconds = _LEAP_SECOND.subn(r"\1:59", value.strip())
        value, ends_of_day = _END_OF_DAY.subn("00:00", value)
        correction = timedelta(seconds=leap_seconds, days=ends_of_day)
    try:
        moment = _in_utc(check(value))
    except ValidationError:
        moment = http_date(value) if isinstance(value, str) else None
    if moment is None or moment.year < FIRST_YEAR:
        return None
    try:
        return moment + correction
    except OverflowError:
        return moment


Moment = Annotated[
    Annotated[datetime, Strict(False)] | None,
    WrapValidator(_moment),
    PlainSerializer(_as_text, when_used="json"),
]
"""A moment as an aware UTC datetime, or None."""

_MOMENT: TypeAdapter[datetime | None] = TypeAdapter(Moment)


def moment_in(text: str | None) -> datetime | None:
    """Return the moment in a text of a response, None if there is none."""
    return _MOMENT.validate_python(text, context=READING)
