from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, Client
from airflow_provider_qlik.cloud import Tenant as QlikTenant
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.runs import STARTABLE_ADAPTERS, Run, RunState
from airflow_provider_qlik.runs.events import FIRST_POLL, MAX_CATCH_UP, RunWatch
from airflow_provider_qlik.runs.latest_runs import CannotListError, LatestRuns, LatestRunsKey, LatestRunSource
from airflow_provider_qlik.runs.visibility import NOT_VISIBLE_TIMEOUT
from airflow_provider_qlik.runs.watermark import Watermark
from airflow_provider_qlik.sandbox import Script, SharingScript
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import V1_TASKS
from tests.runs.conftest import MARKER, Stage, staged

KINDS = ("task", "automation", "reload", "sharing_task")
NEVER = Script(end=None)
INTERVAL = 60.0
LISTS = {
    "task": ("list_tasks", "list_task_runs"),
    "automation": ("list_automations", "list_automation_runs"),
    "reload": ("list_reloads", "list_reloads"),
    "sharing_task": ("list_sharing_tasks", "list_sharing_task_executions"),
}


def made(sandbox: SandboxTenant, kind: str, name: str = "Sales", **members: Any) -> str:
    """Add a resource of a kind, and return its id."""
    adding = {"task": "add_task", "automation": "add_automation", "reload": "add_app"}
    return str(getattr(sandbox, adding.get(kind, "add_sharing_task"))(name, **members))


class Watching:
    """A watch on a stage, and its restarts."""

    def __init__(self, stage: Stage, kind: str, **arguments: Any) -> None:
        self.stage = stage
        self.kind = kind
        self.arguments = arguments
        self.watch = self._watch(None)

    def _watch(self, watermark: Watermark | None) -> RunWatch:
        adapter = STARTABLE_ADAPTERS[self.kind]
        return RunWatch(adapter, self.stage.write_log, clock=self.stage.now, watermark=watermark, **self.arguments)

    def runs(self) -> list[Run]:
        return self.stage.run(self.watch.poll(INTERVAL), ONE_ATTEMPT)

    def poll(self) -> list[str]:
        """Poll, and return the ids of the runs that are reported; those of sharing tasks by their executions."""
        return [run.parts[0] if run.parts else run.id for run in self.runs()]

    def restart(self) -> None:
        """Go on in another process, with what was stored of the watermark."""
        assert self.watch.watermark is not None
        self.watch = self._watch(Watermark.from_json(json.loads(json.dumps(self.watch.watermark.to_json()))))


def watching(stage: Stage, kind: str, scope: str, resource_id: str, **arguments: Any) -> Watching:
    """Watch one resource, or the tenant."""
    return Watching(stage, kind, resource_id=resource_id if scope == "resource" else None, **arguments)


each_kind = pytest.mark.parametrize("kind", KINDS)
each_scope = pytest.mark.parametrize("scope", ["resource", "tenant"])


@each_kind
@each_scope
def test_of_ten_finishes_between_two_polls_all_are_reported_once(stage: Stage, kind: str, scope: str) -> None:
    sandbox = stage.sandbox
    resource = made(sandbox, kind)
    watch = watching(stage, kind, scope, resource)
    assert watch.poll() == []
    # The poll itself comes after the interval, so these end before it.
    runs = [sandbox.add_run(resource, started_ago=-second) for second in range(1, 11)]
    assert watch.poll() == runs
    assert watch.poll() == []
    last = sandbox.add_run(resource, started_ago=-1)
    assert watch.poll() == [last]
    assert stage.warnings == []


@each_kind
@each_scope
def test_nothing_that_ended_before_the_first_poll_is_reported(stage: Stage, kind: str, scope: str) -> None:
    resource = made(stage.sandbox, kind)
    for ago in (3600, 100, 10, 1):
        stage.sandbox.add_run(resource, started_ago=ago)
    watch = watching(stage, kind, scope, resource)
    assert [watch.poll() for _ in range(3)] == [[], [], []]
    # Not even when all runs of the resource are read.
    run = stage.sandbox.add_run(resource, started_ago=-1)
    assert watch.poll() == [run]


