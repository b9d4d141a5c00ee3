"""Every request ends, and no response is larger in memory than it may be: servers that trickle, hang, or send bombs."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Call,
    Client,
    ClientCredentials,
    ConnectError,
    Credentials,
    InvalidResponseError,
    NoResponseError,
    QlikCloudError,
    Tenant,
    send,
)
from airflow_provider_qlik.cloud.api import automations, sharing_tasks, tasks
from airflow_provider_qlik.cloud.transport import client as sync_client
from airflow_provider_qlik.cloud.transport.bounds import KEPT_END, MAX_BODY
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.tasks_api import V1_TASKS
from tests.listener import Answer, Listener

pytestmark = pytest.mark.slow


TOTAL = 0.3
"""Seconds that a request may take here."""
A_WHILE = 3.0
"""Seconds within which everything must have ended, on a machine that is busy."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
KEY = ApiKey("key")
OAUTH = ClientCredentials("client", "secret")
each_driver = pytest.mark.parametrize("driver", ["Client", "AsyncClient"])


# Servers that never come to an end


def trickle(connection: socket.socket, first: bytes, byte: bytes) -> None:
    """Send the first part at once, and one byte each 20 ms for ever."""
    connection.sendall(first)
    while True:
        time.sleep(0.02)
        connection.sendall(byte)


def in_the_headers(connection: socket.socket, _: bytes) -> None:
    trickle(connection, HEAD + b"x-slow: ", b"x")


