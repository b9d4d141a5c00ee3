"""Times as text, in the forms of Qlik's API."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from typing import Literal

TimePrecision = Literal["nanoseconds", "milliseconds", "seconds"]

DIGITS_BY_PRECISION: dict[TimePrecision, int] = {"nanoseconds": 9, "milliseconds": 3, "seconds": 0}
"""Digits of a second."""


def stamp(moment: datetime, digits: int) -> str:
    """Return the time as ISO text in UTC with so many digits of a second, truncated."""
    text = f"{moment:%Y-%m-%dT%H:%M:%S}"
    if digits:
        text += "." + f"{moment.microsecond:06d}".ljust(9, "0")[:digits]
    return text + "Z"


def http_date(moment: datetime) -> str:
    """Return the time in the form of the Date header."""
    return format_datetime(moment, usegmt=True)
