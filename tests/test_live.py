"""`make live`, against the sandbox in place of a real tenant."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import live.runs
from airflow_provider_qlik.cloud.transport.token_cache import forget_tokens
from airflow_provider_qlik.runs import MatchTimeouts
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from live.__main__ import main
from live.questions import QUESTIONS
from live.recording import RecordingClient
from live.settings import API_KEY, CLIENT_ID, CLIENT_SECRET, TENANT
from tests.planted_secret import nothing_shows_a_secret

__all__ = ["nothing_shows_a_secret"]

CUSTOMERS = "Quarterly figures of Globex"
BRIEF = MatchTimeouts(confirmation_time=0.2, doubtful_confirmation_time=0.4, initial_backoff=0.1)
QUICK = Script(wait=0.1, run=0.3, log=(CUSTOMERS, "Loading", "Finished"))


class Report:
    """What a run of `make live` has written."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    def section(self, title: str) -> str:
        return self.out.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]

    def rows(self, title: str) -> list[list[str]]:
        lines = [line for line in self.section(title).splitlines() if line.startswith("| ")]
        return [[cell.strip().strip("`") for cell in line.strip("| ").split(" | ")] for line in lines[2:]]

    def answer(self, question: str) -> str:
        (answer,) = (row[1] for row in self.rows("Open questions") if row[0].startswith(question))
        return answer


Go = Callable[..., Report]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TENANT, API_KEY, CLIENT_ID, CLIENT_SECRET):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(live.runs, "POLL_INTERVAL", 0.05)
    forget_tokens()


