"""Annotations of the members of shapes: marks for how they are written, and types that are read leniently."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from airflow_provider_qlik.cloud.models.reading import reading


@dataclass(frozen=True, slots=True)
class Needed:
    """Marks a member that Qlik requires in a request. A response may still lack it."""


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """Marks a member that only Qlik sets; it is left out of requests."""


@dataclass(frozen=True, slots=True)
class Nullable:
    """Marks a member in which null has a meaning: None is sent as null if it was set."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """Marks a member, or the items in it, with the documented words; other words are sent as well, with a warning."""

    documented: tuple[str | int, ...]


def one_of(*documented: str | int) -> OneOf:
    """Return the mark for documented words: any word may be read and written, others than these with a warning."""
    return OneOf(documented)


def at_most(count: int) -> AfterValidator:
    """Return a check for the number of items in a request; a response may have any number."""

    def check(items: Any, info: ValidationInfo) -> Any:
        if not reading(info) and items is not None and len(items) > count:
            raise ValueError(f"has at most {count} items, not {len(items)}")
        return items

    return AfterValidator(check)


def _none_for_empty_list(value: Any, info: ValidationInfo) -> Any:
    return None if value == [] and reading(info) else value


PERHAPS_EMPTY = BeforeValidator(_none_for_empty_list)
"""For an object that may be empty: services in PHP, as automations seem to be, write an empty object as a list."""


Id = Annotated[str, Field(min_length=1)]
"""An id that is required, since without it no further request about the object is possible."""


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number


Number = Annotated[float | None, AfterValidator(_finite)]
"""A number, or None. NaN and Infinity, which JSON does not have and some services write all the same, become None."""