@each_kind
def test_a_resource_that_appears_later_reports_only_what_has_ended_since(stage: Stage, kind: str) -> None:
    watch = Watching(stage, kind)
    watch.poll()
    resource = made(stage.sandbox, kind)
    stage.sandbox.add_run(resource, started_ago=100)
    assert watch.poll() == []
    run = stage.sandbox.add_run(resource, started_ago=-1)
    assert watch.poll() == [run]


@each_kind
@each_scope
def test_since_reports_what_ended_before_the_first_poll(stage: Stage, kind: str, scope: str) -> None:
    resource = made(stage.sandbox, kind)
    stage.sandbox.add_run(resource, started_ago=7200)
    runs = [stage.sandbox.add_run(resource, started_ago=ago) for ago in (3000, 100)]
    watch = watching(stage, kind, scope, resource, since=stage.now() - timedelta(hours=1))
    assert watch.poll() == runs
    assert watch.poll() == []


@each_kind
@each_scope
def test_a_run_that_was_active_at_the_first_poll_is_reported_when_it_ends(stage: Stage, kind: str, scope: str) -> None:
    resource = made(stage.sandbox, kind)
    run = stage.sandbox.add_run(resource, started_ago=600, script=Script(run=700))
    watch = watching(stage, kind, scope, resource)
    assert [watch.poll() for _ in range(3)] == [[], [], [run]]


@pytest.mark.parametrize("kind", ["task", "automation", "reload"])
@each_scope
def test_a_run_that_was_seen_active_is_reported_whatever_its_end_time_says(stage: Stage, kind: str, scope: str) -> None:
    stage.sandbox.switch(run_clock_skew=-600.0)
    resource = made(stage.sandbox, kind)
    behind = stage.sandbox.add_run(resource, started_ago=100, script=Script(run=150))
    watch = watching(stage, kind, scope, resource)
    assert [watch.poll(), watch.poll()] == [[], [behind]]
    without_end = stage.sandbox.add_run(resource, started_ago=0, script=Script(run=100, ended_at=False))
    assert [run for _ in range(4) for run in watch.poll()] == [without_end]


@each_kind
@each_scope
def test_an_earlier_run_that_ends_after_the_last_one_is_reported(stage: Stage, kind: str, scope: str) -> None:
    resource = made(stage.sandbox, kind)
    watch = watching(stage, kind, scope, resource)
    watch.poll()
    early = stage.sandbox.add_run(resource, started_ago=0, script=Script(run=400))
    late = stage.sandbox.add_run(resource, started_ago=-5, script=Script(run=5))
    found = watch.poll()
    # A sharing task says of all its runs together if more executions may come.
    assert found == ([] if kind == "sharing_task" else [late])
    watch.restart()
    for _ in range(8):
        found += watch.poll()
    assert found == [late, early]


@each_kind
@each_scope
def test_a_restarted_watch_loses_nothing_and_repeats_nothing(stage: Stage, kind: str, scope: str) -> None:
    sandbox = stage.sandbox
    resource = made(sandbox, kind)
    watch = watching(stage, kind, scope, resource)
    assert watch.poll() == []
    watch.restart()
    watch.poll()
    before = [sandbox.add_run(resource, started_ago=-second) for second in (5, 10)]
    running = sandbox.add_run(resource, started_ago=0, script=Script(run=100))
    found = watch.poll()
    assert found == ([] if kind == "sharing_task" else before)
    # No watch runs for a day.
    between = [sandbox.add_run(resource, started_ago=-second) for second in (200, 5000, 80000)]
    stage.run(_pause(86_400.0))
    watch.restart()
    assert found + watch.poll() == [*before, running, *between]
    watch.restart()
    assert watch.poll() == []


