"""Requests that many waits cost, by the request log of the sandbox."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Call, Flow, Tenant
from airflow_provider_qlik.cloud.errors import UnauthorizedError
from airflow_provider_qlik.cloud.flow import Poll
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.transport.responses import read
from airflow_provider_qlik.runs import ADAPTERS, Run, RunAdapter, RunSelector, RunState, RunWait, WaitTimeoutError
from airflow_provider_qlik.runs.poll_source import poll_source
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant

pytestmark = pytest.mark.slow


def one_poll(selector: RunSelector, kind: str, within: float) -> Flow[Any]:
    """Return the result of one poll."""
    return (
        yield Poll(source=poll_source(ADAPTERS[kind]), key=selector, batch_key=selector.resource_id, max_delay=within)
    )


def poll_all(sandbox: SandboxTenant, kind: str, selectors: Sequence[RunSelector], within: float = 0.3) -> list[Any]:
    """Return the results of one poll for each selector, sent at the same time."""

    async def gather() -> list[Any]:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
            polls = (client.run_flow(one_poll(selector, kind, within)) for selector in selectors)
            return await asyncio.gather(*polls, return_exceptions=True)

    sandbox.clear_request_log()
    return asyncio.run(gather())


def requests(sandbox: SandboxTenant) -> Counter[str | None]:
    return Counter(entry.operation for entry in sandbox.request_log())


def running(sandbox: SandboxTenant, resource_id: str, count: int) -> list[RunSelector]:
    going = Script(end=None)
    return [
        RunSelector(resource_id=resource_id, run_id=sandbox.add_run(resource_id, script=going)) for _ in range(count)
    ]


def test_100_waits_on_one_automation_cost_one_request_per_interval(sandbox: SandboxTenant) -> None:
    automation = sandbox.add_automation("Prepare", maxConcurrentRuns=50)
    selectors = running(sandbox, automation, 100)
    runs = poll_all(sandbox, "automation", selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    assert requests(sandbox) == {"list_automation_runs": 1}


def test_1000_waits_on_1000_automations_cost_no_more_than_12_requests_per_interval(sandbox: SandboxTenant) -> None:
    automations = [sandbox.add_automation(f"Automation {number}") for number in range(1000)]
    selectors = [one for automation in automations for one in running(sandbox, automation, 1)]
    runs = poll_all(sandbox, "automation", selectors, within=1.0)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    assert sum(requests(sandbox).values()) <= 12


def test_waits_over_several_intervals_cost_no_more_per_interval(sandbox: SandboxTenant) -> None:
    """As in a triggerer: one bulk list per interval, and a few single polls that audit it."""
    automations = [sandbox.add_automation(f"Automation {number}") for number in range(60)]
    selectors = [one for automation in automations for one in running(sandbox, automation, 1)]

    async def play() -> None:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
            watches = [
                RunWait(ADAPTERS["automation"], selector, lambda *_: None).until_end(0.4) for selector in selectors
            ]
            waits = [asyncio.ensure_future(client.run_flow(watch)) for watch in watches]
            _, pending = await asyncio.wait(waits, timeout=4)
            assert len(pending) == 60
            for each in pending:
                each.cancel()

    sandbox.clear_request_log()
    asyncio.run(play())
    lists = requests(sandbox)["list_automations"]
    assert lists >= 3
    # The polls before the length of the list was known, and three for each list.
    assert requests(sandbox)["get_automation_run"] <= 5 + 3 * lists
    assert set(requests(sandbox)) == {"list_automations", "get_automation_run"}


@pytest.mark.parametrize("count", [101, 250])
def test_waits_on_one_automation_cost_a_request_for_each_page(sandbox: SandboxTenant, count: int) -> None:
    automation = sandbox.add_automation("Prepare", maxConcurrentRuns=500)
    selectors = running(sandbox, automation, count)
    runs = poll_all(sandbox, "automation", selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    # A single remaining run is polled alone, which costs no more than a page.
    assert sum(requests(sandbox).values()) <= count // 100 + 1


def test_runs_that_no_page_contains_are_polled_a_few_at_a_time(sandbox: SandboxTenant) -> None:
    automation = sandbox.add_automation("Prepare", maxConcurrentRuns=500)
    selectors = running(sandbox, automation, 50)
    sandbox.fault(operation="list_automation_runs", body={"data": []}, status=200, times=None)
    runs = poll_all(sandbox, "automation", selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    assert requests(sandbox) == {"list_automation_runs": 3, "get_automation_run": 50}


@pytest.mark.parametrize("status", [400, 403])
def test_a_refused_list_fails_no_wait(sandbox: SandboxTenant, status: int) -> None:
    selectors = running(sandbox, sandbox.add_automation("Prepare", maxConcurrentRuns=50), 5)
    sandbox.fault(operation="list_automation_runs", status=status, times=None)
    runs = poll_all(sandbox, "automation", selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]


def test_refused_credentials_are_not_sent_once_for_each_wait(sandbox: SandboxTenant) -> None:
    selectors = running(sandbox, sandbox.add_automation("Prepare", maxConcurrentRuns=50), 30)
    selectors += [one for n in range(30) for one in running(sandbox, sandbox.add_automation(f"A {n}"), 1)]
    sandbox.fault(operation="list_automation_runs", status=401, times=None)
    sandbox.fault(operation="list_automations", status=401, times=None)
    runs = poll_all(sandbox, "automation", selectors)
    assert {type(error) for error in runs} == {UnauthorizedError}
    assert sum(requests(sandbox).values()) <= 2


def test_sensors_that_wait_for_a_future_run_share_the_bulk_list(sandbox: SandboxTenant) -> None:
    began = sandbox.now()
    automations = [sandbox.add_automation(f"Automation {number}") for number in range(30)]
    earlier = [sandbox.add_run(automation, script=Script(run=1)) for automation in automations[:20]]
    later = began + timedelta(hours=1)
    selectors = [RunSelector(resource_id=automation, started_after=later) for automation in automations]
    assert poll_all(sandbox, "automation", selectors) == [None] * 30
    assert requests(sandbox) == {"list_automations": 1}
    last = poll_all(sandbox, "automation", [RunSelector(resource_id=automation) for automation in automations])
    assert [run and run.id for run in last] == earlier + [None] * 10
    # The list proves that there is no run. It does not prove which run is the last.
    assert requests(sandbox) == {"list_automations": 1, "list_automation_runs": 20}


def test_runs_of_a_sharing_task_with_a_long_list_are_polled_in_one_batch(sandbox: SandboxTenant) -> None:
    """Calls that have a response already do not count against the limit of a batch."""
    resource = sandbox.add_sharing_task("Weekly")
    selectors = [RunSelector(resource_id=resource, run_id=f"w{number}") for number in range(30)]
    for number in range(2200):
        sandbox.add_execution(resource, workflow_id=f"w{number % 30}", script=Script(run=0))
    runs = poll_all(sandbox, "sharing_task", selectors)
    assert [(run.id, run.ended) for run in runs] == [(selector.run_id, True) for selector in selectors]
    # Each page twice, since the list is read again after the task; and the task itself.
    assert sum(requests(sandbox).values()) <= 41


def test_the_first_run_since_a_moment_is_not_taken_for_the_last(sandbox: SandboxTenant) -> None:
    moment = sandbox.now() - timedelta(hours=1)
    automations = [sandbox.add_automation(f"Automation {number}", maxConcurrentRuns=5) for number in range(4)]
    first = [running(sandbox, automation, 2)[0].run_id for automation in automations]
    selectors = [RunSelector(resource_id=automation, started_after=moment) for automation in automations]
    batched = poll_all(sandbox, "automation", selectors)
    alone = [poll_all(sandbox, "automation", [selector])[0] for selector in selectors]
    assert [run.id for run in batched] == [run.id for run in alone]
    assert {run.id for run in batched} <= {*first, *(run.id for run in alone)}


def test_an_odd_last_run_of_one_automation_spoils_no_list(sandbox: SandboxTenant) -> None:
    going = {"id": "r", "status": "running", "startTime": "2026-11-22T06:00:00Z"}
    odd = [{}, "?", 7, {"id": "r"}]
    automations = [{"id": f"a{number}", "lastRun": run} for number, run in enumerate([going, *odd])]
    selectors = [RunSelector(resource_id=f"a{number}", run_id="r") for number in range(5)]
    flow = poll_source(ADAPTERS["automation"]).poll_bulk_list(selectors, 1)
    call = next(flow)
    assert isinstance(call, Call)
    page = read(call, call.path, Reply(200, content=json.dumps({"data": automations}).encode()))
    with pytest.raises(StopIteration) as end:
        flow.send(page)
    # The others are polled alone.
    assert list(end.value.value) == selectors[:1]


def test_ended_runs_of_a_sharing_task_share_the_second_poll(sandbox: SandboxTenant) -> None:
    resource = sandbox.add_sharing_task("Weekly")
    selectors = [RunSelector(resource_id=resource, run_id=f"w{number}") for number in range(10)]
    for selector in selectors:
        sandbox.add_execution(resource, workflow_id=selector.run_id, script=Script(run=0))
    runs = poll_all(sandbox, "sharing_task", selectors)
    assert [(run.id, run.ended) for run in runs] == [(selector.run_id, True) for selector in selectors]
    assert requests(sandbox) == {"list_sharing_task_executions": 2, "get_sharing_task": 1}


@pytest.mark.parametrize(
    ("kind", "operations"),
    [
        ("task", {"list_tasks": 1, "list_task_runs": 1}),  # the first shows where the tenant has its tasks
        ("reload", {"list_reloads": 1}),
        ("sharing_task", {"list_sharing_task_executions": 1}),
    ],
)
def test_waits_on_one_resource_share_one_list(sandbox: SandboxTenant, kind: str, operations: dict[str, int]) -> None:
    if kind == "task":
        resource = sandbox.add_task("Refresh")
    elif kind == "reload":
        resource = sandbox.add_app("Sales")
    else:
        resource = sandbox.add_sharing_task("Weekly")
    if kind == "sharing_task":
        selectors = [RunSelector(resource_id=resource, run_id=f"w{number}") for number in range(10)]
        for selector in selectors:
            sandbox.add_execution(resource, workflow_id=selector.run_id, script=Script(end=None))
    else:
        selectors = running(sandbox, resource, 10)
    runs = poll_all(sandbox, kind, selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    assert requests(sandbox) == operations


@pytest.mark.parametrize("kind", list(ADAPTERS.values()), ids=list(ADAPTERS))
def test_the_first_call_of_a_poll_counts_against_the_tier_of_its_kind(kind: RunAdapter) -> None:
    selector = RunSelector(resource_id="r", run_id="1")
    source = poll_source(kind)
    flows: list[Flow[Any]] = [
        source.poll(selector),
        source.poll(RunSelector(resource_id="r")),
        source.poll_batch([selector] * 2),
    ]
    if source.has_bulk_list:
        flows.append(source.poll_bulk_list([selector], 1))
    for flow in flows:
        first = next(flow)
        assert isinstance(first, Call)
        assert first.tier is kind.tier is source.tier
        flow.close()


def test_a_bulk_list_gives_the_same_answer_as_a_single_poll(sandbox: SandboxTenant) -> None:
    selectors = []
    for number, script in enumerate(
        (Script(run=1, end="finished"), Script(run=1, end="failed", error="No ledger"), Script(end=None))
    ):
        automation = sandbox.add_automation(f"Automation {number}")
        selectors.append(RunSelector(resource_id=automation, run_id=sandbox.add_run(automation, script=script)))
    batched = poll_all(sandbox, "automation", selectors)
    assert requests(sandbox) == {"list_automations": 1}
    alone = [poll_all(sandbox, "automation", [selector])[0] for selector in selectors]
    assert [facts(run) for run in batched] == [facts(run) for run in alone]
    assert [run.state for run in batched] == [RunState.SUCCEEDED, RunState.FAILED, RunState.ACTIVE]
    assert batched[1].reason == "No ledger"


def facts(run: Run) -> tuple[Any, ...]:
    return run.id, run.state, run.status, run.started_at, run.ended_at, run.reason


def test_a_run_that_is_not_the_last_of_its_automation_is_polled_alone(sandbox: SandboxTenant) -> None:
    automations = [sandbox.add_automation(f"Automation {number}", maxConcurrentRuns=5) for number in range(5)]
    selectors = [one for automation in automations for one in running(sandbox, automation, 1)]
    running(sandbox, automations[2], 1)
    runs = poll_all(sandbox, "automation", selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    assert requests(sandbox) == {"list_automations": 1, "get_automation_run": 1}


def test_an_automation_of_another_user_is_polled_alone(sandbox: SandboxTenant) -> None:
    selectors = [one for number in range(4) for one in running(sandbox, sandbox.add_automation(f"A {number}"), 1)]
    sandbox.fault(operation="list_automations", body={"data": []}, status=200, times=None)
    runs = poll_all(sandbox, "automation", selectors)
    assert [run.id for run in runs] == [selector.run_id for selector in selectors]
    assert requests(sandbox) == {"list_automations": 1, "get_automation_run": 4}


def test_a_deleted_resource_does_not_affect_other_waits(sandbox: SandboxTenant) -> None:
    automation = sandbox.add_automation("Prepare", maxConcurrentRuns=5)
    selectors = [*running(sandbox, automation, 2), RunSelector(resource_id=automation, run_id="gone")]
    first, second, gone = poll_all(sandbox, "automation", selectors)
    assert (first.id, second.id, gone) == (selectors[0].run_id, selectors[1].run_id, None)


def test_intervals_grow_with_the_age_of_the_run_between_two_bounds() -> None:
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    watch = RunWait(
        ADAPTERS["automation"], RunSelector(resource_id="a", run_id="r"), lambda *_: None, clock=lambda: now
    )
    going = Run(kind="automation", resource_id="a", id="r", state=RunState.ACTIVE, status="running", started_at=now)
    flow = watch.until_end(15.0, 60.0)
    step = next(flow)
    intervals = []
    for minutes in (1, 5, 10, 15, 20, 60):
        now = going.started_at + timedelta(minutes=minutes) if going.started_at else now
        step = flow.send(going)
        assert isinstance(step, Poll)
        intervals.append(step.max_delay)
        assert step.min_delay == step.max_delay / 2
    assert intervals == [15, 15, 30, 45, 60, 60]


def test_a_last_interval_before_the_deadline_is_not_divided_again_and_again() -> None:
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    watch = RunWait(
        ADAPTERS["automation"],
        RunSelector(resource_id="a", run_id="r"),
        lambda *_: None,
        deadline=now + timedelta(seconds=20),
        clock=lambda: now,
    )
    going = Run(kind="automation", resource_id="a", id="r", state=RunState.ACTIVE, status="running")
    flow = watch.until_end(15.0)
    step = next(flow)
    polls = 0
    try:
        while True:
            assert isinstance(step, Poll)
            polls += 1
            # As early as it may be.
            now += timedelta(seconds=step.min_delay)
            step = flow.send(going)
    except WaitTimeoutError:
        assert polls <= 4


def test_the_second_list_of_a_sharing_task_is_read_for_those_in_the_triggerer_as_well(sandbox: SandboxTenant) -> None:
    """An execution that appears between the two lists counts."""
    source = poll_source(ADAPTERS["sharing_task"])
    selector = RunSelector(resource_id="s", run_id="w")
    lists = 0
    flow = source.poll_batch([selector])
    call = next(flow)
    try:
        while True:
            assert isinstance(call, Call)
            if call.operation == "list_sharing_task_executions":
                lists += 1
                executions = [execution("first", "successful"), execution("second", "failed")][:lists]
                answer: Any = call.response_type.from_json({"executions": executions})
            else:
                answer = call.response_type.from_json({"id": "s", "name": "Weekly", "statusCode": "VALID"})
            call = flow.send(answer)
    except StopIteration as end:
        run = end.value[selector]
    assert (lists, run.state) == (2, RunState.FAILED)


def execution(name: str, status: str) -> dict[str, Any]:
    moments = {"startedAt": "2026-11-22T06:00:00Z", "successfulTime": "2026-11-22T06:01:00Z"}
    return {"id": name, "workflowID": "w", "sharingTaskID": "s", "status": status, **moments}


def test_invalid_members_that_are_not_accessed_do_not_affect_the_bulk_list() -> None:
    run = {"id": "r", "status": "running", "metrics": {"network": "none", "blocks": 3}}
    automations = [{"id": "a", "name": ["?"], "schedules": "daily", "maxConcurrentRuns": "many", "lastRun": run}]
    selector = RunSelector(resource_id="a", run_id="r")
    flow = poll_source(ADAPTERS["automation"]).poll_bulk_list([selector], 1)
    call = next(flow)
    assert isinstance(call, Call)
    page = read(call, call.path, Reply(200, content=json.dumps({"data": automations}).encode()))
    with pytest.raises(StopIteration) as end:
        flow.send(page)
    assert end.value.value[selector].status == "running"
