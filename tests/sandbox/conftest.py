from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import Tenant


@pytest.fixture(scope="module")
def served() -> Iterator[Tenant]:
    # The time stands still, so that nothing happens between two steps of a test.
    with sandbox.serve(speed=0) as tenant:
        yield tenant


@pytest.fixture
def tenant(served: Tenant) -> Tenant:
    served.reset()
    return served


@pytest.fixture
def api(tenant: Tenant) -> Iterator[httpx.Client]:
    """Somebody with the API key."""
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    with _client(tenant, headers) as client:
        yield client


@pytest.fixture
def anybody(tenant: Tenant) -> Iterator[httpx.Client]:
    """Somebody without credentials."""
    with _client(tenant, {}) as client:
        yield client


def _client(tenant: Tenant, headers: dict[str, str]) -> httpx.Client:
    # Reading the certificates, which nobody needs here, takes longer than most tests.
    return httpx.Client(base_url=tenant.url, headers=headers, trust_env=False, verify=False)
