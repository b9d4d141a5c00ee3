"""No secret of a connection shows in what Airflow keeps, shows or logs; and the search for it misses no place."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT, send_with_retries
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests.planted_secret import Search, searching
from tests.provider.conftest import FAST, InstallAirflow, Task, finish, fire

ROOT = Path(__file__).resolve().parents[2]
SECRET = "planted-secret-c0ffee-c0ffee"


def places_of(leak: Callable[[], object]) -> set[str]:
    """The places where the search finds a secret that somebody lets slip."""
    with searching() as search:
        search.plant(SECRET)
        leak()
    return {hit.partition(": ")[0] for hit in search.hits()}


# The search finds what shows.


def test_only_what_airflow_is_told_to_mask_is_left_out_of_its_logs(tenant: Tenant) -> None:
    class MaskSecret(str):
        """Named as Airflow's message is."""

    log: Any = QlikRunTaskOperator(task_id="run", qlik_task_id="t").log
    if isinstance(log, logging.Logger):
        pytest.skip("Airflow 2 sends no messages to a supervisor")
    assert places_of(lambda: log.info("sent", msg=MaskSecret(SECRET))) == set()
    assert places_of(lambda: log.info("sent", msg=SECRET)) != set()


def test_a_line_of_an_operators_log_is_searched_whatever_its_level(tenant: Tenant) -> None:
    operator = QlikRunTaskOperator(task_id="run", qlik_task_id="t")
    for log in (operator.log.info, operator.log.debug, operator.log.error):
        (place,) = places_of(lambda log=log: log("key %s", SECRET))  # type: ignore[misc]
        assert place.startswith("the log of ")


def test_xcoms_and_what_the_store_keeps_are_searched(task: Task) -> None:
    assert places_of(lambda: task.context["ti"].xcom_push(key="run_id", value={"a": [SECRET]})) == {"the XCom run_id"}
    assert places_of(lambda: task.store.set("qlik_run", {"a": SECRET})) == {"the task state store, qlik_run"}


