"""Find and mask secrets in responses, by the names of the members that hold them. Standard library only.

A response may hold secrets that no documentation describes: an execution token in a list, a webhook's password in the
workspace of an automation, an access token in the page of a proxy. The value does not show that it is a secret, so the
name decides: `is_secret` is the one rule, for JSON that is returned (`masked`), for the excerpt of a body in an error
(`masked_text`) and for the values that Airflow masks in logs (`secrets_in`).

- Letter case, underscores, hyphens and dots are ignored: ``executionToken``, ``X-Execution-Token``, ``API_KEY``.
- A cursor of a list (``nextPageToken``) is not a secret. It changes with each page, and to register each of them for
  masking would slow down every log line of the process.
- ``token_type`` and the like describe a secret and hold none.
- Only texts are masked, at any depth below such a name. Numbers and booleans stay (``tokensUsed: 5``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
MIN_SECRET = 8
"""Characters of a value that is masked in all logs, at least: a shorter text may occur anywhere by chance."""

_SECRET = re.compile(
    "token|secret|passw(?:or)?d|pwd|passphrase|assertion|apikey|privatekey|accesskey|accountkey|authorization"
    "|cookie|jwt|credentials?"
)
_HARMLESS = re.compile(
    r"(?:next|prev|previous|page|continuation|cursor|sync)(?:page)?tokens?|.*(?:type|types|expir(?:y|es|ation).*|policy)"
)
_SIGNS = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=2048)
def is_secret(name: str) -> bool:
    """Return True if a member, parameter or header of that name holds a secret."""
    plain = _SIGNS.sub("", name.lower())
    return _SECRET.search(plain) is not None and _HARMLESS.fullmatch(plain) is None


def masked(value: Any) -> Any:
    """Return plain JSON with every text below the name of a secret replaced, at any depth."""
    if isinstance(value, Mapping):
        return {key: _hidden(item) if is_secret(str(key)) else masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return MASK if value else value
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in value.items()}
    return [_hidden(item) for item in value] if isinstance(value, list) else value


def secrets_in(value: Any, found: list[str]) -> None:
    """Add to *found* the texts below names of secrets in plain JSON, except for those that are too short.

    Every response is searched, so this is optimised for finding nothing: names recur, and are cached.
    """
    if isinstance(value, dict):
        names = _secret_names(tuple(value))
        for name, item in value.items():
            if name in names:
                texts_in(item, found)
            elif item.__class__ is dict or item.__class__ is list:
                secrets_in(item, found)
    elif isinstance(value, list):
        for item in value:
            if item.__class__ is dict or item.__class__ is list:
                secrets_in(item, found)


@lru_cache(maxsize=1024)
def _secret_names(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(filter(is_secret, names))


def texts_in(value: Any, found: list[str]) -> None:
    """Add to *found* all texts in plain JSON that are long enough to be masked wherever they occur."""
    if isinstance(value, str):
        if len(value) >= MIN_SECRET and value.strip("*"):
            found.append(value)
    elif isinstance(value, dict):
        for item in value.values():
            texts_in(item, found)
    elif isinstance(value, list):
        for item in value:
            texts_in(item, found)


# A name is looked for where it begins, and is no longer than this: a pattern that may begin anywhere in a long word
# takes a time that grows with its square. The quote may have backslashes before it: JSON in a text of JSON.
_MEMBER = re.compile(r"""(?P<quote>\\{0,8}["'])(?P<name>[\w.\- ]{1,120})(?P=quote)\s{0,20}:\s{0,20}""")
_STRING = {'"': re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL), "'": re.compile(r"'(?:[^'\\]|\\.)*'?", re.DOTALL)}
_BRACKETS = re.compile(r"[\[\]{}]")
_PARAMETER = re.compile(
    r"""(?<![\w.\-])(?P<name>[\w.\-]{1,120})(?P<sign>\s{0,20}=\s{0,20})(?:"[^"]*"?|'[^']*'?|[^\s&;,"'<>]+)"""
)
# A colon follows many a harmless word ("invalid token: expired"): only names of headers and of two words count there,
# and no sentence about them ("client_assertion: no such key").
_HEADER = re.compile(
    r"(?<![\w\-])(?P<name>(?i:authorization|password)|[Xx][-_][\w-]{1,120}|[a-zA-Z]{1,60}[-_]\w[\w-]{0,60}"
    r"|[a-z]{1,60}[A-Z]\w{0,60})(?P<sign>\s{0,20}:\s{0,20})(?!(?:no|not|is|was|has|must)\s)(?:(?i:bearer|basic)\s+)?[^\s,;\"'<>{}\[\]]+"
)
_BEARER = re.compile(r"\b(?P<scheme>(?i:bearer)\s+)[\w.~+/=-]{8,}")


def masked_text(text: str) -> str:
    """Return a text (JSON or part of it, a form, headers) with the values beside names of secrets replaced."""
    if _SECRET.search(_SIGNS.sub("", text.lower())) is not None:
        text = "".join(_without_members(text))
        text = _PARAMETER.sub(_without, text)
        text = _HEADER.sub(_without, text)
    return _BEARER.sub(rf"\g<scheme>{MASK}", text)


def _without_members(text: str) -> Iterator[str]:
    done = 0
    for found in _MEMBER.finditer(text):
        if found.start() < done or not is_secret(found["name"]):
            continue
        end = _end_of_value(text, found.end(), found["quote"])
        if end > found.end():
            yield f"{text[done : found.end()]}{found['quote']}{MASK}{found['quote']}"
            done = end
    yield text[done:]


def _end_of_value(text: str, start: int, quote: str) -> int:
    """Return the end of the text, list or object at *start*, which may be cut off; *start* for other values."""
    if len(quote) > 1:
        if not text.startswith(quote, start):
            return start
        end = text.find(quote, start + len(quote))
        return len(text) if end < 0 else end + len(quote)
    sign = text[start : start + 1]
    if sign in _STRING:
        found = _STRING[sign].match(text, start)
        end = start if found is None else found.end()
        # A backslash that the text was cut off behind is part of no pair.
        return len(text) if text[end:] == "\\" else end
    if sign not in {"[", "{"}:
        return start
    depth = 0
    for bracket in _BRACKETS.finditer(text, start):
        depth += 1 if bracket.group() in "[{" else -1
        if depth == 0:
            return bracket.end()
    return len(text)


def _without(found: re.Match[str]) -> str:
    return f"{found['name']}{found['sign']}{MASK}" if is_secret(found["name"]) else found.group()
