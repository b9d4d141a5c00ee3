"""Checks of query parameters that several families share. None stands for a parameter that is not sent."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_qlik.cloud.call import Several
from airflow_provider_qlik.validation import InvalidArgumentError, checked_count, checked_word


def page_size(value: int | None, maximum: int | None = None) -> int | None:
    """Return the size of a page, from 1 to *maximum* where Qlik documents that. Raises InvalidArgumentError."""
    if value is None:
        return None
    if maximum is not None and checked_count("limit", value) > maximum:
        raise InvalidArgumentError("limit", value, f"a whole number from 1 to {maximum}")
    return checked_count("limit", value)


def skipped(value: int | None) -> int | None:
    """Return the number of entries to skip. Raises InvalidArgumentError."""
    return value if value is None or (value == 0 and value is not False) else checked_count("offset", value)


def word(name: str, value: str | None, allowed: Sequence[str]) -> str | None:
    """Return one of the allowed words. Raises InvalidArgumentError."""
    return None if value is None else checked_word(name, value, allowed)


def several(name: str, value: str | Sequence[str] | None, allowed: Sequence[str] = ()) -> Several | None:
    """Return one text or several, each one of the allowed words if there are any. Raises InvalidArgumentError."""
    if value is None:
        return None
    texts = (value,) if isinstance(value, str) else value
    if isinstance(texts, bytes) or not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise InvalidArgumentError(name, value, "a text or a list of texts")
    return Several(checked_word(name, text, allowed) if allowed else text for text in texts)


def only_one_cursor(next: str | None, prev: str | None) -> None:
    """Raise InvalidArgumentError for a list that is to be read in both directions."""
    if next is not None and prev is not None:
        raise InvalidArgumentError(
            "prev", prev, "must not be given together with next: a list is read in one direction"
        )


def both_ways(*names: str) -> tuple[str, ...]:
    """Return the words that sort by these names: ascending (a plus sign or none) and descending (a minus sign)."""
    return tuple(sign + name for sign in ("", "+", "-") for name in names)
