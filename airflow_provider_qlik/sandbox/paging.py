"""Lists: sorted, filtered, and given out page by page."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, ok

T = TypeVar("T")
Fields = dict[str, Callable[[T], Any]]

_CONDITION = re.compile(r'\s*(\w+)\s+(eq|ne|co|sw)\s+(?:"((?:[^"\\]|\\.)*)"|(true|false))\s*(?:$|and\b)', re.I)
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda have, want: have == want,
    "ne": lambda have, want: have != want,
    "co": lambda have, want: want in have,
    "sw": lambda have, want: have.startswith(want),
}


@dataclass(frozen=True, slots=True)
class Paging:
    """How one family pages: the name of its cursor, its page sizes, and whether it links to itself."""

    cursor: str
    default: int
    most: int
    has_self: bool = False


def in_order(asked: Asked, items: Iterable[T], fields: Fields[T], default: str, *, is_signed: bool) -> list[T]:
    """The items by the `sort` asked for; where signs are compulsory an unsigned field is refused."""
    sort = asked.parameter("sort")
    if sort is None:
        sort = default
    elif sort.startswith(" ") and asked.world.switches.plus_in_sort == "lenient":
        sort = "+" + sort[1:]
    sign, name = (sort[0], sort[1:]) if sort[:1] in ("+", "-") else ("", sort)
    if name not in fields or (is_signed and not sign):
        raise Refused(400, "Bad request", f"sort must be + or - and one of {', '.join(fields)}: {sort!r}")
    value = fields[name]

    def key(item: T) -> tuple[bool, Any]:
        found = value(item)
        return found is None, found  # nothing comes last, as databases have it

    ordered = sorted(items, key=key)
    if sign == "-":
        ordered.reverse()  # of two that are equal the later one, too, comes first
    return ordered


def filtered(asked: Asked, items: Iterable[T], fields: Fields[T]) -> list[T]:
    """The items that the SCIM `filter` lets through; a filter that is not understood is refused."""
    rest = asked.parameter("filter")
    kept = list(items)
    while rest:
        found = _CONDITION.match(rest)
        ends_in_and = found and found[0].lower().endswith("and") and found.end() == len(rest.rstrip())
        if not found or found[1] not in fields or ends_in_and:
            raise Refused(400, "Bad request", f"filter is not understood from here on: {rest}")
        want = re.sub(r"\\(.)", r"\1", found[3]) if found[3] is not None else found[4].lower()
        test, value = _TESTS[found[2].lower()], fields[found[1]]
        kept = [item for item in kept if test(_text(value(item)), want)]
        rest = rest[found.end() :]
    return kept


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def page(asked: Asked, paging: Paging, items: Sequence[T], show: Callable[[T], dict[str, Any]]) -> Response:
    """The page asked for, with links to its neighbours."""
    limit = _limit(asked, paging)
    offset, is_empty_page = _position(asked, paging)
    shown = [] if is_empty_page else items[offset : offset + limit]
    following = offset if is_empty_page else offset + limit
    links: dict[str, Any] = {}
    if following < len(items):
        with_empty = asked.world.switches.empty_page and not is_empty_page
        links["next"] = {"href": _next_href(asked, paging, _cursor(following, with_empty))}
    else:
        form = asked.world.switches.last_link
        if form != "absent":
            links["next"] = {"null": None, "empty": {"href": ""}, "null_href": {"href": None}}[form]
    if offset:
        links["prev"] = {"href": asked.base_url + _address(asked, paging, _cursor(max(0, offset - limit), False))}
    if paging.has_self:
        links["self"] = {"href": asked.base_url + _address(asked, paging, asked.parameter(paging.cursor))}
    return ok({"data": [show(item) for item in shown], "links": links})


def _next_href(asked: Asked, paging: Paging, cursor: str) -> str:
    form = asked.world.switches.next_link
    if form == "loop":
        return asked.base_url + _address(asked, paging, asked.parameter(paging.cursor))
    address = _address(asked, paging, cursor)
    base = {"absolute": asked.base_url, "relative": "", "other_host": asked.world.switches.elsewhere}[form]
    return base + address


def _address(asked: Asked, paging: Paging, cursor: str | None) -> str:
    query = [(name, value) for name, value in asked.query if name != paging.cursor]
    if cursor is not None:
        query.append((paging.cursor, cursor))
    return asked.path + ("?" + urlencode(query) if query else "")


def _limit(asked: Asked, paging: Paging) -> int:
    text = asked.parameter("limit")
    if text is None:
        return paging.default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= paging.most:
        raise Refused(400, "Bad request", f"limit must be a number from 1 to {paging.most}, and not {text!r}")
    return int(text)


def _cursor(offset: int, is_empty_page: bool) -> str:
    return urlsafe_b64encode(f"{offset}{'e' if is_empty_page else ''}".encode()).decode()


def _position(asked: Asked, paging: Paging) -> tuple[int, bool]:
    text = asked.parameter(paging.cursor)
    if text is None:
        return 0, False
    try:
        position = urlsafe_b64decode(text.encode()).decode()
        return int(position.removesuffix("e")), position.endswith("e")
    except ValueError:
        raise Refused(400, "Bad request", f"{paging.cursor} is not a cursor given out here: {text!r}") from None
