"""Bodies in the encodings that requests announce: decoded in small parts, and known to be whole."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Client, InvalidResponseError, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.transport.decoding import ACCEPT_ENCODING, PART_BYTES, Decoder, TooLargeError
from airflow_provider_qlik.cloud.transport.responses import is_web_page
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from tests.listener import Answer, Listener

pytestmark = pytest.mark.slow


MEGABYTE = 1024 * 1024
TEXT = b"".join(b"%d, " % number for number in range(200_000))
NOISE = random.Random(1).randbytes(300_000)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODED: list[tuple[str | None, Callable[[bytes], bytes]]] = [
    (None, bytes),
    ("", bytes),
    ("identity", bytes),
    ("gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    (" gzip , identity", gzip.compress),
    ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
]


def decoded(encoding: str | None, chunks: Iterable[bytes], limit: int | None = None) -> bytes:
    decoder = Decoder(encoding, limit=limit)
    result = b"".join(part for chunk in chunks for part in decoder.decode(chunk))
    decoder.finish()
    return result


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize(("encoding", "encode"), ENCODED)
@pytest.mark.parametrize("data", [TEXT, NOISE, b"x", b""], ids=["text", "noise", "one byte", "nothing"])
@pytest.mark.parametrize("size", [1, 1000, 10**9])
def test_a_body_is_decoded_however_it_is_cut_into_chunks(
    encoding: str | None, encode: Callable[[bytes], bytes], data: bytes, size: int
) -> None:
    data = data[:2000] if size == 1 else data
    assert decoded(encoding, in_pieces(encode(data), size)) == data


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
def test_no_byte_at_all_is_an_empty_body(encoding: str | None) -> None:
    assert decoded(encoding, []) == decoded(encoding, [b"", b""]) == b""


@pytest.mark.parametrize(("encoding", "encode"), ENCODED)
def test_no_part_is_empty_or_large(encoding: str | None, encode: Callable[[bytes], bytes]) -> None:
    data = TEXT + NOISE + b"\0" * PART_BYTES * 4
    decoder = Decoder(encoding)
    sizes = [len(part) for part in decoder.decode(encode(data))]
    decoder.finish()
    assert sum(sizes) == len(data)
    assert 0 < min(sizes) <= max(sizes) <= PART_BYTES


@pytest.mark.parametrize("size", [7, 10**9])
def test_gzip_may_have_several_members_and_zeros_behind_them(size: int) -> None:
    body = b"".join(map(gzip.compress, (b"one ", b"", b"two ", b"three"))) + b"\0" * 300
    assert decoded("gzip", in_pieces(body, size)) == b"one two three"


def zeros(gigabytes: int) -> bytes:
    """So many gigabytes of zeros as gzip, a thousandth of that long."""
    compressor = zlib.compressobj(9, wbits=31)
    block = bytes(MEGABYTE)
    return b"".join(compressor.compress(block) for _ in range(1024 * gigabytes)) + compressor.flush()


def test_a_megabyte_that_becomes_a_gigabyte_never_takes_more_than_some_parts_of_memory() -> None:
    bomb = zeros(1)
    assert len(bomb) < 1.1 * MEGABYTE
    decoder = Decoder("gzip")
    tracemalloc.start()
    size = sum(map(len, decoder.decode(bomb)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    decoder.finish()
    assert size == 1024 * MEGABYTE
    assert most < 4 * PART_BYTES


@pytest.mark.parametrize(("encoding", "encode"), ENCODED)
@pytest.mark.parametrize("limit", [0, 1, 999, PART_BYTES, len(TEXT) - 1])
def test_a_body_over_the_limit_is_decoded_up_to_it_and_refused(
    encoding: str | None, encode: Callable[[bytes], bytes], limit: int
) -> None:
    decoder, got = Decoder(encoding, limit=limit), bytearray()

    def receive() -> None:
        for part in decoder.decode(encode(TEXT)):
            got.extend(part)

    with pytest.raises(TooLargeError, match=f"the body is larger than {limit:,} bytes"):
        receive()
    assert bytes(got) == TEXT[:limit]


@pytest.mark.parametrize(("encoding", "encode"), ENCODED)
def test_a_body_as_large_as_the_limit_is_accepted(encoding: str | None, encode: Callable[[bytes], bytes]) -> None:
    assert decoded(encoding, [encode(TEXT)], limit=len(TEXT)) == TEXT


def test_a_bomb_inside_a_bomb_that_decodes_to_nothing_meets_the_limit_too() -> None:
    nothing = gzip.compress(b"") * 100_000
    with pytest.raises(TooLargeError):
        decoded("gzip, gzip", [gzip.compress(nothing)], limit=MEGABYTE)


@pytest.mark.parametrize("kept", [1, 5, 1000, -9, -8, -1])
@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]
)
def test_a_body_that_is_cut_off_is_not_complete(encoding: str, encode: Callable[[bytes], bytes], kept: int) -> None:
    with pytest.raises(InvalidResponseError, match=f"the {encoding} body is cut off"):
        decoded(encoding, [encode(TEXT)[:kept]])


def test_a_body_whose_second_member_is_cut_off_is_not_complete() -> None:
    with pytest.raises(InvalidResponseError, match="the gzip body is cut off"):
        decoded("gzip", [gzip.compress(b"one"), gzip.compress(b"two")[:-3]])


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 20]) + data[middle + 20 :]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", b"<html>no gzip at all</html>", id="gzip-not packed"),
        # A packed body holds the time when it was packed, and would make another name in each process.
        pytest.param("gzip", flipped(gzip.compress(TEXT)), id="gzip-flipped"),
        pytest.param("gzip", gzip.compress(TEXT) + b"more", id="gzip-more"),
        pytest.param("deflate", zlib.compress(TEXT) + b"more", id="deflate-more"),
        pytest.param("deflate", flipped(zlib.compress(TEXT)), id="deflate-flipped"),
        pytest.param("gzip", gzip.compress(TEXT)[:-8] + bytes(8), id="gzip-wrong sum"),
    ],
)
@pytest.mark.parametrize("size", [1000, 10**9])
def test_a_corrupt_body_is_an_error_of_this_package(encoding: str, body: bytes, size: int) -> None:
    with pytest.raises(InvalidResponseError, match=f"the {encoding} body is corrupt") as raised:
        decoded(encoding, in_pieces(body, size))
    assert raised.value.transient
    assert raised.value.__context__ is None or raised.value.__suppress_context__


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "compress", "gzip," * 20, "x" * 10_000, "\x1b[2J"])
def test_an_encoding_that_is_not_accepted_is_named(encoding: str) -> None:
    with pytest.raises(InvalidResponseError, match="the body has an encoding that is not accepted, '") as raised:
        Decoder(encoding)
    assert len(str(raised.value)) < 300
    assert "\x1b" not in str(raised.value)


def test_what_is_announced_can_be_decoded() -> None:
    for encoding in ACCEPT_ENCODING.split(", "):
        assert partial(decoded, encoding)([zlib.compress(b"x") if encoding == "deflate" else gzip.compress(b"x")])


# Over HTTP


def test_a_response_in_an_unknown_encoding_keeps_no_connection(listener: Listener) -> None:
    listener.answers(Answer(200, b"x", {"content-encoding": "br"}))

    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONE_ATTEMPT) as client:
        with pytest.raises(InvalidResponseError, match="not accepted, 'br'"):
            client.call(tasks.get("t"))
        assert active(client._http) == []


def test_a_response_in_an_unknown_encoding_keeps_no_connection_in_an_event_loop(listener: Listener) -> None:
    listener.answers(Answer(200, b"x", {"content-encoding": "br"}))

    async def call() -> list[str]:
        async with AsyncClient(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONE_ATTEMPT) as client:
            with pytest.raises(InvalidResponseError, match="not accepted, 'br'"):
                await client.call(tasks.get("t"))
            return active(client._http)

    assert asyncio.run(call()) == []


def active(http: Any) -> list[str]:
    """The connections that are in use."""
    return [shown for shown in map(repr, http._transport._pool.connections) if "ACTIVE" in shown]


def test_an_error_of_many_blanks_is_read_at_once() -> None:
    began = time.monotonic()
    assert not is_web_page(Reply(503, {}, b" " * 1_000_000))
    assert is_web_page(Reply(503, {}, b" \xef\xbb\xbf\n <!DOCTYPE html>"))
    assert time.monotonic() - began < 1.0
