"""Waiting: log lines, transient errors, the ends of a wait, and contradictory responses."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_qlik.cloud import Pause, StatusError
from airflow_provider_qlik.cloud.flow import unbatched
from airflow_provider_qlik.cloud.models.automations import AutomationRun
from airflow_provider_qlik.cloud.models.tasks import TaskRunList
from airflow_provider_qlik.runs import (
    AmbiguousRunError,
    Run,
    RunGoneError,
    RunNotVisibleError,
    RunSelector,
    RunState,
    RunWait,
    StartableRunAdapter,
    WaitTimeoutError,
)
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.runs.conftest import AUTOMATION, MARKER, TASK, Stage

pytestmark = pytest.mark.slow


both_kinds = pytest.mark.parametrize("kind", [TASK, AUTOMATION], ids=lambda kind: kind.name)
POLL = {"task": "list_task_runs", "automation": "get_automation_run"}
READ = {"task": "get_task", "automation": "get_automation"}
GOOD = {"task": "SUCCEEDED", "automation": "finished"}


def started(stage: Stage, kind: StartableRunAdapter[Any], script: Script) -> Run:
    """Return a run that has just begun to follow a script."""
    resource_id = stage.sandbox.add_task() if kind is TASK else stage.sandbox.add_automation()
    stage.sandbox.script(resource_id, script)
    return stage.start(kind, resource_id)


# Log lines.


def test_each_status_is_logged_once(stage: Stage) -> None:
    run = started(stage, AUTOMATION, Script(wait=100, run=200))

    ended = stage.until_end(AUTOMATION, RunSelector.of(run))

    assert (ended.id, ended.state, ended.status) == (run.id, RunState.SUCCEEDED, "finished")
    status_map = ("not started", "running", "finished")
    assert stage.messages == [f"automation run {run.id}: {word}" for word in status_map]


def test_a_wait_writes_a_heartbeat_line_every_five_minutes(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=1000))

    stage.until_end(TASK, RunSelector.of(run))

    alive = [text for text in stage.messages if "still" in text]
    assert alive == [f"task run {run.id} is still RUNNING, waited {waited}." for waited in SIGNS]


SIGNS = ("0:05:00", "0:10:00", "0:15:00")


def test_a_wait_for_a_future_run_writes_a_heartbeat_line_too(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    moment = stage.sandbox.now()
    stage.after(700, lambda: stage.sandbox.add_run(task, started_ago=0))

    assert stage.until_end(TASK, RunSelector(resource_id=task, started_after=moment)).state is RunState.SUCCEEDED
    alive = [text for text in stage.messages if text.startswith("Still waiting for the first run begun at or after")]
    assert len(alive) == 2


# Transient errors.

OUTAGES: list[dict[str, Any]] = [
    {"status": 503},
    {"status": 500},
    {"reset": "before"},
    {"response": "html"},
    {"response": "truncated"},
    {"response": "cut"},
    {"response": "nonsense"},
    {"status": 429, "code": "HTTP-429", "retry_after": 60},
    {"status": 503, "retry_after": 120},
    {"status": 408},
]


@both_kinds
@pytest.mark.parametrize("fault", OUTAGES, ids=str)
def test_an_hour_of_failing_polls_ends_no_wait(
    stage: Stage, kind: StartableRunAdapter[Any], fault: dict[str, Any]
) -> None:
    run = started(stage, kind, Script(run=1800))
    stage.sandbox.fault(operation=POLL[kind.name], times=None, **fault)
    stage.after(3600, stage.sandbox.clear_faults)

    ended = stage.until_end(kind, RunSelector.of(run), poll_interval=30)

    assert (ended.id, ended.status) == (run.id, GOOD[kind.name])
    assert 3600 <= stage.elapsed < 3800
    assert 10 <= len(stage.warnings) <= 13
    assert all("A poll failed" in text and "The wait goes on" in text for text in stage.warnings)
    polls = len(stage.pauses)
    assert stage.messages[-2] == f"Qlik Cloud responds again, after {polls} failed polls."
    assert set(stage.pauses) == {float(max(30, fault.get("retry_after", 0)))}


def test_retry_after_no_longer_counts_after_a_response(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=200))
    stage.sandbox.fault(operation="list_task_runs", status=429, code="HTTP-429", retry_after=90)

    stage.until_end(TASK, RunSelector.of(run), poll_interval=30)

    assert stage.pauses[:3] == [90.0, 30.0, 30.0]


@both_kinds
def test_a_passing_404_ends_no_wait(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = started(stage, kind, Script(run=600))
    stage.sandbox.fault(operation=POLL[kind.name], times=7, status=404)

    assert stage.until_end(kind, RunSelector.of(run)).state is RunState.SUCCEEDED


def test_404s_before_and_after_an_outage_are_not_a_lasting_one(stage: Stage) -> None:
    """A proxy may respond for a tenant that is down."""
    run = started(stage, TASK, Script(run=600))
    faults: list[dict[str, Any]] = [{"status": 404}, {"status": 503, "times": 20}, {"status": 404}]
    for fault in faults:
        stage.sandbox.fault(operation="list_task_runs", **fault)

    assert stage.until_end(TASK, RunSelector.of(run)).state is RunState.SUCCEEDED


def test_404s_with_the_run_seen_in_between_are_not_a_lasting_one(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=900))
    for moment in (0, 100, 200, 300):
        stage.after(moment + 1, lambda: stage.sandbox.fault(operation="list_task_runs", times=4, status=404))

    assert stage.until_end(TASK, RunSelector.of(run)).state is RunState.SUCCEEDED
    assert not stage.warnings


# Ends of a wait.


@both_kinds
def test_a_run_that_is_gone_ends_the_wait_after_two_minutes(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = started(stage, kind, Script(run=600))
    stage.sandbox.fault(operation=POLL[kind.name], times=None, status=404)

    with pytest.raises(
        RunGoneError, match=f"does not know the run any more.*run {run.id} of {kind.name} {run.resource_id}"
    ):
        stage.until_end(kind, RunSelector.of(run))

    assert 120 <= stage.elapsed < 150


@both_kinds
def test_a_resource_that_is_gone_ends_the_wait_after_two_minutes(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = started(stage, kind, Script(run=600))
    for operation in (POLL, READ):
        stage.sandbox.fault(operation=operation[kind.name], times=None, status=404)

    with pytest.raises(RunGoneError, match=f"Check the id.*{kind.name} {run.resource_id}; HTTP 404"):
        stage.until_end(kind, RunSelector.of(run))

    assert 120 <= stage.elapsed < 150


@both_kinds
@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_permanent_error_ends_the_wait_at_once(stage: Stage, kind: StartableRunAdapter[Any], status: int) -> None:
    run = started(stage, kind, Script(run=600))
    stage.sandbox.fault(operation=POLL[kind.name], times=None, status=status)

    with pytest.raises(StatusError, match=f"HTTP {status}"):
        stage.until_end(kind, RunSelector.of(run))

    assert stage.elapsed == 0


@both_kinds
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_to_show_the_run_must_last_two_minutes(
    stage: Stage, kind: StartableRunAdapter[Any], status: int
) -> None:
    run = started(stage, kind, Script(run=600))
    stage.sandbox.fault(operation=POLL[kind.name], times=None, status=status)

    with pytest.raises(
        RunNotVisibleError, match=f"injected by.* Check the .*refused for 120 s.*HTTP {status}"
    ) as raised:
        stage.until_end(kind, RunSelector.of(run))

    assert 120 <= stage.elapsed < 150
    assert f"run {run.id} of {kind.name} {run.resource_id}" in str(raised.value)
    assert len(stage.warnings) == 1


@both_kinds
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_to_show_the_run_that_passes_ends_nothing(
    stage: Stage, kind: StartableRunAdapter[Any], status: int
) -> None:
    run = started(stage, kind, Script(run=600))
    for moment in (10, 200, 400):
        stage.after(moment, lambda: stage.sandbox.fault(operation=POLL[kind.name], times=7, status=status))

    assert stage.until_end(kind, RunSelector.of(run)).state is RunState.SUCCEEDED
    assert len(stage.warnings) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 409, 429, 499, 502, 520])
def test_a_web_page_ends_no_wait_whatever_its_status(stage: Stage, status: int) -> None:
    run = started(stage, TASK, Script(run=600))
    stage.sandbox.fault("GET", times=30, status=status, response="html")

    assert stage.until_end(TASK, RunSelector.of(run)).state is RunState.SUCCEEDED


def test_an_api_key_that_is_withdrawn_ends_the_wait_with_the_reason(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=600))
    stage.after(100, lambda: stage.sandbox.rotate("api_key"))

    with pytest.raises(
        RunNotVisibleError, match=r"^Unauthorized: the credentials are not known\. Check the API key.*401"
    ):
        stage.until_end(TASK, RunSelector.of(run))

    assert 220 <= stage.elapsed < 250


@both_kinds
def test_the_deadline_ends_the_wait_with_the_last_status(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = started(stage, kind, Script(run=600))

    with pytest.raises(WaitTimeoutError) as raised:
        stage.until_end(kind, RunSelector.of(run), deadline=stage.now() + timedelta(seconds=100))

    said = str(raised.value)
    word = "RUNNING" if kind is TASK else "running"
    assert said == (
        f"The wait timed out: the run is {word!r}, waited 0:01:40. Give a longer timeout if it needs more time."
        f" (run {run.id} of {kind.name} {run.resource_id})"
    )
    assert stage.elapsed == 100


def test_a_run_that_ends_just_before_the_deadline_has_not_timed_out(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=99))

    assert (
        stage.until_end(
            TASK, RunSelector.of(run), poll_interval=60, deadline=stage.now() + timedelta(seconds=100)
        ).state
        is RunState.SUCCEEDED
    )


def test_a_deadline_in_an_outage_says_that_the_polls_failed(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=600))
    stage.sandbox.fault(operation="list_task_runs", times=None, status=429, code="HTTP-429", retry_after=3600)

    with pytest.raises(WaitTimeoutError, match="there was no run, waited 0:01:40; the last 2 polls failed"):
        stage.until_end(TASK, RunSelector.of(run), deadline=stage.now() + timedelta(seconds=100))

    assert stage.elapsed == 100
    assert re.search(r"The wait goes on until \d{4}-\d\d-\d\dT", stage.warnings[0])


def test_a_deadline_that_has_passed_still_allows_one_poll(stage: Stage) -> None:
    run = started(stage, TASK, Script(run=0))
    long_ago = stage.now() - timedelta(hours=1)

    assert stage.until_end(TASK, RunSelector.of(run), deadline=long_ago).state is RunState.SUCCEEDED


# A competing run that appears while an unconfirmed run is polled.


def alone(stage: Stage, run: float) -> Run:
    """Return a run that was matched as the only candidate."""
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=False)
    stage.sandbox.script(task, Script(run=run))
    found = stage.start(TASK, task)
    assert found.unconfirmed_since is not None
    stage.log_records.clear()
    return found


@pytest.mark.parametrize("began", [0, 30, 55], ids="begun {} s after ours".format)
def test_a_later_competing_run_ends_the_wait_without_a_guess_or_a_cancel(stage: Stage, began: int) -> None:
    ours = alone(stage, run=200)

    def show() -> None:
        stage.sandbox.add_run(ours.resource_id, id="rival", started_ago=120 - began, script=Script(run=5))

    stage.after(120 - stage.elapsed, show)
    with pytest.raises(AmbiguousRunError, match="2 runs began .* which of them this task has started.*task ") as raised:
        stage.until_end(TASK, RunSelector.of(ours))

    assert ours.id in str(raised.value)
    assert "rival" in str(raised.value)
    assert stage.posts() == ["start_task"]


def test_a_competing_run_is_noticed_in_the_poll_that_shows_the_end(stage: Stage) -> None:
    ours = alone(stage, run=200)
    stage.sandbox.advance(400)
    stage.sandbox.add_run(ours.resource_id, id="rival", started_ago=400 + stage.elapsed)

    with pytest.raises(AmbiguousRunError, match="rival"):
        stage.until_end(TASK, RunSelector.of(ours))


def test_a_competing_run_is_noticed_after_the_wait_was_resumed_elsewhere(stage: Stage) -> None:
    """As from a worker to the triggerer, or to another one: only the stored values are passed on."""
    ours = Run.from_json(alone(stage, run=200).to_json())
    stage.sandbox.add_run(ours.resource_id, id="rival", started_ago=stage.elapsed)

    with pytest.raises(AmbiguousRunError, match="rival"):
        stage.until_end(TASK, RunSelector.of(ours))


@pytest.mark.parametrize("ago", [36000, -90], ids=["long before", "long after"])
def test_a_run_of_another_time_is_no_competing_run(stage: Stage, ago: float) -> None:
    ours = alone(stage, run=600)
    if ago < 0:
        stage.after(-ago, lambda: stage.sandbox.add_run(ours.resource_id, started_ago=0))
    else:
        stage.sandbox.add_run(ours.resource_id, started_ago=ago)

    ended = stage.until_end(TASK, RunSelector.of(ours))

    assert (ended.id, ended.state) == (ours.id, RunState.SUCCEEDED)


def test_the_run_that_carries_our_marker_is_noticed_however_late_it_begins(stage: Stage) -> None:
    """Our own run was queued for long, and a colleague's run was the only candidate until then."""
    colleagues = alone(stage, run=600)
    assert colleagues.marker == MARKER

    def begin() -> None:
        stage.sandbox.add_run(colleagues.resource_id, id="ours", started_ago=0, triggered_by=MARKER)

    stage.after(300, begin)
    ended = stage.until_end(TASK, RunSelector.of(Run.from_json(colleagues.to_json())))

    assert ended.id == "ours"
    assert ended.takes_over_from(colleagues)
    assert ended.unconfirmed_since is None


