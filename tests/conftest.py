from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud.transport import deprecations, paths
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.planted_secret import nothing_shows_a_secret

__all__ = ["nothing_shows_a_secret"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests that run a whole Airflow evenly over the suite.

    `--dist worksteal` gives each test process a part of the suite as long as the others'. Where these tests stood side
    by side, one process would run them one after another while the others have nothing left to steal.
    """
    long = [item for item in items if item.get_closest_marker("whole_airflow")]
    short = [item for item in items if not item.get_closest_marker("whole_airflow")]
    if long and short:
        for number, item in enumerate(long):
            short.insert(number * (len(items) // len(long)), item)
        items[:] = short


@pytest.fixture(autouse=True)
def _nothing_is_known_of_any_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets each test begin as a new process does, which has not looked for paths and has said nothing."""
    paths.forget()
    monkeypatch.setattr(deprecations, "_logged", {})


@pytest.fixture(scope="module")
def _one_sandbox() -> Iterator[SandboxTenant]:
    with sandboxes.serve() as tenant:
        yield tenant


@pytest.fixture
def sandbox(_one_sandbox: SandboxTenant) -> SandboxTenant:
    """A tenant in this process, as new: one server for all tests of a module."""
    _one_sandbox.reset()
    return _one_sandbox
