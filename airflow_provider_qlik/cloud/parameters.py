"""Checks of query parameters that several families share. None stands for a parameter that is not sent."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_qlik.cloud.call import Several
from airflow_provider_qlik.validation import InvalidArgumentError, checked_count, checked_word


def page_size(given: int | None, most: int | None = None) -> int | None:
    """Return the size of a page, from 1 to *most* where Qlik documents that. Raises InvalidArgumentError."""
    if given is None:
        return None
    if most is not None and checked_count("limit", given) > most:
        raise InvalidArgumentError("limit", given, f"a whole number from 1 to {most}")
    return checked_count("limit", given)


def skipped(given: int | None) -> int | None:
    """Return the number of entries to skip. Raises InvalidArgumentError."""
    return given if given is None or (given == 0 and given is not False) else checked_count("offset", given)


def word(name: str, given: str | None, allowed: Sequence[str]) -> str | None:
    """Return one of the allowed words. Raises InvalidArgumentError."""
    return None if given is None else checked_word(name, given, allowed)


def several(name: str, given: str | Sequence[str] | None, allowed: Sequence[str] = ()) -> Several | None:
    """Return one text or several, each one of the allowed words if there are any. Raises InvalidArgumentError."""
    if given is None:
        return None
    texts = (given,) if isinstance(given, str) else given
    if isinstance(texts, bytes) or not isinstance(texts, Sequence) or not all(isinstance(one, str) for one in texts):
        raise InvalidArgumentError(name, given, "a text or a list of texts")
    return Several(checked_word(name, one, allowed) if allowed else one for one in texts)


def only_one_cursor(next: str | None, prev: str | None) -> None:
    """Raise InvalidArgumentError for a list that is to be read in both directions."""
    if next is not None and prev is not None:
        raise InvalidArgumentError(
            "prev", prev, "must not be given together with next: a list is read in one direction"
        )


def both_ways(*names: str) -> tuple[str, ...]:
    """Return the words that sort by these names: ascending (a plus sign or none) and descending (a minus sign)."""
    return tuple(sign + name for sign in ("", "+", "-") for name in names)
