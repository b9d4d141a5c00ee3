from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Client, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.models import lenient
from airflow_provider_qlik.cloud.transport import paths
from airflow_provider_qlik.cloud.transport.token_cache import forget_tokens
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import SCHEDULING_TASKS, V1_TASKS
from tests.listener import Listener, listening

QUICK = RetryPolicy(max_attempts=5, initial_backoff=0.001, max_backoff=0.002, max_retry_after=0.002)
"""As patient as usual, without the waiting."""


@pytest.fixture(autouse=True)
def _no_token_is_left_over() -> Iterator[None]:
    forget_tokens()
    yield
    forget_tokens()


@pytest.fixture(autouse=True)
def _nothing_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenient, "_warned", set())


@pytest.fixture
def sandbox(sandbox: SandboxTenant) -> SandboxTenant:
    """A tenant as new, of which it is known already where it has its tasks: on the scheduling path."""
    paths.remember(sandbox.url, SCHEDULING_TASKS)
    return sandbox


@pytest.fixture(scope="session")
def _one_listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture
def listener(_one_listener: Listener) -> Listener:
    """A server that answers what the test says, for what the sandbox never would. Its tasks are known to be on v1."""
    _one_listener.answers()
    paths.remember(_one_listener.url, V1_TASKS)
    return _one_listener


@pytest.fixture
def tenant(sandbox: SandboxTenant) -> Tenant:
    return Tenant.at(sandbox.url)


@pytest.fixture
def client(sandbox: SandboxTenant, tenant: Tenant) -> Iterator[Client]:
    with Client(tenant, ApiKey(sandbox.api_key), retry_policy=QUICK) as client:
        yield client


@pytest.fixture
def async_client(sandbox: SandboxTenant, tenant: Tenant) -> AsyncClient:
    """Not yet entered: each test has an event loop of its own."""
    return AsyncClient(tenant, ApiKey(sandbox.api_key), retry_policy=QUICK)
