"""Clean text from outside so that it can be stored, shown and logged. Standard library only.

Text of Qlik Cloud, of a proxy or of a user's script ends up in events, XComs, task state, exceptions and log lines.
Three things go wrong there:

- PostgreSQL's jsonb refuses NUL (``\\u0000``), and nothing can encode one half of a surrogate pair. A trigger's event
  with either makes the triggerer exit while it stores the event, and the next triggerer as well.
- A text without a bound (an error page of 15 MB, a log line of 20 MB) is copied into exceptions and log records.
- Control characters of a log reach the terminal of its reader.

`storable` and `storable_json` prevent the first two; all code that passes a text to Airflow calls one of them.
`printable` also shows control characters, for log lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

MESSAGE_LENGTH = 2000
"""Characters of a message (of an error, an event or a log line), at most."""
REASON_LENGTH = 500
"""Characters of a single reason or title from a response, at most."""
LINE_LENGTH = 4000
"""Characters of one line of a run's log in the task's log, at most."""
VALUE_LENGTH = 1024 * 1024
"""Characters of a text in a returned JSON value, at most."""


@cache
def _not_storable() -> re.Pattern[str]:
    # Compiled when it is first needed: Dag files import this module each time they are parsed.
    return re.compile("[\x00\ud800-\udfff]")


@cache
def _not_printable() -> re.Pattern[str]:
    # C0 and C1 control characters but for the tab, DEL, and the two line separators that split a log line in a viewer.
    return re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def storable(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Return the text as any store can take it: NUL and lone surrogates as escapes, at most *length* characters.

    A note about the cut follows, so the result may be some characters longer than *length*.
    """
    cut = shortened(text, length)
    return _not_storable().sub(_escape, cut) if _not_storable().search(cut) else cut


def printable(text: str, length: int = LINE_LENGTH) -> str:
    """Return one line of text as a terminal can show it: control characters as escapes, at most *length* characters."""
    cut = shortened(text, length)
    return _not_printable().sub(_escape, cut) if _not_printable().search(cut) else cut


def shortened(text: str, length: int) -> str:
    """Return the first *length* characters of a text, and how many were left out if there are more."""
    return text if len(text) <= length else f"{text[:length]}… [{len(text) - length} more characters left out]"


def storable_json(value: Any, length: int = VALUE_LENGTH) -> Any:
    """Return plain JSON in which every text, keys included, is storable. *length* bounds each single text."""
    if isinstance(value, str):
        return storable(value, length)
    if isinstance(value, Mapping):
        return {storable(str(key), length): storable_json(item, length) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [storable_json(item, length) for item in value]
    return value


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
