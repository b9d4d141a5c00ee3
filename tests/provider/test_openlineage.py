"""What Airflow's own OpenLineage provider gets of operators and sensors."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset, TaskDeferred

from airflow_provider_qlik.assets import qlik_app
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.reload_tasks import QlikReloadTaskSensor
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor
from tests.provider.conftest import FAST, InstallAirflow, Task, finish, fire

pytest.importorskip("airflow.providers.openlineage", reason="the OpenLineage provider is not installed")

from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.utils.state import TaskInstanceState

ON_AIRFLOW_3 = pytest.mark.skipif(
    not hasattr(Asset, "name"), reason="Airflow 2 does not show the event of a trigger before its task runs"
)
FACET = "qlikCloudRun"
both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def lineage(operator: Any, state: TaskInstanceState) -> Any:
    """What the provider extracts, without a request to anybody: it works in a process of its own, with ten seconds."""

    def refuse(*_: Any) -> None:
        raise AssertionError("lineage must not use the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        manager: Any = ExtractorManager()  # type: ignore[no-untyped-call]
        return manager.extract_metadata(
            dagrun=SimpleNamespace(run_id="run"),
            task=operator,
            task_instance_state=state,
            task_instance=SimpleNamespace(),
        )


def on_start(operator: Any) -> Any:
    return lineage(operator, TaskInstanceState.RUNNING)


def on_complete(operator: Any) -> Any:
    return lineage(operator, TaskInstanceState.SUCCESS)


def names(datasets: list[Any]) -> list[tuple[str, str]]:
    return [(dataset.namespace, dataset.name) for dataset in datasets]


def host(tenant: Tenant) -> str:
    return urlsplit(tenant.url).netloc


@contextlib.contextmanager
def resumed(event: Any) -> Iterator[None]:
    """A task process of Airflow 3 that is resumed with an event, before its task runs."""
    serialize: Any
    try:
        from airflow.sdk import serde

        serialize = serde.serialize
    except ImportError:
        from airflow.serialization.serialized_objects import BaseSerialization

        serialize = BaseSerialization.serialize
    from airflow.sdk.execution_time.context import set_current_context

    from_server = SimpleNamespace(next_method="execute_complete", next_kwargs=serialize({"event": event}))
    context: Any = {"ti": SimpleNamespace(_ti_context_from_server=from_server)}
    with set_current_context(context):
        yield


@both_modes
def test_a_run_is_the_external_query_of_its_task(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    operator = QlikReloadAppOperator(task_id="t", app_id=app, deferrable=deferrable, **FAST)
    begun = on_start(operator).run_facets

    result = finish(operator, task.context)
    ended = on_complete(operator)

    assert "externalQuery" not in begun
    assert (begun[FACET].jobType, begun[FACET].resourceId, begun[FACET].state) == ("RELOAD", app, None)
    query = ended.run_facets["externalQuery"]
    assert (query.externalQueryId, query.source) == (result["run_id"], host(tenant))
    facet = ended.run_facets[FACET]
    assert (facet.jobType, facet.state, facet.status) == ("RELOAD", "succeeded", "SUCCEEDED")
    assert facet.link == result["link"]
    assert names(ended.outputs) == [(f"qlik://{host(tenant)}", f"apps/{app}")]
    assert ended.inputs == []
    assert "errorMessage" not in ended.run_facets


def test_a_task_that_reloads_an_app_reports_the_app(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    operator = QlikRunTaskOperator(task_id="t", qlik_task_id=tenant.add_task("T", resource_id=app), **FAST)
    finish(operator, task.context)

    assert names(on_complete(operator).outputs) == [(f"qlik://{host(tenant)}", f"apps/{app}")]


def test_inlets_and_outlets_of_the_user_survive(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    inlet, outlet = qlik_app(tenant.url, "source"), qlik_app(tenant.url, "target")
    namespace = f"qlik://{host(tenant)}"
    only_inlets = QlikReloadAppOperator(task_id="a", app_id=app, inlets=[inlet], **FAST)
    only_outlets = QlikReloadAppOperator(task_id="b", app_id=app, outlets=[outlet], **FAST)
    for operator in (only_inlets, only_outlets):
        finish(operator, task.context)
    inputs, outputs = on_complete(only_inlets), on_complete(only_outlets)

    assert (names(inputs.inputs), names(inputs.outputs)) == ([(namespace, "apps/source")], [])
    assert (names(outputs.inputs), names(outputs.outputs)) == ([], [(namespace, "apps/target")])
    assert "externalQuery" in inputs.run_facets
    assert names(on_start(only_inlets).inputs) == [(namespace, "apps/source")]


@both_modes
def test_a_failure_has_the_run_and_the_reason(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    tenant.script(app, Script(run=2, end="FAILED", error="no such table"))
    operator = QlikReloadAppOperator(task_id="t", app_id=app, deferrable=deferrable, **FAST)

    with pytest.raises(Exception, match="no such table"):
        finish(operator, task.context)
    failed = lineage(operator, TaskInstanceState.FAILED)

    assert failed.run_facets["externalQuery"].externalQueryId == task.pushed["run_id"]
    assert "no such table" in failed.run_facets["errorMessage"].message
    assert failed.run_facets[FACET].state == "failed"
    assert failed.outputs == []


def test_a_run_that_has_only_been_started_has_updated_nothing(tenant: Tenant, task: Task) -> None:
    operator = QlikReloadAppOperator(task_id="t", app_id=tenant.add_app("Sales"), wait_for_completion=False)
    operator.execute(task.context)
    ended = on_complete(operator)

    assert ended.run_facets["externalQuery"].externalQueryId == task.pushed["run_id"]
    assert ended.outputs == []


@ON_AIRFLOW_3
def test_the_start_after_a_deferral_knows_the_run(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    first = QlikReloadAppOperator(task_id="t", app_id=app, deferrable=True, **FAST)
    with pytest.raises(TaskDeferred) as deferred:
        first.execute(task.context)
    event = fire(deferred.value.trigger)
    # Resumed in another process, with an operator that has noted nothing.
    second = QlikReloadAppOperator(task_id="t", app_id=app, deferrable=True, **FAST)

    with resumed(event):
        begun = on_start(second)

    query = begun.run_facets["externalQuery"]
    assert (query.externalQueryId, query.source) == (task.pushed["run_id"], host(tenant))
    assert begun.run_facets[FACET].link == task.pushed["qlik_link"]
    assert begun.outputs == []


@ON_AIRFLOW_3
@pytest.mark.parametrize("event", [None, "text", {}, {"run": None}, {"run": {"state": "odd"}}], ids=str)
def test_an_event_that_cannot_be_read_leaves_a_start_without_the_run(event: Any) -> None:
    operator = QlikRunAutomationOperator(task_id="t", automation_id="a", deferrable=True)

    with resumed(event):
        begun = on_start(operator)

    assert set(begun.run_facets) == {FACET}


def test_an_event_of_an_earlier_trigger_has_no_link(task: Task) -> None:
    operator = QlikRunAutomationOperator(task_id="t", automation_id="a")
    run = {"kind": "automation", "resource_id": "a", "run_id": "r", "status": "finished", "state": "succeeded"}
    operator._noted_run = {**run, "reason": None, "worker": None, "link": None}

    ended = on_complete(operator)

    assert set(ended.run_facets) == {FACET}
    assert ended.outputs == []


def test_a_sensor_has_seen_a_reload_and_not_updated_the_app(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    run = tenant.add_run(app)
    sensor = QlikReloadSensor(task_id="t", app_id=app, run_id=run, poke_interval=0.1)
    finish(sensor, task.context)
    ended = on_complete(sensor)

    assert ended.run_facets["externalQuery"].externalQueryId == run
    assert ended.outputs == []


def test_operators_without_a_run_say_what_they_do(tenant: Tenant, task: Task) -> None:
    call = QlikCallOperator(task_id="t", operation="tasks.get", arguments={"task_id": tenant.add_task("T")})
    call.execute(task.context)
    sensor = QlikReloadTaskSensor(task_id="s", reload_task_id="r", started_after="2026-01-01")
    sharing = QlikRunSharingTaskOperator(task_id="u", sharing_task_name="Report")

    assert on_complete(call).run_facets[FACET].jobType == "CALL"
    assert on_complete(call).run_facets[FACET].operation == "tasks.get"
    assert on_start(sensor).run_facets[FACET].jobType == "RELOAD_TASK"
    assert on_start(sharing).run_facets[FACET].resourceId is None


def test_the_dataset_of_an_asset_is_that_of_its_reload(tenant: Tenant, task: Task) -> None:
    from airflow.providers.openlineage.utils.utils import translate_airflow_asset

    app = tenant.add_app("Sales")
    operator = QlikReloadAppOperator(task_id="t", app_id=app, **FAST)
    finish(operator, task.context)
    dataset = translate_airflow_asset(qlik_app(tenant.url, app), None)

    assert dataset is not None
    assert names([dataset]) == names(on_complete(operator).outputs)


def test_without_the_provider_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    operator = QlikRunAutomationOperator(task_id="t", automation_id="a")

    assert operator.get_openlineage_facets_on_start() is None
    assert operator.get_openlineage_facets_on_complete(None) is None
    assert operator.get_openlineage_facets_on_failure(None) is None


DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator

with DAG("lineage", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    QlikReloadAppOperator(task_id="reload", app_id="sales", poll_interval=0.2, deferrable=True)
"""
RUN = "import sys; sys.path.insert(0, sys.argv[1]); from lineage import dag; dag.test()"


