"""What may be saved as a file: the rules with plain bytes, then over HTTP from servers that do not keep to them."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik.cloud import (
    ApiKey,
    Client,
    InvalidResponseError,
    NoResponseError,
    NotFoundError,
    QlikCloudError,
    RetryPolicy,
    Tenant,
)
from airflow_provider_qlik.cloud.api import sharing_tasks
from airflow_provider_qlik.cloud.transport import client, download
from airflow_provider_qlik.cloud.transport.download import FileBody, progressing
from tests.cloud.conftest import QUICK
from tests.listener import Answer, Listener

PDF = b"%PDF-1.7\n" + random.Random(2).randbytes(300_000)
ZIP = b"PK\x03\x04" + random.Random(3).randbytes(5_000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
LOGIN = b"<html>Your session has expired</html>"
CALL = sharing_tasks.execution_file("s", "e", "sales")


def file_of(body: bytes, file_type: str | None = "pdf", size: int = 1000, **headers: str) -> bytes:
    """What is written of a body that comes in pieces of so many bytes."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return b"".join(FileBody("GET /file", named, file_type).read(pieces))


@pytest.mark.parametrize("size", [1, 1000, 10**9])
@pytest.mark.parametrize(
    ("file_type", "body"),
    [
        ("pdf", PDF[:3000]),
        ("PDF", PDF[:20]),
        (".pdf", b"\xef\xbb\xbf\r\n%PDF-1.4"),
        ("xlsx", ZIP),
        ("pptx", ZIP),
        ("docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50)),
        ("image", PNG),
        ("image", b"\xff\xd8\xff\xe0" + bytes(50)),
        ("html", b"<!DOCTYPE html><h1>Report</h1>"),
        ("json", b'{"a": 1}'),
        ("csv", b"name,amount\nAnna,1\n"),
        ("csv", b'"name","amount"\n'),
        ("csv", b"42"),
        ("csv", b"[draft] name;amount\n"),
        ("txt", b"<3 reports"),
        (None, b"\x00\x01\x02"),
        ("new", b"{\\rtf1 Report}"),
    ],
)
def test_a_file_of_the_requested_type_is_written_unchanged(file_type: str | None, body: bytes, size: int) -> None:
    assert file_of(body, file_type, size) == body


@pytest.mark.parametrize("said", ["text/html", "application/json", "application/octet-stream", ""])
def test_the_beginning_of_a_body_counts_more_than_its_content_type(said: str) -> None:
    assert file_of(PDF, "pdf", content_type=said) == PDF


PAGES = [
    LOGIN,
    b"\xef\xbb\xbf\r\n <!DocType HTML><head>",
    b"<!-- proxy --><body>",
    b"<?xml version='1.0'?>\n<html xmlns='x'>",
    "<html>".encode("utf-16"),
    "<html>".encode("utf-16-be"),
    b"<HTML>" + b"x" * 100_000,
    b"<script>location='/login'</script>",
]


@pytest.mark.parametrize("file_type", ["pdf", "xlsx", "pptx", "image", "csv", None], ids=str)
@pytest.mark.parametrize("body", PAGES, ids=lambda body: repr(body[:30]))
def test_a_web_page_is_no_file_whatever_its_content_type(file_type: str | None, body: bytes) -> None:
    for said in ("application/pdf", "", "Text/HTML; charset=utf-8"):
        with pytest.raises(InvalidResponseError, match="^The response is a web page, not a file") as raised:
            file_of(body, file_type, content_type=said)
        assert raised.value.transient
        assert len(str(raised.value)) < 600
        assert "\0" not in str(raised.value)


@pytest.mark.parametrize("file_type", ["pdf", "xlsx", "image", "csv", None], ids=str)
def test_a_body_with_the_content_type_of_a_web_page_is_one(file_type: str | None) -> None:
    for said in ("text/html", "Text/HTML; charset=utf-8", " TEXT/HTML", "application/xhtml+xml"):
        with pytest.raises(InvalidResponseError, match="a web page, not a file"):
            file_of(b"Your session has expired", file_type, content_type=said)


@pytest.mark.parametrize("file_type", ["pdf", "xlsx", "image", "html", "csv", None], ids=str)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "expired"}', "application/json"),
        (b'{"error": "expired"}', ""),
        (b' \n{ "errors": [' + b" " * 5000 + b"]}", "application/octet-stream"),
        (b"{}", ""),
        (b"[]", ""),
        (b'[{"a": 1}]', ""),
        (b"[42, 43]", ""),
        (b"null", ""),
        (b"true", ""),
        (b'"expired"', "Application/JSON; charset=utf-8"),
        (b"expired", "application/problem+json"),
        (json.dumps({"a": "ü"}).encode("utf-16"), ""),
    ],
)
def test_json_is_no_file_unless_it_was_requested(file_type: str | None, body: bytes, said: str) -> None:
    with pytest.raises(InvalidResponseError, match="^The response is JSON, not a file"):
        file_of(body, file_type, content_type=said)
    assert file_of(body, "json", content_type=said) == body


