"""Sorting, filtering and paging of lists."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, ok

T = TypeVar("T")
Fields = dict[str, Callable[[T], Any]]

_CONDITION = re.compile(r'\s*(\w+)\s+(eq|ne|co|sw)\s+(?:"((?:[^"\\]|\\.)*)"|(true|false))\s*(?:$|and\b)', re.I)
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda actual, expected: actual == expected,
    "ne": lambda actual, expected: actual != expected,
    "co": lambda actual, expected: expected in actual,
    "sw": lambda actual, expected: actual.startswith(expected),
}


@dataclass(frozen=True, slots=True)
class Paging:
    """The paging of one family.

    cursor: the parameter that takes the cursor.
    previous_cursor: the parameter for the previous page, if it differs.
    cursor_aliases: further parameters that take a cursor.
    default, max_limit: the page sizes.
    items: the member that holds the items.
    has_self: True if a page links to itself.
    is_counted: True if it takes an `offset`, returns the total count, and puts the cursor beside each link.
    """

    cursor: str
    default: int
    max_limit: int
    previous_cursor: str | None = None
    cursor_aliases: tuple[str, ...] = ()
    items: str = "data"
    has_self: bool = False
    is_counted: bool = False

    @property
    def cursors(self) -> tuple[str, ...]:
        """Return every parameter that takes a cursor."""
        return (self.cursor, *(name for name in (self.previous_cursor, *self.cursor_aliases) if name))


def sort_items(request: ApiRequest, items: Iterable[T], fields: Fields[T], default: str, *, is_signed: bool) -> list[T]:
    """Return the items sorted by each `sort` parameter. Raises ApiError (400) for an unknown field or missing sign."""
    ordered = list(items)
    sorts = [_sort(request, sort, fields, is_signed) for sort in request.parameters("sort") or [default]]
    if sorts[0][1]:
        ordered.reverse()  # so that the later one of two equal items comes first, too
    for value, is_reversed in reversed(sorts):
        # None comes last, as in databases.
        ordered.sort(key=lambda item, value=value: (value(item) is None, value(item)), reverse=is_reversed)  # type: ignore[misc]
    return ordered


def _sort(request: ApiRequest, sort: str, fields: Fields[T], is_signed: bool) -> tuple[Callable[[T], Any], bool]:
    if sort.startswith(" ") and request.tenant_state.switches.plus_in_sort == "lenient":
        sort = "+" + sort[1:]
    sign, name = (sort[0], sort[1:]) if sort[:1] in ("+", "-") else ("", sort)
    if name not in fields or (is_signed and not sign):
        raise ApiError(400, "Bad request", f"sort must be + or - and one of {', '.join(fields)}: {sort!r}")
    return fields[name], sign == "-"


def filter_items(request: ApiRequest, items: Iterable[T], fields: Fields[T]) -> list[T]:
    """Return the items that match the SCIM `filter`. Raises ApiError (400) for a filter that cannot be parsed."""
    rest = request.parameter("filter")
    remaining = list(items)
    while rest:
        found = _CONDITION.match(rest)
        ends_in_and = found and found[0].lower().endswith("and") and found.end() == len(rest.rstrip())
        if not found or found[1] not in fields or ends_in_and:
            raise ApiError(400, "Bad request", f"filter cannot be parsed from here on: {rest}")
        expected = re.sub(r"\\(.)", r"\1", found[3]) if found[3] is not None else found[4].lower()
        test, value = _TESTS[found[2].lower()], fields[found[1]]
        remaining = [item for item in remaining if test(_text(value(item)), expected)]
        rest = rest[found.end() :]
    return remaining


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def page(request: ApiRequest, paging: Paging, items: Sequence[T], show: Callable[[T], dict[str, Any]]) -> Response:
    """Return the page that the request selects, with links to its neighbours."""
    limit = _limit(request, paging)
    offset, is_empty_page = _position(request, paging)
    items_on_page = [] if is_empty_page else items[offset : offset + limit]
    following = offset if is_empty_page else offset + limit
    links: dict[str, Any] = {}
    if following < len(items):
        links["next"] = _next_link(
            request, paging, following, request.tenant_state.switches.empty_page and not is_empty_page
        )
    else:
        form = request.tenant_state.switches.last_link
        if form != "absent":
            links["next"] = {"null": None, "empty": {"href": ""}, "null_href": {"href": None}}[form]
    if offset:
        cursor, name = _cursor(max(0, offset - limit), False), paging.previous_cursor or paging.cursor
        links["prev"] = _link(paging, "prev", request.base_url + _page_url(request, paging, name, cursor), cursor)
    if paging.has_self:
        links["self"] = {"href": request.base_url + _own_url(request)}
    counts = {"totalCount": len(items), "currentPageCount": len(items_on_page)} if paging.is_counted else {}
    return ok({paging.items: [show(item) for item in items_on_page], "links": links, **counts})


def _next_link(request: ApiRequest, paging: Paging, following: int, is_empty_page: bool) -> dict[str, Any]:
    cursor, form = _cursor(following, is_empty_page), request.tenant_state.switches.next_link
    if form == "loop":
        own = next((value for name in paging.cursors if (value := request.parameter(name))), "")
        return _link(paging, "next", request.base_url + _own_url(request), own)
    base = {"absolute": request.base_url, "relative": "", "other_host": request.tenant_state.switches.other_host}[form]
    return _link(paging, "next", base + _page_url(request, paging, paging.cursor, cursor), cursor)


def _link(paging: Paging, direction: str, href: str, cursor: str) -> dict[str, Any]:
    return {"href": href, "type": direction, "token": cursor} if paging.is_counted else {"href": href}


def _own_url(request: ApiRequest) -> str:
    return request.path + ("?" + urlencode(request.query) if request.query else "")


def _page_url(request: ApiRequest, paging: Paging, name: str, cursor: str) -> str:
    dropped = (*paging.cursors, *(("offset",) if paging.is_counted else ()))
    query = [(name, value) for name, value in request.query if name not in dropped]
    return f"{request.path}?{urlencode([*query, (name, cursor)])}"


def _limit(request: ApiRequest, paging: Paging) -> int:
    text = request.parameter("limit")
    if text is None:
        return paging.default
    if not _is_number(text) or not 1 <= int(text) <= paging.max_limit:
        raise ApiError(400, "Bad request", f"limit must be a number from 1 to {paging.max_limit}, not {text!r}")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _cursor(offset: int, is_empty_page: bool) -> str:
    return urlsafe_b64encode(f"{offset}{'e' if is_empty_page else ''}".encode()).decode()


def _position(request: ApiRequest, paging: Paging) -> tuple[int, bool]:
    cursors = [(name, text) for name in paging.cursors if (text := request.parameter(name)) is not None]
    if len(cursors) > 1:
        raise ApiError(400, "Bad request", f"pass one of {' and '.join(name for name, _ in cursors)}, not both")
    for name, text in cursors:
        try:
            position = urlsafe_b64decode(text.encode()).decode()
            return int(position.removesuffix("e")), position.endswith("e")
        except ValueError:
            raise ApiError(400, "Bad request", f"{name} is not a cursor of this list: {text!r}") from None
    offset = request.parameter("offset") if paging.is_counted else None
    if offset is not None and not _is_number(offset):
        raise ApiError(400, "Bad request", f"offset must be a number from 0, not {offset!r}")
    return int(offset or 0), False