def _pause(seconds: float) -> Any:
    from airflow_provider_qlik.cloud.flow import pause

    return pause(seconds)


def test_a_watch_does_not_make_up_for_more_than_a_week(stage: Stage) -> None:
    automation = made(stage.sandbox, "automation")
    watch = Watching(stage, "automation")
    watch.poll()
    stage.sandbox.add_run(automation, started_ago=-60)
    stage.run(_pause(MAX_CATCH_UP.total_seconds() + 3600))
    recent = stage.sandbox.add_run(automation, started_ago=60)
    watch.restart()
    assert watch.poll() == [recent]
    assert "7 days ago are not reported" in stage.warnings[0]


@pytest.mark.parametrize("kind", ["task", "automation", "reload"])
def test_only_wanted_outcomes_are_reported(stage: Stage, kind: str) -> None:
    resource = made(stage.sandbox, kind)
    failures = Watching(stage, kind, states=[RunState.FAILED])
    failures.poll()
    stage.sandbox.add_run(resource, started_ago=-1)
    failed = stage.sandbox.add_run(resource, started_ago=-3, script=Script(end="FAILED"))
    assert failures.poll() == [failed]


@pytest.mark.parametrize("kind", ["task", "reload"])
@each_scope
@pytest.mark.parametrize("include", [False, True])
def test_own_runs_are_left_out_unless_they_are_asked_for(stage: Stage, kind: str, scope: str, include: bool) -> None:
    resource = made(stage.sandbox, kind)
    watch = watching(stage, kind, scope, resource, include_own_runs=include)
    watch.poll()
    own = stage.start(STARTABLE_ADAPTERS[kind], resource)
    other = stage.sandbox.add_run(resource, started_ago=-30)
    assert MARKER in (own.triggered_by or "")
    assert watch.poll() == ([own.id, other] if include else [other])


@each_kind
def test_a_space_is_watched_without_the_rest_of_the_tenant(stage: Stage, kind: str) -> None:
    sandbox = stage.sandbox
    space, elsewhere = sandbox.add_space("Finance"), sandbox.add_space("Sales")
    resources = []
    for index, where in enumerate([space, elsewhere, None]):
        if kind == "task":
            resources.append(made(sandbox, kind, resource_id=sandbox.add_app(f"App {index}", space_id=where)))
        elif kind == "reload":
            resources.append(made(sandbox, kind, name=f"App {index}", space_id=where))
        else:
            resources.append(made(sandbox, kind, **({"spaceId": where} if where else {})))
    watch = Watching(stage, kind, space_id=space)
    watch.poll()
    runs = [sandbox.add_run(resource, started_ago=-1) for resource in resources]
    sandbox.clear_request_log()
    (run,) = watch.runs()
    if kind != "reload":
        # The list of reloads does not show the spaces of their apps.
        assert not [entry for entry in sandbox.request_log() if any(other in entry.path for other in resources[1:])]
    assert (run.resource_id, run.space_id) == (resources[0], space)
    assert runs[0] in {run.id, *run.parts}
    assert [watch.poll() for _ in range(2)] == [[], []]


@each_kind
@each_scope
def test_an_event_names_its_resource(stage: Stage, kind: str, scope: str) -> None:
    resource = made(stage.sandbox, kind, name="Sales")
    watch = watching(stage, kind, scope, resource)
    watch.poll()
    stage.sandbox.add_run(resource, started_ago=-1)
    (run,) = watch.runs()
    assert (run.name, run.resource_id, run.ended_at is not None) == ("Sales", resource, True)


# Requests