@pytest.fixture
def go(sandbox: SandboxTenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Go:
    """Runs `python -m live` as a user of the sandbox's tenant, and makes sure that nothing of a customer's shows."""

    def run(*arguments: str) -> Report:
        if CLIENT_ID not in os.environ:
            monkeypatch.setenv(API_KEY, os.environ.get(API_KEY, sandbox.api_key))
        monkeypatch.setenv(TENANT, sandbox.url)
        status = main(arguments)
        report = Report(status, *capsys.readouterr())
        for hidden in (CUSTOMERS, sandbox.api_key, sandbox.client_secret, "Globex"):
            assert hidden not in report.out + report.err
        assert sandbox.url not in report.out
        return report

    return run


class Things:
    """Ids of what is in the tenant."""

    def __init__(self, sandbox: SandboxTenant) -> None:
        self.app = sandbox.add_app(CUSTOMERS)
        self.task = sandbox.add_task(CUSTOMERS, resource_id=self.app, description=CUSTOMERS)
        self.automation = sandbox.add_automation(CUSTOMERS, description=CUSTOMERS)
        self.sharing_task = sandbox.add_sharing_task(CUSTOMERS, app_id=self.app)
        self.reload_task = sandbox.add_reload_task(self.app)
        sandbox.add_space(CUSTOMERS)
        for resource in (self.app, self.task, self.automation):
            sandbox.add_run(resource, script=QUICK)
        sandbox.add_execution(self.sharing_task)


@pytest.fixture
def things(sandbox: SandboxTenant) -> Things:
    return Things(sandbox)


@pytest.fixture
def quick(sandbox: SandboxTenant, things: Things) -> Things:
    """The same, where each run takes no time to speak of."""
    for resource in (things.app, things.task, things.automation):
        sandbox.script(resource, QUICK)
    return things


def changed(sandbox: SandboxTenant, path: str, change: Callable[[Any], object]) -> None:
    """Let the tenant answer a path as before, but for a change of the body."""
    response = httpx.get(sandbox.url + path, headers={"authorization": f"Bearer {sandbox.api_key}"}).raise_for_status()
    body = response.json()
    change(body)
    sandbox.fault("GET", path, times=None, status=200, body=body)


# Configuration


def test_nothing_configured_is_said_in_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 3
    assert all(
        name in err for name in (TENANT, API_KEY, CLIENT_ID, CLIENT_SECRET, "--app", "changes and starts nothing")
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({TENANT: "https://t.eu.qlikcloud.com"}, f"{API_KEY} is not set"),
        ({API_KEY: "a-very-secret-key"}, f"{TENANT} is not set"),
        ({TENANT: "https://t.eu.qlikcloud.com", API_KEY: "  "}, f"{API_KEY} is not set"),
        ({TENANT: "https://t.eu.qlikcloud.com", CLIENT_ID: "c"}, f"{CLIENT_SECRET} is not set"),
        ({CLIENT_SECRET: "a-very-secret-key"}, f"{TENANT} and {CLIENT_ID} are not set"),
        ({TENANT: "t", API_KEY: "a-very-secret-key", CLIENT_ID: "c", CLIENT_SECRET: "s"}, "Two authentication methods"),
        ({TENANT: "http://t.eu.qlikcloud.com", API_KEY: "a-very-secret-key"}, "must be https"),
        ({TENANT: "https://u:a-very-secret-key@t", API_KEY: "a-very-secret-key"}, "user or password"),
        ({TENANT: "https://t.eu.qlikcloud.com", API_KEY: "Bearer a-very-secret-key"}, "without 'Bearer'"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main([]) == 2

    out, err = capsys.readouterr()
    assert said in err
    assert "a-very-secret-key" not in out + err


def test_a_wrong_key_is_a_clear_error(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, "a-mistyped-key-of-somebody")

    report = go()

    assert (report.status, report.out) == (1, "")
    assert "There is no report" in report.err
    assert "401" in report.err
    assert "a-mistyped-key-of-somebody" not in report.err


def test_a_wrong_client_secret_is_a_clear_error(
    go: Go, sandbox: SandboxTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLIENT_ID, sandbox.client_id)
    monkeypatch.setenv(CLIENT_SECRET, "a-mistyped-secret-of-somebody")

    report = go()

    assert (report.status, report.out) == (1, "")
    assert "check the client id and the secret" in report.err
    assert "a-mistyped-secret-of-somebody" not in report.err


def test_an_oauth_client_signs_in(
    go: Go, sandbox: SandboxTenant, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLIENT_ID, sandbox.client_id)
    monkeypatch.setenv(CLIENT_SECRET, sandbox.client_secret)

    assert go().status == 0

    assert {entry.credential for entry in sandbox.request_log(method="GET")} == {"client"}


# What is only read


def test_without_options_it_only_reads_and_reads_of_all_families(
    go: Go, sandbox: SandboxTenant, things: Things
) -> None:
    report = go()

    assert report.status == 0
    assert {entry.method for entry in sandbox.request_log()} == {"GET"}
    operations = {row[0] for row in report.rows("Requests")}
    assert {
        *("get_me", "list_spaces", "list_items", "list_tasks", "list_scheduling_tasks", "get_task_subgraph"),
        *("list_task_runs", "list_scheduling_task_runs", "get_scheduling_task_run_log", "get_automation_run"),
        *("list_automation_runs", "get_automation_settings", "list_reloads", "get_reload_log", "list_reload_tasks"),
        *("list_sharing_tasks", "get_sharing_task_execution", "get_sharing_settings"),
    } <= operations
    assert "None." in report.section("Failed requests")
    assert "None." in report.section("Required members that are missing or null")
    assert "None." in report.section("Members of another type")
    assert "None." in report.section("Words that are not listed")
    assert things.app not in report.out


def test_an_empty_tenant_is_no_error(go: Go) -> None:
    report = go()

    assert report.status == 0
    assert report.answer("How soon does a started run") == "not observed"
    assert report.rows("Real runs") == []


@pytest.mark.parametrize("value", [CUSTOMERS, {"Globex": CUSTOMERS}, [CUSTOMERS], 7, True, 1.5, None])
def test_an_unknown_member_is_reported_by_path_and_type(
    go: Go, sandbox: SandboxTenant, things: Things, value: Any
) -> None:
    def plant(body: Any) -> None:
        body["data"][0]["metadata"]["sla"] = value

    changed(sandbox, "/api/scheduling/tasks", plant)

    rows = go().rows("Members that the models do not know")

    kind = {str: "text", dict: "object", list: "list", int: "integer", bool: "boolean", float: "number"}
    (row,) = (row for row in rows if row[1].endswith(".sla"))
    assert row[:4] == ["list_scheduling_tasks", "$.data[].metadata.sla", "unknown", kind.get(type(value), "null")]


def test_names_in_free_form_json_and_odd_names_are_not_reported(go: Go, sandbox: SandboxTenant, things: Things) -> None:
    def plant(body: Any) -> None:
        body["data"][0]["metadata"].setdefault("orchestration", {})["attrs"] = {"Globex": 1}
        body["data"][0][CUSTOMERS] = 1

    changed(sandbox, "/api/scheduling/tasks", plant)

    rows = go().rows("Members that the models do not know")

    assert [row[1] for row in rows if "unusual" in row[1]] == ["$.data[].(an unusual name)"]
    assert not [row for row in rows if "attrs" in row[1]]


def test_required_members_that_are_missing_or_null_are_reported(go: Go, sandbox: SandboxTenant, things: Things) -> None:
    def plant(body: Any) -> None:
        del body["data"][0]["specVersion"]
        body["data"][0]["name"] = None

    changed(sandbox, "/api/scheduling/tasks", plant)
    changed(sandbox, "/api/v1/reloads", lambda body: body["data"][0].pop("status"))

    rows = [row[:4] for row in go().rows("Required members that are missing or null")]

    assert ["list_scheduling_tasks", "$.data[].specVersion", "missing", "the contract"] in rows
    assert ["list_scheduling_tasks", "$.data[].name", "null", "the contract"] in rows
    assert ["list_reloads", "$.data[].status", "missing", "this package"] in rows


def test_unknown_words_are_reported_and_texts_that_are_no_words_are_not(
    go: Go, sandbox: SandboxTenant, things: Things
) -> None:
    def plant(body: Any) -> None:
        body["data"][0]["metadata"]["usage"] = "MACHINE_LEARNING"
        body["data"][0]["metadata"]["disabledCode"] = f"{CUSTOMERS}, {CUSTOMERS}!"
        body["data"][0]["metadata"]["trigger"] = {"id": "1", "type": 17}

    changed(sandbox, "/api/scheduling/tasks", plant)
    changed(sandbox, "/api/v1/reloads", lambda body: body["data"][0].update(status="ADJOURNED"))
    changed(
        sandbox, f"/api/workflows/automations/{things.automation}/runs", lambda b: b["data"][0].update(status="dozing")
    )

    rows = {(row[1].rpartition(".")[2], row[3]) for row in go().rows("Words that are not listed")}

    assert {("usage", "MACHINE_LEARNING"), ("type", "17"), ("status", "ADJOURNED"), ("status", "dozing")} <= rows
    assert [word for name, word in rows if name == "disabledCode"] == [
        f"(no word: {2 * len(CUSTOMERS) + 3} characters)"
    ]


def test_another_type_is_reported(go: Go, sandbox: SandboxTenant, things: Things) -> None:
    sandbox.switch(duration_form="string")
    changed(sandbox, "/api/scheduling/tasks", lambda body: body["data"][0].update(metadata=CUSTOMERS))

    report = go()

    rows = {row[0]: row[3] for row in report.rows("Members of another type")}
    assert rows["list_automations"] == "text, not integer or number as in the model"
    assert rows["list_scheduling_tasks"] == "text, not object as in the model"
    assert report.answer("Of which type is the duration") == "observed: text"


@pytest.mark.parametrize("status", [400, 403, 404, 410, 500])
def test_a_refused_call_is_a_line_and_all_else_goes_on(
    go: Go, sandbox: SandboxTenant, things: Things, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    error = {"errors": [{"code": "AUTOMATIONS-7", "title": CUSTOMERS, "detail": "Globex"}], "traceId": "t"}
    sandbox.fault(path="/api/workflows/automations", times=None, status=status, body=error)

    report = go()

    assert report.status == 0
    assert f"- list_automations: refused with HTTP {status}, code AUTOMATIONS-7\n" in report.section("Failed requests")
    assert {"list_reloads", "list_sharing_tasks"} <= {row[0] for row in report.rows("Requests")}


def test_pages_of_a_proxy_and_nonsense_are_lines_too(
    go: Go, sandbox: SandboxTenant, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    sandbox.fault(path="/api/v1/items", times=None, status=403, body=f"<html>{CUSTOMERS}", content_type="text/html")
    sandbox.fault(path="/api/v1/reload-tasks", times=None, response="nonsense")

    failed = go().section("Failed requests")

    assert "list_items: something between here and Qlik Cloud answered with HTTP 403" in failed
    assert "list_reload_tasks: the response could not be read" in failed


def test_headers_about_deprecation_are_reported(go: Go, sandbox: SandboxTenant, things: Things) -> None:
    sandbox.switch(deprecated_paths="/api/v1/reload-tasks*", sunset="2026-12-31", sunset_form="iso_date")

    rows = {row[0]: row for row in go().rows("Requests")}

    assert "deprecation: true; sunset: 2026-12-31" in rows["list_reload_tasks"][3]
    assert len(rows["list_reloads"]) == 3 or not rows["list_reloads"][3]


# Open questions


def test_each_question_is_a_sentence_and_is_unique() -> None:
    texts = [question.text for question in QUESTIONS]

    assert len({*texts}) == len(texts) >= 15
    assert all(re.fullmatch(r"[A-Z].*\?", text) for text in texts)


@pytest.mark.parametrize(
    ("switches", "question", "answer"),
    [
        ({"tasks_paths": "both"}, "Does the tenant have the Scheduling API", "observed: yes: "),
        (
            {"tasks_paths": "v1"},
            "Does the tenant have the Scheduling API",
            "observed: no: /api/scheduling/tasks returns HTTP 404",
        ),
        ({"tasks_paths": "scheduling"}, "Does Tasks v1", "observed: no: "),
        ({"reload_tasks": "removed"}, "Do reads of the deprecated", "observed: HTTP 410, once; 0 of 0"),
        ({"reload_tasks": "deprecated"}, "Do reads of the deprecated", "observed: HTTP 200, 2 times; 0 of 1"),
        ({"users_me": "direct"}, "What is the response of GET /api/v1/users/me", "observed: the user directly"),
        ({"users_me": "redirect"}, "What is the response of GET /api/v1/users/me", "observed: a redirect"),
        ({"task_times": "seconds"}, "In which form are the times of task runs", "observed: 9999-99-99T99:99:99Z"),
        (
            {"task_times": "milliseconds"},
            "In which form are the times of task runs",
            "observed: 9999-99-99T99:99:99.999Z",
        ),
        ({"duration_form": "integer"}, "Of which type is the duration", "observed: integer"),
        ({"workflow_id": "absent"}, "Do executions of a sharing task", "not observed"),
        ({"workflow_id": "present"}, "Do executions of a sharing task", "observed: text"),
        ({"log_form": "text"}, "Which content type has the log", "observed: text/plain"),
        ({"log_form": "json"}, "Which content type has the log", "observed: application/json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_reading_answers_questions(
    go: Go, sandbox: SandboxTenant, things: Things, switches: dict[str, Any], question: str, answer: str
) -> None:
    sandbox.switch(**switches)

    assert go().answer(question).startswith(answer)


@pytest.mark.parametrize(
    ("switches", "question", "answer"),
    [
        ({"echo_source": True}, "Does a task run show the source", "observed: yes: whole"),
        (
            {"echo_source": False},
            "Does a task run show the source",
            "observed: no: it shows another text of 6 characters",
        ),
        (
            {"source_limit": 20, "source_truncated": True},
            "Does a task run show the source",
            "observed: in part: cut to 20 characters",
        ),
        ({"last_run_lag": 0.0}, "Does the last run that a task contains", "observed: yes: as ended"),
        ({"last_run_lag": 60.0}, "Does the last run that a task contains", "observed: no: "),
        ({"echo_source": True}, "Does a filter on lastTriggeredBy", "observed: yes"),
        ({"show_after": 1.0}, "How soon does a started run of a task", "observed: after 1."),
        (
            {"start_response": "documented"},
            "What is the response to the start of a task",
            "observed: HTTP 200 with message",
        ),
        (
            {"start_response": "observed"},
            "What is the response to the start of a task",
            "observed: HTTP 200 with code, context",
        ),
        ({"tasks_paths": "v1"}, "Does the last run that a task contains", "not observed"),
        ({"tasks_paths": "v1"}, "What is the response to the start of a task", "observed: HTTP 200 with"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_run_of_a_task_answers_questions(
    go: Go,
    sandbox: SandboxTenant,
    quick: Things,
    switches: dict[str, Any],
    question: str,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without a marker a run is watched for a while before it counts as ours.
    monkeypatch.setattr(live.runs, "SEARCH", BRIEF)
    sandbox.switch(**switches)

    report = go("--task", quick.task)

    assert report.status == 0
    assert report.answer(question).startswith(answer)


@pytest.mark.parametrize(
    ("marker", "answer"),
    [("shown", "observed: yes"), ("hidden", "observed: no: nothing"), ("refused", "observed: no: refused")],
)
def test_a_reload_answers_whether_markers_show(
    go: Go, sandbox: SandboxTenant, quick: Things, marker: str, answer: str
) -> None:
    sandbox.switch(reload_marker=marker)

    report = go("--app", quick.app)

    assert report.status == 0
    assert report.answer("Does a reload show the resourceId").startswith(answer)


def test_an_automation_tells_the_context_of_its_run(go: Go, sandbox: SandboxTenant, quick: Things) -> None:
    sandbox.switch(api_context="api_sync")

    assert go("--automation", quick.automation).answer("Which context has the run") == "observed: api_sync"


# Real runs


def test_one_run_of_each_is_made_and_nothing_is_left(
    go: Go, sandbox: SandboxTenant, quick: Things, tmp_path: Path
) -> None:
    file = tmp_path / "report.md"
    named = ("--app", quick.app, "--task", quick.task, "--automation", quick.automation)

    written = go(*named, "--output", str(file))

    assert (written.status, written.out) == (0, "")
    report = Report(0, file.read_text(), "")
    assert CUSTOMERS not in report.out
    assert [row[:2] for row in report.rows("Real runs")] == [
        ["reload", "succeeded"],
        ["task", "succeeded"],
        ["automation", "succeeded"],
    ]
    assert all(row[3] == "3" for row in report.rows("Real runs"))
    posts = [entry.path for entry in sandbox.request_log(method="POST")]
    assert len(posts) == 3
    assert sandbox.active() == []


def test_a_run_that_fails_is_a_result(go: Go, sandbox: SandboxTenant, things: Things) -> None:
    sandbox.script(things.task, Script(run=0.2, end="FAILED", error=CUSTOMERS, log=(CUSTOMERS,)))

    report = go("--task", things.task)

    assert report.status == 0
    assert report.rows("Real runs")[0][:2] == ["task", "failed"]


@pytest.mark.parametrize("name", ["app", "task", "automation"])
def test_a_run_that_takes_too_long_is_cancelled(go: Go, sandbox: SandboxTenant, things: Things, name: str) -> None:
    resource = getattr(things, name)
    sandbox.script(resource, Script(end=None, cancel_delay=0.2))

    report = go(f"--{name}", resource, "--timeout", "0.5")

    assert report.status == 1
    assert report.rows("Real runs")[0][-1] == "had not ended after 0.5 s, and was cancelled"
    assert sandbox.active() == []


def test_a_run_that_does_not_stop_is_said_to_be_left(
    go: Go, sandbox: SandboxTenant, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.runs, "CANCEL_TIMEOUT", 0.3)
    sandbox.script(things.automation, Script(end=None, cancellable=False))

    report = go("--automation", things.automation, "--timeout", "0.3")

    assert report.status == 1
    assert "could not be cancelled" in report.section("Real runs")
    assert "It may still be active." in report.section("Real runs")


def test_a_start_that_is_refused_is_said(go: Go, sandbox: SandboxTenant, things: Things) -> None:
    disabled = sandbox.add_task(CUSTOMERS, enabled=False)
    sandbox.add_run(things.app, started_ago=1, script=Script(run=3600.0))

    report = go("--task", disabled, "--app", things.app)

    assert report.status == 1
    notes = {row[0]: row[-1] for row in report.rows("Real runs")}
    assert notes["task"] == "Qlik Cloud refused to start it"
    assert "pending already" in notes["reload"]


@pytest.mark.parametrize("name", ["app", "task", "automation"])
def test_a_run_is_ended_that_was_interrupted_before_the_start_was_answered(
    go: Go, sandbox: SandboxTenant, things: Things, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: RecordingClient, call: Any, response: httpx.Response) -> Any:
        if call.method == "POST" and not self.recording.counts.get("interrupted"):
            self.recording.counts["interrupted"] = {200: 1}  # type: ignore[assignment]
            self.recording.requests["interrupted"] = "POST"
            raise KeyboardInterrupt
        return original(self, call, response)

    original = RecordingClient._read
    monkeypatch.setattr(RecordingClient, "_read", read)
    monkeypatch.setattr(live.runs, "SEARCH", BRIEF)
    resource = getattr(things, name)
    sandbox.script(resource, Script(end=None, cancel_delay=0.2))

    report = go(f"--{name}", resource)

    assert report.status == 130
    assert report.rows("Real runs")[0][-1] == "was interrupted, and was cancelled"
    assert sandbox.active() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_run_and_reports_what_was_seen(
    sandbox: SandboxTenant, things: Things, number: signal.Signals
) -> None:
    sandbox.script(things.task, Script(end=None, cancel_delay=0.2))
    environment = {**os.environ, TENANT: sandbox.url, API_KEY: sandbox.api_key}
    command = [sys.executable, "-m", "live", "--task", things.task]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 60
        while not sandbox.active() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130, err
    assert sandbox.active() == []
    assert Report(130, out, err).rows("Real runs")[0][-1] == "was interrupted, and was cancelled"
    assert "Traceback" not in err


def test_a_report_that_cannot_be_written_is_printed(go: Go, sandbox: SandboxTenant, tmp_path: Path) -> None:
    report = go("--output", str(tmp_path / "missing" / "report.md"))

    assert report.status == 1
    assert "cannot be written" in report.err
    assert "## Open questions" in report.out


@pytest.mark.parametrize("arguments", [("--timeout", "0"), ("--timeout", "nan"), ("--timeout", "soon")])
def test_a_timeout_is_a_number_of_seconds(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "--timeout" in capsys.readouterr().err
