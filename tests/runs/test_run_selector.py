"""Which run is meant: a given one, the last, or the first begun after a moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_qlik.cloud.models.tasks import TaskRunList
from airflow_provider_qlik.runs import RunAdapter, RunGoneError, RunSelector, RunState, WaitTimeoutError
from airflow_provider_qlik.sandbox import Script
from tests.runs.conftest import AUTOMATION, TASK, Stage

pytestmark = pytest.mark.slow


both_kinds = pytest.mark.parametrize("kind", [TASK, AUTOMATION], ids=lambda kind: kind.name)
LIST = {"task": "list_task_runs", "automation": "list_automation_runs"}


def added(stage: Stage, kind: RunAdapter) -> str:
    return stage.sandbox.add_task() if kind is TASK else stage.sandbox.add_automation()


# A given run.


@both_kinds
def test_a_wait_for_a_run_id_ignores_other_runs(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)
    given = stage.sandbox.add_run(resource_id, started_ago=100, script=Script(run=300, end="FAILED"))
    stage.sandbox.add_run(resource_id, started_ago=50)

    ended = stage.until_end(kind, RunSelector(resource_id=resource_id, run_id=given))

    assert (ended.id, ended.state) == (given, RunState.FAILED)
    assert 200 <= stage.elapsed < 230


def test_a_run_of_a_task_is_found_far_back_in_the_list(stage: Stage) -> None:
    task = added(stage, TASK)
    given = stage.sandbox.add_run(task, started_ago=90000)
    for number in range(130):
        stage.sandbox.add_run(task, started_ago=100 + number)

    assert stage.until_end(TASK, RunSelector(resource_id=task, run_id=given)).id == given


@both_kinds
def test_an_unknown_run_id_ends_the_wait(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)

    with pytest.raises(RunGoneError, match=f"does not know the run any more.*run nothing of {kind.name} {resource_id}"):
        stage.until_end(kind, RunSelector(resource_id=resource_id, run_id="nothing"))


# The last run.


@both_kinds
def test_the_last_run_is_the_one_begun_last(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)
    for ago in (300, 100, 200):
        stage.sandbox.add_run(resource_id, id=f"begun-{ago}", started_ago=ago)

    assert stage.until_end(kind, RunSelector(resource_id=resource_id)).id == "begun-100"
    assert stage.elapsed == 0


@both_kinds
def test_the_last_run_stays_the_one_that_was_seen_though_others_begin(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)
    stage.sandbox.add_run(resource_id, id="seen", started_ago=0, script=Script(run=100))
    stage.after(50, lambda: stage.sandbox.add_run(resource_id, started_ago=0))

    assert stage.until_end(kind, RunSelector(resource_id=resource_id)).id == "seen"


@pytest.mark.parametrize("answer", ["no run", "not found"])
@both_kinds
def test_a_wait_for_the_last_run_of_an_unused_resource_goes_on(stage: Stage, kind: RunAdapter, answer: str) -> None:
    resource_id = added(stage, kind)
    if answer == "not found":
        stage.sandbox.fault(operation=LIST[kind.name], times=None, status=404)

    def run() -> None:
        stage.sandbox.clear_faults()
        stage.sandbox.add_run(resource_id, id="first", started_ago=0)

    stage.after(500, run)

    assert stage.until_end(kind, RunSelector(resource_id=resource_id)).id == "first"
    assert stage.elapsed >= 500


@both_kinds
@pytest.mark.parametrize("after", [True, False], ids=["after a moment", "the last"])
def test_a_resource_that_does_not_exist_ends_the_wait_at_once(stage: Stage, kind: RunAdapter, after: bool) -> None:
    selector = RunSelector(resource_id="nowhere", started_after=stage.now() if after else None)

    with pytest.raises(RunGoneError, match=f"there is no {kind.name} nowhere.*{kind.name} nowhere; HTTP 404"):
        stage.until_end(kind, selector)

    assert stage.elapsed == 0


def test_an_empty_page_is_not_the_end_of_the_list() -> None:
    poll = TASK.poll(RunSelector(resource_id="t"))
    first = next(poll)
    empty: dict[str, Any] = {"data": [], "links": {"next": {"href": "/api/v1/tasks/t/runs?page=2"}}}

    second = poll.send(TaskRunList.from_json(empty))
    with pytest.raises(StopIteration) as stopped:
        poll.send(TaskRunList.from_json({"data": [{"id": "r", "status": "RUNNING"}]}))

    assert (str(first), str(second)) == ("GET {tasks}/t/runs", "GET {tasks}/t/runs")
    assert stopped.value.value.id == "r"


# The first run begun after a moment.


@both_kinds
def test_a_run_begun_exactly_at_the_moment_counts(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)
    stage.sandbox.switch(automation_times="microseconds", task_times="nanoseconds")
    moment = stage.sandbox.now()
    stage.sandbox.add_run(resource_id, id="at", started_ago=0)
    stage.sandbox.add_run(resource_id, id="before", started_ago=0.001)
    stage.sandbox.advance(10)
    stage.sandbox.add_run(resource_id, id="after", started_ago=0)

    assert stage.until_end(kind, RunSelector(resource_id=resource_id, started_after=moment)).id == "at"


@both_kinds
@pytest.mark.parametrize(
    "switches",
    [{}, {"next_link": "relative"}, {"next_link": "other_host"}, {"empty_page": True}, {"last_link": "null_href"}],
    ids=str,
)
def test_the_first_run_after_a_moment_is_found_behind_pages_of_later_ones(
    stage: Stage, kind: RunAdapter, switches: dict[str, Any]
) -> None:
    resource_id = added(stage, kind)
    stage.sandbox.switch(**switches)
    moment = stage.sandbox.now() - timedelta(seconds=1000)
    stage.sandbox.add_run(resource_id, id="before", started_ago=1010)
    stage.sandbox.add_run(resource_id, id="first", started_ago=990)
    for number in range(210):
        stage.sandbox.add_run(resource_id, started_ago=980 - number)

    assert stage.until_end(kind, RunSelector(resource_id=resource_id, started_after=moment)).id == "first"


@both_kinds
def test_a_run_begun_before_the_moment_is_never_it(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)
    moment = stage.sandbox.now()
    stage.sandbox.add_run(resource_id, started_ago=5)
    stage.sandbox.add_run(resource_id, started_ago=5, script=Script(run=60))

    selector = RunSelector(resource_id=resource_id, started_after=moment)
    with pytest.raises(WaitTimeoutError, match="there was no run.*the first run begun at or after"):
        stage.until_end(kind, selector, deadline=stage.now() + timedelta(hours=1))


@both_kinds
def test_the_selected_run_that_begins_during_the_wait_stays_selected(stage: Stage, kind: RunAdapter) -> None:
    resource_id = added(stage, kind)
    moment = stage.sandbox.now()
    for after, name in ((100, "first"), (110, "second")):
        stage.after(
            after,
            lambda name=name: stage.sandbox.add_run(  # type: ignore[misc]
                resource_id, id=name, started_ago=0, script=Script(run=200)
            ),
        )

    assert stage.until_end(kind, RunSelector(resource_id=resource_id, started_after=moment)).id == "first"