@each_kind
def test_the_watches_of_a_kind_share_one_list(stage: Stage, kind: str) -> None:
    sandbox = stage.sandbox
    resources = [made(sandbox, kind) for _ in range(30)]
    source = LatestRunSource(STARTABLE_ADAPTERS[kind])
    keys = [LatestRunsKey(resource) for resource in resources]
    sandbox.clear_request_log()
    results = stage.run(source.poll_batch([*keys, LatestRunsKey()]), ONE_ATTEMPT)
    assert results.keys() == {*keys, LatestRunsKey()}
    expected = [LISTS[kind][0]]
    probes = [entry for entry in sandbox.request_log() if "limit=1" in entry.path and "limit=100" not in entry.path]
    assert [entry.operation for entry in sandbox.request_log() if entry not in probes][-1:] == expected
    sandbox.clear_request_log()
    stage.run(source.poll_batch(keys), ONE_ATTEMPT)
    assert [entry.operation for entry in sandbox.request_log()] == expected


def test_few_watches_do_not_read_a_long_list(stage: Stage) -> None:
    sandbox = stage.sandbox
    automations = [made(sandbox, "automation") for _ in range(450)]
    source = LatestRunSource(STARTABLE_ADAPTERS["automation"])
    everything = stage.run(source.poll_batch([LatestRunsKey()]), ONE_ATTEMPT)[LatestRunsKey()]
    assert isinstance(everything, LatestRuns)
    assert everything.by_resource.keys() == set(automations)
    sandbox.clear_request_log()
    keys = [LatestRunsKey(automation) for automation in automations[:3]]
    stage.run(source.poll_batch(keys), ONE_ATTEMPT)
    assert [entry.operation for entry in sandbox.request_log()] == ["list_automation_runs"] * 3


@each_kind
def test_a_quiet_tenant_costs_one_request_a_poll(stage: Stage, kind: str) -> None:
    for _ in range(20):
        stage.sandbox.add_run(made(stage.sandbox, kind), started_ago=600)
    watch = Watching(stage, kind)
    watch.poll()
    stage.sandbox.clear_request_log()
    for _ in range(3):
        watch.poll()
    assert [entry.operation for entry in stage.sandbox.request_log()] == [LISTS[kind][0]] * 3


def test_a_list_that_lags_delays_events_and_loses_none(stage: Stage) -> None:
    stage.sandbox.switch(last_run_lag=1500.0)
    watch = Watching(stage, "task")
    task, other = made(stage.sandbox, "task"), made(stage.sandbox, "task")
    watch.poll()
    runs = [stage.sandbox.add_run(task, started_ago=-second) for second in (1, 5)]
    found = [watch.poll() for _ in range(20)]
    stage.sandbox.switch(last_run_lag=0.0)
    last = stage.sandbox.add_run(other, started_ago=-1)
    found += [watch.poll() for _ in range(10)]
    assert sorted(run for ids in found for run in ids) == sorted([*runs, last])


# Errors


@each_kind
@each_scope
def test_failed_polls_are_tolerated_and_lose_nothing(stage: Stage, kind: str, scope: str) -> None:
    sandbox = stage.sandbox
    resource = made(sandbox, kind)
    watch = watching(stage, kind, scope, resource)
    watch.poll()
    run = sandbox.add_run(resource, started_ago=-1)
    sandbox.fault(operation=LISTS[kind][scope == "resource"], times=4, status=503)
    assert [watch.poll() for _ in range(4)] == [[], [], [], []]
    assert watch.poll() == [run]
    assert len(stage.warnings) == 1
    assert stage.messages[-1].startswith("Qlik Cloud responds again, after 4 failed polls")


@pytest.mark.parametrize("kind", ["task", "automation", "sharing_task"])
@pytest.mark.parametrize("fault", [{"status": 502, "body": "<html>", "content_type": "text/html"}, {"reset": "before"}])
def test_runs_that_cannot_be_listed_are_reported_later(stage: Stage, kind: str, fault: dict[str, Any]) -> None:
    sandbox = stage.sandbox
    resources = [made(sandbox, kind) for _ in range(3)]
    watch = Watching(stage, kind)
    watch.poll()
    runs = {sandbox.add_run(resource, started_ago=-1) for resource in resources}
    sandbox.fault(operation=LISTS[kind][1], path=f"*{resources[1]}*", times=3, **fault)
    found = [watch.poll() for _ in range(3)]
    watch.restart()
    found.append(watch.poll())
    assert sorted(run for ids in found for run in ids) == sorted(runs)


