from __future__ import annotations

import subprocess
import sys

import pytest

FAMILIES = ("tasks", "automations", "reloads", "sharing_tasks")
MODULES = (
    *(f"airflow_provider_qlik.operators.{family}" for family in (*FAMILIES, "call")),
    *(f"airflow_provider_qlik.sensors.{family}" for family in (*FAMILIES, "reload_tasks")),
    "airflow_provider_qlik.triggers.run",
    "airflow_provider_qlik.links",
)
DAG = """
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator

QlikCallOperator(task_id="e", operation="automations.disable", arguments={"automation_id": "1"})
QlikReloadAppOperator(task_id="f", app_name="Sales", variables={"a": "b"})
QlikRunSharingTaskOperator(task_id="g", sharing_task_id="1", download_to="s3://bucket/reports")
QlikRunTaskOperator(task_id="a", qlik_task_id="1", deferrable=True)
QlikRunAutomationOperator(task_id="b", automation_id="1")
QlikTaskRunSensor(task_id="c", qlik_task_id="1", started_after="{{ ts }}")
QlikAutomationRunSensor(task_id="d", automation_id="1", run_id="1")
"""


def loaded_by(code: str) -> set[str]:
    """The modules of this package, and the clients, that some code loads in a fresh process without a network."""
    probe = f"""
import socket, sys
def refuse(*_):
    raise AssertionError("a Dag file must not use the network")
socket.socket.connect = refuse
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator
BaseHook.get_connection = classmethod(refuse)
# Any operator at all makes Airflow 3.0 load its web server.
BaseOperator(task_id="any")
before = set(sys.modules)
{code}
print("\\n".join(set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("code", [*(f"import {module}" for module in MODULES), DAG], ids=[*MODULES, "a Dag"])
def test_a_dag_file_loads_no_client_and_looks_up_no_connection(code: str) -> None:
    loaded = loaded_by(code)
    ours = {name for name in loaded if name.startswith("airflow_provider_qlik")}
    assert ours
    layers = ("airflow_provider_qlik.cloud", "airflow_provider_qlik.runs", "airflow_provider_qlik.hooks.")
    assert {name for name in ours if name.startswith(layers)} == set()
    assert "jwt" not in loaded
