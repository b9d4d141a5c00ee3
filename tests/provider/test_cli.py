"""The command line against the sandbox, in this process; and as `airflow qlik` in a process of its own."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.__main__ import main
from airflow_provider_qlik.cli import definition, running, session
from airflow_provider_qlik.cli.definition import COMMANDS, Command, Group, get_qlik_cli_commands
from airflow_provider_qlik.lifecycle import resources
from airflow_provider_qlik.provider_info import get_provider_info
from tests.provider.conftest import InstallAirflow

NO_COMMANDS = "Airflow before 3.2 has no commands of providers"


class Ended(NamedTuple):
    """How a command has ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(json.loads(self.out))


Run = Callable[..., Ended]


@pytest.fixture
def qlik(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        written = capsys.readouterr()
        assert "Traceback" not in written.out + written.err
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, written.out, written.err)

    return run


def actions() -> list[tuple[str, Command]]:
    """Return all commands with the words that call them."""
    found = []
    for entry in COMMANDS:
        if isinstance(entry, Group):
            found += [(f"{entry.name} {command.name}", command) for command in entry.commands]
        else:
            found.append((entry.name, entry))
    return found


# Definition


def test_the_definition_imports_nothing_but_the_standard_library_and_no_command() -> None:
    probe = (
        "import sys, typing; before = set(sys.modules); import airflow_provider_qlik.cli.definition;"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    package = "airflow_provider_qlik"
    assert loaded == ["__future__", package, f"{package}.cli", f"{package}.cli.definition"] or loaded == [
        package,
        f"{package}.cli",
        f"{package}.cli.definition",
    ]


def test_airflow_gets_each_command_with_its_options_and_a_function() -> None:
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    (group,) = get_qlik_cli_commands()
    assert group.name == "qlik"
    names = []
    for entry in group.subcommands:
        inner = entry.subcommands if isinstance(entry, GroupCommand) else [entry]
        prefix = f"{entry.name} " if isinstance(entry, GroupCommand) else ""
        for action in inner:
            assert isinstance(action, ActionCommand)
            names.append(prefix + action.name)
    assert names == [name for name, _ in actions()]
    assert {"check", "apps list", "automations list", "tasks list", "sharing-tasks list", "sandbox"} <= {*names}
    assert {"runs list", "runs log", "runs cancel", "runs watch"} <= {*names}
    for _, command in actions():
        module, _, name = command.path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_kinds_are_those_of_the_resources() -> None:
    assert tuple(session.KINDS) == definition.KINDS
    assert {kind.kind for kind in session.KINDS.values()} == {*resources.KIND_NAMES} - {"reload_task"}


def test_no_option_takes_a_secret() -> None:
    flags = {flag for _, command in actions() for option in command.options for flag in option.flags}
    assert {flag for flag in flags if any(word in flag for word in ("key", "secret", "password", "token"))} == {
        "--api-key-env",
        "--client-secret-env",
    }


def test_the_provider_info_names_the_function_that_airflow_calls() -> None:
    (path,) = get_provider_info()["cli"]
    module, _, name = path.rpartition(".")
    assert (module, getattr(definition, name)) == (definition.__name__, get_qlik_cli_commands)


# Lists


def test_lists_are_json_on_stdout_with_nothing_beside_it(tenant: sandboxes.Tenant, qlik: Run) -> None:
    space = tenant.add_space("Finance")
    app = tenant.add_app("Ledger [emea]", space_id=space)
    task = tenant.add_task("Reload ledger", resource_id=app)
    automation = tenant.add_automation("Send :smile: mail")
    tenant.switch(deprecated_paths="/api/*")

    ended = qlik("apps", "list", "-o", "json")
    assert ended.code == 0
    assert [(row["id"], row["name"], row["space_id"]) for row in ended.rows] == [(app, "Ledger [emea]", space)]
    assert "deprecated" in ended.err  # the warning of this package, and not on stdout
    assert [row["id"] for row in qlik("tasks", "list", "-o", "json").rows] == [task]
    assert [row["name"] for row in qlik("automations", "list", "-o", "json").rows] == ["Send :smile: mail"]
    assert qlik("sharing-tasks", "list", "-o", "json").rows == []
    table = qlik("automations", "list").out
    assert automation in table
    assert "Send :smile: mail" in table  # no emoji of the console
    assert "Ledger [emea]" in qlik("apps", "list", "-o", "plain").out
    assert "name: Ledger [emea]" in qlik("apps", "list", "-o", "yaml").out


def test_a_list_is_narrowed_by_name_space_and_limit(tenant: sandboxes.Tenant, qlik: Run) -> None:
    space = tenant.add_space("Finance")
    inside = tenant.add_app("Ledger", space_id=space)
    outside = tenant.add_app("Sales")

    def ids(*options: str) -> list[str]:
        return [row["id"] for row in qlik("apps", "list", "-o", "json", *options).rows]

    assert {*ids()} == {inside, outside}
    assert ids("--space", "Finance") == [inside]
    assert ids("--name", "sal") == [outside]
    assert len(ids("--limit", "1")) == 1
    for number in range(3):
        tenant.add_automation(f"Mail {number}", spaceId=space if number == 1 else None)
    rows = qlik("automations", "list", "-o", "json", "--space", "Finance").rows
    assert [row["name"] for row in rows] == ["Mail 1"]
    missing = qlik("automations", "list", "--space", "Nowhere")
    assert (missing.code, missing.out) == (1, "")
    assert "Nowhere" in missing.err


def test_control_characters_of_a_name_do_not_reach_the_terminal(tenant: sandboxes.Tenant, qlik: Run) -> None:
    tenant.add_automation("Mail\x1b[31m\nsent")
    for output in ("table", "plain"):
        out = qlik("automations", "list", "-o", output).out
        assert "\x1b" not in out
        assert "Mail\\x1b[31m\\x0asent" in out


def test_progress_is_shown_on_demand_and_never_on_stdout(
    tenant: sandboxes.Tenant, qlik: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_qlik.cli import output

    monkeypatch.setattr(output, "VERBOSE_INTERVAL", 0.0)
    tenant.add_app("Ledger")
    assert qlik("apps", "list", "-o", "json").err == ""
    verbose = qlik("apps", "list", "-o", "json", "--verbose")
    assert "1 apps read" in verbose.err
    assert len(verbose.rows) == 1


# Check


def test_check_prints_a_line_for_each_fact(tenant: sandboxes.Tenant, qlik: Run) -> None:
    tenant.switch(deprecated_paths="/api/workflows/*")
    ended = qlik("check", "-o", "json")
    facts = {row["fact"]: row["value"] for row in ended.rows}
    assert ended.code == 0
    assert facts["sign-in"].startswith(f"Signed in to {tenant.url} as ")
    assert facts["roles"] == "TenantAdmin"
    assert "API key" in facts["scopes"]
    assert facts["apps"] == facts["tasks"] == facts["automations"] == facts["sharing tasks"] == "can be listed"
    assert facts["tasks API"] == "/api/scheduling/tasks (found by a request)"
    assert facts["deprecations"].startswith("list_automations (until ")
    assert facts["clock"]
    assert tenant.api_key not in ended.out + ended.err
    assert [line.split("|")[0].strip() for line in qlik("check").out.splitlines()[2:] if "|" in line] == [*facts]


def test_check_says_how_far_the_clock_is_off(tenant: sandboxes.Tenant, qlik: Run) -> None:
    tenant.advance(3600)
    facts = {row["fact"]: row["value"] for row in qlik("check", "-o", "json").rows}
    assert "s behind Qlik Cloud's" in facts["clock"]


def test_check_says_what_may_not_be_listed_and_which_scopes_were_requested(
    tenant: sandboxes.Tenant, qlik: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "login": tenant.client_id,
        "password": tenant.client_secret,
        "extra": {"auth_type": "client_credentials", "scope": "user_default", "tasks_api": "/api/v1/tasks"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    tenant.fault(operation="list_automations", status=403)
    ended = qlik("check", "-o", "json")
    facts = {row["fact"]: row["value"] for row in ended.rows}
    assert ended.code == 0
    assert facts["scopes"] == "requested: user_default"
    assert facts["automations"].startswith("cannot be listed: ")
    assert "403" in facts["automations"]
    assert facts["tasks API"] == "/api/v1/tasks (set in the connection)"
    assert facts["deprecations"] == "none for the requests of this check"


def test_a_check_that_fails_has_the_message_of_the_hook_and_the_exit_code_1(
    tenant: sandboxes.Tenant, qlik: Run
) -> None:
    tenant.fault(operation="get_me", status=401, times=None)
    ended = qlik("check", "-o", "json")
    facts = {row["fact"]: row["value"] for row in ended.rows}
    assert ended.code == 1
    assert [*facts] == ["connection", "sign-in"]
    assert "Check the API key" in facts["sign-in"]


# Connections


def test_a_key_is_read_from_the_environment_without_a_connection_of_airflow(
    tenant: sandboxes.Tenant, qlik: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT")
    monkeypatch.setenv("QLIK_API_KEY", tenant.api_key)
    assert qlik("apps", "list", "--host", tenant.url).code == 0
    monkeypatch.setenv("MY_KEY", tenant.api_key)
    monkeypatch.delenv("QLIK_API_KEY")
    assert qlik("apps", "list", "--host", tenant.url, "--api-key-env", "MY_KEY").code == 0
    monkeypatch.setenv("QLIK_CLIENT_SECRET", tenant.client_secret)
    assert qlik("apps", "list", "--host", tenant.url, "--client-id", tenant.client_id).code == 0


def test_a_key_that_is_given_for_the_name_of_a_variable_is_not_repeated(tenant: sandboxes.Tenant, qlik: Run) -> None:
    # argparse takes the option for an abbreviation of --api-key-env.
    ended = qlik("check", "--host", tenant.url, "--api-key", tenant.api_key)
    assert ended.code == 1
    assert "name of an environment variable" in ended.err
    assert tenant.api_key not in ended.out + ended.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--conn-id", "a", "--host", "b"], "not both"),
        (["--api-key-env", "A"], "--api-key-env needs --host"),
        (["--client-id", "A"], "--client-id needs --host"),
        (["--host", "a", "--client-secret-env", "A"], "needs --client-id"),
        (["--host", "a", "--client-id", "i", "--api-key-env", "A"], "not both"),
    ],
)
def test_options_of_the_connection_that_do_not_go_together_are_refused(
    qlik: Run, options: list[str], text: str
) -> None:
    ended = qlik("check", *options)
    assert (ended.code, ended.out) == (2, "")
    assert text in ended.err
    assert ended.err.count("\n") == 1


def test_a_missing_connection_is_one_line(database: None, qlik: Run) -> None:
    ended = qlik("apps", "list", "--conn-id", "nowhere")
    assert (ended.code, ended.out) == (1, "")
    assert "nowhere" in ended.err
    assert ended.err.count("\n") == 1


def test_a_connection_of_airflows_database_is_found(database: None, qlik: Run) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as db:
        db.add(Connection("qlik_in_database", "qlik_cloud", host="acme.eu.qlikcloud.com"))
    try:
        ended = qlik("apps", "list", "--conn-id", "qlik_in_database")
        # It was read: what it lacks is a password.
        assert ended.code == 1
        assert ended.err.startswith("Error: password: must be given")
        assert "qlik_in_database" in ended.err
    finally:
        with create_session() as db:
            db.query(Connection).filter(Connection.conn_id == "qlik_in_database").delete()


# Runs


def test_runs_are_listed_latest_first_by_id_and_by_name(tenant: sandboxes.Tenant, qlik: Run) -> None:
    app = tenant.add_app("Ledger")
    task = tenant.add_task("Reload ledger", resource_id=app)
    runs = [tenant.add_run(task, started_ago=ago, script=sandboxes.Script(run=5)) for ago in (300, 200, 100)]
    by_id = qlik("runs", "list", "--kind", "task", "--id", task, "-o", "json").rows
    assert [row["run_id"] for row in by_id] == runs[::-1]
    assert {row["state"] for row in by_id} == {"succeeded"}
    named = ("--name", "Reload ledger", "--app-name", "Ledger")
    limited = qlik("runs", "list", "--kind", "task", *named, "-o", "json", "--limit", "2").rows
    assert [row["run_id"] for row in limited] == runs[:0:-1]


@pytest.mark.parametrize("kind", ["task", "automation", "app", "sharing-task"])
def test_runs_of_each_kind_are_listed(tenant: sandboxes.Tenant, qlik: Run, kind: str) -> None:
    resource = {
        "task": lambda: tenant.add_task("A"),
        "automation": lambda: tenant.add_automation("A"),
        "app": lambda: tenant.add_app("A"),
        "sharing-task": lambda: tenant.add_sharing_task("A"),
    }[kind]()
    assert qlik("runs", "list", "--kind", kind, "--id", resource, "-o", "json").rows == []
    script: Any = (
        sandboxes.SharingScript([sandboxes.Script(run=1)]) if kind == "sharing-task" else sandboxes.Script(run=1)
    )
    tenant.add_run(resource, started_ago=100, script=script)
    (row,) = qlik("runs", "list", "--kind", kind, "--id", resource, "-o", "json").rows
    assert row["state"] == "succeeded"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--kind", "task"], "Give --id or --name"),
        (["--kind", "task", "--id", "1", "--name", "a"], "--name has no meaning beside --id"),
        (["--kind", "automation", "--name", "a", "--app-id", "1"], "--app-id has no meaning with --kind automation"),
        (["--kind", "app", "--id", "1", "--space", "a"], "--space has no meaning beside --id"),
        (["--kind", "task", "--id", "1", "--limit", "100000"], "--limit is at most 2000"),
    ],
)
def test_options_of_the_resource_that_do_not_go_together_are_refused(
    tenant: sandboxes.Tenant, qlik: Run, options: list[str], text: str
) -> None:
    ended = qlik("runs", "list", *options)
    assert (ended.code, ended.out) == (2, "")
    assert text in ended.err
    assert tenant.request_log() == []


@pytest.mark.parametrize("arguments", [[], ["runs"], ["runs", "list"], ["runs", "list", "--kind", "x", "--id", "1"]])
def test_wrong_usage_ends_with_2(qlik: Run, arguments: list[str]) -> None:
    assert qlik(*arguments).code == 2


def test_errors_name_the_option(tenant: sandboxes.Tenant, qlik: Run) -> None:
    named = qlik("runs", "list", "--kind", "app", "--name", "Nothing")
    assert (named.code, named.err.startswith("Error: --name: ")) == (1, True)
    without_app = qlik("runs", "list", "--kind", "task", "--name", "a")
    assert (without_app.code, without_app.err.startswith("Error: --app-id: ")) == (1, True)
    missing = qlik("runs", "list", "--kind", "automation", "--id", "no-such-id")
    assert (missing.code, missing.out) == (1, "")
    assert "no-such-id" in missing.err
    assert missing.err.count("\n") == 1


def test_the_log_of_the_last_run_or_of_one_is_printed(tenant: sandboxes.Tenant, qlik: Run) -> None:
    task = tenant.add_task("A")
    first = tenant.add_run(task, started_ago=300, script=sandboxes.Script(run=1, log=("one", "\x1b[31mred")))
    tenant.add_run(task, started_ago=100, script=sandboxes.Script(run=1, log=("two",)))
    assert "two" in qlik("runs", "log", "--kind", "task", "--id", task).out
    log = qlik("runs", "log", "--kind", "task", "--id", task, "--run-id", first).out
    assert "one" in log
    assert "\x1b" not in log
    none = qlik("runs", "log", "--kind", "task", "--id", task, "--run-id", "no-such-run")
    assert (none.code, none.out) == (1, "")
    assert "no run no-such-run" in none.err


def test_sharing_tasks_have_no_log(tenant: sandboxes.Tenant, qlik: Run) -> None:
    ended = qlik("runs", "log", "--kind", "sharing-task", "--id", tenant.add_sharing_task("A"))
    assert ended.code == 1
    assert "no log" in ended.err


def started(tenant: sandboxes.Tenant, script: sandboxes.Script) -> tuple[str, str]:
    """Start a run of a new automation; return the ids of both."""
    automation = tenant.add_automation("Mail")
    run = tenant.add_run(automation, started_ago=1, script=script)
    return automation, run


ENDLESS = sandboxes.Script(end=None)


def test_a_run_is_cancelled_after_a_confirmation(
    tenant: sandboxes.Tenant, qlik: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation, run = started(tenant, ENDLESS)
    command = ("runs", "cancel", "--kind", "automation", "--id", automation, "--run-id", run)
    for reply in ("", "n\n", "\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(reply))
        refused = qlik(*command)
        assert refused.code == 1
        assert run in refused.err
        assert "Nothing was cancelled" in refused.err
    assert tenant.runs(automation)[0]["cancel_requested_at"] is None
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    cancelled = qlik(*command)
    assert cancelled.code == 0
    assert "Requested the cancel" in cancelled.out
    assert tenant.runs(automation)[0]["cancel_requested_at"] is not None


def test_yes_needs_no_confirmation_and_a_run_that_has_ended_is_left_alone(tenant: sandboxes.Tenant, qlik: Run) -> None:
    automation, run = started(tenant, ENDLESS)
    assert qlik("runs", "cancel", "--kind", "automation", "--id", automation, "--run-id", run, "--yes").code == 0
    assert tenant.runs(automation)[0]["cancel_requested_at"] is not None
    ended_run = tenant.add_run(automation, started_ago=500, script=sandboxes.Script(run=1))
    tenant.clear_request_log()
    again = qlik("runs", "cancel", "--kind", "automation", "--id", automation, "--run-id", ended_run, "--yes")
    assert (again.code, "nothing to cancel" in again.out) == (0, True)
    assert tenant.request_log(method="POST") == []


def test_a_cancel_needs_the_id_of_the_run(tenant: sandboxes.Tenant, qlik: Run) -> None:
    automation, _ = started(tenant, ENDLESS)
    assert qlik("runs", "cancel", "--kind", "automation", "--id", automation, "--yes").code == 2
    assert tenant.request_log(method="POST") == []


@pytest.mark.parametrize(("end", "code"), [("finished", 0), ("failed", 3), ("stopped", 4)])
def test_the_exit_code_of_a_watch_says_how_the_run_ended(
    tenant: sandboxes.Tenant, qlik: Run, end: str, code: int
) -> None:
    error = "no such table" if end == "failed" else None
    automation, run = started(tenant, sandboxes.Script(run=10, end=end, error=error))
    watch = ("runs", "watch", "--kind", "automation", "--id", automation, "--poll-interval", "0.1", "-o", "json")
    ended = qlik(*watch)
    assert ended.code == code
    (row,) = ended.rows
    assert (row["run_id"], row["status"]) == (run, end)
    assert row["link"].startswith(tenant.url)
    assert "Waiting for the end" in ended.err
    assert f"ended as '{end}'" in ended.err
    assert ("no such table" in (row["reason"] or "")) == (end == "failed")
    # A run that has ended already is not waited for.
    again = qlik(*watch)
    assert (again.code, "Waiting" in again.err) == (code, False)


def test_a_watch_prints_changes_of_the_status(tenant: sandboxes.Tenant, qlik: Run) -> None:
    automation, run = started(tenant, sandboxes.Script(wait=20, run=20))
    ended = qlik("runs", "watch", "--kind", "automation", "--id", automation, "--poll-interval", "0.1")
    assert ended.code == 0
    assert f"run {run}: running" in ended.err


def test_ctrl_c_ends_the_watch_and_leaves_the_run_alone(
    tenant: sandboxes.Tenant, qlik: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation, run = started(tenant, ENDLESS)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    ended = qlik("runs", "watch", "--kind", "automation", "--id", automation, "--run-id", run)
    assert (ended.code, ended.out) == (130, "")
    assert "the run goes on" in ended.err
    assert run in ended.err
    assert tenant.request_log(method="POST") == []
    assert tenant.active() != []


def test_a_watch_ends_at_its_timeout_and_leaves_the_run_alone(tenant: sandboxes.Tenant, qlik: Run) -> None:
    automation, _ = started(tenant, ENDLESS)
    watch = ("runs", "watch", "--kind", "automation", "--id", automation, "--poll-interval", "0.1", "--timeout", "0.3")
    ended = qlik(*watch)
    assert (ended.code, ended.out) == (running.STILL_ACTIVE, "")
    assert "has not ended within 0.3 s" in ended.err
    assert tenant.request_log(method="POST") == []


def test_a_watch_without_a_run_is_an_error(tenant: sandboxes.Tenant, qlik: Run) -> None:
    automation = tenant.add_automation("Mail")
    ended = qlik("runs", "watch", "--kind", "automation", "--id", automation)
    assert (ended.code, ended.out) == (1, "")
    assert "no run yet" in ended.err


def test_a_failing_tenant_is_one_line_without_the_key(tenant: sandboxes.Tenant, qlik: Run) -> None:
    tenant.fault(status=401, times=None)
    for command in (["apps", "list"], ["runs", "list", "--kind", "automation", "--id", "1"]):
        ended = qlik(*command)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("Error: ")
        assert ended.err.count("\n") == 1
        assert tenant.api_key not in ended.err


def test_any_other_error_is_one_line_too(qlik: Run, tenant: sandboxes.Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise OSError("the disk is full\nand more")

    monkeypatch.setattr(running, "list_runs", fail)
    ended = qlik("runs", "list", "--kind", "task", "--id", "1")
    assert ended == Ended(1, "", "Error: the disk is full (OSError)\n")


def test_the_log_of_this_package_goes_back_to_where_it_was(tenant: sandboxes.Tenant, qlik: Run) -> None:
    import logging

    logger = logging.getLogger("airflow_provider_qlik")
    before = (logger.level, logger.propagate, [*logger.handlers])
    qlik("apps", "list")
    assert (logger.level, logger.propagate, [*logger.handlers]) == before


# Processes


def test_a_broken_pipe_ends_quietly(tenant: sandboxes.Tenant) -> None:
    for number in range(30):
        tenant.add_app(f"App {number}")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "airflow_provider_qlik", "apps", "list", "-o", "plain"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    os.close(write)
    assert "Broken" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


def test_a_sandbox_without_its_packages_names_the_extra(qlik: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("server", "__main__"):
        monkeypatch.delitem(sys.modules, f"airflow_provider_qlik.sandbox.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ended = qlik("sandbox", "--port", "0")
    assert (ended.code, ended.out) == (1, "")
    assert "needs the package uvicorn: install airflow-provider-qlik[sandbox]" in ended.err


def test_the_sandbox_is_served_as_its_own_module_does(qlik: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_qlik.sandbox import __main__ as sandbox_process

    served: list[Any] = []
    monkeypatch.setattr(sandbox_process, "serve_until_signal", lambda **options: served.append(options))
    assert qlik("sandbox", "--port", "0", "--demo").code == 0
    assert served == [{"port": 0, "speed": 1.0, "demo": True}]


@pytest.mark.whole_airflow
def test_airflow_qlik_and_airflow_providers_get(
    tenant: sandboxes.Tenant, install_airflow: InstallAirflow, tmp_path: Path
) -> None:
    from airflow import providers_manager

    if not hasattr(providers_manager.ProvidersManager, "cli_command_functions"):
        pytest.skip(NO_COMMANDS)
    task = tenant.add_task("Reload sales")
    run = tenant.add_run(task, started_ago=100, script=sandboxes.Script(run=5))
    environment = install_airflow(tmp_path, tmp_path)

    def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    listed = airflow("qlik", "runs", "list", "--kind", "task", "--id", task, "-o", "json")
    assert listed.returncode == 0, listed.stderr
    assert [row["run_id"] for row in json.loads(listed.stdout)] == [run]
    missing = airflow("qlik", "check", "--conn-id", "nowhere", "-o", "json")
    assert missing.returncode == 1
    assert "Traceback" not in missing.stdout + missing.stderr
    shown = airflow("providers", "get", "airflow-provider-qlik", "--full", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    for text in (
        *get_provider_info()["cli"],
        "hooks.qlik_cloud.QlikCloudHook",
        "triggers.run",
        *get_provider_info()["extra-links"],
        *get_provider_info().get("notifications", ()),
    ):
        assert text in shown.stdout.replace("\\/", "/")