@pytest.mark.parametrize("kind", ["task", "automation", "sharing_task"])
@pytest.mark.parametrize("restart", [False, True])
def test_an_outage_that_begins_after_the_list_was_read_loses_nothing(stage: Stage, kind: str, restart: bool) -> None:
    sandbox = stage.sandbox
    resources = [made(sandbox, kind) for _ in range(5)]
    watch = Watching(stage, kind)
    watch.poll()
    runs = {sandbox.add_run(resource, started_ago=-1) for resource in resources}
    sandbox.fault(operation=LISTS[kind][1], times=1, status=503)
    assert watch.poll() == []
    if restart:
        watch.restart()
    assert set(watch.poll()) == runs
    assert watch.poll() == []


def test_a_list_of_runs_that_is_refused_as_invalid_is_read_again(stage: Stage) -> None:
    sandbox = stage.sandbox
    automations = [made(sandbox, "automation") for _ in range(3)]
    watch = Watching(stage, "automation")
    watch.poll()
    runs = {automation: sandbox.add_run(automation, started_ago=-1) for automation in automations}
    sandbox.fault(operation="list_automation_runs", path=f"*{automations[0]}*", times=1, status=400)
    assert set(watch.poll()) == {runs[automations[1]], runs[automations[2]]}
    assert watch.poll() == [runs[automations[0]]]


def test_refused_credentials_are_an_error_only_if_that_lasts(stage: Stage) -> None:
    automation = made(stage.sandbox, "automation")
    watch = Watching(stage, "automation")
    watch.poll()
    stage.sandbox.fault(operation="list_automations", status=401, times=None)
    began = stage.elapsed
    while stage.elapsed < began + NOT_VISIBLE_TIMEOUT.total_seconds():
        assert watch.poll() == []
        assert not watch.watch.failing
        assert [level for level, _ in stage.log_records if level == logging.ERROR] == []
    assert watch.poll() == []
    assert watch.watch.failing
    errors = [text for level, text in stage.log_records if level == logging.ERROR]
    assert errors[0].startswith("Ends of runs cannot be watched: ")
    assert "Check the API key" in errors[0]
    before = len(stage.sandbox.request_log("list_automations"))
    began = stage.elapsed
    run = stage.sandbox.add_run(automation, started_ago=-1)
    for _ in range(8):
        assert watch.poll() == []
    assert len(stage.sandbox.request_log("list_automations")) - before <= 16
    assert stage.elapsed - began > 8 * 300
    stage.sandbox.clear_faults()
    assert watch.poll() == [run]
    assert not watch.watch.failing


def test_tasks_v1_has_no_list_so_only_a_task_can_be_watched(still: SandboxTenant) -> None:
    with staged(still, tasks_path=V1_TASKS) as stage:
        task = made(still, "task")
        watch = Watching(stage, "task")
        assert watch.poll() == []
        (error,) = [text for level, text in stage.log_records if level == logging.ERROR]
        assert "give resource_id" in error
        assert "tasks_api" in error
        assert watch.watch.failing
        single = Watching(stage, "task", resource_id=task)
        single.poll()
        run = still.add_run(task, started_ago=-1)
        assert single.poll() == [run]


