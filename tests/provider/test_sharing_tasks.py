from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_qlik.cloud.api import sharing_tasks
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.sandbox import File, Script, SharingScript, Tenant
from airflow_provider_qlik.sensors.sharing_tasks import QlikSharingTaskSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
THREE = ("anna@example.com", "bert@example.com", "cleo@example.com")


def report(sharing_task_id: str | None = None, **arguments: Any) -> QlikRunSharingTaskOperator:
    return QlikRunSharingTaskOperator(
        task_id="report", sharing_task_id=sharing_task_id, **{**FAST, "settle_time": 0.3, **arguments}
    )


def starts(tenant: Tenant) -> int:
    return sum(entry.carried_out for entry in tenant.request_log(operation="execute_sharing_task"))


@both_modes
def test_a_report_is_made_once_for_all_recipients(tenant: Tenant, task: Task, deferrable: bool) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE)
    tenant.add_execution(sharing_task, started_ago=86_400)
    tenant.script(sharing_task, Script(run=4, end="successful"))

    result = finish(report(sharing_task, deferrable=deferrable), task.context)

    assert starts(tenant) == 1
    assert (result["kind"], result["state"], result["counts"]) == ("sharing_task", "succeeded", {"succeeded": 3})
    ours = [run["id"] for run in tenant.runs(sharing_task) if run["via"] == "api"]
    assert sorted(result["parts"]) == sorted(ours)
    assert result["files"] == []


@both_modes
def test_a_third_recipient_who_appears_late_is_waited_for(tenant: Tenant, task: Task, deferrable: bool) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE)
    tenant.script(sharing_task, SharingScript(Script(run=4, end="successful"), appear_after=(0, 0, 16)))

    result = finish(report(sharing_task, deferrable=deferrable), task.context)

    assert result["counts"] == {"succeeded": 3}


@both_modes
def test_an_execution_that_a_reload_caused_in_the_same_minute_is_not_ours(
    tenant: Tenant, task: Task, deferrable: bool
) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    tenant.script(sharing_task, Script(run=6, end="successful"))
    operator = report(sharing_task, deferrable=deferrable)
    tenant.add_execution(sharing_task, started_ago=-1, script=Script(end="failed"), reload_id="some-reload")

    result = finish(operator, task.context)

    (ours,) = (run["id"] for run in tenant.runs(sharing_task) if run["via"] == "api")
    assert (result["parts"], result["state"]) == ([ours], "succeeded")


def test_two_runs_that_could_be_ours_are_an_error(tenant: Tenant, task: Task) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    tenant.switch(competing_runs=1, competing_moment="after")
    with pytest.raises(
        AirflowFailException, match="2 runs began .* which of them this task has started.*sharing_task "
    ):
        finish(report(sharing_task), task.context)
    assert tenant.request_log(operation="cancel_sharing_task") == []


@both_modes
@pytest.mark.parametrize(
    ("ends", "fail_on", "fails"),
    [
        (("successful", "failed"), "any", True),
        (("successful", "cancelled"), "any", True),
        (("successful", "invalid"), "any", True),
        (("successful", "successful"), "any", False),
        (("successful", "failed"), "all", False),
        (("failed", "failed"), "all", True),
        (("failed", "failed"), "never", False),
    ],
)
def test_the_user_says_how_much_may_fail(
    tenant: Tenant, task: Task, deferrable: bool, ends: tuple[str, str], fail_on: str, fails: bool
) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:2])
    scripts = tuple(Script(run=1, end=end, error="no data" if end == "failed" else None) for end in ends)
    tenant.script(sharing_task, SharingScript(scripts))
    operator = report(sharing_task, fail_on=fail_on, deferrable=deferrable)
    if fails:
        with pytest.raises(AirflowException, match="of 2 executions: "):
            finish(operator, task.context)
    else:
        assert sum(finish(operator, task.context)["counts"].values()) == 2


@both_modes
def test_all_files_of_the_run_are_fetched(tenant: Tenant, task: Task, deferrable: bool, tmp_path: Path) -> None:
    sharing_task = tenant.add_sharing_task("Weekly sales", recipients=THREE[:2])
    files = (File("sales", "pdf", 300_000), File("stock", "xlsx", 10))
    tenant.script(sharing_task, SharingScript(Script(run=1, end="successful"), files=files))

    operator = report(sharing_task, download_to=str(tmp_path / "reports"), deferrable=deferrable)
    result = finish(operator, task.context)

    fetched = sorted((tmp_path / "reports").iterdir())
    assert sorted(path.rpartition("/")[2] for path in result["files"]) == [path.name for path in fetched]
    assert [path.name for path in fetched] == [
        "Weekly_sales-anna@example.com-1.pdf",
        "Weekly_sales-anna@example.com-2.xlsx",
        "Weekly_sales-bert@example.com-3.pdf",
        "Weekly_sales-bert@example.com-4.xlsx",
    ]
    digest = hashlib.sha256(fetched[0].read_bytes()).hexdigest()
    assert digest == tenant.file_sha256(_execution_for(tenant, "anna@example.com", result), "sales")


