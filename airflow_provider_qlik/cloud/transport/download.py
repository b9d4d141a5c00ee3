"""The checks of a download: the body is the file that was requested, and it makes progress. No I/O here.

Status 200 says little about a file. A session that has expired is answered with a login page, a proxy answers with a
page of its own, a service with a JSON error, and a connection that breaks off leaves half a file. None of these may be
saved as a report. The content type does not help much, since Qlik Cloud does not document it for PDF, XLSX and PPTX:
what counts is how the body begins. A type of file whose beginning is known must begin like that. Of any other type,
only what evidently is no file is refused: a web page, JSON, an XML error, nothing at all.

A download has no total time-out, since the size of a report is not known. It has to make progress instead.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from airflow_provider_qlik.cloud.errors import InvalidResponseError, NoResponseError
from airflow_provider_qlik.text import printable

PROGRESS_SECONDS = 60.0
"""Seconds in which `PROGRESS_BYTES` of a download must arrive."""
PROGRESS_BYTES = 64 * 1024
"""Bytes of a download that must arrive in `PROGRESS_SECONDS`."""

_HEAD_BYTES = 1024
"""Bytes of a body that are held back until it is known to be a file."""
_ZIP = (b"PK\x03\x04",)
# An Office document with a password is an OLE file, whatever its type.
_OFFICE = (*_ZIP, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_PNG, _JPEG, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"
_OTHER_IMAGES = (b"RIFF", b"II*\x00", b"MM\x00*", b"<svg")
_MAGIC_BYTES: Mapping[str, tuple[bytes, ...]] = {
    "pdf": (b"%PDF-",),
    "xlsx": _OFFICE,
    "pptx": _OFFICE,
    "docx": _OFFICE,
    "zip": (*_ZIP, b"PK\x05\x06"),
    "image": (_PNG, _JPEG, _GIF, *_OTHER_IMAGES),
    "png": (_PNG,),
    "jpg": (_JPEG,),
    "jpeg": (_JPEG,),
    "gif": (_GIF,),
}
"""The bytes with which a file of a type begins, any of these."""

LOG, LOG_IN_JSON = "log", "log in json"
"""The file types of logs, which may be empty; one of them may be a member of a JSON object, see `log_body`."""
_MAY_BE_EMPTY = frozenset({LOG, LOG_IN_JSON})

_PAGE = re.compile(
    rb"<!--|(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body|title|meta|script|style|center|h1)\b", re.IGNORECASE
)
_XML_ERROR = re.compile(rb"(?:<\?xml[^>]*>\s*)?<(?:\w+:)?(?:error|fault|envelope)\b", re.IGNORECASE)
_JSON = re.compile(rb'\{\s*["}]|\[\s*[\[\]{"]')
_BYTE_ORDER_MARKS = re.compile(rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*")


class Download:
    """The response type of a call whose body is a file, which is streamed and never read as a whole.

    A call says so by ``answer is Download``. A client's `download` fetches it, its `call` does not.
    """


class Sink(Protocol):
    """An object that a download is written to, such as a file."""

    def write(self, data: bytes, /) -> object:
        """Write all of the data."""


class FileBody:
    """Check the body of a response that should be a file. All errors are InvalidResponseError.

    The beginning is held back until it is known to be that of a file: nothing of a web page is ever handed on.

    :param request: what was requested, for errors, such as ``GET /api/…``.
    :param headers: the headers of the response, with names in lower case.
    :param file_type: the type of file that was requested, such as ``pdf``; None if it is not known.
    """

    def __init__(self, request: str, headers: Mapping[str, str], file_type: str | None = None) -> None:
        self._request = request
        self._content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._file_type = (file_type or "").strip().lower().lstrip(".")

    def read(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the parts of the file, from the decoded chunks of the body."""
        parts = iter(chunks)
        head = b""
        while len(head) < _HEAD_BYTES and (part := self._next(parts)) is not None:
            head += part
        self._check(head, whole=len(head) < _HEAD_BYTES)
        yield head
        while (part := self._next(parts)) is not None:
            yield part

    def _next(self, parts: Iterator[bytes]) -> bytes | None:
        try:
            return next(parts, None)
        except InvalidResponseError as error:
            raise self._error(f"The response is not a complete file: {error.what}") from None

    def _check(self, head: bytes, whole: bool) -> None:
        if not head:
            if self._file_type in _MAY_BE_EMPTY:
                return
            raise self._error("The response is empty, not a file")
        kind = self._evident_kind(head, whole)
        if magic_bytes := _MAGIC_BYTES.get(self._file_type):
            if not _BYTE_ORDER_MARKS.sub(b"", head).startswith(magic_bytes):
                found = kind or "something else"
                raise self._error(f"The response is {found}, not a file of the type {self._file_type!r}", head)
        elif kind:
            raise self._error(f"The response is {kind}, not a file", head)

    def _evident_kind(self, head: bytes, whole: bool) -> str | None:
        """Return a name for a body that is evidently not a file, by its beginning and its content type, else None."""
        # Without the zeros of UTF-16.
        text = _BYTE_ORDER_MARKS.sub(b"", head[:_HEAD_BYTES]).replace(b"\0", b"")
        content_type, file_type = self._content_type, self._file_type
        if file_type not in {"html", "htm"} and (
            _PAGE.match(text) or content_type in {"text/html", "application/xhtml+xml"}
        ):
            return "a web page"
        if file_type not in {"json", LOG_IN_JSON}:
            if _JSON.match(text) or content_type in {"application/json", "text/json"} or content_type.endswith("+json"):
                return "JSON"
            if whole and _is_json(head):
                return "JSON"
        if file_type != "xml" and _XML_ERROR.match(text):
            return "an XML error"
        return None

    def _error(self, reason: str, head: bytes = b"") -> InvalidResponseError:
        content_type = f", {printable(self._content_type, 100)}" if self._content_type else ""
        excerpt = head[:400].replace(b"\0", b"").decode("utf-8", "backslashreplace")
        return InvalidResponseError(f"{reason} (HTTP 200{content_type}, for {self._request})", excerpt)


def _is_json(body: bytes) -> bool:
    """Return True for JSON, except a number or a text, which may be a file of one cell."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return value is None or isinstance(value, (bool, dict, list))


def progressing(chunks: Iterable[bytes], request: str, clock: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """Yield the chunks of a download as they come. Raises NoResponseError if too few bytes come in a minute.

    Only the time that is spent waiting for chunks counts, not the time that it takes to write them.
    """
    iterator = iter(chunks)
    seconds, size, total = 0.0, 0, 0
    while True:
        began = clock()
        chunk = next(iterator, None)
        if chunk is None:
            return
        seconds += clock() - began
        size += len(chunk)
        total += len(chunk)
        if seconds >= PROGRESS_SECONDS:
            if size < PROGRESS_BYTES:
                raise NoResponseError(
                    f"The download is too slow: {size:,} bytes came in {seconds:.0f} s, less than {PROGRESS_BYTES:,} in"
                    f" {PROGRESS_SECONDS:.0f} s ({total:,} bytes in all, {request})"
                )
            seconds, size = 0.0, 0
        yield chunk


def error_body(chunks: Iterable[bytes]) -> bytes:
    """Return the body of an error response, as far as it can be read within its bounds."""
    content = bytearray()
    with suppress(InvalidResponseError):
        for chunk in chunks:
            content += chunk
    return bytes(content)