@pytest.mark.parametrize("copies", [1, 2])
def test_the_wait_goes_over_to_the_run_that_shows_our_marker(stage: Stage, copies: int) -> None:
    colleagues = alone(stage, run=6000)
    watch = stage.watch(TASK, RunSelector.of(colleagues))
    assert stage.run(watch.poll()) is None
    for place in range(copies):
        stage.sandbox.add_run(
            colleagues.resource_id, id=f"ours {place}", started_ago=0, triggered_by=MARKER, script=Script(run=60)
        )
    if copies > 1:
        with pytest.raises(AmbiguousRunError, match="ours 0"):
            stage.run(watch.poll())
        return
    assert stage.run(watch.poll()) is None
    assert watch.run is not None
    assert (watch.run.id, watch.selector.run_id, watch.selector.unconfirmed_since) == ("ours 0", "ours 0", None)
    stage.sandbox.advance(100)
    ended = stage.run(watch.poll())
    assert ended is not None
    assert (ended.id, ended.state) == ("ours 0", RunState.SUCCEEDED)


def test_a_run_without_a_marker_is_in_doubt_once_another_shows_one(stage: Stage) -> None:
    """It was followed while there was no proof that Qlik shows markers."""
    followed = alone(stage, run=6000)
    stage.sandbox.add_run(followed.resource_id, started_ago=-600, triggered_by="airflow-fedcba9876543210")

    with pytest.raises(AmbiguousRunError, match=followed.id):
        stage.run(stage.watch(TASK, RunSelector.of(followed)).poll())


