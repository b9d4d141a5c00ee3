"""Ctrl-C while `dag.test()` runs: the run in Qlik Cloud ends as if its task had been killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from pytest_mock import MockerFixture

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import cancellation
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests.provider.conftest import FAST, InstallAirflow, Task

DAG = """
    from datetime import datetime
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator

    with DAG("morning", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        QlikRunAutomationOperator(task_id="prepare", automation_id="prepare", poll_interval=0.2)
"""

RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
# The database is migrated already, so that this takes a moment; without it, Airflow 2 ends with another exit status.
from airflow.utils.db import initdb
initdb()
sys.path.insert(0, sys.argv[1])
from morning import dag
run = dag.test()
print("STATES", *(each.state for each in run.get_task_instances()))
"""


@pytest.mark.whole_airflow
@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["on the worker", "deferred"])
def test_an_interrupted_dag_leaves_nothing_running(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow, deferrable: str
) -> None:
    tenant.add_automation("Prepare", id="prepare")
    tenant.script("prepare", Script(end=None))
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "morning.py").write_text(textwrap.dedent(DAG))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(dags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **install_airflow(tmp_path, dags),
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": deferrable,
        },
    )
    try:
        until = time.monotonic() + 120
        while len(tenant.request_log(operation="get_automation_run")) < 3:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    (run,) = tenant.runs("prepare")
    assert run["cancel_requested_at"] is not None, output
    assert [entry.operation for entry in tenant.request_log(method="POST", path="/api/*")] == [
        "create_automation_run",
        "stop_automation_run",
    ]
    if deferrable == "True" or "STATES" not in output:
        # Airflow 2 ends with the interrupt on a worker, too.
        assert output.rstrip().endswith("KeyboardInterrupt")
        assert process.returncode == -signal.SIGINT
    else:
        # The task runner of Airflow 3 takes the interrupt for a failure of the task, and dag.test() goes on.
        assert "KeyboardInterrupt" in output
        assert "STATES failed" in output


@pytest.mark.parametrize("moment", ["while it is started", "once it has started", "while waiting"])
def test_whenever_a_task_is_interrupted_its_run_ends(
    tenant: Tenant, task: Task, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.lifecycle.checkpoint import CheckpointStore
    from airflow_provider_qlik.runs import RunWait

    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(end=None))
    from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt
        yield

    save = CheckpointStore.save

    def save_or_interrupt(checkpoint: CheckpointStore, intent: Any, run: Any = None) -> None:
        if run is not None:
            raise KeyboardInterrupt
        save(checkpoint, intent, run)

    if moment == "while it is started":
        from airflow_provider_qlik.runs import starting

        monkeypatch.setattr(starting, "find", interrupt)
    elif moment == "once it has started":
        monkeypatch.setattr(CheckpointStore, "save", save_or_interrupt)
    else:
        monkeypatch.setattr(RunWait, "until_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        QlikRunTaskOperator(task_id="run", qlik_task_id=qlik_task, **FAST).execute(task.context)
    tenant.advance(5)
    assert tenant.active() == []


def test_a_run_that_is_to_be_left_alone_survives_an_interrupt(
    tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.runs import RunWait

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(RunWait, "until_end", interrupt)
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(end=None))
    operator = QlikRunAutomationOperator(task_id="run", automation_id=automation, cancel_on_kill=False, **FAST)
    with pytest.raises(KeyboardInterrupt):
        operator.execute(task.context)
    assert tenant.runs(automation)[0]["cancel_requested_at"] is None


@pytest.mark.parametrize("task_instance", [None, "deferred"], ids=["in dag.test", "in a triggerer"])
def test_only_without_a_triggerer_an_interrupted_trigger_is_the_end_of_its_run(
    tenant: Tenant, task: Task, task_instance: str | None, mocker: MockerFixture
) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(end=None))
    operator = QlikRunAutomationOperator(task_id="run", automation_id=automation, deferrable=True, **FAST)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context)
    trigger = QlikRunTrigger(**deferred.value.trigger.serialize()[1])
    if task_instance is not None:
        # The task instance that a triggerer sets, with nothing but its identity.
        trigger.task_instance = mocker.NonCallableMock(
            spec_set=["dag_id", "run_id", "task_id", "map_index"],
            dag_id="dag",
            run_id="run",
            task_id="run",
            map_index=-1,
        )
        mocker.patch.object(cancellation, "task_state", return_value=task_instance)
    tenant.clear_request_log()

    async def interrupted() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        while not await asyncio.to_thread(tenant.request_log, "get_automation_run"):
            await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if task_instance is None:
            # It is done by then: dag.test() closes the event loop.
            assert len(tenant.request_log(operation="stop_automation_run")) == 1
        elif trigger.cancellation is not None:
            await trigger.cancellation.task

    asyncio.run(interrupted())
    assert len(tenant.request_log(operation="stop_automation_run")) == (task_instance is None)
