"""The content encodings of response bodies, decoded in parts of bounded size. No I/O here.

httpx decodes a whole chunk at once: one chunk of a gzip bomb becomes a thousand times its size in memory, and a stream
that is cut off in the middle passes for a complete one. So `Decoder` takes the raw chunks of a body (``iter_raw``),
gets at most `PART_BYTES` at a time from zlib, stops at a limit, and checks at the end that the stream was complete.
What does not work: a limit on the bytes that arrive, which a bomb stays below, or a check of each decoded chunk, which
is in memory by then.

Only what the standard library can decode is announced in requests (`ACCEPT_ENCODING`): with Brotli or Zstandard
installed, httpx would announce these too, and their decoders have no bound on what a call returns.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.text import printable

ACCEPT_ENCODING = "gzip, deflate"
"""Value of the Accept-Encoding header of each request."""
PART_BYTES = 256 * 1024
"""Bytes that a decoded part has, at most."""

_INPUT_BYTES = 16 * 1024
"""Bytes that zlib gets at a time: whenever it returns a part, it copies the input that it has not consumed."""
_MAX_ENCODINGS = 3
"""The number of encodings of one body, at most. Each further one could multiply the work."""
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""The `wbits` of zlib for a gzip stream, and for deflate with and without the zlib wrapper."""
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class TooLargeError(InvalidResponseError):
    """The decoded body is larger than the limit."""


class Decoder:
    """Decode the raw chunks of one response body.

    :param encoding: the Content-Encoding header, such as ``gzip``; several encodings are undone in reverse order.
    :param limit: the decoded bytes that are accepted; None accepts any number.

    Raises InvalidResponseError for an encoding that is not announced in `ACCEPT_ENCODING`.
    """

    def __init__(self, encoding: str | None, *, limit: int | None = None) -> None:
        names = [name for part in (encoding or "").split(",") if (name := part.strip().lower()) not in {"", "identity"}]
        if len(names) > _MAX_ENCODINGS or not all(name in _NAMES for name in names):
            shown = printable(encoding or "", 100)
            raise InvalidResponseError(f"the body has an encoding that is not accepted, {shown!r}")
        self._limit = limit
        self._size = 0
        self._stages = [_Inflater(_NAMES[name], limit) for name in reversed(names)]

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the decoded parts of a raw chunk, none of them empty or larger than `PART_BYTES`.

        Raises TooLargeError after the parts up to the limit, and InvalidResponseError for a corrupt body.
        """
        for part in self._decode_from(0, chunk):
            if self._limit is not None and self._size + len(part) > self._limit:
                if accepted := part[: self._limit - self._size]:
                    self._size = self._limit
                    yield accepted
                raise _too_large(self._limit)
            self._size += len(part)
            yield part

    def finish(self) -> None:
        """Check that the body was complete. Raises InvalidResponseError if the encoded stream is cut off."""
        for stage in self._stages:
            stage.finish()

    def _decode_from(self, stage: int, data: bytes) -> Iterator[bytes]:
        if stage < len(self._stages):
            for part in self._stages[stage].inflate(data):
                yield from self._decode_from(stage + 1, part)
        elif len(data) <= PART_BYTES:
            if data:
                yield data
        else:
            view = memoryview(data)
            for start in range(0, len(data), PART_BYTES):
                yield bytes(view[start : start + PART_BYTES])


class _Inflater:
    """One gzip or deflate stream. A gzip stream may have several members, and zeros behind them.

    The limit holds for each stage: what one stage makes of an encoded bomb may decode to nothing in the next.
    """

    def __init__(self, name: str, limit: int | None) -> None:
        self._name = name
        self._limit = limit
        self._size = 0
        self._begun = self._ended = False
        self._head = b""
        self._zlib = zlib.decompressobj(_GZIP) if name == "gzip" else None

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Yield the parts that the data decodes to."""
        view = memoryview(data)
        for start in range(0, len(data), _INPUT_BYTES):
            yield from self._inflate(bytes(view[start : start + _INPUT_BYTES]))

    def finish(self) -> None:
        """Raise InvalidResponseError if the stream is cut off. Without any byte the body is empty, and whole."""
        if self._begun and not self._ended:
            raise InvalidResponseError(f"the {self._name} body is cut off")

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._ended:
                data = self._next_member(data)
                if not data:
                    return
            self._begun = True
            if self._zlib is None:
                self._head += data
                if len(self._head) < 2:
                    return
                data, self._head = self._head, b""
                self._zlib = zlib.decompressobj(_ZLIB if _has_zlib_header(data) else _RAW)
            yield from self._member(self._zlib, data)
            self._ended = self._zlib.eof
            data = self._zlib.unused_data

    def _member(self, inflater: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                part = inflater.decompress(data, PART_BYTES)
            except zlib.error as error:
                raise InvalidResponseError(f"the {self._name} body is corrupt ({error})") from None
            data = inflater.unconsumed_tail
            if part:
                yield part
                self._size += len(part)
                if self._limit is not None and self._size > self._limit:
                    raise _too_large(self._limit)
            # A full part may leave output inside zlib without any input left.
            if inflater.eof or (not data and len(part) < PART_BYTES):
                return

    def _next_member(self, data: bytes) -> bytes:
        if self._name != "gzip":
            raise InvalidResponseError(f"the {self._name} body is corrupt (more data follows its end)")
        data = data.lstrip(b"\0")
        if data:
            self._zlib, self._ended = zlib.decompressobj(_GZIP), False
        return data


def _has_zlib_header(data: bytes) -> bool:
    """Return True if a deflate stream has the zlib wrapper that RFC 9110 requires and some servers omit."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit:,} bytes")
