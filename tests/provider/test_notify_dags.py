"""Notifiers, saved logs and the hook in whole Dags, run by `dag.test()` in a process of their own."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_qlik.sandbox import Script, Tenant
from tests.provider.conftest import InstallAirflow

EXAMPLE_DAGS = Path(__file__).resolve().parents[2] / "airflow_provider_qlik/example_dags"
HAS_ASYNC_TASKS = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 2)
EXAMPLES = ("qlik_hook_in_task", "qlik_notify_on_failure", "qlik_save_reload_log")

RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
result = {}
for name in sys.argv[3:]:
    run = __import__(name).dag.test(run_conf={"folder": sys.argv[2]})
    result[name] = {
        each.task_id: [str(each.state), each.xcom_pull(task_ids=each.task_id)] for each in run.get_task_instances()
    }
"""
MISS = """
# What the scheduler does about a missed deadline, and then the triggerer. The deadline is not that of the Dag, since
# `dag.test()` of Airflow 3.3.2 ends with an error in a Dag that has one.
import asyncio, importlib, inspect
from datetime import datetime, timezone
from airflow.models.dagrun import DagRun
from airflow.models.deadline import Deadline
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow_provider_qlik.notifications.automation import QlikAutomationNotifier
try:
    from airflow.sdk.definitions.callback import AsyncCallback
except ImportError:
    from airflow.sdk.definitions.deadline import AsyncCallback

async def fire(path, arguments):
    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**arguments)
    return [event.payload async for event in trigger.run()]

inputs = {"of": "deadline", "what": "{{ dag_run.dag_id }}", "task": "{{ ti.task_id }}"}
with create_session() as session:
    run = session.query(DagRun).one()
    given = {
        "deadline_time": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "callback": AsyncCallback(QlikAutomationNotifier, kwargs={"automation_id": "tell", "inputs": inputs}),
        "dagrun_id": run.id,
        "dag_id": run.dag_id,
        "deadline_alert_id": None,
    }
    taken = inspect.signature(Deadline.__init__).parameters
    deadline = Deadline(**{name: value for name, value in given.items() if name in taken})
    session.add(deadline)
    session.flush()
    deadline.handle_miss(session)
with create_session() as session:
    triggers = [(each.classpath, each.kwargs) for each in session.query(Trigger).all()]
result["events"] = [str(asyncio.run(fire(*each))[-1]) for each in triggers]
"""
PRINT = """
print("RESULT " + json.dumps(result))
"""
DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_qlik.notifications.automation import QlikAutomationNotifier
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator

def notifier(of):
    inputs = {"of": of, "what": "{{ dag.dag_id }}", "task": "{{ ti.task_id }}", "why": "{{ exception }}"}
    return QlikAutomationNotifier(automation_id="tell", inputs=inputs)

with DAG("notified", schedule=None, start_date=datetime(2026, 1, 1), on_failure_callback=notifier("dag")) as dag:
    shared = notifier("task")
    first = QlikRunAutomationOperator(
        task_id="first", automation_id="first", poll_interval=0.2, on_failure_callback=shared
    )
    second = QlikRunAutomationOperator(
        task_id="second", automation_id="second", poll_interval=0.2, on_failure_callback=shared
    )
