"""Filters in the language of SCIM (RFC 7644, 3.4.2.2), as the list of tasks takes them.

Documented by Qlik: that it is this language, the fields, and that letter case is ignored. Assumed: which operators each
field takes, namely all of the language (`eq`, `ne`, `co`, `sw`, `ew`, `gt`, `ge`, `lt`, `le`, `pr`, `and`, `or`, `not`
and parentheses).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.errors import ApiError

Getter = Callable[[str], Any]
"""Gives the value of a field, or several that stand for the same in a tuple."""
Test = Callable[[Getter], bool]

DEEPEST = 20
"""How deep parentheses may be nested."""

_TOKEN = re.compile(r'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()"]+))')
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, want: bool(have == want),
    "gt": lambda have, want: bool(have > want),
    "ge": lambda have, want: bool(have >= want),
    "lt": lambda have, want: bool(have < want),
    "le": lambda have, want: bool(have <= want),
    "co": lambda have, want: str(want) in str(have),
    "sw": lambda have, want: str(have).startswith(str(want)),
    "ew": lambda have, want: str(have).endswith(str(want)),
}


def parse(text: str, fields: Collection[str]) -> Test:
    """Return the test that a filter describes. Raises Refused (400) for one that is not understood."""
    return _Parser(text, fields).whole()


class _Parser:
    """Recursive descent: `or` binds less than `and`, `and` less than `not`."""

    def __init__(self, text: str, fields: Collection[str]) -> None:
        self._text = text
        self._fields = {field.casefold(): field for field in fields}
        self._place = 0
        self._depth = 0

    def whole(self) -> Test:
        test = self._any_of()
        if self._text[self._place :].strip():
            raise self._refused()
        return test

    def _any_of(self) -> Test:
        tests = [self._all_of()]
        while self._takes("or"):
            tests.append(self._all_of())
        return lambda value: any(test(value) for test in tests)

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self._takes("and"):
            tests.append(self._one())
        return lambda value: all(test(value) for test in tests)

    def _one(self) -> Test:
        if self._takes("not"):
            inner = self._one()
            return lambda value: not inner(value)
        if self._takes("("):
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._refused()
            test = self._any_of()
            if not self._takes(")"):
                raise self._refused()
            self._depth -= 1
            return test
        return self._condition()

    def _condition(self) -> Test:
        start = self._place
        field = self._fields.get((self._word() or "").casefold())
        operator = (self._word() or "").casefold()
        if field is None or operator not in {*_COMPARISONS, "ne", "pr"}:
            self._place = start
            raise self._refused()
        if operator == "pr":
            return lambda value: value(field) not in (None, "")
        want = self._value()
        if operator == "ne":
            return lambda value: not _holds(value(field), "eq", want)
        return lambda value: _holds(value(field), operator, want)

    def _takes(self, token: str) -> bool:
        found = _TOKEN.match(self._text, self._place)
        if found and (found[1] or (found[3] or "").casefold()) == token:
            self._place = found.end()
            return True
        return False

    def _word(self) -> str | None:
        found = _TOKEN.match(self._text, self._place)
        if not found or found[3] is None:
            return None
        self._place = found.end()
        return found[3]

    def _value(self) -> str | None:
        found = _TOKEN.match(self._text, self._place)
        if not found or found[1]:
            raise self._refused()
        quoted, bare = found[2], found[3]
        if quoted is None and not re.fullmatch(r"true|false|null|-?\d+(\.\d+)?", bare):
            raise self._refused()
        self._place = found.end()
        if quoted is None:
            return None if bare == "null" else bare
        return re.sub(r"\\(.)", r"\1", quoted)

    def _refused(self) -> ApiError:
        return ApiError(400, "Bad request", f"filter is not understood from here on: {self._text[self._place :]}")


def _holds(have: Any, operator: str, want: str | None) -> bool:
    values = have if isinstance(have, tuple) else (have,)
    return any(_fits(value, operator, want) for value in values)


def _fits(have: Any, operator: str, want: str | None) -> bool:
    if have is None or want is None:
        return operator == "eq" and have in (None, "") and want is None
    compare = _COMPARISONS[operator]
    if isinstance(have, datetime) and operator not in ("co", "sw", "ew"):
        try:
            return compare(have, datetime.fromisoformat(want))
        except (ValueError, TypeError):
            return False
    shown = str(have).lower() if isinstance(have, bool) else str(have)
    return compare(shown.casefold(), want.casefold())