def test_what_a_task_returns_raises_and_was_rendered_to_is_searched(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = QlikRunTaskOperator(task_id="run", qlik_task_id="t")

    def returns(self: Any, context: Any) -> str:
        return SECRET

    def raises(self: Any, context: Any) -> None:
        raise AirflowException("no") from ValueError(SECRET)

    with monkeypatch.context() as patch:
        patch.setattr(QlikRunOperator, "execute", returns)
        assert places_of(lambda: operator.execute(task.context)) == {"what QlikRunOperator.execute returned"}
    with monkeypatch.context() as patch:
        patch.setattr(QlikRunOperator, "execute", raises)

        def leak() -> None:
            with pytest.raises(AirflowException):
                operator.execute(task.context)

        assert places_of(leak) == {"what QlikRunOperator.execute raised"}
    with monkeypatch.context() as patch:
        patch.setattr(QlikRunOperator, "execute", lambda self, context: None)
        operator.qlik_task_id = SECRET
        assert "the rendered qlik_task_id of QlikRunTaskOperator" in places_of(lambda: operator.execute(task.context))


def test_arguments_rows_and_events_of_a_trigger_are_searched(tenant: Tenant) -> None:
    def make() -> QlikRunTrigger:
        return QlikRunTrigger(kind="task", resource_id=SECRET, poll_interval=0.1)

    assert places_of(make) == {"the arguments of QlikRunTrigger"}
    made = make()
    assert places_of(made.serialize) == {"the row of QlikRunTrigger"}
    # Nobody knows it: the event says so, and names it.
    assert "the event of QlikRunTrigger" in places_of(lambda: fire(made))


def test_what_a_task_defers_with_is_searched(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def defers(self: Any, context: Any) -> None:
        trigger = QlikRunTrigger(kind="task", resource_id="t")
        raise TaskDeferred(trigger=trigger, method_name="execute_complete", kwargs={"a": SECRET})

    monkeypatch.setattr(QlikRunOperator, "execute", defers)

    def leak() -> None:
        with pytest.raises(TaskDeferred):
            QlikRunTaskOperator(task_id="run", qlik_task_id="t").execute(task.context)

    assert "what QlikRunOperator.execute deferred with" in places_of(leak)


def test_how_a_hook_looks_and_what_its_test_button_says_is_searched(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QlikCloudHook, "__repr__", lambda self: SECRET)
    assert "how a hook looks" in places_of(lambda: QlikCloudHook().test_connection())


# And there is nothing to find.


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
def test_nothing_shows_where_all_there_is_is_done(
    tenant: Tenant, task: Task, nothing_shows_a_secret: Search, deferrable: bool
) -> None:
    mail = tenant.add_automation("Mail", run_mode="triggered")
    tenant.script(mail, Script(run=4, end="finished"))
    operator = QlikRunAutomationOperator(
        task_id="run", automation_id=mail, inputs={"to": "anna"}, settle_time=0.2, deferrable=deferrable, **FAST
    )
    finish(operator, task.context)
    for operation in ("automations.get", "automations.list"):
        arguments = {"automation_id": mail} if operation.endswith("get") else {}
        QlikCallOperator(task_id="call", operation=operation, arguments=arguments).execute(task.context)

    token_of_the_automation = [each for each in nothing_shows_a_secret.planted if not each.startswith("sandbox-")]
    assert tenant.api_key in nothing_shows_a_secret.planted
    assert len(token_of_the_automation) == 1
    assert {"the XCom run_id", "the task state store, qlik_run", "an answer as JSON"} <= nothing_shows_a_secret.places
    deferred = {
        "the row of QlikRunTrigger",
        "the event of QlikRunTrigger",
        "what QlikRunOperator.execute deferred with",
    }
    assert deferred <= nothing_shows_a_secret.places or not deferrable


def test_nothing_shows_where_what_comes_back_makes_no_sense(
    tenant: Tenant, task: Task, nothing_shows_a_secret: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "airflow_provider_qlik.cloud.transport.paths.send_with_retries",
        lambda call, _: send_with_retries(call, ONE_ATTEMPT),
    )
    mail = tenant.add_automation("Mail", run_mode="triggered")
    operation: dict[str, Any] = {"operation": "automations.get", "arguments": {"automation_id": mail}}
    for answer in ("truncated", "nonsense", "html"):
        tenant.clear_faults()
        tenant.fault(operation="get_automation", times=None, response=answer)
        with pytest.raises(AirflowException):
            QlikCallOperator(task_id="call", **operation).execute(task.context)
    assert any("what QlikCallOperator.execute raised" in place for place in nothing_shows_a_secret.places)


DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator

with DAG("secretive", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    mail = QlikRunAutomationOperator(
        task_id="mail", automation_id="mail", inputs={"to": "anna"}, settle_time=0.2, poll_interval=0.2
    )
    shown = QlikCallOperator(task_id="shown", operation="automations.get", arguments={"automation_id": "mail"})
    listed = QlikCallOperator(task_id="listed", operation="automations.list")
    refresh = QlikRunTaskOperator(task_id="refresh", qlik_task_id="refresh", poll_interval=0.2, deferrable=True)
    lost = QlikRunTaskOperator(task_id="lost", qlik_task_id="nowhere")
    mail >> shown >> listed >> refresh >> lost
"""

RUN = """
import json, sys
sys.path[:0] = sys.argv[1:3]
try:
    import airflow.sdk.execution_time.task_runner
except ImportError:
    pass  # Airflow 2
from secretive import dag
from tests.planted_secret import searching
import airflow_provider_qlik.hooks.qlik_cloud, airflow_provider_qlik.triggers.run
with searching() as search:
    run = dag.test()
with open(sys.argv[3], "w") as file:
    json.dump({
        "states": {each.task_id: str(each.state) for each in run.get_task_instances()},
        "hits": search.hits(), "planted": search.planted, "places": sorted(search.places),
    }, file)
"""


@pytest.mark.whole_airflow
def test_nothing_shows_in_a_whole_dag(tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow) -> None:
    tenant.add_automation("Mail", id="mail", run_mode="triggered")
    tenant.script("mail", Script(run=4, end="finished"))
    tenant.add_task("Refresh", id="refresh")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "secretive.py").write_text(textwrap.dedent(DAG))
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "login": tenant.client_id,
        "password": tenant.client_secret,
        "extra": {"auth_type": "client_credentials"},
    }
    found = tmp_path / "found.json"
    process = subprocess.run(
        [sys.executable, "-c", RUN, str(dags), str(ROOT), str(found)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **install_airflow(tmp_path, dags),
            "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection),
        },
    )
    output = process.stdout + process.stderr
    assert found.exists(), output[-3000:]
    result = json.loads(found.read_text())

    succeeded = dict.fromkeys(("mail", "shown", "listed", "refresh"), "success")
    assert result["states"] == {**succeeded, "lost": "failed"}, output[-3000:]
    assert result["hits"] == []
    # The client's secret and token, and the token of the automation.
    assert len(result["planted"]) == 3
    assert connection["password"] in result["planted"]
    for place in ("QlikCallOperator.execute returned", "the row of QlikRunTrigger", "the event of QlikRunTrigger"):
        assert any(place in seen for seen in result["places"]), place
    assert any(re.match("the log of airflow", seen) for seen in result["places"])

    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path != found]
    assert tmp_path / "airflow.db" in kept
    # Airflow logs, at DEBUG, what it is told to mask.
    shown = [line for line in output.splitlines() if "msg=MaskSecret(" not in line]
    for secret in result["planted"]:
        assert [line for line in shown if secret in line] == []
        assert [path for path in kept if secret.encode() in path.read_bytes()] == []
