"""Deprecation headers of Qlik Cloud: each operation is logged once and every response is counted.

Documented are ``Deprecation: true``, ``Sunset: <date>`` and ``Link: <…>`` (changelog 209); the form of the date and the
`rel` of the link are not. RFC 8594 has an HTTP date, RFC 9745 seconds since 1970 behind an ``@``, and Qlik writes ISO
dates elsewhere. All of them are read; any other text is shown as it came. No header can make a call fail.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_provider_qlik.cloud.models.moments import http_date
from airflow_provider_qlik.masking import masked_text
from airflow_provider_qlik.text import printable

SHOWN_CHARACTERS = 200
"""Characters of a header that are shown, at most."""

_log = logging.getLogger(__name__)
_logged: dict[str, Deprecation] = {}
_LINK = re.compile(r"<([^<>]*)>([^,<]*)")
_RELATIONS = ("successor-version", "deprecation", "sunset")
"""The relations of the links to show, by rank: a replacement first, then documentation."""
_SECONDS = re.compile(r"@?(\d{9,12})(?:\.\d+)?")


class Deprecation(NamedTuple):
    """A deprecation as the headers of a response give it: the date of removal, and a link to more."""

    sunset: str | None
    """A date such as 2026-12-31, or the text of the header if it is no date."""
    link: str | None


def read_deprecation(headers: Mapping[str, str]) -> Deprecation | None:
    """Return what the headers of a response (names in lower case) say about a deprecation, None if they say nothing.

    A `Link` alone is no deprecation: lists have links, too. Neither is ``Deprecation: false``.
    """
    deprecated, sunset = headers.get("deprecation", "").strip(), headers.get("sunset", "").strip()
    if not sunset and deprecated.casefold().lstrip("?") in {"", "false", "0"}:
        return None
    return Deprecation(_date(sunset), _link(headers.get("link", "")))


def seen() -> dict[str, Deprecation]:
    """Return the deprecations that this process has logged, by the name of the operation."""
    return dict(_logged)


def log_once(operation: str, request: str, deprecation: Deprecation) -> None:
    """Log that an operation is deprecated, once for each operation and process. *request* is its method and path."""
    if operation in _logged:
        return
    _logged[operation] = deprecation
    when = (
        f"may be gone from {deprecation.sunset} on" if deprecation.sunset else "will be removed; Qlik does not say when"
    )
    _log.warning(
        "Qlik Cloud has deprecated the operation %s: it %s%s. Look for a newer release of this package. This is logged"
        " once for each operation (%s)",
        operation,
        when,
        f", see {deprecation.link}" if deprecation.link else "",
        printable(request, SHOWN_CHARACTERS),
    )


def _date(text: str) -> str | None:
    """Return the day that a header names in UTC, as YYYY-MM-DD; the text itself if that is no date, None if empty."""
    if not text:
        return None
    moment: datetime | None = None
    seconds = _SECONDS.fullmatch(text)
    with suppress(ValueError, OverflowError, OSError):
        if seconds:
            moment = datetime.fromtimestamp(float(seconds[1]), UTC)
        else:
            parsed = datetime.fromisoformat(text)
            moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    moment = moment or http_date(text)
    return moment.date().isoformat() if moment else _shown(text)


def _link(text: str) -> str | None:
    """Return the target of the link with the best rank, see `_RELATIONS`; a bare address as it is."""
    best, best_rank = None, math.inf
    for target, parameters in _LINK.findall(text[: 10 * SHOWN_CHARACTERS]):
        relations = parameters.casefold()
        rank = next((rank for rank, name in enumerate(_RELATIONS) if name in relations), len(_RELATIONS))
        if target.strip() and rank < best_rank:
            best, best_rank = target.strip(), rank
    if best is None and text.strip() and "<" not in text:
        best = text.strip()
    return _shown(best) if best else None


def _shown(text: str) -> str:
    return printable(masked_text(text[: 10 * SHOWN_CHARACTERS]), SHOWN_CHARACTERS)
