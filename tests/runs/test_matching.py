"""Matching the run of a start: with and without markers, with competing and late runs, after any history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from airflow_provider_qlik.runs import (
    ADAPTERS,
    STARTABLE_ADAPTERS,
    AmbiguousRunError,
    Intent,
    MatchTimeouts,
    Run,
    RunNotFoundError,
    RunSelector,
    RunState,
)
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.matching import competing_runs, find
from airflow_provider_qlik.runs.run import without_repeats
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import TASKS_PATHS
from tests.runs.conftest import MARKER, OTHER_MARKER, TASK, Stage, staged

pytestmark = pytest.mark.slow


LONG = Script(run=3600)
AT_ONCE = Script(run=0)

HISTORIES = ("never ran", "last night", "still active", "schedule between")
RIVALS = ((0, "before"), (1, "before"), (1, "after"), (2, "before"), (2, "after"))


def with_history(sandbox: SandboxTenant, history: str) -> str:
    """Add a task with earlier runs."""
    task = sandbox.add_task("Refresh", id="refresh")
    sandbox.script(task, LONG)
    if history != "never ran":
        sandbox.add_run(task, started_ago=36000)
    if history == "still active":
        sandbox.add_run(task, started_ago=600, script=LONG)
    return task


@pytest.mark.parametrize("tasks_path", TASKS_PATHS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
@pytest.mark.parametrize("late", [0.0, 8.0, 40.0], ids=["at once", "late", "very late"])
def test_the_right_run_is_found_or_none_is_named(
    still: SandboxTenant, tasks_path: str, history: str, echo: bool, late: float
) -> None:
    replies = ("observed", "documented", "empty") if tasks_path == TASKS_PATHS[0] else ("observed",)
    for reply, (count, moment) in product(replies, RIVALS):
        with staged(still, tasks_path=tasks_path) as stage:
            still.switch(
                show_after=late, start_response=reply, echo_source=echo, competing_runs=count, competing_moment=moment
            )
            task = with_history(still, history)

            def schedule(task: str = task) -> None:
                still.add_run(task, started_ago=0, script=LONG)

            found: Run | None = None
            try:
                found = stage.start(TASK, task, between=schedule if history == "schedule between" else None)
            except AmbiguousRunError as error:
                assert stage.own_run_id(task) in str(error)

            assert stage.starts() == 1
            assert stage.posts() == ["start_task"]
            if late > MatchTimeouts().confirmation_time and history == "schedule between" and not count:
                # Followed as the only active one, until our own run shows its marker or a competing run appears.
                assert found is not None
                assert found.unconfirmed_since is not None
                if echo:
                    assert stage.until_end(TASK, RunSelector.of(found)).id == stage.own_run_id(task)
                    continue
                with pytest.raises(AmbiguousRunError, match=stage.own_run_id(task)):
                    stage.until_end(TASK, RunSelector.of(found))
                continue
            alone = not count and history != "schedule between"
            assert (found is not None) == (echo or alone), (reply, count, moment)
            assert found is None or found.id == stage.own_run_id(task), (reply, count, moment)


# Runs that must not be matched.


def test_a_run_that_ended_in_the_second_of_the_start_is_not_matched(stage: Stage) -> None:
    """By its time it is a candidate; only the list before the start excludes it."""
    task = stage.sandbox.add_task()
    before = stage.sandbox.add_run(task, started_ago=0, script=AT_ONCE)
    stage.sandbox.switch(echo_source=False, show_after=15)
    stage.sandbox.script(task, LONG)

    found = stage.start(TASK, task)

    assert found.id == stage.own_run_id(task) != before
    assert not found.ended


def test_an_earlier_run_that_appears_late_is_not_matched(stage: Stage) -> None:
    """It was not in the list before the start; only its time excludes it."""
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=False, show_after=30)
    stage.sandbox.script(task, LONG)

    found = stage.start(TASK, task, between=lambda: stage.sandbox.add_run(task, started_ago=60))

    assert found.id == stage.own_run_id(task)


def test_the_run_of_last_night_is_never_matched(stage: Stage) -> None:
    """`last` and the first item of the list still show it right after a start."""
    task = stage.sandbox.add_task()
    last_night = stage.sandbox.add_run(task, started_ago=36000)
    stage.sandbox.switch(show_after=3600)

    with pytest.raises(RunNotFoundError, match="was started, but no run of it showed up within 300 s") as raised:
        stage.start(TASK, task)

    assert last_night not in str(raised.value)
    assert stage.starts() == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_marker_distinguishes_a_run_of_the_same_second(stage: Stage, moment: str) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(competing_runs=1, competing_moment=moment, show_after=15)

    found = stage.start(TASK, task)

    assert found.id == stage.own_run_id(task)
    assert found.triggered_by == MARKER
    assert found.unconfirmed_since is None


@pytest.mark.parametrize("moment", ["before", "after"])
def test_without_markers_two_runs_of_the_same_second_are_listed_and_none_is_guessed_or_cancelled(
    stage: Stage, moment: str
) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.script(task, LONG)
    stage.sandbox.switch(echo_source=False, competing_runs=1, competing_moment=moment)

    with pytest.raises(AmbiguousRunError, match="2 runs began .* which of them this task has started.*task ") as raised:
        stage.start(TASK, task)

    assert all(run["id"] in str(raised.value) for run in stage.sandbox.runs(task))
    assert stage.posts() == ["start_task"]


def test_once_any_run_shows_a_marker_a_run_without_one_is_never_matched(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, started_ago=36000, triggered_by=OTHER_MARKER)
    stage.sandbox.switch(competing_runs=1, show_after=200)

    assert stage.start(TASK, task).id == stage.own_run_id(task)


def test_a_run_of_another_airflow_task_is_not_matched(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(show_after=8)

    def other() -> None:
        stage.sandbox.add_run(task, started_ago=0, triggered_by=OTHER_MARKER)

    assert stage.start(TASK, task, between=other).id == stage.own_run_id(task)


@pytest.mark.parametrize("word", ["manual", "jane", "", "67a3f0c2e1d4b5a697887766"])
@pytest.mark.parametrize("newer", [0, 250], ids=["few runs", "many runs since"])
def test_after_a_lost_start_a_run_without_marker_is_not_matched_where_markers_are_shown(
    stage: Stage, word: str, newer: int
) -> None:
    """An old run of another task, on the first page or a later one, proves that markers are shown."""
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, started_ago=720000, triggered_by=OTHER_MARKER)
    for place in range(newer):
        stage.sandbox.add_run(task, started_ago=360000 - place)
    stage.sandbox.fault(operation="start_task", reset="before", times=None)

    def somebody_starts_it() -> None:
        stage.sandbox.add_run(task, id="theirs", started_ago=0, triggered_by=word, script=LONG)

    with pytest.raises((AmbiguousRunError, RunNotFoundError)):
        stage.start(TASK, task, between=somebody_starts_it)


def test_that_markers_were_shown_before_the_start_is_remembered() -> None:
    intent = Intent(
        kind="task", resource_id="t", marker=MARKER, known_run_ids=("a",), server_time=NOW, markers_shown=True
    )

    assert Intent.from_json(intent.to_json()) == intent
    older = {name: value for name, value in intent.to_json().items() if name != "markers_shown"}
    assert not Intent.from_json(older).markers_shown


def test_where_no_markers_are_shown_the_run_of_a_lost_response_is_found(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, started_ago=36000, triggered_by="manual")
    stage.sandbox.script(task, LONG)
    stage.sandbox.switch(echo_source=False)
    stage.sandbox.fault(operation="start_task", reset="after", times=1)

    found = stage.start(TASK, task)

    assert found.id == stage.own_run_id(task)
    assert found.unconfirmed_since is not None


# A run that is listed twice is one run.


def listing(*items: dict[str, Any]) -> Any:
    """Return a page of runs for a fault of the sandbox."""
    return {"data": [{"status": "RUNNING", **item} for item in items], "links": {}}


@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
def test_a_run_that_is_listed_twice_is_not_two_candidates(stage: Stage, echo: bool) -> None:
    task = stage.sandbox.add_task()
    intent = stage.intend(TASK, task)
    began = stage.sandbox.now().isoformat()
    item = {"id": "ours", "startedAt": began, "triggeredBy": MARKER if echo else "manual"}
    stage.sandbox.fault(operation="list_task_runs", times=None, body=listing(item, {**item, "status": "SUCCEEDED"}))

    found = stage.run(find(TASK, intent, MatchTimeouts(), stage.write_log, stage.clock))

    assert found is not None
    assert (found.id, found.state) == ("ours", RunState.SUCCEEDED)


@pytest.mark.parametrize("first", ["RUNNING", "SUCCEEDED"])
def test_of_two_copies_of_a_run_the_one_that_has_ended_counts(first: str) -> None:
    states = {"RUNNING": RunState.ACTIVE, "SUCCEEDED": RunState.SUCCEEDED}
    other = "RUNNING" if first == "SUCCEEDED" else "SUCCEEDED"
    copies = [replace(made("a", 0), state=states[word], status=word) for word in (first, other)]

    assert [run.status for run in without_repeats([*copies, made("b", 1)])] == ["SUCCEEDED", "RUNNING"]


def test_an_execution_on_two_pages_counts_once(stage: Stage) -> None:
    execution = {"workflowID": "w", "startTime": "2026-01-02T03:04:05Z"}
    one, two = ({**execution, "id": id, "status": "successful"} for id in ("one", "two"))
    first = {"executions": [one, {**two, "status": "in-progress"}], "links": {"next": {"href": "?next=2"}}}
    task = stage.sandbox.add_sharing_task("Weekly")
    stage.sandbox.fault(operation="list_sharing_task_executions", times=1, status=200, body=first)
    stage.sandbox.fault(
        operation="list_sharing_task_executions", times=None, status=200, body={"executions": [two, one]}
    )

    (run,) = stage.run(recent_runs(STARTABLE_ADAPTERS["sharing_task"], task, datetime(2020, 1, 1, tzinfo=UTC)))

    assert (run.parts, run.counts, run.state) == (("one", "two"), {"succeeded": 2}, RunState.SUCCEEDED)


@pytest.mark.parametrize("never", ["1753-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "n/a"])
def test_a_reload_task_that_never_ran_has_no_execution(stage: Stage, never: str) -> None:
    body = {"id": "t", "appId": "a", "state": "Enabled", "lastExecutionTime": never}
    stage.sandbox.fault(operation="get_reload_task", times=None, status=200, body=body)

    assert stage.run(ADAPTERS["reload_task"].poll(RunSelector(resource_id="t"))) is None


def test_the_list_of_runs_before_a_start_names_each_once(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.fault(operation="list_task_runs", times=None, body=listing({"id": "a"}, {"id": "b"}, {"id": "a"}))

    assert stage.intend(TASK, task).known_run_ids == ("a", "b")


# Undocumented behaviour of Qlik Cloud, either way.


def test_a_run_that_only_its_time_identifies_is_unconfirmed(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=False)
    began = stage.sandbox.now()

    found = stage.start(TASK, task)

    assert found.unconfirmed_since is not None
    assert timedelta() <= began - found.unconfirmed_since < timedelta(seconds=1)
    assert stage.elapsed >= MatchTimeouts().confirmation_time
    assert any("shows no marker" in text for text in stage.messages)


def test_a_run_with_its_marker_is_known_at_once(stage: Stage) -> None:
    stage.start(TASK, stage.sandbox.add_task())

    assert stage.elapsed == 0
    assert stage.messages == []


def test_a_user_called_airflow_proves_no_markers(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, triggered_by="airflow-prod")
    stage.sandbox.switch(echo_source=False)

    assert stage.start(TASK, task).id == stage.own_run_id(task)


@pytest.mark.parametrize("user", ["airflow", "airflow-", "airflow-0123", "a"])
def test_a_user_whose_name_begins_like_a_marker_is_not_us(stage: Stage, user: str) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(show_after=8)

    def start_it() -> None:
        stage.sandbox.add_run(task, started_ago=0, triggered_by=user)

    assert stage.start(TASK, task, between=start_it).id == stage.own_run_id(task)


@pytest.mark.parametrize("limit", [4, 12, 16, 20, 23])
def test_a_marker_that_is_cut_still_finds_the_run(stage: Stage, limit: int) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(source_limit=limit, source_truncated=True)

    assert stage.start(TASK, task).id == stage.own_run_id(task)


@pytest.mark.parametrize("limit", [4, 12, 16, 20, 23])
def test_a_marker_that_is_cut_finds_no_wrong_run(stage: Stage, limit: int) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(source_limit=limit, source_truncated=True, competing_runs=1)
    found: Run | None = None
    try:
        found = stage.start(TASK, task)
    except AmbiguousRunError:
        assert limit < 16
    assert found is None or found.id == stage.own_run_id(task)


@pytest.mark.parametrize("skew", [-4.0, -1.5, 3.0, 3600.0])
@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
def test_a_clock_that_is_off_hides_no_run(stage: Stage, skew: float, echo: bool) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, started_ago=36000)
    stage.sandbox.switch(run_clock_skew=skew, echo_source=echo)

    assert stage.start(TASK, task).id == stage.own_run_id(task)


def test_a_clock_that_is_far_off_hides_no_run_with_a_marker(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(run_clock_skew=-3600.0, competing_runs=1)

    assert stage.start(TASK, task).id == stage.own_run_id(task)


@pytest.mark.parametrize("form", ["nanoseconds", "milliseconds", "seconds"])
@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
def test_the_precision_of_times_does_not_matter(stage: Stage, form: str, echo: bool) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, started_ago=2)
    stage.sandbox.switch(task_times=form, echo_source=echo)

    assert stage.start(TASK, task).id == stage.own_run_id(task)


@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
def test_a_run_that_is_hidden_while_it_queues_is_found_when_it_begins(stage: Stage, echo: bool) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.script(task, Script(wait=200, run=3600))
    stage.sandbox.switch(waiting_task_run="hidden", echo_source=echo)

    assert stage.start(TASK, task).id == stage.own_run_id(task)
    assert stage.elapsed >= 200


def test_a_run_is_found_on_a_later_page(stage: Stage) -> None:
    """Many other runs begin right after our own, before the first request of the search."""
    task = stage.sandbox.add_task()
    intent = stage.intend(TASK, task)
    stage.run(TASK.send_start(intent, stage.write_log, {}))
    stage.sandbox.advance(2)
    for _ in range(120):
        stage.sandbox.add_run(task, started_ago=1)

    assert [
        run.id for run in stage.run(recent_runs(TASK, task, intent.earliest)) if run.shows_marker(intent.marker)
    ] == [stage.own_run_id(task)]


def test_two_runs_with_our_marker_are_never_guessed_between(stage: Stage) -> None:
    task = stage.sandbox.add_task()

    def again() -> None:
        stage.sandbox.add_run(task, started_ago=0, triggered_by=MARKER)

    with pytest.raises(AmbiguousRunError, match="2 runs"):
        stage.start(TASK, task, between=again)


def test_a_run_of_an_earlier_try_with_the_same_marker_is_not_the_new_one(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    earlier = stage.sandbox.add_run(task, started_ago=0, triggered_by=MARKER)

    assert stage.start(TASK, task).id == stage.own_run_id(task) != earlier


@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
def test_a_task_that_never_ran_is_started_though_its_list_of_runs_is_not_found(stage: Stage, echo: bool) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=echo)
    stage.sandbox.fault(operation="list_task_runs", status=404, times=3)

    found = stage.start(TASK, task)

    assert found.id == stage.own_run_id(task)
    assert echo or found.unconfirmed_since == found.moment
    assert stage.starts() == 1


def test_a_task_that_does_not_exist_is_not_started(stage: Stage) -> None:
    with pytest.raises(Exception, match=r"HTTP 404 for GET /api/(v1|scheduling)/tasks/nowhere"):
        stage.start(TASK, "nowhere")

    assert stage.starts() == 0


def test_a_short_unconfirmed_run_is_not_matched_before_a_competing_run_had_time_to_appear(stage: Stage) -> None:
    """A run that has ended is not polled again, and the first to end may be that of another user."""
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=False, competing_runs=1, show_after=45)

    with pytest.raises(AmbiguousRunError, match="2 runs") as raised:
        stage.start(TASK, task)

    assert stage.own_run_id(task) in str(raised.value)


def test_a_short_run_that_only_the_time_tells_is_found_in_the_end(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=False)

    found = stage.start(TASK, task)

    assert (found.id, found.state) == (stage.own_run_id(task), RunState.SUCCEEDED)


# A search that takes long or fails for a while.


def test_the_pauses_of_the_search_grow_and_it_ends(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(show_after=3600)

    with pytest.raises(RunNotFoundError, match="It was not started again"):
        stage.start(TASK, task, MatchTimeouts(match_timeout=60))

    assert 60 <= stage.elapsed < 70
    assert stage.pauses[:3] == [1.0, 1.5, 2.25]
    assert max(stage.pauses) == 10.0


@pytest.mark.parametrize("echo", [True, False], ids=["marker shown", "marker hidden"])
@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"reset": "before"}, {"response": "html"}, {"response": "truncated"}], ids=str
)
def test_a_failed_request_of_the_search_is_repeated(stage: Stage, echo: bool, fault: dict[str, object]) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.switch(echo_source=echo)

    def go_wrong() -> None:
        stage.sandbox.fault(operation="list_task_runs", times=9, **fault)  # type: ignore[arg-type]

    found = stage.start(TASK, task, between=go_wrong)

    assert found.id == stage.own_run_id(task)
    assert len(stage.warnings) == 3
    assert all("are listed again" in text for text in stage.warnings)


def test_a_candidate_seen_before_an_outage_still_counts_after_it(stage: Stage) -> None:
    """A failed request shows no run; this does not mean that there is none."""
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task, triggered_by=OTHER_MARKER)
    stage.sandbox.switch(show_after=3600, competing_runs=1)
    stage.after(100, lambda: stage.sandbox.fault(operation="list_task_runs", times=None, status=503))

    with pytest.raises(AmbiguousRunError, match="1 run began .* whether this task has started it.*task "):
        stage.start(TASK, task)


def test_that_the_runs_may_no_longer_be_read_tells_that_one_was_started(stage: Stage) -> None:
    task = stage.sandbox.add_task()

    def forbid() -> None:
        stage.sandbox.fault(operation="list_task_runs", times=None, status=403)

    with pytest.raises(
        RunNotFoundError, match=r"^Fault.*was started, but its runs cannot be listed: .*not started again.*HTTP 403"
    ):
        stage.start(TASK, task, between=forbid)

    assert stage.starts() == 1


# Plain values.


NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)


def made(id: str, ago: float, alone: bool = False) -> Run:
    began = NOW - timedelta(seconds=ago)
    return Run(
        kind="task",
        resource_id="t",
        id=id,
        state=RunState.ACTIVE,
        status="RUNNING",
        started_at=began,
        unconfirmed_since=began if alone else None,
    )


@pytest.mark.parametrize(
    ("ago", "is_competing"),
    [(0, True), (-59, True), (-61, False), (1, False)],
    ids=["same", "soon", "later", "earlier"],
)
def test_a_competing_run_begins_with_our_run_or_within_a_minute(ago: float, is_competing: bool) -> None:
    other = made("other", ago)

    assert bool(competing_runs(made("ours", 0, alone=True), [other])) is is_competing
    assert competing_runs(made("ours", 0, alone=False), [other]) == []


def test_an_intent_survives_being_stored(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    stage.sandbox.add_run(task)
    intent = stage.intend(TASK, task)

    assert Intent.from_json(intent.to_json()) == intent
    assert len(intent.known_run_ids or ()) == 1


def test_a_run_with_another_marker_is_not_matched_though_qlik_cuts_it(stage: Stage) -> None:
    task = stage.sandbox.add_task()
    intent = stage.intend(TASK, task)
    stage.sandbox.add_run(task, id="other-dag", started_ago=0, triggered_by=OTHER_MARKER[:20], script=Script(end=None))

    found = stage.run(find(TASK, intent, MatchTimeouts(match_timeout=100), stage.write_log, stage.clock))

    assert found is None