@pytest.mark.parametrize("odd", [{"status": None}, {}, {"status": {}}], ids=str)
def test_that_our_run_cannot_be_read_does_not_make_it_missing(stage: Stage, odd: dict[str, Any]) -> None:
    ours = started(stage, TASK, Script(run=6000))
    body = {"data": [{"id": "other", "status": "SUCCEEDED"}, {"id": ours.id, **odd}]}
    stage.sandbox.fault(operation="list_task_runs", times=None, body=body)

    with pytest.raises(WaitTimeoutError, match="polls failed"):
        stage.until_end(TASK, RunSelector.of(ours), deadline=stage.now() + timedelta(minutes=10))


def test_a_run_with_our_marker_has_no_competing_runs(stage: Stage) -> None:
    stage.sandbox.switch(competing_runs=2)
    ours = started(stage, TASK, Script(run=100))

    assert stage.until_end(TASK, RunSelector.of(ours)).id == ours.id


def test_an_unconfirmed_run_that_is_gone_ends_the_wait(stage: Stage) -> None:
    ours = alone(stage, run=600)
    stage.sandbox.fault(operation="list_task_runs", times=None, body={"data": []})

    with pytest.raises(RunGoneError, match=ours.id):
        stage.until_end(TASK, RunSelector.of(ours))


