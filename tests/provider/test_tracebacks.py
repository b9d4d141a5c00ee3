"""No local variable of a traceback shows a secret: Airflow, Sentry and rich show them beside each frame."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Client,
    ClientCredentials,
    Credentials,
    Impersonation,
    PrivateKey,
    QlikCloudError,
    RetryPolicy,
    Tenant,
)
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.transport.auth import auth_for
from airflow_provider_qlik.cloud.transport.token_cache import forget_tokens
from airflow_provider_qlik.connection_parser import parse
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.listener import Answer, listening

SECRET = "planted-secret-c0ffee-c0ffee"
PEM = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)
PLANTED = [SECRET, *(line for line in PEM.splitlines() if "-----" not in line)]
HOST = "https://acme.eu.qlikcloud.com"


def frames_that_show(error: BaseException) -> list[str]:
    """Where a local variable of this package shows a secret, in the tracebacks of causes and contexts as well."""
    places: list[str] = []
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        one = errors.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        errors += [one.__cause__, one.__context__]
        trace = one.__traceback__
        while trace is not None:
            frame, trace = trace.tb_frame, trace.tb_next
            if str(frame.f_globals.get("__name__")).startswith("airflow_provider_qlik."):
                places += [
                    f"{frame.f_code.co_qualname}: {name}"
                    for name, local in frame.f_locals.items()
                    if any(secret in text for text in (repr(local), str(local)) for secret in PLANTED)
                ]
    return places


def raised_by(act: Callable[[], object], kind: type[BaseException] = QlikCloudError) -> BaseException:
    with pytest.raises(kind) as raised:
        act()
    return raised.value


def test_a_local_variable_that_shows_a_secret_is_found() -> None:
    scope: dict[str, Any] = {"__name__": "airflow_provider_qlik.made_up"}
    exec("def fails(key):\n    raise ValueError('no')", scope)
    assert frames_that_show(raised_by(lambda: scope["fails"](SECRET), ValueError)) == ["fails: key"]


@pytest.mark.parametrize(
    "fields",
    [
        {"host": None, "password": SECRET},
        {"host": f"{HOST}/sense", "password": SECRET},
        {"port": 99999, "password": SECRET},
        {"password": f"Bearer {SECRET}"},
        {"password": f"{SECRET}ä"},
        {"password": f"{SECRET}\nmore\n"},
        {"password": SECRET, "login": "client"},
        {"password": SECRET, "login": 1.5},
        {"password": SECRET, "extra": {"auth_type": "nothing"}},
        {"password": SECRET, "extra": {"auth_type": "impersonation"}},
        {"password": SECRET, "extra": {"read_timeout": "soon", "private_key": PEM}},
        {"password": SECRET, "extra": {"rate_limit_share": 2, "client_secret": SECRET}},
        {"password": SECRET, "extra": {"ca_bundle": "/nowhere"}},
        {"password": SECRET, "login": "client\ud83d", "extra": {"auth_type": "client_credentials"}},
        {"password": f"{SECRET}\ud83d", "login": "client", "extra": {"auth_type": "client_credentials"}},
        {"login": "client", "extra": {"auth_type": "private_key", "private_key": PEM}},
        {"login": "client", "extra": {"auth_type": "private_key", "key_id": "1", "private_key": PEM[:-40]}},
        {"login": "client", "extra": {"auth_type": "private_key", "key_id": "1", "private_key": PEM.replace("M", "N")}},
        {"login": "client", "extra": {"auth_type": "private_key", "key_id": "1", "private_key": [PEM]}},
        {"login": "client", "extra": {"auth_type": "private_key", "key_id": "1\ud83d", "private_key": PEM}},
    ],
    ids=lambda fields: " ".join(fields),
)
def test_what_is_wrong_with_a_connection_is_raised_without_its_secrets(fields: dict[str, Any]) -> None:
    error = raised_by(lambda: parse(**{"host": HOST, **fields}), InvalidArgumentError)
    assert frames_that_show(error) == []
    assert not any(secret in str(error) for secret in PLANTED)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ApiKey(f"{SECRET}ä"),
        lambda: ApiKey(f"Bearer {SECRET}"),
        lambda: ClientCredentials("", SECRET),
        lambda: ClientCredentials("id", SECRET, scope=5),  # type: ignore[arg-type]
        lambda: ClientCredentials("id", f"{SECRET}\ud83d"),
        lambda: Impersonation("id", SECRET, ""),
        lambda: Impersonation("id", SECRET, "user", "email"),
        lambda: PrivateKey("id", PEM[40:], "kid"),
        lambda: PrivateKey("id", PEM, ""),
    ],
)
def test_credentials_that_are_refused_are_in_no_frame(make: Callable[[], Credentials]) -> None:
    assert frames_that_show(raised_by(make, InvalidArgumentError)) == []


# On the way to Qlik Cloud


CREDENTIALS: dict[str, Credentials] = {
    "API key": ApiKey(SECRET),
    "client credentials": ClientCredentials("id", SECRET),
    "impersonation": Impersonation("id", SECRET, "anna"),
    "private key": PrivateKey("id", PEM, "kid"),
}


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def answering(*answers: Answer) -> Callable[[], Any]:
    @contextmanager
    def server() -> Iterator[str]:
        with listening() as listener:
            listener.answers(*answers)
            yield listener.url

    return server


TOKEN = Answer(200, {"access_token": SECRET})
TO_ALL: dict[str, Callable[[], Any]] = {
    "nobody listens": nobody,
    "time-out": silent,
    "refused": answering(Answer(401, {"errors": [{"code": "1", "title": "No"}]})),
    "forbidden": answering(Answer(403, {"errors": [{"code": "1", "title": "No"}]})),
    "a page": answering(Answer(403, b"<html>No</html>", {"content-type": "text/html"})),
    "failed": answering(Answer(500)),
    "nonsense": answering(Answer(200, b"{")),
}
TO_CLIENTS: dict[str, Callable[[], Any]] = {
    "no token": answering(Answer(200, {"token_type": "bearer"})),
    "half a token": answering(Answer(200, f'{{"access_token": "{SECRET}'.encode())),
    "a token that cannot be sent": answering(Answer(200, {"access_token": f"{SECRET}ä"})),
    "refused with a token": answering(TOKEN, Answer(401), TOKEN, Answer(401)),
    "failed with a token": answering(TOKEN, Answer(500)),
    "nonsense with a token": answering(TOKEN, Answer(200, b"{")),
}


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize(
    ("method", "way"),
    [
        *((method, way) for method in CREDENTIALS for way in TO_ALL),
        *((method, way) for method in CREDENTIALS if method != "API key" for way in TO_CLIENTS),
    ],
)
def test_what_goes_wrong_on_the_way_shows_no_secret(method: str, way: str, driver: str) -> None:
    forget_tokens()
    with (TO_ALL | TO_CLIENTS)[way]() as url:
        tenant = Tenant.at(url, read_timeout=0.2, connect_timeout=0.2)

        def ask() -> None:
            with Client(tenant, CREDENTIALS[method], retry_policy=RetryPolicy(max_attempts=1)) as client:
                client.call(tasks.list())

        def ask_in_a_loop() -> None:
            async def play() -> None:
                async with AsyncClient(tenant, CREDENTIALS[method], retry_policy=RetryPolicy(max_attempts=1)) as client:
                    await client.call(tasks.list())

            asyncio.run(play())

        error = raised_by(ask if driver == "sync" else ask_in_a_loop)
    assert frames_that_show(error) == []
    assert not any(secret in str(error) for secret in PLANTED)


def test_a_key_that_must_not_be_sent_is_in_no_frame() -> None:
    flow = auth_for(Tenant.at(HOST), ApiKey(SECRET)).sync_auth_flow(
        httpx.Request("GET", "https://elsewhere.example.com/")
    )
    assert frames_that_show(raised_by(lambda: next(flow))) == []


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize(
    "fields",
    [
        {"host": "http://acme.example"},
        {"login": "client"},
        {"extra": {"auth_type": "nothing", "private_key": PEM, "client_secret": SECRET}},
        {"login": "client", "extra": {"auth_type": "private_key", "key_id": "1", "private_key": PEM[:-40]}},
    ],
    ids=lambda fields: " ".join(fields),
)
def test_what_is_wrong_with_an_airflow_connection_is_raised_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], driver: str
) -> None:
    connection = {"conn_type": "qlik_cloud", "host": HOST, "password": SECRET, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    hook = QlikCloudHook()

    def open_in_a_loop() -> None:
        asyncio.run(hook.get_async_conn())

    assert (
        frames_that_show(raised_by(hook.get_conn if driver == "sync" else open_in_a_loop, InvalidArgumentError)) == []
    )