def _execution_for(tenant: Tenant, recipient: str, result: dict[str, Any]) -> str:
    with QlikCloudHook() as hook:
        executions = [hook.call(sharing_tasks.execution(result["resource_id"], part)) for part in result["parts"]]
    (found,) = (each.id for each in executions if each.target_user and each.target_user.value == recipient)
    return found


def test_a_download_that_breaks_off_leaves_nothing_and_is_tried_again(
    tenant: Tenant, task: Task, tmp_path: Path
) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    tenant.script(
        sharing_task, SharingScript(Script(run=1, end="successful"), files=(File("sales", "pdf", 3_000_000),))
    )
    tenant.fault(operation="get_sharing_task_execution_file", response="cut")

    result = finish(report(sharing_task, download_to=str(tmp_path)), task.context)

    (file,) = tmp_path.iterdir()
    assert result["files"] == [str(file)] or result["files"][0].endswith(str(file))
    assert file.stat().st_size == 3_000_000
    assert len(tenant.request_log(operation="get_sharing_task_execution_file")) == 2


def test_a_download_that_never_works_fails_and_leaves_nothing(
    tenant: Tenant, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.cloud.transport import retry

    monkeypatch.setattr(retry.RetryPolicy.pause_after, "__code__", (lambda self, tries, error, chance: 0.0).__code__)
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    tenant.script(
        sharing_task, SharingScript(Script(run=1, end="successful"), files=(File("sales", "pdf", 3_000_000),))
    )
    tenant.fault(operation="get_sharing_task_execution_file", response="cut", times=None)

    with pytest.raises(AirflowException, match=r"^The download broke off after 1,500,000 bytes \("):
        finish(report(sharing_task, download_to=str(tmp_path)), task.context)
    assert list(tmp_path.iterdir()) == []


FILE = "get_sharing_task_execution_file"


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        ("<html>Your session has expired</html>", "text/html", "is a web page, not a file of the type 'pdf'"),
        ("<html>Your session has expired</html>", "application/pdf", "is a web page, not a file of the type 'pdf'"),
        ("Expired", "Text/HTML; charset=utf-8", "is a web page, not a file of the type 'pdf'"),
        ({"error": "expired"}, "application/json", "is JSON, not a file of the type 'pdf'"),
        ("", "application/pdf", "is empty, not a file"),
        ("PK\x03\x04", "application/pdf", "is something else, not a file of the type 'pdf'"),
    ],
)
def test_what_is_not_the_report_is_an_error_and_not_saved(
    tenant: Tenant, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Any, content_type: str, says: str
) -> None:
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    tenant.script(sharing_task, SharingScript(Script(run=1, end="successful"), files=(File("sales", "pdf", 3_000),)))
    tenant.fault(operation=FILE, times=5, status=200, body=body, headers={"content-type": content_type})

    with pytest.raises(AirflowException, match=f"^The response {says}"):
        finish(report(sharing_task, download_to=str(tmp_path)), task.context)
    assert list(tmp_path.iterdir()) == []
    assert len(tenant.request_log(operation=FILE)) == 5

    result = finish(report(sharing_task, download_to=str(tmp_path)), task.try_again().context)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [3_000]
    assert len(result["files"]) == starts(tenant) == 1


def test_a_name_of_240_bytes_is_cut_and_the_file_is_fetched(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    sharing_task = tenant.add_sharing_task("ü" * 120, recipients=THREE[:2])

    result = finish(report(sharing_task, download_to=str(tmp_path)), task.context)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert [path.rpartition("/")[2] for path in result["files"]] == names
    assert names[0].endswith("ü-anna@example.com-1.pdf")
    assert names[1].endswith("ü-bert@example.com-2.pdf")


@pytest.mark.parametrize("pattern", ["report.{type}", "{task}", "{{literal}}[1]*"])
def test_files_whose_names_are_equal_stay_two(tenant: Tenant, task: Task, tmp_path: Path, pattern: str) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE)

    operator = report(sharing_task, download_to=str(tmp_path))
    operator.file_name = pattern  # as a template gives it
    result = finish(operator, task.context)

    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == len(set(result["files"])) == 3