# Unknown statuses, and statuses that contradict other members.


@both_kinds
def test_an_unknown_status_is_active_until_the_run_has_ended(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = started(stage, kind, Script(run=100, running_as="PONDERING"))

    assert stage.until_end(kind, RunSelector.of(run)).state is RunState.SUCCEEDED
    assert stage.warnings == ["'PONDERING' is a status that this version does not know: taken for still active."]


@both_kinds
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("SPLENDID", RunState.FAILED),
        ("SUCCEEDED-ISH", RunState.FAILED),
        ("finished?", RunState.FAILED),
        ("Aborted by admin", RunState.CANCELLED),
        ("user-cancelled", RunState.CANCELLED),
        ("was_stopped", RunState.CANCELLED),
    ],
)
def test_a_run_that_ended_with_an_unknown_status_never_succeeded(
    stage: Stage, kind: StartableRunAdapter[Any], word: str, state: RunState
) -> None:
    run = started(stage, kind, Script(run=100, end=word))

    ended = stage.until_end(kind, RunSelector.of(run))

    assert (ended.state, ended.status) == (state, word)
    assert stage.warnings == [f"{word!r} is a status that this version does not know: taken for {state}."]


@both_kinds
def test_an_unknown_status_without_an_end_time_is_polled_until_the_deadline(
    stage: Stage, kind: StartableRunAdapter[Any]
) -> None:
    run = started(stage, kind, Script(run=100, end="SPLENDID", ended_at=False))

    with pytest.raises(WaitTimeoutError, match="the run is 'SPLENDID'"):
        stage.until_end(kind, RunSelector.of(run), deadline=stage.now() + timedelta(hours=1))


