"""Credentials that are changed while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Call, Client, ClientCredentials, ConnectError, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.errors import UnauthorizedError
from airflow_provider_qlik.cloud.transport.base_client import ConnectionSettings
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.cloud.conftest import QUICK

MANY = 30


class Driver:
    """One of the two drivers, with a connection that can be read again."""

    def __init__(self, kind: str, sandbox: SandboxTenant) -> None:
        self.kind = kind
        self.read = 0
        self.tenant = Tenant.at(sandbox.url)
        self.now: Callable[[], ConnectionSettings] = lambda: (self.tenant, ApiKey("outdated"))

    def reread(self) -> ConnectionSettings:
        self.read += 1
        return self.now()

    async def areread(self) -> ConnectionSettings:
        await asyncio.sleep(0.05)
        return self.reread()

    def calls(self, credentials: Any, *calls: Call[Any]) -> list[Any]:
        """Return the results of calls, sent one after the other by a thread, all at once in an event loop."""
        if self.kind == "Client":
            with Client(self.tenant, credentials, retry_policy=QUICK, reread=self.reread) as client:
                return [client.call(call, ONE_ATTEMPT) for call in calls]

        async def all_at_once() -> list[Any]:
            async with AsyncClient(self.tenant, credentials, retry_policy=QUICK, reread=self.areread) as client:
                return await asyncio.gather(*(client.call(call, ONE_ATTEMPT) for call in calls))

        return asyncio.run(all_at_once())


@pytest.fixture(params=["Client", "AsyncClient"])
def driver(request: pytest.FixtureRequest, sandbox: SandboxTenant) -> Driver:
    return Driver(request.param, sandbox)


def test_a_key_that_was_replaced_is_read_again_once_for_all(sandbox: SandboxTenant, driver: Driver) -> None:
    outdated = ApiKey(sandbox.api_key)
    fresh = ApiKey(sandbox.rotate("api_key"))
    driver.now = lambda: (driver.tenant, fresh)
    task = sandbox.add_task("Refresh")
    assert [task.name for task in driver.calls(outdated, *[tasks.get(task)] * MANY)] == ["Refresh"] * MANY
    assert driver.read == 1


def test_a_secret_that_was_replaced_is_read_again(sandbox: SandboxTenant, driver: Driver) -> None:
    outdated = ClientCredentials(sandbox.client_id, sandbox.client_secret)
    driver.now = lambda: (driver.tenant, ClientCredentials(sandbox.client_id, sandbox.client_secret))
    sandbox.rotate("client_secret")
    sandbox.revoke_tokens()
    task = sandbox.add_task("Refresh")
    assert [task.name for task in driver.calls(outdated, tasks.get(task))] == ["Refresh"]


def test_a_start_is_sent_again_with_the_new_key_and_happens_once(sandbox: SandboxTenant, driver: Driver) -> None:
    outdated = ApiKey(sandbox.api_key)
    fresh = ApiKey(sandbox.rotate("api_key"))
    driver.now = lambda: (driver.tenant, fresh)
    task = sandbox.add_task("Refresh")
    driver.calls(outdated, tasks.start(task))
    assert len(sandbox.runs(task)) == 1


def test_the_same_credentials_again_raise_the_refusal(sandbox: SandboxTenant, driver: Driver) -> None:
    with pytest.raises(UnauthorizedError):
        driver.calls(ApiKey("outdated"), tasks.get("t"))
    assert driver.read == 1
    assert len(sandbox.request_log("get_task")) == 1


def test_new_credentials_that_are_refused_too_raise_the_refusal(sandbox: SandboxTenant, driver: Driver) -> None:
    driver.now = lambda: (driver.tenant, ApiKey("wrong-as-well"))
    with pytest.raises(UnauthorizedError):
        driver.calls(ApiKey("outdated"), tasks.get("t"))
    assert len(sandbox.request_log("get_task")) == 2


def test_a_tenant_that_refuses_all_credentials_gets_few_requests(sandbox: SandboxTenant, driver: Driver) -> None:
    def read() -> ConnectionSettings:
        assert driver.read < 10, "read again and again"
        return driver.tenant, ApiKey(f"wrong-{driver.read}")

    driver.now = read
    with pytest.raises(UnauthorizedError):
        driver.calls(ApiKey("outdated"), tasks.get("t"))
    assert driver.read <= 2
    assert len(sandbox.request_log("get_task")) <= 3


def test_credentials_of_another_tenant_are_not_used(sandbox: SandboxTenant, driver: Driver) -> None:
    driver.now = lambda: (Tenant.at("https://other.example.com"), ApiKey(sandbox.api_key))
    with pytest.raises(UnauthorizedError):
        driver.calls(ApiKey("outdated"), tasks.get(sandbox.add_task()))


@pytest.mark.parametrize(
    "error", [ConnectError("not now"), InvalidArgumentError("password", None, "give one")], ids=str
)
def test_an_error_while_reading_is_logged_and_the_refusal_is_raised(
    driver: Driver, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> ConnectionSettings:
        raise copy(error)

    driver.now = fails
    with pytest.raises(UnauthorizedError):
        driver.calls(ApiKey("outdated"), tasks.get("t"))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{error}. The credentials that are in use are kept."
    ]


def test_a_second_change_is_noticed_as_well(sandbox: SandboxTenant) -> None:
    tenant = Tenant.at(sandbox.url)
    task = sandbox.add_task("Refresh")
    with Client(
        tenant, ApiKey(sandbox.api_key), retry_policy=QUICK, reread=lambda: (tenant, ApiKey(sandbox.api_key))
    ) as client:
        for _ in range(3):
            sandbox.rotate("api_key")
            assert client.call(tasks.get(task)).name == "Refresh"
