"""Whole Dags, run by `dag.test()` in a process of their own, as a user would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik.sandbox import Script, Tenant
from tests.provider.conftest import InstallAirflow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_DAGS = ROOT / "airflow_provider_qlik/example_dags"

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

with DAG("morning", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    prepare = QlikRunAutomationOperator(task_id="prepare", automation_id="prepare", poll_interval=0.2)
    refresh = QlikRunTaskOperator(task_id="refresh", qlik_task_id="refresh", poll_interval=0.2)
    look = QlikTaskRunSensor(task_id="look", qlik_task_id="refresh", run_id="{{ ti.xcom_pull('refresh')['run_id'] }}")
    fail = QlikRunAutomationOperator(task_id="fail", automation_id="fail", poll_interval=0.2)
    last = QlikAutomationRunSensor(task_id="last", automation_id="prepare", poke_interval=0.2)
    prepare >> refresh >> look >> last >> fail
"""

RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from morning import dag
from airflow_provider_qlik.triggers.run import QlikRunTrigger
triggers, run_trigger = [], QlikRunTrigger.run
QlikRunTrigger.run = lambda trigger: triggers.append(trigger) or run_trigger(trigger)
run = dag.test()
instances = run.get_task_instances()
from airflow_provider_qlik.cloud.transport.token_cache import SharedToken
print("RESULT " + json.dumps({
    "states": {each.task_id: str(each.state) for each in instances},
    "returned": {each.task_id: each.xcom_pull(task_ids=each.task_id) for each in instances},
    "tokens": len(SharedToken._all),
    "triggers": len(triggers),
}))
with open(sys.argv[2], "w") as file:
    json.dump([shared.token.value.get_secret_value() for shared in SharedToken._all.values()], file)
"""


@pytest.mark.whole_airflow
@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["on the worker", "deferred"])
def test_a_whole_dag_ends_rightly_and_keeps_its_secrets(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow, deferrable: str
) -> None:
    tenant.add_automation("Prepare", id="prepare")
    tenant.add_automation("Fail", id="fail")
    tenant.script("fail", Script(run=2, end="failed", error="no connection to SAP"))
    tenant.add_task("Refresh", id="refresh")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "morning.py").write_text(textwrap.dedent(DAG))
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "login": tenant.client_id,
        "password": tenant.client_secret,
        "extra": {"auth_type": "client_credentials"},
    }
    process = subprocess.run(
        [sys.executable, "-c", RUN, str(dags), str(tmp_path / "tokens.json")],
        capture_output=True,
        text=True,
        check=False,
        env={
            **install_airflow(tmp_path, dags),
            # Not all of Airflow's: that logs the very secrets it is told to mask.
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": (
                "airflow_provider_qlik=DEBUG airflow.task=DEBUG httpx=DEBUG httpcore=DEBUG"
            ),
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": deferrable,
            "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection),
        },
    )
    output = process.stdout + process.stderr
    found = re.search(r"^RESULT (.*)$", process.stdout, re.MULTILINE)
    assert found, output[-3000:]
    result = json.loads(found[1])

    assert result["states"] == dict.fromkeys(("prepare", "refresh", "look", "last"), "success") | {"fail": "failed"}
    assert "no connection to SAP" in output
    returned = result["returned"]
    assert returned["look"] == returned["refresh"]
    assert returned["last"] == returned["prepare"]
    assert [len(tenant.runs(each)) for each in ("prepare", "refresh", "fail")] == [1, 1, 1]
    assert tenant.active() == []
    assert bool(result["triggers"]) == (deferrable == "True")

    secrets = [tenant.client_secret, *json.loads((tmp_path / "tokens.json").read_text())]
    assert len(secrets) == 2
    database = (tmp_path / "airflow.db").read_bytes()
    # Where one cannot choose whose debug lines are shown (3.0), Airflow's own show what it is told to mask.
    told = "\n".join(line for line in output.splitlines() if "MaskSecret(value=" not in line)
    for secret in secrets:
        assert secret not in told
        assert secret.encode() not in database
    # One token for the whole process.
    assert len(tenant.request_log(operation="token")) == 1


EXAMPLES = ("qlik_run_task", "qlik_run_automation", "qlik_reload_apps", "qlik_reports", "qlik_wait_for_schedule")

RUN_EXAMPLES = """
import importlib, json, sys
result = {}
for name in sys.argv[2:]:
    module = importlib.import_module(f"airflow_provider_qlik.example_dags.{name}")
    run = module.dag.test(run_conf={"folder": sys.argv[1]})
    result[name] = [
        (each.task_id, each.map_index, each.rendered_map_index, str(each.state),
         each.xcom_pull(task_ids=each.task_id, map_indexes=each.map_index),
         each.xcom_pull(task_ids=each.task_id, map_indexes=each.map_index, key="qlik_link"))
        for each in run.get_task_instances()
    ]
