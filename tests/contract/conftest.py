"""Clients of a sandbox tenant for the contract tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from airflow_provider_qlik.cloud import ApiKey, Client, Tenant
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.contract.sandbox_calls import SCHEDULING, V1


@pytest.fixture
def raw(sandbox: SandboxTenant) -> Iterator[httpx.Client]:
    """A client that hides nothing."""
    headers = {"authorization": f"Bearer {sandbox.api_key}"}
    with httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False) as raw:
        yield raw


@pytest.fixture(scope="module")
def client(_one_sandbox: SandboxTenant) -> Iterator[Client]:
    with Client(Tenant.at(_one_sandbox.url, tasks_path=V1), ApiKey(_one_sandbox.api_key)) as client:
        yield client


@pytest.fixture(scope="module")
def scheduling_client(_one_sandbox: SandboxTenant) -> Iterator[Client]:
    with Client(Tenant.at(_one_sandbox.url, tasks_path=SCHEDULING), ApiKey(_one_sandbox.api_key)) as client:
        yield client
