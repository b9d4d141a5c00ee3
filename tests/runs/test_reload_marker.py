"""The marker of reloads: used where Qlik shows it, not needed where not, left out where it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik.runs import (
    STARTABLE_ADAPTERS,
    AmbiguousRunError,
    CannotStartError,
    MatchTimeouts,
    RunNotFoundError,
)
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.runs.starting import start
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.runs.conftest import MARKER, OTHER_MARKER, Stage

RELOAD = STARTABLE_ADAPTERS["reload"]
LOST: list[dict[str, Any]] = [{"reset": "after"}, {"status": 502, "carried_out": True}, {"response": "html"}]


@pytest.fixture
def app(sandbox: SandboxTenant) -> str:
    app = sandbox.add_app("Sales")
    sandbox.add_run(app, started_ago=36000)
    sandbox.script(app, Script(run=3600))
    return app


def bodies(stage: Stage) -> list[dict[str, Any]]:
    return [entry.body for entry in stage.sandbox.request_log("create_reload")]


def test_a_reload_carries_the_marker(stage: Stage, app: str) -> None:
    run = stage.start(RELOAD, app)

    assert bodies(stage) == [{"appId": app, "resourceType": "api", "resourceId": MARKER}]
    assert run.triggered_by == MARKER
    assert run.shows_marker(MARKER)


def test_a_reload_that_shows_no_marker_is_known_by_the_response(stage: Stage, app: str) -> None:
    stage.sandbox.switch(reload_marker="hidden")

    run = stage.start(RELOAD, app)

    assert run.id == stage.own_run_id(app)
    assert run.triggered_by == stage.sandbox.user_id
    assert not stage.messages


def test_a_marker_that_is_refused_is_left_out(stage: Stage, app: str) -> None:
    stage.sandbox.switch(reload_marker="refused")

    run = stage.start(RELOAD, app, partial=True, weight=3)

    assert run.id == stage.own_run_id(app)
    assert bodies(stage)[1:] == [{"appId": app, "partial": True, "weight": 3}]
    assert [entry.carried_out for entry in stage.sandbox.request_log("create_reload")] == [False, True]
    assert "Starting the reload without a marker" in stage.messages[0]


def test_a_reload_that_is_refused_for_another_reason_is_sent_once_more_only(stage: Stage, app: str) -> None:
    stage.sandbox.fault(operation="create_reload", times=None, status=400)

    with pytest.raises(CannotStartError, match="HTTP 400"):
        stage.start(RELOAD, app)

    assert len(bodies(stage)) == 2


@pytest.mark.parametrize("fault", LOST, ids=str)
def test_a_reload_whose_response_was_lost_is_found_by_its_marker_at_once(
    stage: Stage, app: str, fault: dict[str, Any]
) -> None:
    stage.sandbox.fault(operation="create_reload", **{"carried_out": True, **fault})

    run = stage.start(RELOAD, app)

    assert run.id == stage.own_run_id(app)
    assert (run.unconfirmed_since, stage.elapsed) == (None, 0)
    assert len(bodies(stage)) == 1


def test_a_reload_whose_response_was_lost_is_distinguished_from_a_simultaneous_one(stage: Stage, app: str) -> None:
    stage.sandbox.switch(pending_reload="queued")
    intent = stage.intend(RELOAD, app)
    stage.run(RELOAD.send_start(stage.intend(RELOAD, app, OTHER_MARKER), stage.write_log, {}))
    stage.sandbox.fault(operation="create_reload", reset="after")

    run = stage.run(start(RELOAD, intent, MatchTimeouts(), stage.write_log, stage.clock))

    assert run.shows_marker(MARKER)
    assert stage.elapsed == 0


def test_without_a_marker_a_lost_response_is_resolved_by_being_alone(stage: Stage, app: str) -> None:
    stage.sandbox.switch(reload_marker="hidden")
    stage.sandbox.fault(operation="create_reload", reset="after")

    run = stage.start(RELOAD, app)

    assert run.id == stage.own_run_id(app)
    assert run.unconfirmed_since is not None
    assert stage.elapsed >= MatchTimeouts().confirmation_time


def test_without_a_marker_two_reloads_of_callers_are_an_error(stage: Stage, app: str) -> None:
    stage.sandbox.switch(reload_marker="hidden", pending_reload="queued")
    intent = stage.intend(RELOAD, app)
    stage.run(RELOAD.send_start(stage.intend(RELOAD, app, OTHER_MARKER), stage.write_log, {}))
    stage.sandbox.fault(operation="create_reload", reset="after")

    with pytest.raises(AmbiguousRunError, match="2 runs"):
        stage.run(start(RELOAD, intent, MatchTimeouts(), stage.write_log, stage.clock))


def test_a_reload_of_a_task_in_the_same_moment_is_no_candidate(stage: Stage, app: str) -> None:
    """Qlik shows the origin of a reload: that of a task is not matched, whether markers are shown or not."""
    stage.sandbox.switch(reload_marker="hidden", pending_reload="queued")
    task = stage.sandbox.add_task("Hourly", resource_id=app)
    stage.sandbox.fault(operation="create_reload", reset="after")

    run = stage.start(RELOAD, app, between=lambda: stage.sandbox.add_run(task, started_ago=0, script=Script(run=3600)))

    assert run.id == stage.own_run_id(app)


def test_where_markers_are_shown_the_reload_of_another_caller_is_never_matched(stage: Stage, app: str) -> None:
    """The start was not executed, and the reload of another caller shows another marker."""
    stage.sandbox.switch(pending_reload="queued")
    intent = stage.intend(RELOAD, app)
    stage.run(RELOAD.send_start(stage.intend(RELOAD, app, OTHER_MARKER), stage.write_log, {}))
    stage.sandbox.fault(operation="create_reload", reset="before", times=None)

    with pytest.raises(RunNotFoundError, match="may have been started, but no run of it showed up"):
        stage.run(start(RELOAD, intent, MatchTimeouts(), stage.write_log, stage.clock))


def test_a_retry_takes_up_the_reload_that_carries_its_marker(stage: Stage, app: str) -> None:
    run = stage.start(RELOAD, app)

    intent = stage.intend(RELOAD, app)

    assert intent.resumable is not None
    assert intent.resumable.id == run.id
    assert intent.markers_shown


def test_a_retry_does_not_resume_the_reload_that_the_previous_attempt_has_cancelled(stage: Stage, app: str) -> None:
    run = stage.start(RELOAD, app)
    stage.run(cancel_polled(RELOAD, run))

    again = stage.start(RELOAD, app)

    assert again.id != run.id
    assert stage.elapsed > 0
