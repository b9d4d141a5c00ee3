"""Names of downloaded files, from a pattern and the metadata of Qlik Cloud: safe, short enough and unique.

File systems count bytes, not characters: most take names of 255 bytes, and a task name of 120 umlauts has 240. A name
that is too long is shortened in its longest field, since cutting its end would remove the number and the extension.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from airflow_provider_qlik.validation import InvalidArgumentError

FILE_NAME = "{task}-{recipient}-{number}.{type}"
FIELDS = {"task": "", "recipient": "", "execution": "", "alias": "", "number": 1, "type": "", "run": ""}
"""The fields of a pattern, with values to try it with."""
MAX_NAME_BYTES = 240
"""Bytes of a file name, at most: the 255 of most file systems less those of a temporary name, see `object_storage`."""

_CUT_FIELDS = ("task", "recipient", "alias")
_MIN_FIELD_BYTES = 16
_MAX_EXTENSION_BYTES = 20
# Patterns are compiled when they are first needed: Dag files import this module each time they are parsed.
_NOT_IN_FIELD = r"[^\w.@+-]+"
# Separators of folders, control characters, the two other line separators and halves of surrogate pairs.
_NOT_IN_NAME = "[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+"
_EXTENSION = r"\.\w{1,20}\Z"


def checked_pattern(pattern: object) -> str:
    """Return the pattern for file names. Raises InvalidArgumentError if it is invalid."""
    if isinstance(pattern, int) and not isinstance(pattern, bool):
        pattern = str(pattern)
    try:
        if isinstance(pattern, str):
            pattern.format(**FIELDS)
            return pattern
    except (KeyError, IndexError, ValueError, AttributeError, TypeError, OverflowError, MemoryError):
        pass
    allowed = f"a pattern with {', '.join('{' + name + '}' for name in FIELDS)}"
    raise InvalidArgumentError("file_name", "None" if pattern is None else pattern, allowed)


class FileNames:
    """Make the file names of one run, each name once.

    Names that differ in letter case or Unicode form only are the same file on some file systems. The later one of two
    such names gets the number of its file.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = checked_pattern(pattern)
        self._taken: set[str] = set()

    def make(self, fields: Mapping[str, Any]) -> str:
        """Return the name of the next file; *fields* has a value for each of `FIELDS`."""
        cleaned = {name: _cleaned(value) if isinstance(value, str) else value for name, value in fields.items()}
        cleaned["type"] = cut(cleaned["type"], _MAX_EXTENSION_BYTES)
        stem, extension = self._split(self._fitting(cleaned), cleaned["type"])
        name, count = _joined(stem, "", extension), 1
        while _folded(name) in self._taken:
            suffix = f"-{fields['number']}" + (f"-{count}" if count > 1 else "")
            name, count = _joined(stem, suffix, extension), count + 1
        self._taken.add(_folded(name))
        return name

    def _fitting(self, fields: dict[str, Any]) -> str:
        """Return the name, with the longest of its fields cut until it fits or none can be cut any more."""
        name = self._rendered(fields)
        while (excess := _size(name) - MAX_NAME_BYTES) > 0:
            longest = max(_CUT_FIELDS, key=lambda field: _size(fields[field]))
            size = _size(fields[longest])
            if size <= _MIN_FIELD_BYTES:
                break
            fields[longest] = cut(fields[longest], max(size - excess, _MIN_FIELD_BYTES))
            name = self._rendered(fields)
        return name

    def _rendered(self, fields: Mapping[str, Any]) -> str:
        name = re.sub(_NOT_IN_NAME, "_", unicodedata.normalize("NFC", self._pattern.format(**fields)))
        # Without what hides a file, or what some file systems drop.
        return name.lstrip(". ").rstrip(". ") or "file"

    def _split(self, name: str, file_type: str) -> tuple[str, str]:
        """Return the stem and the extension: the file's type, or what the pattern ends with. An address has none."""
        literal = re.search(_EXTENSION, self._pattern)
        for extension in (f".{file_type}", literal.group() if literal else "."):
            if len(extension) > 1 and name.endswith(extension) and name != extension:
                return name.removesuffix(extension), extension
        return name, ""


def cut(text: str, size: int) -> str:
    """Return the beginning of a text that has *size* bytes of UTF-8 at most, with whole characters only."""
    return text.encode()[:size].decode("utf-8", "ignore")


def _joined(stem: str, suffix: str, extension: str) -> str:
    room = MAX_NAME_BYTES - _size(suffix) - _size(extension)
    return cut(stem, room).rstrip(". ") + suffix + extension if _size(stem) > room else stem + suffix + extension


def _cleaned(text: str) -> str:
    return re.sub(_NOT_IN_FIELD, "_", unicodedata.normalize("NFC", text))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _size(text: str) -> int:
    return len(text.encode())
