"""The synchronous and the asynchronous driver give the same results for the same flows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Client, Flow, QlikCloudError, Tenant
from airflow_provider_qlik.runs import (
    STARTABLE_ADAPTERS,
    MatchTimeouts,
    Outcome,
    RunSelector,
    RunWait,
    StartableRunAdapter,
    outcome,
)
from airflow_provider_qlik.runs.adapter import LogCallback
from airflow_provider_qlik.runs.starting import intend, start
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.runs.conftest import AUTOMATION, MARKER, QUICK, TASK

SEARCH = MatchTimeouts(
    match_timeout=2,
    unknown_outcome_timeout=0.5,
    confirmation_time=0.2,
    doubtful_confirmation_time=0.4,
    initial_backoff=0.02,
    max_backoff=0.05,
)


@pytest.fixture(scope="module")
def moving() -> Iterator[SandboxTenant]:
    """Yield a sandbox whose clock is twenty times as fast."""
    with sandboxes.serve(speed=20) as tenant:
        yield tenant


def from_start_to_end(
    kind: StartableRunAdapter[Any], resource_id: str, tenant: Tenant, write_log: LogCallback
) -> Flow[Outcome]:
    intent = yield from intend(kind, resource_id, MARKER)
    run = yield from start(kind, intent, SEARCH, write_log)
    ended = yield from RunWait(kind, RunSelector.of(run), write_log).until_end(0.03)
    return (yield from outcome(kind, ended, tenant.url, write_log))


def on_a_worker(
    tenant: Tenant, key: ApiKey, kind: StartableRunAdapter[Any], resource_id: str, write_log: LogCallback
) -> Outcome:
    with Client(tenant, key, retry_policy=QUICK) as client:
        return client.run_flow(from_start_to_end(kind, resource_id, tenant, write_log))


def in_the_triggerer(
    tenant: Tenant, key: ApiKey, kind: StartableRunAdapter[Any], resource_id: str, write_log: LogCallback
) -> Outcome:
    async def run() -> Outcome:
        async with AsyncClient(tenant, key, retry_policy=QUICK) as client:
            return await client.run_flow(from_start_to_end(kind, resource_id, tenant, write_log))

    return asyncio.run(run())


CASES: dict[str, tuple[dict[str, Any], Script, list[dict[str, Any]]]] = {
    "succeeds": ({"show_after": 3.0}, Script(run=20), []),
    "fails": ({}, Script(run=4, end="FAILED", error="no such table"), []),
    "answer lost": ({"show_after": 3.0}, Script(run=20), [{"method": "POST", "reset": "after"}]),
    "start lost": ({}, Script(run=4), [{"method": "POST", "status": 500}]),
    "refused": ({}, Script(run=4), [{"method": "POST", "status": 403, "times": None}]),
    "competing run": (
        {"echo_source": False, "competing_runs": 1},
        Script(run=40),
        [{"method": "POST", "reset": "after"}],
    ),
    "failing polls": ({}, Script(run=4), [{"method": "GET", "path": "*log", "status": 503, "times": 2}]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [TASK, AUTOMATION], ids=lambda kind: kind.name)
def test_both_drivers_come_to_the_same(moving: SandboxTenant, kind: StartableRunAdapter[Any], case: str) -> None:
    switches, script, faults = CASES[case]
    ends: list[tuple[Any, list[str], int]] = []
    for drive in (on_a_worker, in_the_triggerer):
        moving.reset()
        moving.switch(**switches)
        resource_id = (moving.add_task if kind is TASK else moving.add_automation)("It", id="it")
        moving.script(resource_id, script)
        for fault in faults:
            moving.fault(**fault)
        said: list[str] = []
        try:
            result = drive(
                Tenant.at(moving.url),
                ApiKey(moving.api_key),
                STARTABLE_ADAPTERS[kind.name],
                resource_id,
                lambda level, text, said=said: said.append(text),  # type: ignore[misc]
            )
            end: Any = (result.run.state, result.run.status, result.run.reason, result.succeeded)
        except QlikCloudError as error:
            end = type(error).__name__, alike(str(error))
        posts = len(moving.request_log(method="POST"))
        ends.append((end, [alike(text) for text in said], posts))

    assert ends[0] == ends[1]
    assert ends[0][2] == 1


def alike(text: str) -> str:
    """Return a text without ids and times, and without the two names that httpx has for a reset."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.+Z]+|(?<=ReadError)[^)]*", "…", text)
