from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, fire

TRIGGERER = textwrap.dedent("""
    import asyncio, importlib, json, sys

    module, _, name = sys.argv[1].rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))

    async def main():
        async for event in trigger.run():
            print("EVENT " + json.dumps(event.payload), flush=True)

    asyncio.run(main())
""")


def a_triggerer(trigger: QlikRunTrigger) -> subprocess.Popen[str]:
    """Another process that runs a trigger from what the database keeps of it."""
    path, arguments = trigger.serialize()
    command = [sys.executable, "-c", TRIGGERER, path, json.dumps(arguments)]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)})


@pytest.mark.whole_airflow
def test_a_wait_survives_a_triggerer_that_is_killed_and_started_again(tenant: Tenant, task: Task) -> None:
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(end=None))
    operator = QlikRunTaskOperator(task_id="refresh", qlik_task_id=qlik_task, deferrable=True, **FAST)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context)
    tenant.clear_request_log()

    first = a_triggerer(deferred.value.trigger)
    while not tenant.request_log(operation="list_task_runs"):
        assert first.poll() is None
        time.sleep(0.05)
    first.kill()
    assert "EVENT" not in first.communicate()[0]
    assert tenant.runs(qlik_task)[0]["active"]
    assert tenant.request_log(method="POST") == []

    # The run ends while nobody looks.
    (reload,) = tenant.reloads()
    _end(tenant, reload["id"])
    second = a_triggerer(deferred.value.trigger)
    output, _ = second.communicate(timeout=60)
    event = json.loads(output.partition("EVENT ")[2])
    assert event["run"]["run_id"] == task.pushed["run_id"]
    assert event["error"] is None


def _end(tenant: Tenant, reload_id: str) -> None:
    """Somebody cancels the reload in Qlik."""
    import httpx

    url = f"{tenant.url}/api/v1/reloads/{reload_id}/actions/cancel"
    httpx.post(url, headers={"authorization": f"Bearer {tenant.api_key}"}).raise_for_status()
    tenant.advance(5)


def test_a_cancelled_trigger_cancels_no_run(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=1, script=Script(end=None))
    trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run, **FAST)

    async def lose_it() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        while not await asyncio.to_thread(tenant.request_log, "get_automation_run"):
            await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(lose_it())
    assert tenant.request_log(method="POST") == []
    assert tenant.runs(automation)[0]["active"]


def test_many_waits_in_one_loop_do_not_stop_each_other(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare", maxConcurrentRuns=50)
    runs = [tenant.add_run(automation, started_ago=0, script=Script(run=10)) for _ in range(20)]

    async def wait(run: str) -> dict[str, Any]:
        trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run, **FAST)
        (event,) = [event.payload async for event in trigger.run()]
        return event["run"]  # type: ignore[no-any-return]

    async def wait_for_all() -> list[dict[str, Any]]:
        return await asyncio.gather(*map(wait, runs))

    assert [run["run_id"] for run in asyncio.run(wait_for_all())] == runs


def test_a_broken_connection_ends_the_wait_with_the_field_at_fault(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"conn_type": "qlik_cloud", "host": tenant.url}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(broken))
    event = fire(QlikRunTrigger(kind="task", resource_id="some-task", run_id="some-run"))
    assert "password: must be given" in event["error"]


def test_credentials_that_are_refused_for_long_end_the_wait(tenant: Tenant) -> None:
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=1, script=Script(end=None))
    tenant.rotate("api_key")
    event = fire(QlikRunTrigger(kind="automation", resource_id=automation, run_id=run, poll_interval=0.2))
    assert "401" in event["error"]
    assert "refused for 0.3 s" in event["error"]
    assert 2 <= len(tenant.request_log()) <= 4
    assert tenant.active()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"resource_id": ""}, "resource_id"),
        ({"resource_id": "a/b"}, "resource_id"),
        ({"run_id": "a?b"}, "run_id"),
        ({"poll_interval": -1}, "poll_interval"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"kind": "reload-of-nothing"}, "kind"),
        ({"deadline": "soon"}, "deadline"),
        ({"started_after": "soon"}, "started_after"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        QlikRunTrigger(**{"kind": "task", "resource_id": "some-task", **arguments})