def test_reloads_of_all_apps_are_for_administrators(stage: Stage) -> None:
    sandbox = stage.sandbox
    user = sandbox.add_user("Nobody in particular")
    apps = [sandbox.add_app(owner_id=user.id) for _ in range(3)]
    with Client(QlikTenant.at(sandbox.url), ApiKey(user.api_key)) as client:
        as_user = Stage(sandbox, client)
        tenant = Watching(as_user, "reload")
        tenant.poll()
        assert "give resource_id" in as_user.warnings[0]
        source = LatestRunSource(STARTABLE_ADAPTERS["reload"])
        keys = [LatestRunsKey(app) for app in apps]
        results = as_user.run(source.poll_batch([*keys, LatestRunsKey()]), ONE_ATTEMPT)
        assert isinstance(results[LatestRunsKey()], CannotListError)
        assert all(isinstance(results[key], LatestRuns) for key in keys)
        single = Watching(as_user, "reload", resource_id=apps[0])
        single.poll()
        run = sandbox.add_run(apps[0], started_ago=-1)
        assert single.poll() == [run]


def test_where_the_runs_are_refused_the_last_run_is_reported(stage: Stage) -> None:
    sandbox = stage.sandbox
    automation = made(sandbox, "automation")
    watch = Watching(stage, "automation")
    watch.poll()
    sandbox.fault(operation="list_automation_runs", status=403, times=None)
    first = sandbox.add_run(automation, started_ago=-1)
    assert watch.poll() == [first]
    second = sandbox.add_run(automation, started_ago=-1)
    assert watch.poll() == [second]
    assert len(stage.warnings) == 1


def test_a_resource_that_does_not_exist_is_an_error_that_lasts(stage: Stage) -> None:
    watch = Watching(stage, "automation", resource_id="nowhere")
    for _ in range(4):
        assert watch.poll() == []
    (error,) = [text for level, text in stage.log_records if level == logging.ERROR]
    assert "Check the id" in error


# Sharing tasks


def test_a_sharing_task_is_reported_when_all_its_executions_have_ended(stage: Stage) -> None:
    sandbox = stage.sandbox
    task = made(sandbox, "sharing_task", recipients=("user-sandbox", "a@example.com"))
    sandbox.script(task, SharingScript(Script(run=20), appear_after=(0, 200)))
    watch = Watching(stage, "sharing_task")
    watch.poll()
    run = stage.start(STARTABLE_ADAPTERS["sharing_task"], task)
    found = [watch.runs() for _ in range(6)]
    (reported,) = [run for runs in found for run in runs]
    assert (reported.id, reported.counts) == (run.id, {"succeeded": 2})
    assert reported.ended_at is not None


# The watermark


def test_a_watermark_keeps_a_bounded_number_of_ends(stage: Stage) -> None:
    watermark = Watermark(stage.now())
    for second in range(600):
        watermark.add(str(second), stage.now() + timedelta(seconds=second))
    watermark.advance(stage.now() + timedelta(seconds=600))
    assert len(watermark.ends) == 500
    assert watermark.moment > stage.now() + timedelta(seconds=99)
    assert watermark.covers("99", stage.now() + timedelta(seconds=99))
    assert watermark.covers("100", stage.now() + timedelta(seconds=100))
    assert len(json.dumps(watermark.to_json())) < 65_535


@pytest.mark.parametrize(
    "value", [None, {}, {"version": 2}, {"version": 1, "moment": "x", "ends": {}, "unsettled": []}]
)
def test_an_unreadable_watermark_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Watermark.from_json(value)


def test_a_request_for_any_watch_may_answer_for_all_others() -> None:
    """A minimum would leave out the watches that were answered a moment ago, and cost a request of their own."""
    watch = RunWatch(STARTABLE_ADAPTERS["automation"], lambda *_: None, space_id="s")
    delays: list[tuple[float, float]] = []
    for _ in range(2):
        flow = watch.poll(INTERVAL)
        step: Any = next(flow)
        delays.append((step.min_delay, step.max_delay))
        with pytest.raises(StopIteration):
            flow.send(LatestRuns(None))
    assert delays == [(0.0, FIRST_POLL), (0.0, INTERVAL)]
