from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

FAMILIES = ("tasks", "automations", "reloads", "sharing_tasks")
MODULES = (
    *(f"airflow_provider_qlik.operators.{family}" for family in (*FAMILIES, "call")),
    *(f"airflow_provider_qlik.sensors.{family}" for family in (*FAMILIES, "reload_tasks")),
    "airflow_provider_qlik.assets",
    "airflow_provider_qlik.triggers.run",
    "airflow_provider_qlik.triggers.sensor",
    "airflow_provider_qlik.sensors.starting",
    "airflow_provider_qlik.triggers.task_chain",
    "airflow_provider_qlik.triggers.run_event",
    "airflow_provider_qlik.links",
    "airflow_provider_qlik.notifications.automation",
)
DAG = """
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.assets import qlik_app

QlikReloadAppOperator(task_id="j", app_id="1", outlets=[qlik_app("acme.eu.qlikcloud.com", "1")])
from airflow_provider_qlik.notifications.automation import QlikAutomationNotifier

QlikAutomationNotifier(automation_name="Tell", inputs={"what": "{{ ti.task_id }}"})
QlikCallOperator(task_id="e", operation="automations.disable", arguments={"automation_id": "1"})
QlikReloadAppOperator(task_id="f", app_name="Sales", variables={"a": "b"})
QlikRunSharingTaskOperator(task_id="g", sharing_task_id="1", download_to="s3://bucket/reports")
QlikRunTaskOperator(task_id="a", qlik_task_id="1", deferrable=True)
QlikRunTaskOperator(task_id="h", qlik_task_id="1", wait_for_chain=True, fail_on_chain="never")
QlikRunAutomationOperator(task_id="b", automation_id="1")
QlikTaskRunSensor(task_id="c", qlik_task_id="1", started_after="{{ ts }}")
QlikAutomationRunSensor(task_id="d", automation_id="1", run_id="1")
QlikAutomationRunSensor(task_id="i", automation_id="1", started_after="2026-11-01", deferrable=True)
"""

WATCHER_DAG = """
from airflow_provider_qlik.compat import watches_assets
from airflow_provider_qlik.triggers.run_event import QlikRunEventTrigger

if watches_assets():
    from airflow.sdk import Asset, AssetWatcher

    trigger = QlikRunEventTrigger(kind="task", resource_id="1", since="2026-01-31")
    DAG("after", schedule=[Asset("sales", watchers=[AssetWatcher(name="sales", trigger=trigger)])])
"""


CODES = {**{module: f"import {module}" for module in MODULES}, "a Dag": DAG, "a Dag with a watcher": WATCHER_DAG}

PARSE = """
import json, os, socket, sys, traceback
def refuse(*_):
    raise AssertionError("a Dag file must not use the network")
socket.socket.connect = refuse
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator
BaseHook.get_connection = classmethod(refuse)
# Any operator at all makes Airflow 3.0 load its web server.
BaseOperator(task_id="any")
before = set(sys.modules)

def parse(code):
    try:
        exec(compile(code, "<a Dag file>", "exec"), {"__name__": "a_dag_file", "DAG": DAG})
    except BaseException:
        return {"loaded": [], "error": traceback.format_exc()}
    return {"loaded": sorted(set(sys.modules) - before), "error": None}

results = {}
for name, code in json.load(sys.stdin).items():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with open(writer, "w") as pipe:
            json.dump(parse(code), pipe)
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    results[name] = json.loads(text or '{"loaded": [], "error": "The process ended early."}')
sys.stdout.write("\\nRESULT " + json.dumps(results))
"""


@pytest.fixture(scope="module")
def parsed() -> dict[str, dict[str, Any]]:
    """Return the modules that each code loads, and its error.

    Importing Airflow takes most of the time, so one process without a network does that once. As a Dag processor does,
    it forks for each code: no code sees what another one has loaded.
    """
    run = subprocess.run(
        [sys.executable, "-c", PARSE], input=json.dumps(CODES), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout.rpartition("\nRESULT ")[2]))


@pytest.mark.parametrize("code", CODES)
def test_a_dag_file_loads_no_client_and_looks_up_no_connection(parsed: dict[str, dict[str, Any]], code: str) -> None:
    assert parsed[code]["error"] is None, parsed[code]["error"]
    loaded = set(parsed[code]["loaded"])
    ours = {name for name in loaded if name.startswith("airflow_provider_qlik")}
    assert ours
    layers = ("airflow_provider_qlik.cloud", "airflow_provider_qlik.runs", "airflow_provider_qlik.hooks.")
    assert {name for name in ours if name.startswith(layers)} == set()
    assert "jwt" not in loaded