def test_a_file_whose_alias_has_a_slash_is_fetched(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    files = (File("sales/2026", "pdf", 10), File("..\\etc?#%2F", "xlsx", 10))
    tenant.script(sharing_task, SharingScript(Script(run=1, end="successful"), files=files))

    finish(report(sharing_task, download_to=str(tmp_path), file_name="{alias}.{type}"), task.context)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["_etc_2F.xlsx", "sales_2026.pdf"]


def test_what_is_listed_twice_is_fetched_once(
    tenant: Tenant, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik import runs

    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:2])
    files = (File("sales", "pdf", 10), File("stock", "pdf", 10), File("sales", "pdf", 10))
    tenant.script(sharing_task, SharingScript(Script(run=1, end="successful"), files=files))
    operator = report(sharing_task, download_to=str(tmp_path))
    collect = operator.collect

    def collect_twice(hook: QlikCloudHook, result: runs.Outcome) -> Any:
        return collect(hook, replace(result, run=replace(result.run, parts=result.run.parts * 2)))

    monkeypatch.setattr(operator, "collect", collect_twice)
    result = finish(operator, task.context)

    assert len(result["files"]) == len(list(tmp_path.iterdir())) == 4
    assert len(tenant.request_log(operation=FILE)) == 4


def test_a_file_of_an_earlier_try_is_replaced(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    (tmp_path / "Weekly-anna@example.com-1.pdf").write_text("of yesterday")

    finish(report(sharing_task, download_to=str(tmp_path)), task.context)

    (file,) = tmp_path.iterdir()
    assert file.read_bytes().startswith(b"%PDF-")


def test_the_home_folder_may_be_named_by_its_sign(
    tenant: Tenant, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])

    result = finish(report(sharing_task, download_to="~/reports"), task.context)

    (file,) = (tmp_path / "reports").iterdir()
    assert result["files"] == [str(file)]


def test_a_target_that_cannot_be_written_to_is_refused_before_anything_is_started(
    tenant: Tenant, task: Task, tmp_path: Path
) -> None:
    sharing_task = tenant.add_sharing_task("Weekly")
    (tmp_path / "file").write_text("in the way")
    for target in (str(tmp_path / "file" / "reports"), "no-such-protocol://bucket"):
        with pytest.raises(AirflowFailException, match="download_to"):
            finish(report(sharing_task, download_to=target), task.context)
    assert starts(tenant) == 0


def test_a_name_cannot_lead_out_of_the_folder(tenant: Tenant, task: Task, tmp_path: Path) -> None:
    sharing_task = tenant.add_sharing_task("../../etc/passwd", recipients=THREE[:1])
    result = finish(report(sharing_task, download_to=str(tmp_path / "reports")), task.context)
    (file,) = (tmp_path / "reports").iterdir()
    assert len(result["files"]) == 1
    assert file.parent == tmp_path / "reports"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "sharing_task_id"),
        ({"sharing_task_id": "1", "sharing_task_name": "Weekly"}, "sharing_task_name"),
        ({"sharing_task_id": "1", "fail_on": "some"}, "fail_on"),
        ({"sharing_task_id": "1", "file_name": "{nobody}"}, "file_name"),
        ({"sharing_task_id": "1", "file_name": "{task"}, "file_name"),
        ({"sharing_task_id": "1", "file_name": "{}"}, "file_name"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: "):
        report(**arguments)


@both_modes
def test_a_run_that_takes_too_long_is_cancelled(tenant: Tenant, task: Task, deferrable: bool) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE[:1])
    tenant.script(sharing_task, Script(end=None))
    with pytest.raises(AirflowException, match="The wait timed out"):
        finish(report(sharing_task, timeout=0.3, deferrable=deferrable), task.context)
    tenant.advance(5)
    assert tenant.active() == []


def test_a_task_over_its_quota_says_so(tenant: Tenant, task: Task) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", statusCode="REPORTING_DAILY_QUOTA_EXCEEDED")
    tenant.script(sharing_task, SharingScript((), status_code="REPORTING_DAILY_QUOTA_EXCEEDED"))
    with pytest.raises(AirflowFailException, match="REPORTING_DAILY_QUOTA_EXCEEDED"):
        finish(report(sharing_task, match_timeout=0.5), task.context)


@both_modes
def test_a_sensor_waits_for_the_last_run_whatever_set_it_off(tenant: Tenant, task: Task, deferrable: bool) -> None:
    sharing_task = tenant.add_sharing_task("Weekly", recipients=THREE)
    tenant.add_execution(sharing_task, started_ago=7200, script=Script(end="failed"))
    last = tenant.add_execution(
        sharing_task, started_ago=1, script=Script(run=8, end="successful"), reload_id="some-reload"
    )
    sensor = QlikSharingTaskSensor(
        task_id="wait", sharing_task_id=sharing_task, poke_interval=0.1, timeout=30, deferrable=deferrable
    )
    assert finish(sensor, task.context)["parts"] == [last]