@both_kinds
def test_a_known_end_needs_no_end_time(stage: Stage, kind: StartableRunAdapter[Any]) -> None:
    run = started(stage, kind, Script(run=100, ended_at=False))

    assert stage.until_end(kind, RunSelector.of(run)).state is RunState.SUCCEEDED


@both_kinds
def test_a_run_that_has_ended_and_is_still_called_running_did_not_succeed(
    stage: Stage, kind: StartableRunAdapter[Any]
) -> None:
    word = "RUNNING" if kind is TASK else "running"
    run = started(stage, kind, Script(run=100, end=word))

    ended = stage.until_end(kind, RunSelector.of(run))

    assert ended.state is RunState.FAILED
    assert ended.reason == f"it has ended, yet Qlik calls it {word!r}"
    assert stage.pauses[-2:] == [2.0, 2.0]


@pytest.mark.parametrize("word", ["finished", "Finished", "FINISHED", " finished "])
def test_the_case_of_a_status_does_not_matter(stage: Stage, word: str) -> None:
    run = started(stage, AUTOMATION, Script(run=100, end=word))

    assert stage.until_end(AUTOMATION, RunSelector.of(run)).state is RunState.SUCCEEDED
    assert stage.warnings == []


def task_runs(*given: dict[str, Any]) -> TaskRunList:
    return TaskRunList.from_json({"data": [{"id": "r", "startedAt": "2026-11-22T06:00:00Z", **run} for run in given]})


def played(kind: StartableRunAdapter[Any], selector: RunSelector, *answers: Any) -> tuple[Run, list[float]]:
    """Return the result of a wait for these responses, and its pauses."""
    flow = unbatched(RunWait(kind, selector, lambda level, text: None).until_end(15.0))
    left, pauses = iter(answers), []
    step = next(flow)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
            step = flow.send(None if isinstance(step, Pause) else next(left))
    except StopIteration as end:
        return end.value, pauses


def test_a_wait_polls_again_after_an_end_time_with_an_active_status() -> None:
    at_odds = task_runs({"status": "RUNNING", "endedAt": "2026-11-22T06:05:00Z"})
    clear = task_runs({"status": "SUCCEEDED", "endedAt": "2026-11-22T06:05:00Z"})

    ended, pauses = played(TASK, RunSelector(resource_id="t", run_id="r"), at_odds, at_odds, clear)

    assert (ended.state, pauses) == (RunState.SUCCEEDED, [2.0, 2.0])


def test_a_run_that_must_stop_goes_on_until_it_has() -> None:
    going = AutomationRun.from_json({"id": "r", "status": "must stop"})
    over = AutomationRun.from_json({"id": "r", "status": "must stop", "stopTime": "2026-11-22T06:05:00Z"})

    ended, pauses = played(AUTOMATION, RunSelector(resource_id="a", run_id="r"), going, over)

    assert (ended.state, ended.status, pauses) == (RunState.CANCELLED, "must stop", [15.0])


def test_a_run_that_is_cancelled_meanwhile_is_polled_to_its_end(stage: Stage, sandbox: SandboxTenant) -> None:
    run = started(stage, AUTOMATION, Script(run=3600, cancel_delay=100))
    stage.after(60, lambda: stage.run(cancel_polled(AUTOMATION, run)))

    ended = stage.until_end(AUTOMATION, RunSelector.of(run))

    assert (ended.state, ended.status) == (RunState.CANCELLED, "stopped")
    assert [text.rpartition(": ")[2] for text in stage.messages] == ["running", "must stop", "stopped"]


def test_no_time_at_all_is_the_year_one() -> None:
    """Services in Go write it for "never": such a run has not ended."""
    going = task_runs({"status": "SOMEHOW", "endedAt": "0001-01-01T00:00:00Z"})
    over = task_runs({"status": "SUCCEEDED", "endedAt": "2026-11-22T06:05:00Z"})

    ended, _ = played(TASK, RunSelector(resource_id="t", run_id="r"), going, over)

    assert ended.state is RunState.SUCCEEDED