def test_an_error_of_an_object_store_is_no_file() -> None:
    for file_type in ("pdf", None):
        with pytest.raises(InvalidResponseError, match="an XML error, not a file"):
            file_of(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", file_type)


@pytest.mark.parametrize("file_type", ["pdf", "html", "json", "csv", None], ids=str)
def test_an_empty_body_is_no_file(file_type: str | None) -> None:
    with pytest.raises(InvalidResponseError, match="^The response is empty, not a file"):
        file_of(b"", file_type, content_length="0")


@pytest.mark.parametrize(
    ("file_type", "body"),
    [("pdf", ZIP), ("xlsx", PDF), ("image", PDF), ("png", b"\xff\xd8\xff"), ("pdf", b"%PD"), ("pdf", b"Bad gateway")],
)
def test_a_file_of_another_type_is_not_the_requested_one(file_type: str, body: bytes) -> None:
    with pytest.raises(
        InvalidResponseError, match=f"^The response is something else, not a file of the type '{file_type}'"
    ):
        file_of(body, file_type)


def test_the_error_says_first_what_is_wrong_and_shows_the_page_without_secrets() -> None:
    with pytest.raises(InvalidResponseError) as raised:
        file_of(b'{"access_token": "planted"}', "pdf", content_type="Application/JSON; charset=utf-8")

    assert str(raised.value).startswith(
        "The response is JSON, not a file of the type 'pdf' (HTTP 200, application/json, for GET /file)"
    )
    assert "planted" not in str(raised.value)


# Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def chunks(self, *steps: tuple[float, int]) -> Iterator[bytes]:
        """Chunks of so many bytes, each of which comes after so many seconds."""
        for seconds, size in steps:
            self.now += seconds
            yield bytes(size)


def test_a_download_may_take_hours_as_long_as_it_makes_progress() -> None:
    clock = Clock()
    chunks = clock.chunks(*[(20.0, 22_000)] * 1000)

    assert sum(map(len, progressing(chunks, "GET /file", clock))) == 22_000_000


def test_a_download_that_is_too_slow_fails() -> None:
    clock = Clock()
    received: list[bytes] = []

    with pytest.raises(
        NoResponseError, match=r"^The download is too slow: 60 bytes came in 60 s.*GET /file\)"
    ) as raised:
        received.extend(progressing(clock.chunks(*[(1.0, 1)] * 1000), "GET /file", clock))
    assert clock.now == 60.0
    assert len(received) == 59
    assert raised.value.transient


def test_a_download_that_becomes_too_slow_fails() -> None:
    clock = Clock()
    steps = [*[(1.0, 1_000_000)] * 90, *[(1.0, 10)] * 300]

    with pytest.raises(NoResponseError, match="too slow"):
        list(progressing(clock.chunks(*steps), "GET /file", clock))
    assert 90 < clock.now <= 180


def test_a_small_file_may_come_slowly() -> None:
    clock = Clock()

    assert len(b"".join(progressing(clock.chunks((30.0, 10), (29.0, 10)), "GET /file", clock))) == 20


def test_the_time_that_writing_takes_is_not_that_of_the_download() -> None:
    clock, received = Clock(), 0

    for chunk in progressing(clock.chunks(*[(0.1, 1000)] * 10), "GET /file", clock):
        received += len(chunk)
        clock.now += 300.0
    assert received == 10_000


# Over HTTP


@pytest.fixture
def target(tmp_path: Path) -> DownloadTarget:
    return DownloadTarget(tmp_path)


class DownloadTarget:
    """Where a file is written, and how often it was opened."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "file"
        self.opened = 0

    @contextmanager
    def open(self) -> Iterator[Any]:
        self.opened += 1
        try:
            with self.path.open("wb") as file:
                yield file
        except BaseException:
            self.path.unlink()
            raise


def fetch(url: str, target: DownloadTarget, retry_policy: RetryPolicy = QUICK, file_type: str | None = "pdf") -> None:
    with Client(Tenant.at(url), ApiKey("key"), retry_policy=retry_policy) as downloading:
        downloading.download(CALL, target.open, file_type=file_type)


@contextmanager
def serving(*bodies: Iterable[bytes]) -> Iterator[str]:
    """The address of a server that sends these raw bytes to one connection after the other and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for body in bodies:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        for part in body:
                            connection.sendall(part)
                    except OSError:
                        pass  # the client has gone

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    thread.join(5)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


WHOLE = [head(f"content-length: {len(PDF)}"), PDF]
PACKED = gzip.compress(PDF)

NOT_WHOLE: dict[str, list[bytes]] = {
    "a login page": [head("Content-Type: Text/HTML", f"content-length: {len(LOGIN)}"), LOGIN],
    "a JSON error": [head("content-type: application/json", "content-length: 20"), b'{"error": "expired"}'],
    "nothing": [head("content-length: 0")],
    "a body shorter than its length": [head(f"content-length: {len(PDF)}"), PDF[:-1]],
    "a body that ends in a chunk": [head("transfer-encoding: chunked"), b"10000\r\n", PDF[:1000]],
    "a body without its last chunk": [head("transfer-encoding: chunked"), b"3E8\r\n", PDF[:1000], b"\r\n"],
    "gzip cut off, of the announced length": [
        head("content-encoding: gzip", f"content-length: {len(PACKED) // 2}"),
        PACKED[: len(PACKED) // 2],
    ],
    "gzip cut off, without a length": [head("content-encoding: gzip", "connection: close"), PACKED[:-8]],
    "two lengths": [head("content-length: 5", "content-length: 6"), PDF],
    "a status without a body": [head(status="204 No Content")],
    "a part of it": [head("content-length: 1000", status="206 Partial Content"), PDF[:1000]],
    "no HTTP": [b"%PDF-1.7"],
}


@pytest.mark.parametrize("bad", NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_an_incomplete_file_is_not_saved_and_is_retried(bad: list[bytes], target: DownloadTarget) -> None:
    with serving(bad, bad, WHOLE) as url:
        fetch(url, target)
    assert target.path.read_bytes() == PDF

    target.path.unlink()
    with serving(*[bad] * 5) as url, pytest.raises(QlikCloudError) as raised:
        fetch(url, target)
    assert raised.value.transient
    assert raised.value.__notes__[0].startswith("The request was sent 5 times")
    assert not target.path.exists()


def test_no_file_is_opened_for_another_response(listener: Listener, target: DownloadTarget) -> None:
    listener.answers(Answer(200, LOGIN, {"content-type": "application/pdf"}))

    with pytest.raises(
        InvalidResponseError, match=r"a web page, not a file of the type 'pdf' .*Your session has expired"
    ):
        fetch(listener.url, target)
    assert target.opened == 0
    assert len(listener.seen) == 5
    assert listener.seen[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_encoded_file_is_saved_decoded(listener: Listener, target: DownloadTarget, encoding: str) -> None:
    body = (gzip.compress if encoding == "gzip" else zlib.compress)(PDF)
    listener.answers(Answer(200, body, {"content-encoding": encoding, "content-type": "application/pdf"}))

    fetch(listener.url, target)

    assert target.path.read_bytes() == PDF


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_an_encoded_file_that_is_cut_off_says_so(
    listener: Listener, target: DownloadTarget, encoding: str, kept: float
) -> None:
    body = (gzip.compress if encoding == "gzip" else zlib.compress)(PDF)
    listener.answers(Answer(200, body[: int(len(body) * kept)], {"content-encoding": encoding}))

    reason = f"^The response is not a complete file: the {encoding} body is cut off"
    with pytest.raises(InvalidResponseError, match=reason):
        fetch(listener.url, target, RetryPolicy(max_attempts=1))
    assert not target.path.exists()


@pytest.mark.parametrize(("packed", "reason"), [(LOGIN, "a web page"), (b"", "empty"), (b"[]", "JSON")])
def test_an_encoded_body_that_is_no_file_is_recognised(
    listener: Listener, target: DownloadTarget, packed: bytes, reason: str
) -> None:
    listener.answers(
        Answer(200, gzip.compress(packed), {"content-encoding": "gzip", "content-type": "application/pdf"})
    )

    with pytest.raises(InvalidResponseError, match=f"^The response is {reason}, not a file"):
        fetch(listener.url, target)
    assert target.opened == 0


def test_a_download_that_breaks_off_says_so(target: DownloadTarget) -> None:
    with serving([head("content-length: 400000"), PDF]) as url:
        with pytest.raises(
            NoResponseError, match=rf"^The download broke off after {len(PDF):,} bytes \(peer closed .*GET /api"
        ):
            fetch(url, target, RetryPolicy(max_attempts=1))
    assert not target.path.exists()


def test_a_download_that_is_too_slow_is_retried(target: DownloadTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PROGRESS_SECONDS", 0.2)
    pause = threading.Event()

    def trickle() -> Iterator[bytes]:
        yield head("content-length: 1000000") + PDF[:2000]
        while not pause.wait(0.01):
            yield b"x"

    with serving(trickle(), WHOLE) as url:
        # The slow one does not end by itself: the server goes on when the client has gone.
        fetch(url, target)
    pause.set()
    assert target.path.read_bytes() == PDF


def test_bytes_that_never_make_a_chunk_are_no_progress(target: DownloadTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PROGRESS_SECONDS", 0.2)
    pause = threading.Event()

    def trickle() -> Iterator[bytes]:
        yield head("transfer-encoding: chunked") + b"3E8\r\n" + PDF[:1000] + b"\r\n3E8;name="
        while not pause.wait(0.01):
            yield b"x"

    with (
        serving(trickle()) as url,
        pytest.raises(NoResponseError, match=r"^The download stopped after 1,000 bytes: .* 0.2 s \(GET"),
    ):
        fetch(url, target, RetryPolicy(max_attempts=1))
    pause.set()
    assert not target.path.exists()


def test_a_refusal_of_qlik_is_raised_and_not_retried(listener: Listener, target: DownloadTarget) -> None:
    body = {"errors": [{"code": "SHARING-404", "title": "File not found"}], "traceId": "t"}
    listener.answers(Answer(404, gzip.compress(json.dumps(body).encode()), {"content-encoding": "gzip"}))

    with pytest.raises(NotFoundError, match="File not found"):
        fetch(listener.url, target)
    assert (len(listener.seen), target.opened) == (1, 0)


def test_an_endless_error_body_does_not_block_a_download(target: DownloadTarget) -> None:
    def endless() -> Iterator[bytes]:
        yield head("content-type: application/json", status="503 Service Unavailable")
        while True:
            yield b" " * 65536

    with serving(endless(), WHOLE) as url:
        fetch(url, target)
    assert target.path.read_bytes() == PDF


def test_an_error_of_the_sink_is_not_one_of_qlik_and_not_retried(listener: Listener) -> None:
    class Full(BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    listener.answers(Answer(200, PDF, {"content-type": "application/pdf"}))

    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=QUICK) as downloading:
        with pytest.raises(OSError, match="No space left"):
            downloading.download(CALL, Full)
    assert len(listener.seen) == 1