"""


def run(
    code: str, folder: Path, tmp_path: Path, install_airflow: InstallAirflow, *names: str, **environment: str
) -> tuple[dict[str, Any], str]:
    """Return what the tasks of the Dags came to, and all that was written."""
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "logs"), *names],
        capture_output=True,
        text=True,
        check=False,
        env={**install_airflow(tmp_path, folder), **environment},
    )
    output = process.stdout + process.stderr
    found = re.search(r"^RESULT (.*)$", process.stdout, re.MULTILINE)
    assert found, output[-5000:]
    return dict(json.loads(found[1])), output


@pytest.mark.whole_airflow
@pytest.mark.parametrize("broken", [False, True], ids=["Qlik works", "Qlik refuses"])
def test_failed_tasks_a_failed_dag_and_a_missed_deadline_notify_once_each(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow, broken: bool
) -> None:
    tenant.add_automation("Tell", id="tell", run_mode="triggered")
    for each in ("first", "second"):
        tenant.add_automation(each, id=each)
        tenant.script(each, Script(run=1, end="failed", error=f"no connection to {each}"))
    if broken:
        tenant.fault(operation="execute_automation", times=None, status=500, carried_out=True)
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "notified.py").write_text(textwrap.dedent(DAG))
    has_deadlines = _is_there("airflow.sdk.definitions.deadline")

    code = RUN + (MISS if has_deadlines else "") + PRINT
    result, output = run(code, folder, tmp_path, install_airflow, "notified")

    events = result.pop("events", [])
    assert {state for state, _ in result["notified"].values()} == {"failed"}, output[-5000:]
    bodies = [entry.body for entry in tenant.request_log(operation="execute_automation")]
    of_tasks = {body["task"]: body["why"] for body in bodies if body["of"] == "task"}
    assert sorted(of_tasks) == ["first", "second"]
    for task_id, why in of_tasks.items():
        # Airflow 3.0 and 3.1 do not put the exception into the context of a callback.
        lacking = airflow_version.startswith(("3.0", "3.1")) and why == "(exception is not available here)"
        assert lacking or f"no connection to {task_id}" in why
    assert all(body["what"] == "notified" for body in bodies)
    assert sum(body["of"] == "task" for body in bodies) == 2
    assert sum(body["of"] == "dag" for body in bodies) == 1
    if has_deadlines:
        assert len(events) == 1
        assert "success" in events[0].lower()
    of_deadlines = [body for body in bodies if body["of"] == "deadline"]
    assert len(of_deadlines) == (1 if has_deadlines else 0), output[-5000:]
    assert all(body["task"] == "(ti.task_id is not available here)" for body in of_deadlines)
    assert len(tenant.runs("tell")) == len(bodies)
    assert ("The automation may have been started, and was not started again" in output) == broken
    assert tenant.api_key not in output


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # Airflow 2 has no package `airflow.sdk`
        return False


@pytest.mark.whole_airflow
def test_the_examples_of_callbacks_logs_and_the_hook_work(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow
) -> None:
    tenant.add_app("Demo", id="demo-app")
    tenant.script("demo-app", Script(run=1, log=("Connected", "Fields found: 12")))
    for each in ("demo-task", "demo-nightly"):
        tenant.add_run(tenant.add_task(each, id=each), started_ago=3600)
    tenant.add_automation("Off", state="disabled")
    tenant.add_automation("Mail", id="demo-mail", run_mode="triggered")

    result, output = run(RUN + PRINT, EXAMPLE_DAGS, tmp_path, install_airflow, *EXAMPLES)

    states = {(name, task_id): state for name, tasks in result.items() for task_id, (state, _) in tasks.items()}
    assert set(states.values()) == {"success"}, output[-6000:]
    assert result["qlik_hook_in_task"]["disabled_automations"][1] == ["Off"]
    assert ("last_runs" in result["qlik_hook_in_task"]) == HAS_ASYNC_TASKS
    if HAS_ASYNC_TASKS:
        last_runs = result["qlik_hook_in_task"]["last_runs"][1]
        assert last_runs == {"demo-task": "SUCCEEDED", "demo-nightly": "SUCCEEDED"}
    log_path = Path(result["qlik_save_reload_log"]["sales"][1]["log_path"])
    assert log_path.read_text().splitlines()[:1] == ["Connected"]
    assert tmp_path / "logs" in log_path.parents
    assert tenant.runs("demo-mail") == []
    for name in EXAMPLES:
        assert "Required permissions: " in (EXAMPLE_DAGS / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.whole_airflow
def test_the_example_of_a_failure_runs_its_automation(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow
) -> None:
    tenant.add_app("Demo", id="demo-app")
    tenant.script("demo-app", Script(run=1, end="FAILED", error="Table 'ledger' not found"))
    tenant.add_automation("Mail", id="demo-mail", run_mode="triggered")

    result, output = run(RUN + PRINT, EXAMPLE_DAGS, tmp_path, install_airflow, "qlik_notify_on_failure")

    assert result["qlik_notify_on_failure"]["sales"][0] == "failed", output[-5000:]
    (entry,) = tenant.request_log(operation="execute_automation")
    assert entry.body["what"] == "sales has failed"
    if not airflow_version.startswith(("3.0", "3.1")):
        assert "Table 'ledger' not found" in entry.body["why"]