def in_many_headers(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        time.sleep(0.02)
        connection.sendall(b"x-slow: x\r\n")


def in_the_body(connection: socket.socket, _: bytes) -> None:
    trickle(connection, HEAD + b"content-length: 100000\r\n\r\n", b" ")


def in_a_body_without_end(connection: socket.socket, _: bytes) -> None:
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        time.sleep(0.02)
        connection.sendall(b"1\r\n \r\n")


def in_the_body_of_an_error(connection: socket.socket, _: bytes) -> None:
    trickle(connection, HEAD.replace(b"200 OK", b"404 Not Found") + b"content-length: 100000\r\n\r\n", b" ")


def in_informational_responses(connection: socket.socket, _: bytes) -> None:
    while True:
        time.sleep(0.02)
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")


def never_answers(connection: socket.socket, _: bytes) -> None:
    while connection.recv(1024):
        pass


SLOW = [
    in_the_headers,
    in_many_headers,
    in_the_body,
    in_a_body_without_end,
    in_the_body_of_an_error,
    in_informational_responses,
    never_answers,
]
each_slow = pytest.mark.parametrize("behave", SLOW, ids=lambda behave: behave.__name__)


@contextmanager
def serving(behave: Callable[[socket.socket, bytes], object]) -> Iterator[str]:
    """A server that reads what comes first on each connection and then behaves like that."""
    open_connections: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        with suppress(OSError):  # of a client that has gone
            behave(connection, connection.recv(65536))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            open_connections.append(connection)
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in open_connections:
                connection.close()


def slow_tenant(url: str) -> Tenant:
    return Tenant.at(url, tasks_path=V1_TASKS, request_timeout=TOTAL)


def error_of(driver: str, tenant: Tenant, call: Call[Any], credentials: Credentials = KEY) -> QlikCloudError:
    """What is raised by one attempt of a call, which must not take long."""

    async def in_loop() -> None:
        async with AsyncClient(tenant, credentials, retry_policy=ONE_ATTEMPT) as client:
            await client.call(call)

    def in_thread() -> None:
        with Client(tenant, credentials, retry_policy=ONE_ATTEMPT) as client:
            client.call(call)

    began = time.monotonic()
    with pytest.raises(QlikCloudError) as raised:
        asyncio.run(in_loop()) if driver == "AsyncClient" else in_thread()
    assert time.monotonic() - began < A_WHILE
    return raised.value


@each_driver
@each_slow
def test_a_request_ends_within_its_total_time_out_however_slow_the_response_is(
    behave: Callable[[socket.socket, bytes], object], driver: str
) -> None:
    with serving(behave) as url:
        error = error_of(driver, slow_tenant(url), tasks.start("t"))

    assert type(error) is NoResponseError
    assert "longer than" in str(error) or "timed out" in str(error) or "Timeout" in str(error)


@each_driver
@each_slow
def test_a_sign_in_ends_within_its_total_time_out_however_slow_the_response_is(
    behave: Callable[[socket.socket, bytes], object], driver: str
) -> None:
    with serving(behave) as url:
        error = error_of(driver, slow_tenant(url), tasks.start("t"), OAUTH)

    assert type(error) is ConnectError
    assert str(error).startswith("Could not sign in")


@pytest.mark.parametrize("behave", [in_the_headers, in_many_headers, never_answers], ids=lambda one: one.__name__)
def test_the_headers_of_a_file_must_come_within_the_total_time_out(
    behave: Callable[[socket.socket, bytes], object],
) -> None:
    file = sharing_tasks.execution_file("s", "e", "f")
    with serving(behave) as url, Client(slow_tenant(url), KEY, retry_policy=ONE_ATTEMPT) as client:
        began = time.monotonic()
        with pytest.raises(NoResponseError):
            client.download(file, lambda: pytest.fail("there is nothing to write"))
        assert time.monotonic() - began < A_WHILE


def test_twenty_slow_responses_delay_no_other_request_for_long(listener: Listener) -> None:
    listener.answers(Answer(200, b"a log", {"content-type": "text/plain"}))

    def mostly_slow(connection: socket.socket, request: bytes) -> None:
        if b"/slow/" in request:
            in_the_body(connection, request)
        body = b"a log"
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        connection.sendall(head + b"content-length: %d\r\n\r\n%s" % (len(body), body))

    async def play(url: str) -> tuple[list[Any], list[Any]]:
        async with AsyncClient(slow_tenant(url), KEY, retry_policy=ONE_ATTEMPT) as client:
            slow = [asyncio.ensure_future(client.call(automations.run_debug("slow", "r"))) for _ in range(20)]
            await asyncio.sleep(0.05)
            others = [client.call(automations.run_debug("quick", "r")) for _ in range(5)]
            served = await asyncio.wait_for(asyncio.gather(*others), A_WHILE)
            return await asyncio.wait_for(asyncio.gather(*slow, return_exceptions=True), A_WHILE), served

    with serving(mostly_slow) as url:
        ended, served = asyncio.run(play(url))
    assert {type(each) for each in ended} == {NoResponseError}
    assert served == ["a log"] * 5


def test_a_connection_serves_the_next_request_after_one_that_took_too_long(listener: Listener) -> None:
    def slowly(seen: Any) -> Answer:
        time.sleep(0.6 if len(listener.seen) == 1 else 0)
        return Answer(200, {"id": seen.path.rpartition("/")[2], "name": "A task"})

    listener.answers(slowly)
    with Client(slow_tenant(listener.url), KEY, retry_policy=ONE_ATTEMPT) as client:
        with pytest.raises(NoResponseError):
            client.call(tasks.get("one"))
        assert client.call(tasks.get("other")).id == "other"


# Deadlines of waits


@pytest.mark.parametrize("behave", [in_the_headers, in_the_body, never_answers], ids=lambda one: one.__name__)
def test_the_deadline_of_a_flow_ends_a_request_that_is_under_way(
    behave: Callable[[socket.socket, bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_client, "LAST_POLL", 0.1)
    with serving(behave) as url, Client(Tenant.at(url), KEY, retry_policy=ONE_ATTEMPT) as client:
        began = time.monotonic()
        with pytest.raises(NoResponseError):
            client.run_flow(send(tasks.get("t")), deadline=datetime.now(UTC) + timedelta(seconds=0.1))
        assert time.monotonic() - began < A_WHILE


def test_the_deadline_of_a_flow_ends_a_sign_in_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_client, "LAST_POLL", 0.1)
    with serving(in_the_body) as url, Client(Tenant.at(url), OAUTH, retry_policy=ONE_ATTEMPT) as client:
        began = time.monotonic()
        with pytest.raises(ConnectError):
            client.run_flow(send(tasks.get("t")), deadline=datetime.now(UTC) + timedelta(seconds=0.1))
        assert time.monotonic() - began < A_WHILE


def test_a_deadline_holds_for_its_flow_alone(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_client, "LAST_POLL", 0.0)

    def slowly(_: Any) -> Answer:
        time.sleep(0.3)
        return Answer(200, {"id": "t", "name": "A task"})

    listener.answers(slowly)
    with Client(Tenant.at(listener.url), KEY, retry_policy=ONE_ATTEMPT) as client:
        with pytest.raises(NoResponseError):
            client.run_flow(send(tasks.get("t")), deadline=datetime.now(UTC))
        assert client.call(tasks.get("t")).name == "A task"


# Bodies that are too large, or cut off


@cache
def bomb() -> bytes:
    """A gzip stream of a megabyte that decodes to a gigabyte."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = pack.compress(b" " * 2**20) + pack.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + piece * 2**10 + pack.flush() + b"\0" * 8


def gzipped(status: int, body: bytes, content_type: str = "application/json") -> Answer:
    return Answer(status, body, {"content-encoding": "gzip", "content-type": content_type})


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """Fails a block in which more than so many bytes were allocated at once."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak:,} bytes"


@each_driver
def test_a_gzip_bomb_in_place_of_a_list_is_refused_in_bounded_memory(listener: Listener, driver: str) -> None:
    listener.answers(gzipped(200, bomb()))
    with little_memory(MAX_BODY + 16 * 2**20):
        error = error_of(driver, Tenant.at(listener.url), tasks.list())

    assert isinstance(error, InvalidResponseError)
    assert str(error).startswith(f"The response cannot be decoded: the body is larger than {MAX_BODY:,} bytes (GET /")
    assert MAX_BODY <= 64 * 2**20


@each_driver
@pytest.mark.parametrize("status", [400, 403, 429, 503])
def test_a_gzip_bomb_in_place_of_an_error_is_refused_in_bounded_memory(
    listener: Listener, driver: str, status: int
) -> None:
    listener.answers(gzipped(status, bomb()))
    with little_memory(8 * 2**20):
        error = error_of(driver, Tenant.at(listener.url), tasks.start("t"))

    assert isinstance(error, InvalidResponseError)
    assert error.outcome_unknown
    assert len(listener.seen) == 1


@each_driver
@pytest.mark.parametrize("status", [200, 401])
def test_a_gzip_bomb_in_place_of_a_token_is_refused_in_bounded_memory(
    listener: Listener, driver: str, status: int
) -> None:
    listener.answers(gzipped(status, bomb()))
    with little_memory(8 * 2**20):
        error = error_of(driver, Tenant.at(listener.url), tasks.start("t"), OAUTH)

    assert type(error) is ConnectError
    assert not error.outcome_unknown
    assert {seen.path for seen in listener.seen} == {"/oauth/token"}


@each_driver
@pytest.mark.parametrize("encoding", ["gzip", None], ids=["gzip", "plain"])
def test_the_end_of_a_log_of_50_megabytes_is_kept_with_a_notice(
    listener: Listener, driver: str, encoding: str | None
) -> None:
    line = b"a line of the log, which is about as long as they are\n"
    log = line * (50 * 10**6 // len(line)) + b"the end\n"
    sent = gzip.compress(log, 1) if encoding else log
    listener.answers(Answer(200, sent, {"content-type": "text/plain", "content-encoding": encoding}))
    read: list[str] = []

    async def in_loop() -> None:
        async with AsyncClient(Tenant.at(listener.url), KEY) as client:
            read.append(await client.call(automations.run_debug("a", "r")))

    with little_memory(12 * 2**20):
        if driver == "AsyncClient":
            asyncio.run(in_loop())
        else:
            with Client(Tenant.at(listener.url), KEY) as client:
                read.append(client.call(automations.run_debug("a", "r")))

    first, second, *_, last = read[0].splitlines()
    assert (second, last) == (line.decode().strip(), "the end")
    assert first.startswith("[")
    assert first.endswith(" bytes before this are left out]")
    left_out = int(first[1:].split()[0].replace(",", ""))
    assert len(log) - 2 * KEPT_END < left_out < len(log) - KEPT_END // 2


@pytest.mark.parametrize("bare", [False, True], ids=["wrapped in JSON", "bare"])
def test_of_a_long_log_of_a_task_the_end_is_kept_and_reads_as_text(listener: Listener, bare: bool) -> None:
    line = 'a line with a "quotation", a \\ and an ä\n'
    log = line * 300_000 + "the end\n"
    listener.answers(Answer(200, log.encode() if bare else json.dumps({"logContent": log}).encode()))

    with little_memory(16 * 2**20), Client(Tenant.at(listener.url), KEY) as client:
        read = client.call(tasks.run_log("t", "r")).log_content

    assert read is not None
    first, second, *_, last = read.splitlines()
    assert first.endswith(" bytes before this are left out]")
    assert (second, last) == (line.strip(), "the end")


@each_driver
@pytest.mark.parametrize("size", [0, 1, 1000, KEPT_END])
def test_a_short_log_is_complete(listener: Listener, driver: str, size: int) -> None:
    log = (b"a line\n" * (size // 7 + 1))[:size]
    listener.answers(gzipped(200, gzip.compress(log), "text/plain"))

    async def in_loop() -> str:
        async with AsyncClient(Tenant.at(listener.url), KEY) as client:
            return await client.call(automations.run_debug("a", "r"))

    if driver == "AsyncClient":
        assert asyncio.run(in_loop()) == log.decode()
    else:
        with Client(Tenant.at(listener.url), KEY) as client:
            assert client.call(automations.run_debug("a", "r")) == log.decode()


@each_driver
@pytest.mark.parametrize("call", [tasks.list(), automations.run_debug("a", "r"), tasks.start("t")], ids=str)
def test_a_body_whose_encoding_is_cut_off_is_unreadable(listener: Listener, driver: str, call: Call[Any]) -> None:
    whole = gzip.compress(b'{"data": []}' + b" " * 5000)
    for body in (whole[:-1], whole[: len(whole) // 2], whole[:5], b"no gzip at all", whole[:-8] + b"\0" * 8):
        listener.answers(gzipped(200, body))
        error = error_of(driver, Tenant.at(listener.url), call)

        assert isinstance(error, InvalidResponseError), body
        assert "gzip body is c" in str(error)
        assert error.outcome_unknown


@each_driver
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "aes128gcm", "x", "gzip, gzip, gzip, gzip"])
def test_an_encoding_that_is_not_accepted_is_an_error(listener: Listener, driver: str, encoding: str) -> None:
    for status in (200, 404):
        listener.answers(Answer(status, b"\x8b\x03\x80{}\x03", {"content-encoding": encoding}))
        error = error_of(driver, Tenant.at(listener.url), tasks.list())

        assert isinstance(error, InvalidResponseError)
        assert f"an encoding that is not accepted, '{encoding}'" in str(error)
    assert listener.seen[0].headers["accept-encoding"] == "gzip, deflate"


@each_driver
def test_a_token_in_an_encoding_that_is_not_accepted_is_an_error(listener: Listener, driver: str) -> None:
    listener.answers(Answer(200, b"\x8b\x03\x80{}\x03", {"content-encoding": "br"}))

    assert type(error_of(driver, Tenant.at(listener.url), tasks.start("t"), OAUTH)) is ConnectError
