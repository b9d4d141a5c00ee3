"""Starting and polling with the least privileges that are needed, and clear errors with less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, Client, ForbiddenError, Tenant
from airflow_provider_qlik.runs import (
    STARTABLE_ADAPTERS,
    CannotStartError,
    Intent,
    MatchTimeouts,
    RunNotFoundError,
    RunSelector,
    StartableRunAdapter,
    find_run,
)
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.runs.errors import RunGoneError, RunNotVisibleError
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.outcome import outcome
from airflow_provider_qlik.runs.starting import start
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.runs.conftest import AUTOMATION, MARKER, QUICK, TASK, Stage

RELOAD, REPORT = STARTABLE_ADAPTERS["reload"], STARTABLE_ADAPTERS["sharing_task"]


@contextmanager
def acting(stage: Stage, api_key: str) -> Iterator[Stage]:
    """Return a stage for another user of the same tenant."""
    with Client(Tenant.at(stage.sandbox.url), ApiKey(api_key), retry_policy=QUICK) as client:
        other = Stage(stage.sandbox, client)
        other.elapsed = stage.elapsed
        yield other


@pytest.fixture
def space(sandbox: SandboxTenant) -> str:
    return sandbox.add_space("Finance")


@pytest.fixture
def with_role(stage: Stage, space: str) -> Iterator[Callable[[str], Stage]]:
    """Return a function that makes a stage for a user with a role, in the space or in the tenant."""
    open_stages: list[Any] = []

    def make(role: str) -> Stage:
        tenant_role = role in {"TenantAdmin", "AnalyticsAdmin"}
        user = stage.sandbox.add_user(f"A {role}", roles=[role] if tenant_role else [])
        if not tenant_role and role != "nobody":
            stage.sandbox.grant_role(space, user.id, role)
        manager = acting(stage, user.api_key)
        open_stages.append(manager)
        return manager.__enter__()

    yield make
    for manager in open_stages:
        manager.__exit__(None, None, None)


def things(sandbox: SandboxTenant, space: str) -> dict[str, str]:
    """Add one resource of each kind to the space, each with a run of last night."""
    app = sandbox.add_app("Sales", space_id=space)
    made = {
        "automation": sandbox.add_automation("Export", spaceId=space),
        "reload": app,
        "task": sandbox.add_task("Refresh", resource_id=app),
    }
    for each in made.values():
        sandbox.add_run(each, started_ago=36000)
    return made


# The least privileges by the documentation


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (AUTOMATION, "producer"),
        (AUTOMATION, "operator"),
        (TASK, "producer"),
        (TASK, "codeveloper"),
        (RELOAD, "producer"),
        (RELOAD, "facilitator"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_role_in_the_space_starts_polls_and_explains_a_run(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage], kind: StartableRunAdapter[Any], role: str
) -> None:
    resource_id = things(sandbox, space)[kind.name]
    stage = with_role(role)

    run = stage.start(kind, resource_id)
    ended = stage.until_end(kind, RunSelector.of(run))
    result = stage.run(outcome(kind, ended, sandbox.url, stage.write_log))

    assert run.id == stage.own_run_id(resource_id)
    assert result.succeeded
    assert not stage.warnings
    assert any(text.startswith("| ") for text in stage.messages)


@pytest.mark.parametrize("role", ["producer", "operator"])
def test_a_run_that_an_editor_started_is_cancelled(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage], role: str
) -> None:
    automation = things(sandbox, space)["automation"]
    sandbox.script(automation, Script(run=3600))
    stage = with_role(role)
    run = stage.start(AUTOMATION, automation)

    assert stage.run(cancel_polled(AUTOMATION, run)) == f"Requested the cancel of automation run {run.id}"
    assert [each["id"] for each in sandbox.active() if not each["cancel_requested_at"]] == []


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (AUTOMATION, "consumer"),
        (AUTOMATION, "nobody"),
        (AUTOMATION, "TenantAdmin"),
        (TASK, "consumer"),
        (RELOAD, "consumer"),
        (RELOAD, "nobody"),
        (RELOAD, "TenantAdmin"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_one_role_lower_is_a_clear_error_and_nothing_was_started(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage], kind: StartableRunAdapter[Any], role: str
) -> None:
    resource_id = things(sandbox, space)[kind.name]
    stage = with_role(role)

    with pytest.raises((CannotStartError, ForbiddenError)) as raised:
        stage.start(kind, resource_id)

    message = str(raised.value)
    assert message.startswith(f"Forbidden: A {role} may not do this")
    assert "Check the roles and OAuth scopes of the user." in message
    assert "HTTP 403 for" in message
    assert resource_id in message
    assert {run["via"] for run in sandbox.runs(resource_id)} == {"added"}


# Lists that a user may not read


def test_before_a_start_that_returns_its_run_only_the_list_is_requested(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    automation = things(sandbox, space)["automation"]
    stage = with_role("producer")
    sandbox.clear_request_log()

    stage.start(AUTOMATION, automation)

    asked = [entry.operation for entry in sandbox.request_log(path="/api/*")]
    assert set(asked) == {"list_automation_runs", "create_automation_run"}


def test_runs_that_may_not_be_listed_are_not_taken_for_no_runs(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    automation = things(sandbox, space)["automation"]

    intent = with_role("producer").intend(AUTOMATION, automation)

    assert intent.known_run_ids is None
    again = Intent.from_json(json.loads(json.dumps(intent.to_json())))
    assert again == intent
    empty = Intent.from_json({**intent.to_json(), "known": []})
    assert empty != intent


@pytest.mark.parametrize("carried_out", [True, False], ids=["it ran", "it did not"])
@pytest.mark.parametrize("kind", [AUTOMATION, RELOAD], ids=lambda kind: kind.name)
def test_a_lost_response_is_an_error_and_never_a_guess_where_runs_cannot_be_listed(
    stage: Stage, kind: StartableRunAdapter[Any], carried_out: bool
) -> None:
    resource_id = things(stage.sandbox, stage.sandbox.add_space())[kind.name]
    listing = "list_automation_runs" if kind is AUTOMATION else "list_reloads"
    creating = "create_automation_run" if kind is AUTOMATION else "create_reload"
    stage.sandbox.fault(operation=listing, times=1, status=403)
    stage.sandbox.fault(operation=listing, times=1, status=403)
    stage.sandbox.fault(operation=creating, reset="after" if carried_out else "before")
    intent = stage.intend(kind, resource_id)

    # The list can be read by now, and shows a candidate, which may be a run of another user.
    with pytest.raises(RunNotFoundError) as raised:
        stage.run(start(kind, intent, MatchTimeouts(), stage.write_log, stage.clock))

    message = str(raised.value)
    assert message.startswith(
        "The response to the start was lost, and this user may not list the runs to look for it:"
        f" the {kind.name} may have been started."
    )
    assert "It was not started again" in message
    assert f"({kind.name} {resource_id})" in message
    assert len(stage.sandbox.request_log(creating)) == 1
    assert stage.elapsed == 0


@pytest.mark.parametrize("kind", [AUTOMATION, RELOAD], ids=lambda kind: kind.name)
def test_a_retry_matches_no_run_if_the_runs_before_the_start_were_unknown(
    stage: Stage, kind: StartableRunAdapter[Any]
) -> None:
    resource_id = things(stage.sandbox, stage.sandbox.add_space())[kind.name]
    stage.sandbox.add_run(resource_id, started_ago=0, script=Script(run=3600))
    intent = Intent(kind=kind.name, resource_id=resource_id, marker=MARKER, known_run_ids=None, server_time=None)
    (run, *_) = stage.run(recent_runs(kind, resource_id, None))

    assert not intent.is_candidate(run)
    with pytest.raises(RunNotFoundError, match="The response to the start was lost"):
        stage.run(find_run(kind, intent, MatchTimeouts(), stage.write_log, stage.clock, accepted=False))


def test_a_start_with_inputs_is_refused_if_runs_may_not_be_listed(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    automation = sandbox.add_automation("Mail", run_mode="triggered", spaceId=space)
    stage = with_role("producer")

    with pytest.raises(CannotStartError) as raised:
        stage.start(AUTOMATION, automation, inputs={"month": "11"})

    assert "the response to a start with these parameters does not contain the run" in str(raised.value)
    assert "may not list the runs" in str(raised.value)
    assert sandbox.runs(automation) == []


def test_the_owner_of_an_automation_starts_it_with_inputs(stage: Stage) -> None:
    owner = stage.sandbox.add_user("Owner")
    automation = stage.sandbox.add_automation("Mail", run_mode="triggered", ownerId=owner.id)
    stage.sandbox.script(automation, Script(run=3600))

    with acting(stage, owner.api_key) as own:
        run = own.start(AUTOMATION, automation, inputs={"month": "11"})

    assert [each["id"] for each in stage.sandbox.runs(automation)] == [run.id]


# Waits


def test_an_administrator_polls_the_last_run_of_an_automation(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    automation = things(sandbox, space)["automation"]

    run = with_role("TenantAdmin").until_end(AUTOMATION, RunSelector(resource_id=automation))

    assert run.id == sandbox.runs(automation)[0]["id"]


def test_an_editor_polls_a_run_by_its_id_and_not_the_last_one(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    automation = things(sandbox, space)["automation"]
    run_id = sandbox.runs(automation)[0]["id"]
    stage = with_role("producer")

    assert stage.until_end(AUTOMATION, RunSelector(resource_id=automation, run_id=run_id)).ended
    with pytest.raises(RunNotVisibleError, match="may not do this .list_automation_runs"):
        stage.until_end(AUTOMATION, RunSelector(resource_id=automation))


def test_a_run_that_is_gone_is_gone_for_a_user_who_may_not_read_its_automation(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    automation = things(sandbox, space)["automation"]

    with pytest.raises(RunGoneError):
        with_role("producer").until_end(AUTOMATION, RunSelector(resource_id=automation, run_id="no-such-run"))


def test_a_user_who_sees_an_app_polls_its_reloads_and_reads_their_short_log(
    sandbox: SandboxTenant, space: str, with_role: Callable[[str], Stage]
) -> None:
    app = things(sandbox, space)["reload"]
    stage = with_role("consumer")

    run = stage.until_end(RELOAD, RunSelector(resource_id=app))
    result = stage.run(outcome(RELOAD, run, sandbox.url, stage.write_log))

    assert result.succeeded
    assert any(text.startswith("| ") for text in stage.messages)


# Reports


def test_the_owner_of_a_report_makes_it_and_a_recipient_does_not(stage: Stage) -> None:
    owner, reader = stage.sandbox.add_user("Owner"), stage.sandbox.add_user("Reader")
    report = stage.sandbox.add_sharing_task("Weekly", recipients=[reader.id], owner=owner.id)

    with acting(stage, owner.api_key) as own:
        assert own.start(REPORT, report).resource_id == report
    with acting(stage, reader.api_key) as other, pytest.raises(CannotStartError, match="Reader may not do this"):
        other.start(REPORT, report)
