"""Which proxy of the environment serves a tenant, and what is said where it cannot."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Client, QlikCloudError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.transport.proxies import Proxy, proxy_for
from airflow_provider_qlik.validation import InvalidArgumentError

ACME = "https://acme.eu.qlikcloud.com"
PROXY = "http://proxy.example.com:3128"


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_is_read_from_the_environment_in_both_letter_cases(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, PROXY)
    assert proxy_for(ACME) == Proxy(name, PROXY)


def test_the_proxy_of_the_scheme_goes_before_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://other.example.com")
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert proxy_for(ACME) == Proxy("HTTPS_PROXY", PROXY)
    assert proxy_for("http://acme.example") == Proxy("HTTP_PROXY", "http://other.example.com")


@pytest.mark.parametrize(
    ("address", "url", "auth"),
    [
        ("proxy.example.com:3128", PROXY, None),
        ("HTTP://Proxy.Example.com:3128/", PROXY, None),
        ("https://proxy.example.com", "https://proxy.example.com", None),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", None),
        ("http://me:hunter%402@proxy.example.com:3128", PROXY, ("me", "hunter@2")),
        ("http://me@proxy.example.com:3128", PROXY, ("me", "")),
    ],
)
def test_a_proxys_address_is_read_as_users_write_it(
    monkeypatch: pytest.MonkeyPatch, address: str, url: str, auth: tuple[str, str] | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    proxy = proxy_for(ACME)
    assert proxy is not None
    assert (proxy.url, proxy.auth) == (url, auth)
    assert "hunter" not in repr(proxy)
    Client(Tenant.at(ACME), ApiKey("key")).close()


@pytest.mark.parametrize(
    "entry",
    [
        "*",
        "acme.eu.qlikcloud.com",
        "ACME.EU.QlikCloud.com.",
        "qlikcloud.com",
        ".qlikcloud.com",
        "*.qlikcloud.com",
        "acme.eu.qlikcloud.com:443",
        "https://acme.eu.qlikcloud.com",
        "all://qlikcloud.com",
        "localhost,[::1],fd00::/8,qlikcloud.com",
        "localhost qlikcloud.com",
        "[nonsense,::/0/0,10.0.0.0/99,:,//, qlikcloud.com ",
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_a_host_of_no_proxy_is_reached_directly(monkeypatch: pytest.MonkeyPatch, name: str, entry: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(name, entry)
    assert proxy_for(ACME) is None


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "localhost,[::1],fd00::/8",
        "eu.qlikcloud",
        "cme.eu.qlikcloud.com",
        "b.acme.eu.qlikcloud.com",
        "acme.eu.qlikcloud.com:8443",
        "http://acme.eu.qlikcloud.com",
        "0.0.0.0/0",
        "::/0",
        ".",
        ":443",
        "[::1",
        "[acme.eu.qlikcloud.com]",
    ],
)
def test_other_entries_of_no_proxy_do_not_bypass_the_proxy(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", entry)
    assert proxy_for(ACME) == Proxy("HTTPS_PROXY", PROXY)
    Client(Tenant.at(ACME), ApiKey("key")).close()


@pytest.mark.parametrize(
    ("url", "entry", "directly"),
    [
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3/8", True),
        ("https://10.1.2.3", "10.*", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://10.1.2.3", "11.0.0.0/8", False),
        ("https://10.1.2.3", "1.2.3", False),
        ("https://10.1.2.3", "fd00::/8", False),
        ("https://[fd00::7]", "fd00::7", True),
        ("https://[fd00::7]", "[fd00::7]", True),
        ("https://[fd00:0:0::7]", "fd00::7", True),
        ("https://[fd00::7]", "fd00::/8", True),
        ("https://[fd00::7]", "[fd00::]/8", True),
        ("https://[fd00::7]:8443", "[fd00::7]:8443", True),
        ("https://[fd00::7]", "[fd00::7]:8443", False),
        ("https://[fd00::7]", "[::1],10.0.0.0/8", False),
        ("https://[::ffff:10.1.2.3]", "10.0.0.0/8", True),
        ("https://xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_addresses_networks_and_ports_of_no_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, entry: str, directly: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", entry)
    assert (proxy_for(url) is None) == directly


@pytest.mark.parametrize("loopback", ["http://127.0.0.1:1", "http://localhost:1", "https://[::1]"])
def test_a_loopback_address_is_reached_directly_whatever_the_variables_say(
    monkeypatch: pytest.MonkeyPatch, loopback: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "nonsense://")
    monkeypatch.setenv("NO_PROXY", "[::1],[")
    assert Tenant.at(loopback).http_options()["proxy"] is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("socks4://127.0.0.1:9", "begins with one of http://, https://, socks5://, socks5h://"),
        ("file:///etc/passwd", "begins with one of"),
        ("http://", "no valid host"),
        ("http://proxy.example.com:99999", "no valid URL"),
        ("http://proxy.example.com:port", "no valid URL"),
        ("http://[::1", "no valid URL"),
        ("http://proxy example.com", "no valid host"),
        (f"http://{'a' * 64}.example", "no valid host"),
        ("http://me:hunter2/x@proxy.example.com:3128", "no valid URL"),
        ("http://me:/hunter2@proxy.example.com:3128", "write it as %2F"),
        ("http://me:hunter2@proxy.example.com:99999", "no valid URL"),
        ("http://me:hunter2\udcff@proxy.example.com", "no valid URL"),
        ("socks5://me:hunter2@127.0.0.1:9", r"pip install 'httpx\[socks\]'"),
        ("socks5h://127.0.0.1:9", r"pip install 'httpx\[socks\]'"),
    ],
)
def test_the_error_of_an_unusable_proxy_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str, why: str
) -> None:
    monkeypatch.setenv(name, address)
    monkeypatch.setattr("airflow_provider_qlik.cloud.transport.proxies.find_spec", lambda _: None)

    with pytest.raises(InvalidArgumentError, match=f"^{name}: .*{why}") as refused:
        Client(Tenant.at(ACME), ApiKey("key"))
    assert shown_by(refused.value, "hunter2") == []

    async def opened() -> None:
        AsyncClient(Tenant.at(ACME), ApiKey("key"))

    with pytest.raises(InvalidArgumentError, match=f"^{name}: "):
        asyncio.run(opened())


def shown_by(error: BaseException, secret: str) -> list[str]:
    """Where an error shows a secret: in its text, or in a local variable of this package."""
    places = ["its text"] if secret in str(error) + repr(error) else []
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.startswith("airflow_provider_qlik.") and secret in repr(trace.tb_frame.f_locals):
            places.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return places


def test_an_unusable_proxy_that_the_tenant_does_not_use_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "nonsense://")
    monkeypatch.setenv("NO_PROXY", "qlikcloud.com")
    Client(Tenant.at(ACME), ApiKey("key")).close()


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that lets nobody through: its host and port, and the first line of each request."""
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    lines.extend(connection.recv(65536).decode().split("\r\n")[:-2])
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", lines
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def listed() -> None:
    with Client(Tenant.at(ACME), ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)) as client:
        client.call(tasks.list())


def listed_in_a_loop() -> None:
    async def play() -> None:
        async with AsyncClient(Tenant.at(ACME), ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)) as client:
            await client.call(tasks.list())

    asyncio.run(play())


@pytest.mark.parametrize("send", [listed, listed_in_a_loop])
def test_requests_go_through_the_proxy_and_authenticate_there(
    monkeypatch: pytest.MonkeyPatch, send: Callable[[], None]
) -> None:
    with recording_proxy() as (address, lines):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{address}")
        with pytest.raises(QlikCloudError):
            send()
    assert lines[0] == "CONNECT acme.eu.qlikcloud.com:443 HTTP/1.1"
    assert "proxy-authorization: basic bwu6ahvudgvymg==" in [line.lower() for line in lines]
