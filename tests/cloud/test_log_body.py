"""The log of a task run is taken out of its response part by part, whichever form that has."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.transport.log_body import LogText


class Written:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def read(body: bytes, size: int, fallback: str = "") -> str:
    """Return the text that a body holds, handed over in parts of that size."""
    written = Written()
    text = LogText(written, fallback)
    for start in range(0, len(body), size):
        text.write(body[start : start + size])
    text.finish()
    return written.data.decode()


SIZES = (1, 2, 3, 7, 10_000)
LOGS = (
    "",
    "one line",
    'a "quoted" \\ back\\slash\\\\',
    "line\r\nline\tü€😀\x00\x1f",
    "{}[],:\\u0041",
    "😀" * 9,
    "\\" * 9,
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("log", LOGS, ids=repr)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_text_of_a_json_object_is_what_a_decoder_reads(log: str, size: int, ascii_only: bool) -> None:
    around = {
        "id": 'x"\\',
        "n": [1, {"logContent": "inner"}, None, "s"],
        "logContent": log,
        "more": {"a": True},
        "z": 1,
    }
    for members in ({"logContent": log}, around):
        body = json.dumps(members, ensure_ascii=ascii_only).encode()
        assert read(body, size) == log
        assert read(b"\xef\xbb\xbf \n" + json.dumps(members, indent=2).encode() + b"\n", size) == log


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("body", ["plain\ntext", '"quoted" line', "{ not JSON }", "[1] begins", " \n x", "ü€😀"])
def test_a_bare_text_stays_as_it_is(body: str, size: int) -> None:
    assert read(body.encode(), size) == body


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("body", ["", " ", "{}", '{"logContent": null}', '{"logContent": ""}', '{"other": "x"}'])
def test_a_response_without_a_log_gives_the_fallback(body: str, size: int) -> None:
    assert read(body.encode(), size, "the short log") == "the short log"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "body",
    [
        '{"logContent": "cut off',
        '{"logContent": "cut off"',
        '{"logContent": "cut off\\',
        '{"logContent": "\\u12',
        '{"logContent": "\\u12xy, which is no escape"}',
        '{"logContent": "\\x, which is none either"}',
        '{"logContent": "whole"} and more',
        '{"n": ' + "1" * 300,
    ],
)
def test_json_that_is_cut_off_or_malformed_is_no_log(body: str, size: int) -> None:
    with pytest.raises(InvalidResponseError, match="^The log of the run is JSON that cannot be read: "):
        read(body.encode(), size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_one_half_of_a_pair_is_shown_as_its_escape(half: str, size: int) -> None:
    for after in ("", "x" * 20, "\\n", "\\ud83d\\ude00"):
        expected = half + json.loads(f'"{after}"')
        assert read(f'{{"logContent": "{half}{after}"}}'.encode(), size) == expected


def test_the_memory_does_not_grow_with_the_log() -> None:
    class Nowhere:
        size = 0

        def write(self, data: bytes) -> None:
            self.size += len(data)

    nowhere = Nowhere()
    text = LogText(nowhere)
    part = b"a line of the log\\n" * 10_000
    tracemalloc.start()
    text.write(b'{"logContent": "')
    for _ in range(100):
        text.write(part)
    text.write(b'"}')
    text.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert nowhere.size == 100 * 10_000 * 18
    assert peak < 4_000_000
