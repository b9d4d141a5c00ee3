"""The log of a task run as a file: the text in the body of the response, whichever form that has. No I/O here.

Qlik Cloud documents JSON, ``{"logContent": "…"}``, and bare text has been seen, too. A log may be larger than memory,
so the text is taken out of the JSON part by part: a complete decoder would need all of it at once. What does not work:
to cut off the beginning and the end of the JSON and to replace the escapes in each part, since an escape may be cut in
two, a character outside the basic plane is two escapes, and other members may stand around the text.
"""

from __future__ import annotations

import codecs
import json
import re

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.transport.download import Sink

MEMBER = "logContent"
"""The member that holds the log."""

_MAX_NAME = 200
"""Characters of a member's name, or of a number, at most."""
_OBJECT = re.compile(r'\s*\{\s*["}]')
_MAY_BE_OBJECT = re.compile(r"\s*(?:\{\s*)?\Z")
_BLANKS = re.compile(r"[\s,:]*")
_OTHER_VALUE = re.compile(r"[^\s,:{}\[\]\"]+")
# Complete characters of a JSON string: an escape of four digits that begins a pair needs the second half.
_CHARACTERS = re.compile(
    r'(?:[^"\\]++|\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*+"
)
_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_LONGEST_CHARACTER = 12


class LogText:
    """Write the text of a log to a sink, from the body of a response that is a JSON object or text.

    Where the object has no log, or an empty one, *fallback* is written. Call `finish` at the end. Raises
    InvalidResponseError for malformed JSON.
    """

    def __init__(self, sink: Sink, fallback: str = "") -> None:
        self._sink = sink
        self._fallback = fallback
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._is_object: bool | None = None
        self._head = b""
        self._text = ""
        self._found = False
        self._depth = 0
        self._name: str | None = None
        self._in_string = self._in_name = self._ended = False

    def write(self, data: bytes) -> None:
        """Take the next part of the body."""
        if self._is_object is None:
            self._head += data
            head = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(self._head)
            if _MAY_BE_OBJECT.match(head):
                return
            self._is_object = _OBJECT.match(head) is not None
            data, self._head = self._head, b""
        if self._is_object:
            self._text += self._decoder.decode(data)
            self._parse(last=False)
        elif data:
            # As it is: a text may have another encoding.
            self._found = True
            self._sink.write(data)

    def finish(self) -> None:
        """Write what is left. Raises InvalidResponseError if the JSON is incomplete."""
        if self._is_object:
            self._text += self._decoder.decode(b"", final=True)
            self._parse(last=True)
            if not self._ended:
                raise self._malformed("it is cut off")
        if not self._found:
            self._sink.write(self._fallback.encode("utf-8", "backslashreplace"))

    def _parse(self, *, last: bool) -> None:
        """Read what is complete; the rest stays for the next part."""
        while self._text and (self._string(last) if self._in_string else self._token(last)):
            pass

    def _token(self, last: bool) -> bool:
        """Read one token outside of strings. Return False if it is not complete yet."""
        self._text = _BLANKS.sub("", self._text, count=1)
        if not self._text:
            return False
        if self._ended:
            raise self._malformed("more follows its end")
        sign = self._text[0]
        if sign == '"':
            # Names and values alternate; only those of the outermost object matter.
            self._in_string, self._in_name = True, self._depth == 1 and self._name is None
            if self._in_name:
                self._name = ""
        elif sign in "{[":
            self._depth += 1
        elif sign in "}]":
            self._depth -= 1
            self._end_value()
        else:
            return self._other_value(last)
        self._text = self._text[1:]
        return True

    def _other_value(self, last: bool) -> bool:
        """Skip a number, true, false or null. Return False if it is not complete yet."""
        value = _OTHER_VALUE.match(self._text)
        assert value is not None, self._text[:1]
        if value.end() > _MAX_NAME:
            raise self._malformed("it has a value that is none")
        if value.end() == len(self._text) and not last:
            return False
        self._text = self._text[value.end() :]
        self._end_value()
        return True

    def _string(self, last: bool) -> bool:
        """Read the next part of a string. Return False if more of the body is needed."""
        complete = _CHARACTERS.match(self._text)
        assert complete is not None
        end = complete.end()
        rest = self._text[end : end + _LONGEST_CHARACTER]
        half = _HALF_PAIR.match(rest)
        if half is not None and (len(rest) == _LONGEST_CHARACTER or '"' in rest or last):
            # One half of a pair, alone.
            end += half.end()
            rest = ""
        self._take(self._text[:end])
        self._text = self._text[end:]
        if rest.startswith('"'):
            self._text, self._in_string = self._text[1:], False
            if self._in_name:
                self._in_name = False
            else:
                self._end_value()
        elif len(rest) == _LONGEST_CHARACTER:
            raise self._malformed("it has an escape that is none")
        else:
            return half is not None and not rest
        return True

    def _take(self, characters: str) -> None:
        if self._in_name:
            self._name = (str(self._name) + characters)[:_MAX_NAME]
        elif characters and self._depth == 1 and self._name == MEMBER:
            self._found = True
            try:
                text = json.loads(f'"{characters}"', strict=False)
            except ValueError as error:
                raise self._malformed(str(error)) from None
            self._sink.write(text.encode("utf-8", "backslashreplace"))

    def _end_value(self) -> None:
        if self._depth <= 1:
            self._name = None
        self._ended = self._depth == 0

    def _malformed(self, why: str) -> InvalidResponseError:
        return InvalidResponseError(f"The log of the run is JSON that cannot be read: {why}", self._text[:200])
