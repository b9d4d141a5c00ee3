"""Signing in with a private key: what takes long is done seldom, and never in the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from airflow_provider_qlik.cloud import PrivateKey
from airflow_provider_qlik.cloud.api import users
from airflow_provider_qlik.cloud.transport import credentials
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.sandbox import Tenant


class Work:
    """What was done with private keys, and by which thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loads: list[int] = []
        self.signatures: list[int] = []
        self._note(monkeypatch, credentials, "load_pem_private_key", self.loads)
        self._note(monkeypatch, jwt.algorithms, "load_pem_private_key", self.loads)
        self._note(monkeypatch, jwt, "encode", self.signatures)

    def _note(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, threads: list[int]) -> None:
        done: Callable[..., Any] = getattr(module, name)

        def noted(given: Any, *arguments: Any, **named: Any) -> Any:
            # The sandbox is in this process, too, and has the public keys.
            if b"PUBLIC" not in (given if isinstance(given, bytes) else b""):
                threads.append(threading.get_ident())
            return done(given, *arguments, **named)

        monkeypatch.setattr(module, name, noted)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    credentials._loaded.cache_clear()
    return Work(monkeypatch)


@pytest.fixture(params=["RSA", "EC"], autouse=True)
def _connection(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    rsa = request.param == "RSA"
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "login": tenant.client_id,
        "extra": {
            "auth_type": "private_key",
            "private_key": tenant.private_key if rsa else tenant.ec_private_key,
            "key_id": tenant.key_id if rsa else tenant.ec_key_id,
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))


def test_an_event_loop_neither_loads_a_key_nor_signs(tenant: Tenant, work: Work) -> None:
    async def play() -> int:
        async with QlikCloudHook() as hook:
            await hook.get_async_conn()
            for _ in range(2):
                await hook.acall(users.me())
                tenant.revoke_tokens()
            await hook._areread()
        return threading.get_ident()

    loop = asyncio.run(play())
    assert len(tenant.request_log("token")) == len(work.signatures) == 2
    assert loop not in work.loads + work.signatures


def test_a_key_is_loaded_once_however_often_it_is_read_and_used(tenant: Tenant, work: Work) -> None:
    async def play() -> None:
        for _ in range(2):
            async with QlikCloudHook() as hook:
                await hook.acall(users.me())
                tenant.revoke_tokens()
                await hook._areread()

    asyncio.run(play())
    assert QlikCloudHook().test_connection()[0]
    assert len(tenant.request_log("token")) == len(work.signatures) == 3
    assert len(work.loads) == 1


def test_a_key_that_was_loaded_shows_nowhere_and_changes_no_credentials(tenant: Tenant) -> None:
    one = PrivateKey("client", tenant.private_key, "1")
    other = PrivateKey("client", tenant.ec_private_key, "1")
    same = PrivateKey("client", tenant.private_key, "1")
    assert (one == same, hash(one) == hash(same), one == other) == (True, True, False)
    assert repr(one) == repr(other) == "PrivateKey(client_id='client', key_id='1', scope=None)"