@ON_AIRFLOW_3
@pytest.mark.whole_airflow
def test_airflow_emits_the_run_at_the_second_start_and_at_the_end(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow
) -> None:
    tenant.add_app("Sales", id="sales")
    dags, emitted = tmp_path / "dags", tmp_path / "events.jsonl"
    dags.mkdir()
    (dags / "lineage.py").write_text(DAG)
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key}
    transport = {"type": "file", "log_file_path": str(emitted), "append": True}
    environment = {
        **install_airflow(tmp_path, dags),
        "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
    }
    process = subprocess.run(
        [sys.executable, "-c", RUN, str(dags)], capture_output=True, text=True, env=environment, check=False
    )

    lines = emitted.read_text().splitlines() if emitted.exists() else []
    events = [event for event in map(json.loads, lines) if event["job"]["name"] == "lineage.reload"]
    assert events, process.stdout[-4000:] + process.stderr[-4000:]
    facets = [(event["eventType"], event["run"]["facets"].get("externalQuery")) for event in events]
    first, *others, last = facets
    run_id = last[1]["externalQueryId"]
    assert (first, last[0]) == (("START", None), "COMPLETE")
    assert {(kind, query["externalQueryId"], query["source"]) for kind, query in others} == {
        ("START", run_id, host(tenant))
    }
    assert [(output["namespace"], output["name"]) for output in events[-1]["outputs"]] == [
        (f"qlik://{host(tenant)}", "apps/sales")
    ]
    assert events[-1]["run"]["facets"][FACET]["jobType"] == "RELOAD"
    assert tenant.api_key not in emitted.read_text()
