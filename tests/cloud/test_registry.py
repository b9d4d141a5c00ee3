"""One client for all in an event loop who use the same connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, InvalidArgumentError, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.transport import async_client as client_module
from airflow_provider_qlik.cloud.transport.base_client import ConnectionSettings
from airflow_provider_qlik.cloud.transport.registry import Lease, share
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant


class Made:
    """Opens clients after a moment, and counts them."""

    def __init__(self, sandbox: SandboxTenant) -> None:
        self.settings: ConnectionSettings = (Tenant.at(sandbox.url), ApiKey(sandbox.api_key))
        self.clients: list[AsyncClient] = []
        self.attempts = self.read = 0
        self.error: Exception | None = None

    async def __call__(self) -> AsyncClient:
        self.attempts += 1
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        client = AsyncClient(*self.settings, reread=self.reread)
        self.clients.append(client)
        return client

    async def reread(self) -> ConnectionSettings:
        self.read += 1
        return self.settings

    @property
    def open(self) -> int:
        return sum(not client._http.is_closed for client in self.clients)


@pytest.fixture
def made(sandbox: SandboxTenant) -> Made:
    return Made(sandbox)


def play(scene: Callable[[], Any]) -> Any:
    return asyncio.run(scene())


def test_users_share_one_client_and_the_last_closes_it(made: Made) -> None:
    async def scene() -> None:
        leases = await asyncio.gather(*(share("a", made) for _ in range(100)))
        assert (made.attempts, made.open) == (1, 1)
        for lease in leases[:-1]:
            await lease.release()
        assert made.open == 1
        await leases[-1].release()
        assert made.open == 0

    play(scene)


def test_a_second_release_of_a_lease_does_nothing(made: Made) -> None:
    async def scene() -> None:
        one, other = await share("a", made), await share("a", made)
        await one.release()
        await one.release()
        assert made.open == 1
        await other.release()

    play(scene)


def test_after_the_last_release_the_next_user_gets_a_new_client(made: Made) -> None:
    async def scene() -> None:
        await (await share("a", made)).release()
        lease = await share("a", made)
        assert (made.attempts, made.open) == (2, 1)
        await lease.release()

    play(scene)


def test_each_connection_and_each_event_loop_has_its_own_client(made: Made) -> None:
    async def scene() -> None:
        one, other = await share("a", made), await share("b", made)
        assert one.client is not other.client
        await one.release()
        await other.release()

    play(scene)
    play(scene)
    assert made.attempts == 4


def test_a_user_cancelled_while_the_client_is_opened_disturbs_no_other(made: Made) -> None:
    async def scene() -> None:
        waiting = [asyncio.ensure_future(share("a", made)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        one, other = await waiting[1], await waiting[2]
        assert made.attempts == 1
        await one.release()
        await other.release()
        assert made.open == 0

    play(scene)


def test_when_all_users_are_cancelled_no_client_is_opened(made: Made) -> None:
    async def scene() -> None:
        waiting = asyncio.ensure_future(share("a", made))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.05)
        assert made.clients == []

    play(scene)


def test_all_users_get_the_error_of_opening_and_the_next_opens_again(made: Made) -> None:
    made.error = InvalidArgumentError("password", None, "give the API key")

    async def scene() -> Lease:
        failed = await asyncio.gather(*(share("a", made) for _ in range(20)), return_exceptions=True)
        assert {str(error) for error in failed} == {"password: give the API key"}
        assert made.attempts == 1
        made.error = None
        lease = await share("a", made)
        await lease.release()
        return lease

    play(scene)


def test_the_connection_is_read_again_every_few_minutes(
    sandbox: SandboxTenant, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sandbox.add_task("Refresh")

    async def scene() -> None:
        lease = await share("a", made)
        await lease.client.call(tasks.get(task))
        assert made.read == 0
        monkeypatch.setattr(client_module, "REREAD_INTERVAL", 0.0)
        await lease.client.call(tasks.get(task))
        await asyncio.sleep(0.01)
        assert made.read == 1
        await lease.release()

    play(scene)


def test_a_connection_changed_to_another_tenant_moves_only_new_users(
    sandbox: SandboxTenant, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sandbox.add_task("Refresh")

    async def scene() -> None:
        monkeypatch.setattr(client_module, "REREAD_INTERVAL", 0.0)
        old = await share("a", made)
        made.settings = (Tenant.at("https://other.example.com"), ApiKey("theirs"))
        await old.client.call(tasks.get(task))
        await asyncio.sleep(0.01)
        new = await share("a", made)
        assert (old.client.tenant.url, new.client.tenant.url) == (sandbox.url, "https://other.example.com")
        assert (await old.client.call(tasks.get(task))).name == "Refresh"
        await old.release()
        await new.release()
        assert made.open == 0

    play(scene)


def test_a_connection_that_cannot_be_read_again_disturbs_no_user(
    sandbox: SandboxTenant, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sandbox.add_task("Refresh")

    async def fails() -> ConnectionSettings:
        raise RuntimeError("no database")

    async def scene() -> None:
        monkeypatch.setattr(client_module, "REREAD_INTERVAL", 0.0)
        monkeypatch.setattr(made, "reread", fails)
        lease = await share("a", made)
        for _ in range(3):
            assert (await lease.client.call(tasks.get(task))).name == "Refresh"
            await asyncio.sleep(0.01)
        await lease.release()

    play(scene)


def test_a_429_pauses_all_users_of_the_client(sandbox: SandboxTenant, made: Made) -> None:
    task = sandbox.add_task("Refresh")
    counted: dict[str, float] = {}

    async def scene() -> None:
        lease = await share("a", made)
        lease.client._count = lambda name, number: counted.update({name: counted.get(name, 0) + number})
        sandbox.fault(operation="get_task", status=429, retry_after=1, code="HTTP-429")
        first = asyncio.ensure_future(lease.client.call(tasks.get(task)))
        while len(sandbox.request_log()) < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        others = [asyncio.ensure_future(lease.client.call(tasks.get(task))) for _ in range(5)]
        await asyncio.gather(first, *others)
        await lease.release()

    play(scene)
    refused, *after = sandbox.request_log("get_task")
    assert [entry.status for entry in after] == [200] * 6
    assert all((entry.time - refused.time).total_seconds() >= 0.99 for entry in after)
    assert (counted["requests"], counted["rate_limited"], counted["errors"]) == (7, 1, 1)
    assert counted["turn_seconds"] >= 4
