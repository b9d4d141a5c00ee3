"""SCIM filters (RFC 7644, 3.4.2.2), as the list of tasks accepts them.

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
"""Returns the value of a field, or a tuple of equivalent values."""
Test = Callable[[Getter], bool]

MAX_DEPTH = 20
"""The maximum depth of nested parentheses."""

_TOKEN = re.compile(r'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()"]+))')
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda actual, expected: bool(actual == expected),
    "gt": lambda actual, expected: bool(actual > expected),
    "ge": lambda actual, expected: bool(actual >= expected),
    "lt": lambda actual, expected: bool(actual < expected),
    "le": lambda actual, expected: bool(actual <= expected),
    "co": lambda actual, expected: str(expected) in str(actual),
    "sw": lambda actual, expected: str(actual).startswith(str(expected)),
    "ew": lambda actual, expected: str(actual).endswith(str(expected)),
}


def parse(text: str, fields: Collection[str]) -> Test:
    """Return the test that a filter describes. Raises ApiError (400) for a filter that cannot be parsed."""
    return _Parser(text, fields).whole()


class _Parser:
    """Recursive descent: `or` binds less than `and`, `and` less than `not`."""

    def __init__(self, text: str, fields: Collection[str]) -> None:
        self._text = text
        self._fields = {field.casefold(): field for field in fields}
        self._position = 0
        self._depth = 0

    def whole(self) -> Test:
        test = self._any_of()
        if self._text[self._position :].strip():
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
            if self._depth > MAX_DEPTH:
                raise self._refused()
            test = self._any_of()
            if not self._takes(")"):
                raise self._refused()
            self._depth -= 1
            return test
        return self._condition()

    def _condition(self) -> Test:
        start = self._position
        field = self._fields.get((self._word() or "").casefold())
        operator = (self._word() or "").casefold()
        if field is None or operator not in {*_COMPARISONS, "ne", "pr"}:
            self._position = start
            raise self._refused()
        if operator == "pr":
            return lambda value: value(field) not in (None, "")
        expected = self._value()
        if operator == "ne":
            return lambda value: not _holds(value(field), "eq", expected)
        return lambda value: _holds(value(field), operator, expected)

    def _takes(self, token: str) -> bool:
        found = _TOKEN.match(self._text, self._position)
        if found and (found[1] or (found[3] or "").casefold()) == token:
            self._position = found.end()
            return True
        return False

    def _word(self) -> str | None:
        found = _TOKEN.match(self._text, self._position)
        if not found or found[3] is None:
            return None
        self._position = found.end()
        return found[3]

    def _value(self) -> str | None:
        found = _TOKEN.match(self._text, self._position)
        if not found or found[1]:
            raise self._refused()
        quoted, bare = found[2], found[3]
        if quoted is None and not re.fullmatch(r"true|false|null|-?\d+(\.\d+)?", bare):
            raise self._refused()
        self._position = found.end()
        if quoted is None:
            return None if bare == "null" else bare
        return re.sub(r"\\(.)", r"\1", quoted)

    def _refused(self) -> ApiError:
        return ApiError(400, "Bad request", f"filter cannot be parsed from here on: {self._text[self._position :]}")


def _holds(actual: Any, operator: str, expected: str | None) -> bool:
    values = actual if isinstance(actual, tuple) else (actual,)
    return any(_fits(value, operator, expected) for value in values)


def _fits(actual: Any, operator: str, expected: str | None) -> bool:
    if actual is None or expected is None:
        return operator == "eq" and actual in (None, "") and expected is None
    compare = _COMPARISONS[operator]
    if isinstance(actual, datetime) and operator not in ("co", "sw", "ew"):
        try:
            return compare(actual, datetime.fromisoformat(expected))
        except (ValueError, TypeError):
            return False
    text = str(actual).lower() if isinstance(actual, bool) else str(actual)
    return compare(text.casefold(), expected.casefold())
