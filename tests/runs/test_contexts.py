"""Runs that somebody set off in Qlik Cloud's pages are never taken for one that was started through the API."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_qlik.runs import AmbiguousRun, Intent, RunNotFound, Search, Wanted
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
def test_a_run_of_any_other_context_may_be_ours(stage: Stage, mail: str, context: str) -> None:
    def another() -> None:
        stage.sandbox.add_run(mail, started_ago=0, script=LONG, context=context)

    with pytest.raises(AmbiguousRun, match="2 runs"):
        stage.start(AUTOMATION, mail, between=another, inputs={"month": "11"})


def test_the_run_of_the_pages_is_not_followed_where_the_start_did_not_arrive(stage: Stage, mail: str) -> None:
    stage.sandbox.fault(operation="execute_automation", reset="before", times=None)

    def pressed() -> None:
        stage.sandbox.add_run(mail, started_ago=0, script=LONG, context="editor")

    with pytest.raises(RunNotFound, match="may have been started"):
        stage.start(AUTOMATION, mail, between=pressed, inputs={})


def test_a_run_of_the_pages_brings_no_doubt_to_a_wait(stage: Stage, mail: str) -> None:
    stage.sandbox.script(mail, Script(run=300))
    run = stage.start(AUTOMATION, mail, inputs={})
    assert run.alone_since is not None
    stage.sandbox.add_run(mail, started_ago=0, script=LONG, context="test_run")

    assert stage.until_end(AUTOMATION, Wanted.of(run)).id == run.id


def test_a_caller_who_comes_later_still_brings_doubt_to_a_wait(stage: Stage, mail: str) -> None:
    run = stage.start(AUTOMATION, mail, inputs={})
    stage.sandbox.add_run(mail, started_ago=0, script=LONG, context="api_sync")

    with pytest.raises(AmbiguousRun):
        stage.until_end(AUTOMATION, Wanted.of(run))


def test_a_run_of_another_user_is_no_candidate_where_ours_is_known(stage: Stage, mail: str) -> None:
    intent = stage.intend(AUTOMATION, mail, inputs={})
    intent = replace(intent, user_id=stage.sandbox.user_id)
    stage.sandbox.add_run(mail, started_ago=0, script=LONG)

    run = stage.run(AUTOMATION.start(intent, Search(), stage.say, stage.clock, parameters={"inputs": {}}))

    assert run.id == ours(stage.sandbox, mail)
    assert Intent.from_json(json.loads(json.dumps(intent.to_json()))) == intent


def test_who_starts_is_never_asked_for(stage: Stage, mail: str) -> None:
    stage.start(AUTOMATION, mail, inputs={})

    assert {"get_me", "get_user"}.isdisjoint(entry.operation for entry in stage.sandbox.journal())
