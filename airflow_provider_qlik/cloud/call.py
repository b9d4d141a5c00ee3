"""Calls: a request to Qlik Cloud is a value, which describes the request and its response and sends nothing.

The functions of `api` make calls by a `Family`, a `flow` yields them, and the clients of `transport` send them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode

from airflow_provider_qlik.validation import InvalidArgumentError, checked_id

T = TypeVar("T")
AnotherT = TypeVar("AnotherT")
T_co = TypeVar("T_co", covariant=True)

TASKS_ROOT = "{tasks}"
"""Stands at the start of the path of a Tasks operation; the tenant says where that family lives, see `paths`."""
EXECUTE_ROOT = "{execute}"
"""Stands at the start of the path by which an automation is started with inputs, see `paths`."""


class Tier(StrEnum):
    """One of Qlik Cloud's rate limits, by which calls are counted; the numbers are `rate_limiter.REQUESTS_PER_MINUTE`.

    `TASKS` is that of Tasks v1. On the scheduling path the same calls count in `ONE` and `TWO`, see `paths`.
    """

    ONE = "tier 1"
    TWO = "tier 2"
    TASKS = "tasks"
    RELOADS = "reloads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One request to Qlik Cloud, described and not sent, and the type of its response.

    `operation` is the contract's operationId, `path` is ready (ids percent-encoded) but for the tasks root, `query`
    holds decoded pairs, `body` is plain JSON. `follows_redirect` allows the one documented redirect, to the same host.
    `about` names members of the response with the ids that they must have, `items_about` those of each item of a list:
    a response about something else is no response to this call. `scheduling_only` marks what Qlik documents for the
    path `/api/scheduling/tasks` alone, and not for Tasks v1.
    """

    operation: str
    method: str
    path: str
    response_type: type[T_co]
    tier: Tier
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    accept: str = "application/json"
    follows_redirect: bool = False
    about: tuple[tuple[str, str], ...] = ()
    items_about: tuple[tuple[str, str], ...] = ()
    scheduling_only: bool = False

    @property
    def repeatable(self) -> bool:
        """True if the request is idempotent: to send it twice does no more than to send it once."""
        return self.method in {"GET", "PUT", "DELETE"}

    @property
    def query_text(self) -> str:
        """The encoded query; a plus sign is encoded too, since servers read it as a blank."""
        return urlencode(self.query, quote_via=quote)

    def read_as(self, response_type: type[AnotherT]) -> Call[AnotherT]:
        """Return the same request with another type of response."""
        another: Any = replace(self, response_type=response_type)  # type: ignore[arg-type]
        return cast(Call[AnotherT], another)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Several(tuple[str, ...]):
    """The values of a query parameter that is sent once for each of them."""

    __slots__ = ()


Parameter: TypeAlias = str | int | bool | Several | None
"""The type of a query parameter; None is not sent."""


@dataclass(frozen=True, slots=True)
class Family:
    """The operations of one family: the root of their paths, and the tiers of reads and of all else."""

    root: str
    reading: Tier
    writing: Tier

    def call(
        self,
        operation: str,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        template: str,
        response_type: type[T],
        *,
        ids: Mapping[str, str] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: str = "application/json",
        follows_redirect: bool = False,
        about: Mapping[str, str] | None = None,
        items_about: Mapping[str, str] | None = None,
        scheduling_only: bool = False,
    ) -> Call[T]:
        """Return the call of one operation: *template* follows the root and holds the names of *ids* in braces.

        *about* and *items_about*: members of the response, or of each item of the list, that must have these ids.
        *scheduling_only*: Tasks v1 does not have it, see `Call`.
        """
        return Call(
            operation=operation,
            method=method,
            path=self.root + path(template, ids or {}),
            response_type=response_type,
            tier=self.reading if method == "GET" else self.writing,
            query=query(parameters or {}),
            body=body,
            headers=tuple((headers or {}).items()),
            accept=accept,
            follows_redirect=follows_redirect,
            about=_ids(about),
            items_about=_ids(items_about),
            scheduling_only=scheduling_only,
        )


def _ids(members: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((member, checked_id(member, value)) for member, value in (members or {}).items())


def path(template: str, ids: Mapping[str, str]) -> str:
    """Return the template with each ``{name}`` replaced by its id, percent-encoded.

    Raises InvalidArgumentError for an id that is empty or would lead elsewhere.
    """
    for name, value in ids.items():
        template = template.replace("{" + name + "}", quote(checked_id(name, value), safe=""))
    return template


def segment(name: str, value: object) -> str:
    """Return any text as one segment of a path, percent-encoded: what is no id may hold a slash.

    Raises InvalidArgumentError for a value that is no text, is empty, cannot be encoded, or stands for a folder (``.``,
    ``..``).
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(name, value if value is not None else "None", "must be a text")
    try:
        encoded = quote(value, safe="")
    except UnicodeEncodeError:
        raise InvalidArgumentError(name, value, "has characters that cannot be sent") from None
    if not value.strip() or value in {".", ".."}:
        raise InvalidArgumentError(name, None, f"{value!r} cannot be an id or a name")
    return encoded


def query(parameters: Mapping[str, Parameter]) -> tuple[tuple[str, str], ...]:
    """Return the parameters that are not None, as text; booleans in lower case, as JSON writes them.

    Raises InvalidArgumentError for what is neither text nor number, and for text that cannot be encoded.
    """
    return tuple(
        (name, _text(name, item))
        for name, value in parameters.items()
        if value is not None
        for item in (value if isinstance(value, Several) else (value,))
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, (str, int)):
        raise InvalidArgumentError(name, value, "must be a text or a whole number")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(name, value, "has characters that cannot be sent") from None
    return text
