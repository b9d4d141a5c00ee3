"""Runs that somebody set off in Qlik Cloud's pages are never taken for one that was started through the API."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik.runs import AmbiguousRunError, RunNotFoundError, RunSelector
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.runs.conftest import AUTOMATION, Stage

PAGES = ("test_run", "editor", "detail", "lookup")
UNSURE = ("webhook", "api_sync", "api_async", "a new word")
LONG = Script(run=3600)


@pytest.fixture
def mail(sandbox: SandboxTenant) -> str:
    """An automation that takes inputs, and whose next run takes an hour."""
    automation = sandbox.add_automation("Mail", run_mode="triggered")
    sandbox.script(automation, LONG)
    return automation


def by_user(stage: Stage, automation: str, **run: Any) -> None:
    """Add a run of the user who starts."""
    stage.sandbox.add_run(automation, started_ago=0, script=LONG, by=stage.sandbox.user_id, **run)


def ours(sandbox: SandboxTenant, automation: str) -> str:
    (run_id,) = (run["id"] for run in sandbox.runs(automation) if run["via"] == "execute")
    return str(run_id)


@pytest.mark.parametrize("context", PAGES)
def test_a_run_of_the_pages_in_the_same_moment_is_no_candidate(stage: Stage, mail: str, context: str) -> None:
    def pressed() -> None:
        stage.sandbox.add_run(mail, started_ago=0, script=LONG, context=context)

    run = stage.start(AUTOMATION, mail, between=pressed, inputs={"month": "11"})

    assert run.id == ours(stage.sandbox, mail)


@pytest.mark.parametrize("context", UNSURE)
def test_a_run_of_any_other_context_is_a_candidate(stage: Stage, mail: str, context: str) -> None:
    def another() -> None:
        by_user(stage, mail, context=context)

    with pytest.raises(AmbiguousRunError, match="2 runs"):
        stage.start(AUTOMATION, mail, between=another, inputs={"month": "11"})


def test_the_run_of_the_pages_is_not_followed_where_the_start_did_not_arrive(stage: Stage, mail: str) -> None:
    stage.sandbox.fault(operation="execute_automation", reset="before", times=None)

    def pressed() -> None:
        stage.sandbox.add_run(mail, started_ago=0, script=LONG, context="editor")

    with pytest.raises(RunNotFoundError, match="may have been started"):
        stage.start(AUTOMATION, mail, between=pressed, inputs={})


def test_a_run_started_in_the_pages_is_no_competing_run(stage: Stage, mail: str) -> None:
    stage.sandbox.script(mail, Script(run=300))
    run = stage.start(AUTOMATION, mail, inputs={})
    assert run.unconfirmed_since is not None
    stage.sandbox.add_run(mail, started_ago=0, script=LONG, context="test_run")

    assert stage.until_end(AUTOMATION, RunSelector.of(run)).id == run.id


def test_a_later_run_of_another_api_caller_is_a_competing_run(stage: Stage, mail: str) -> None:
    run = stage.start(AUTOMATION, mail, inputs={})
    by_user(stage, mail)

    with pytest.raises(AmbiguousRunError):
        stage.until_end(AUTOMATION, RunSelector.of(run))


@pytest.mark.parametrize("executed_by", ["caller", "owner"])
def test_a_run_of_another_user_is_no_candidate(stage: Stage, mail: str, executed_by: str) -> None:
    stage.sandbox.switch(executed_by=executed_by)

    def another() -> None:
        stage.sandbox.add_run(mail, started_ago=0, script=LONG)

    run = stage.start(AUTOMATION, mail, between=another, inputs={})

    assert run.id == ours(stage.sandbox, mail)


@pytest.mark.parametrize("by", ["another user", "this user"])
def test_a_lost_response_is_resolved_by_the_user_who_started(stage: Stage, by: str) -> None:
    automation = stage.sandbox.add_automation("Export")
    stage.sandbox.script(automation, LONG)
    stage.sandbox.fault(operation="create_automation_run", reset="after")

    def another() -> None:
        if by == "this user":
            by_user(stage, automation)
        else:
            stage.sandbox.add_run(automation, started_ago=0, script=LONG)

    if by == "this user":
        with pytest.raises(AmbiguousRunError, match="2 runs"):
            stage.start(AUTOMATION, automation, between=another)
    else:
        assert stage.start(AUTOMATION, automation, between=another).id == stage.own_run_id(automation)


def test_a_run_that_shows_no_user_is_a_candidate(stage: Stage, mail: str) -> None:
    stage.sandbox.switch(executed_by="absent")

    def another() -> None:
        by_user(stage, mail)

    with pytest.raises(AmbiguousRunError, match="2 runs"):
        stage.start(AUTOMATION, mail, between=another, inputs={})


@pytest.mark.parametrize("hidden", ["get_me", "get_automation"])
def test_unless_both_users_are_known_all_candidates_stay(stage: Stage, mail: str, hidden: str) -> None:
    def another() -> None:
        stage.sandbox.add_run(mail, started_ago=0, script=LONG)
        # From here on: the start itself reads the automation before this.
        stage.after(5, lambda: stage.sandbox.fault(operation=hidden, times=None, status=403))

    with pytest.raises(AmbiguousRunError, match="2 runs"):
        stage.start(AUTOMATION, mail, between=another, inputs={})


def test_a_later_run_of_another_user_is_no_competing_run(stage: Stage, mail: str) -> None:
    stage.sandbox.script(mail, Script(run=300))
    run = stage.start(AUTOMATION, mail, inputs={})
    assert run.unconfirmed_since is not None
    stage.sandbox.add_run(mail, started_ago=0, script=LONG, context="api_sync")

    assert stage.until_end(AUTOMATION, RunSelector.of(run)).id == run.id


def test_the_user_is_not_requested_if_there_is_one_candidate(stage: Stage, mail: str) -> None:
    stage.start(AUTOMATION, mail, inputs={})

    assert {"get_me", "get_user"}.isdisjoint(entry.operation for entry in stage.sandbox.request_log())
