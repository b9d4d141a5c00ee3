"""`log_to`: the complete log of a run, also of one that failed, is a file or there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.lifecycle import run_log
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
both_kinds = pytest.mark.parametrize("kind", ["reload", "task"])
LINES = tuple(f'line {number} "ü€😀" \\' for number in range(3000))
"""More lines than the task's log has."""
LOG = {"reload": "get_reload_log", "task": "get_task_run_log"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    monkeypatch.setattr(run_log, "MISSING_PAUSE", 0.0)


def add(tenant: Tenant, kind: str, script: Script) -> str:
    resource = tenant.add_app("Sales") if kind == "reload" else tenant.add_task("Refresh")
    tenant.script(resource, script)
    return resource


def operator(kind: str, resource_id: str, **arguments: Any) -> Any:
    if kind == "reload":
        return QlikReloadAppOperator(task_id="load", app_id=resource_id, **{**FAST, **arguments})
    return QlikRunTaskOperator(task_id="load", qlik_task_id=resource_id, **{**FAST, **arguments})


def starts(tenant: Tenant) -> int:
    return sum(entry.carried_out for entry in tenant.request_log(method="POST", path="/api/*"))


@both_kinds
@both_modes
def test_the_complete_log_is_saved_and_its_path_returned(
    tenant: Tenant, task: Task, tmp_path: Path, kind: str, deferrable: bool
) -> None:
    resource = add(tenant, kind, Script(run=1, log=LINES))

    result = finish(operator(kind, resource, log_to=str(tmp_path / "logs"), deferrable=deferrable), task.context)

    (file,) = (tmp_path / "logs").iterdir()
    assert result["log_path"] == task.pushed["log_path"] == str(file)
    assert file.name == f"{kind}-{result['run_id']}.log"
    assert file.read_text().splitlines() == list(LINES)


@both_kinds
@both_modes
def test_the_log_of_a_failed_run_is_saved_before_the_task_fails(
    tenant: Tenant, task: Task, tmp_path: Path, kind: str, deferrable: bool
) -> None:
    resource = add(tenant, kind, Script(run=1, log=LINES, end="FAILED", error="Table 'ledger' not found"))

    with pytest.raises(AirflowException, match="Table 'ledger' not found.*Its complete log: .*http") as raised:
        finish(operator(kind, resource, log_to=str(tmp_path), deferrable=deferrable), task.context)

    (file,) = tmp_path.iterdir()
    assert str(file) in str(raised.value)
    assert task.pushed["log_path"] == str(file)
    assert file.read_text().splitlines() == list(LINES)


@pytest.mark.parametrize("form", ["json", "text", "text_json"])
@pytest.mark.parametrize("lines", [(), LINES], ids=["empty", "long"])
def test_every_form_of_a_task_runs_log_gives_its_text(
    tenant: Tenant, task: Task, tmp_path: Path, form: str, lines: tuple[str, ...]
) -> None:
    tenant.switch(log_form=form)
    resource = add(tenant, "task", Script(run=1, log=lines))

    result = finish(operator("task", resource, log_to=str(tmp_path)), task.context)

    saved = Path(result["log_path"]).read_text()
    assert saved == "\n".join(lines) or (not lines and "\n" in saved)
    assert "logContent" not in saved


@both_kinds
@pytest.mark.parametrize(
    "fault", [{"response": "cut"}, {"status": 502}, {"response": "html"}, {"reset": "after"}, {"status": 404}], ids=str
)
def test_a_download_that_fails_once_is_repeated(
    tenant: Tenant, task: Task, tmp_path: Path, kind: str, fault: dict[str, Any]
) -> None:
    resource = add(tenant, kind, Script(run=1, log=LINES))
    # The log in the task's log is fetched before: with three attempts, or with one if it is not there.
    tenant.fault(operation=LOG[kind], times=2 if fault.get("status") == 404 else 4, **fault)

    result = finish(operator(kind, resource, log_to=str(tmp_path)), task.context)

    assert Path(result["log_path"]).read_text().splitlines() == list(LINES)
    assert [file.name for file in tmp_path.iterdir()] == [Path(result["log_path"]).name]


NEVER: list[dict[str, Any]] = [
    {"response": "cut"},
    {"status": 403},
    {"status": 200, "body": "<html>Sign in</html>", "headers": {"content-type": "text/plain"}},
]


@both_kinds
@pytest.mark.parametrize("fault", NEVER, ids=str)
def test_a_log_that_cannot_be_saved_does_not_hide_why_the_run_failed(
    tenant: Tenant, task: Task, tmp_path: Path, logged: Callable[[], str], kind: str, fault: dict[str, Any]
) -> None:
    resource = add(tenant, kind, Script(run=1, log=LINES, end="FAILED", error="Table 'ledger' not found"))
    tenant.fault(operation=LOG[kind], times=None, **fault)

    with pytest.raises(AirflowException, match="(?s)^The run ended as 'FAILED': .*Table 'ledger' not found") as raised:
        finish(operator(kind, resource, log_to=str(tmp_path)), task.context)

    assert type(raised.value) is AirflowException
    assert "The log of the run could not be saved: " in str(raised.value)
    assert "The log of the run could not be saved: " in logged()
    assert list(tmp_path.iterdir()) == []
    assert "log_path" not in task.pushed


@both_kinds
@pytest.mark.parametrize("fault", NEVER, ids=str)
def test_a_log_that_cannot_be_saved_fails_the_task_and_a_retry_only_saves_it(
    tenant: Tenant, task: Task, tmp_path: Path, kind: str, fault: dict[str, Any]
) -> None:
    resource = add(tenant, kind, Script(run=1, log=LINES))
    tenant.fault(operation=LOG[kind], times=None, **fault)

    with pytest.raises(AirflowException) as raised:
        finish(operator(kind, resource, log_to=str(tmp_path)), task.context)
    assert not re.search("Its complete log", str(raised.value))
    assert list(tmp_path.iterdir()) == []

    tenant.clear_faults()
    result = finish(operator(kind, resource, log_to=str(tmp_path)), task.try_again().context)
    assert Path(result["log_path"]).read_text().splitlines() == list(LINES)
    assert starts(tenant) == 1


def test_a_json_error_in_place_of_a_reloads_log_is_not_saved(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    resource = add(tenant, "reload", Script(run=1, log=LINES))
    tenant.fault(operation="get_reload_log", times=None, status=200, body={"error": "expired"})

    with pytest.raises(AirflowException, match="^The response is JSON, not a file"):
        finish(operator("reload", resource, log_to=str(tmp_path)), task.context)
    assert list(tmp_path.iterdir()) == []


def test_half_of_the_json_of_a_task_runs_log_is_not_saved(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    resource = add(tenant, "task", Script(run=1, log=LINES))
    headers = {"content-type": "application/json"}
    tenant.fault(operation=LOG["task"], times=None, status=200, body='{"logContent": "half of', headers=headers)

    with pytest.raises(AirflowException, match=r"^The log of the run is JSON that cannot be read: it is cut off"):
        finish(operator("task", resource, log_to=str(tmp_path)), task.context)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_an_earlier_attempt_is_replaced(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    resource = add(tenant, "reload", Script(run=1, log=LINES))
    result = finish(operator("reload", resource, log_to=str(tmp_path)), task.context)
    Path(result["log_path"]).write_text("of an earlier attempt")

    again = finish(operator("reload", resource, log_to=str(tmp_path)), task.try_again().context)

    assert again["log_path"] == result["log_path"]
    assert Path(result["log_path"]).read_text().splitlines() == list(LINES)


@both_kinds
def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_started(
    tenant: Tenant, task: Task, tmp_path: Path, kind: str
) -> None:
    resource = add(tenant, kind, Script(run=1))
    (tmp_path / "file").write_text("in the way")
    for target in (str(tmp_path / "file" / "logs"), "no-such-protocol://bucket", " {{ '' }}"):
        load = operator(kind, resource, log_to=target)
        load.log_to = target.replace("{{ '' }}", "")  # as Airflow renders it
        with pytest.raises(AirflowFailException, match="log_to: "):
            finish(load, task.context)
    assert starts(tenant) == 0


def test_what_cannot_work_is_refused_when_the_dag_is_parsed() -> None:
    for kind in LOG:
        with pytest.raises(InvalidArgumentError, match="^log_to: a run has a log when it has ended"):
            operator(kind, "1", log_to="/logs", wait_for_completion=False)
        with pytest.raises(InvalidArgumentError, match="^log_to: the path is empty"):
            operator(kind, "1", log_to=" ")


@both_kinds
def test_without_it_the_log_is_fetched_once_and_nothing_is_saved(tenant: Tenant, task: Task, kind: str) -> None:
    resource = add(tenant, kind, Script(run=1, log=LINES))
    result = finish(operator(kind, resource), task.context)
    assert "log_path" not in result
    assert "log_path" not in task.pushed
    assert len(tenant.request_log(operation=LOG[kind])) == 1