print("RESULT " + json.dumps(result))
"""


@pytest.mark.whole_airflow
@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["on the worker", "deferred"])
def test_every_example_dag_works(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow, deferrable: str
) -> None:
    furnish(tenant)
    result, output = run_examples(tmp_path, install_airflow, deferrable)

    tasks = [(name, *row) for name, rows in result.items() for row in rows]
    assert {row[4] for row in tasks} == {"success"}, output[-6000:]
    assert len(tasks) == 14
    assert {label for _, task_id, _, label, *_ in tasks if task_id in {"regions", "last_reloads"}} == {
        "demo-north",
        "demo-south",
    }
    for name, task_id, _, _, _, returned, link in tasks:
        if task_id not in {"schedules", "last", "last_reloads", "exported", "nightly"}:
            assert link == returned["link"], (name, task_id)
            assert link.startswith(tenant.url)
    assert len(list((tmp_path / "reports").iterdir())) == 2
    started = [entry for entry in tenant.request_log(method="POST", path="/api/*") if entry.carried_out]
    assert len(started) == 7
    assert tenant.active() == []


@pytest.mark.whole_airflow
@pytest.mark.parametrize("deferrable", ["False", "True"], ids=["on the worker", "deferred"])
def test_every_example_dag_works_as_the_least_that_its_docstring_names(
    tenant: Tenant,
    tmp_path: Path,
    install_airflow: InstallAirflow,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: str,
) -> None:
    user = tenant.add_user("Airflow")
    space = tenant.add_space("Finance")
    tenant.grant_role(space, user.id, "producer")
    furnish(tenant, space, user.id)
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": user.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))

    result, output = run_examples(tmp_path, install_airflow, deferrable)

    tasks = [(name, *row) for name, rows in result.items() for row in rows]
    assert {row[4] for row in tasks} == {"success"}, output[-6000:]
    # What an editor may not read is not needed.
    refused = {entry.operation for entry in tenant.request_log(path="/api/*") if entry.status == 403}
    # The list of all tasks is asked once to see where the tenant has them; a refusal tells that, too.
    assert refused <= {"list_automation_runs", "get_automation", "list_tasks"}
    for name in (*EXAMPLES, "qlik_morning_refresh"):
        assert "Required permissions: " in (EXAMPLE_DAGS / f"{name}.py").read_text(encoding="utf-8")


def furnish(tenant: Tenant, space: str | None = None, owner: str | None = None) -> None:
    """What the examples need: all of it in a space, and owned by a user where only the owner may do what they do."""
    space = space or tenant.add_space("Finance")
    owned = {"ownerId": owner} if owner else {}
    tenant.add_app("Demo", id="demo-app", space_id=space)
    tenant.add_run(tenant.add_task("Nightly load", id="demo-nightly", resource_id="demo-app"), started_ago=3600)
    tenant.add_task("Refresh", id="demo-task", resource_id="demo-app")
    tenant.add_automation("Export data", spaceId=space)
    tenant.add_automation("Mail", id="demo-mail", run_mode="triggered", **owned)
    tenant.add_app("Sales", space_id=space)
    tenant.add_app("North", id="demo-north", space_id=space)
    tenant.add_app("South", id="demo-south", space_id=space)
    recipients = ("anna@example.com", "bert@example.com")
    tenant.add_sharing_task("Weekly", id="demo-report", recipients=recipients, **({"owner": owner} if owner else {}))
    for each in ("demo-mail", "demo-report"):
        tenant.script(each, Script(run=60, end="finished" if each == "demo-mail" else "successful"))


def run_examples(tmp_path: Path, install_airflow: InstallAirflow, deferrable: str) -> tuple[dict[str, Any], str]:
    """What the tasks of each example came to, and all that was written."""
    process = subprocess.run(
        [sys.executable, "-c", RUN_EXAMPLES, str(tmp_path / "reports"), *EXAMPLES],
        capture_output=True,
        text=True,
        check=False,
        env={
            **install_airflow(tmp_path, EXAMPLE_DAGS),
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": deferrable,
        },
    )
    output = process.stdout + process.stderr
    found = re.search(r"^RESULT (.*)$", process.stdout, re.MULTILINE)
    assert found, output[-3000:]
    (tmp_path / "out.txt").write_text(output)
    return dict(json.loads(found[1])), output


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLE_DAGS.glob("qlik_*.py")))
def test_every_example_dag_is_named_by_a_test(name: str) -> None:
    texts = (path.read_text(encoding="utf-8") for path in [*ROOT.glob("tests/**/*.py"), ROOT / "demo/run.py"])
    assert any(re.search(rf"\b{name}\b", text) for text in texts)


@pytest.mark.whole_airflow
def test_make_demo_works() -> None:
    process = subprocess.run([sys.executable, str(ROOT / "demo/run.py")], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    table = process.stdout.partition("\nrun ")[2]
    assert re.search(r"^prepare_data \+ data_ready +automation +\S+ +finished +2\.0 +http://\S+$", table, re.MULTILINE)
    assert re.search(r"^refresh_app +task +\S+ +SUCCEEDED +\d\.\d +http://\S+$", table, re.MULTILINE)
    assert "Reload finished" in process.stdout
    assert "Left running in the tenant: 0" in process.stdout
