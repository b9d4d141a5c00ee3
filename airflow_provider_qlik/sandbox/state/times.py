"""Moments, as Qlik writes them."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from typing import Literal

Fineness = Literal["nanoseconds", "milliseconds", "seconds"]

FINENESS: dict[Fineness, int] = {"nanoseconds": 9, "milliseconds": 3, "seconds": 0}
"""Digits of a second."""


def stamp(moment: datetime, digits: int) -> str:
    """The moment as ISO text in UTC with so many digits of a second, cut and not rounded."""
    text = f"{moment:%Y-%m-%dT%H:%M:%S}"
    if digits:
        text += "." + f"{moment.microsecond:06d}".ljust(9, "0")[:digits]
    return text + "Z"


def http_date(moment: datetime) -> str:
    """The moment as the Date header has it."""
    return format_datetime(moment, usegmt=True)
