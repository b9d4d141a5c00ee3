"""A wait for a chain: which runs are followed, when it ends, and what it says of each link."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_qlik.cloud.errors import InvalidArgumentError, StatusError
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.runs import MatchTimeouts, Run, RunSelector, WaitTimeoutError
from airflow_provider_qlik.runs.chain_cancelling import cancel_chain
from airflow_provider_qlik.runs.chain_links import LinkState, TaskChain
from airflow_provider_qlik.runs.task_chain import ChainWait, read_chain
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import V1_TASKS
from tests.runs.conftest import OTHER_MARKER, TASK, Stage, staged

NAMINGS = pytest.mark.parametrize("naming", ["task_id", "run_id", "word", "absent"])
CERTAIN_NAMINGS = pytest.mark.parametrize("naming", ["task_id", "run_id"])


def link_tasks(sandbox: SandboxTenant, chain: str, *, status: str | None = "succeeded", **more: dict[str, Any]) -> None:
    """Add tasks such as ``"a b<a c<a d<bc"``: each with its id, and the tasks that start it."""
    for word in chain.split():
        id, _, parents = word.partition("<")
        events = [
            {
                "type": "com.qlik.v1.task.run.finished",
                "correlation": [
                    {"contextAttributeName": "id", "contextAttributeValue": f"task-{parent}"},
                    *([{"contextAttributeName": "status", "contextAttributeValue": status}] if status else []),
                ],
            }
            for parent in parents
        ]
        members = {"events": events} if events else {}
        sandbox.add_task(id.upper(), id=f"task-{id}", **{**members, **more.get(id, {})})


def root_run(stage: Stage, **switches: Any) -> Run:
    """Start task a, set switches, and return its run when it has ended."""
    run = stage.start(TASK, "task-a")
    stage.sandbox.switch(**switches)
    return stage.until_end(TASK, RunSelector.of(run), 1.0)


def wait_for(stage: Stage, root: Run, **arguments: Any) -> ChainWait:
    timeouts = MatchTimeouts(match_timeout=arguments.pop("match_timeout", 300.0))
    return ChainWait(root, timeouts, stage.write_log, clock=stage.now, **{"poll_interval": 5.0, **arguments})


def follow(stage: Stage, root: Run | None = None, **arguments: Any) -> TaskChain:
    """Start task a, and return its chain when that has ended."""
    return stage.run(wait_for(stage, root or root_run(stage), **arguments).until_end(), ONE_ATTEMPT)


def states(chain: TaskChain) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for link in chain.links:
        found.setdefault(link.task_id.removeprefix("task-"), []).append(str(link.state))
    return found


def run_ids(sandbox: SandboxTenant, *ids: str, via: str = "chain") -> set[str]:
    return {run["id"] for id in ids for run in sandbox.runs(f"task-{id}") if run["via"] == via}


@NAMINGS
def test_a_chain_is_followed_to_its_end(stage: Stage, sandbox: SandboxTenant, naming: str) -> None:
    link_tasks(sandbox, "a b<a c<b")
    sandbox.switch(chained_triggered_by=naming, chain_delay=3)
    sandbox.script("task-b", Script(run=120))
    sandbox.script("task-c", Script(run=200))

    chain = follow(stage)

    assert states(chain) == {"a": ["succeeded"], "b": ["succeeded"], "c": ["succeeded"]}
    assert {link.run_id for link in chain.links[1:]} == run_ids(sandbox, "b", "c")
    assert [link.seconds for link in chain.links[1:]] == pytest.approx([120, 200], abs=1)
    assert {link.confirmed for link in chain.links[1:]} == {naming in {"task_id", "run_id"}}
    assert chain.failure is None


def test_a_task_without_a_chain_ends_at_once(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a")
    root = root_run(stage)
    elapsed = stage.elapsed

    assert states(follow(stage, root)) == {"a": ["succeeded"]}
    assert stage.elapsed == elapsed


@NAMINGS
@pytest.mark.parametrize(("exclusive", "count"), [(True, 2), (False, 1)], ids=["any parent", "all parents"])
def test_a_diamond_ends_with_all_runs_of_its_last_task(
    stage: Stage, sandbox: SandboxTenant, naming: str, exclusive: bool, count: int
) -> None:
    state = {"name": "Reload", "type": "EVENT", "exclusive": exclusive, "onEvents": []}
    link_tasks(sandbox, "a b<a c<a d<bc", d={"states": [state]})
    sandbox.switch(chained_triggered_by=naming)
    sandbox.script("task-b", Script(run=10))
    sandbox.script("task-c", Script(run=400))
    sandbox.script("task-d", Script(run=100))

    chain = follow(stage)

    assert states(chain) == {
        "a": ["succeeded"],
        "b": ["succeeded"],
        "c": ["succeeded"],
        "d": ["succeeded"] * count,
    }
    assert {link.run_id for link in chain.links if link.task_id == "task-d"} == run_ids(sandbox, "d")


def test_a_second_start_that_qlik_leaves_out_is_no_failure(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a c<a d<bc")
    sandbox.switch(running_start="ignored")
    sandbox.script("task-c", Script(run=60))
    sandbox.script("task-d", Script(run=100))

    chain = follow(stage)

    assert states(chain)["d"] == ["succeeded"]
    assert chain.failure is None


@NAMINGS
def test_a_run_that_appears_late_is_found(stage: Stage, sandbox: SandboxTenant, naming: str) -> None:
    link_tasks(sandbox, "a b<a")
    root = root_run(stage, chained_triggered_by=naming, show_after=90)
    assert [run["hidden"] for run in sandbox.runs("task-b")] == [True]

    assert states(follow(stage, root)) == {"a": ["succeeded"], "b": ["succeeded"]}


@NAMINGS
def test_a_run_that_starts_late_is_found(stage: Stage, sandbox: SandboxTenant, naming: str) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by=naming, chain_delay=100)

    assert states(follow(stage)) == {"a": ["succeeded"], "b": ["succeeded"]}


@pytest.mark.parametrize(
    ("status", "end", "state"),
    [("succeeded", "FAILED", "not_started"), ("failed", "SUCCEEDED", "not_started"), ("failed", "FAILED", "succeeded")],
)
def test_a_condition_decides_whether_a_task_is_waited_for(
    stage: Stage, sandbox: SandboxTenant, status: str, end: str, state: str
) -> None:
    link_tasks(sandbox, "a b<a c<b", status=status)
    sandbox.script("task-a", Script(end=end))
    root = root_run(stage)
    began = stage.elapsed

    chain = follow(stage, root)

    assert states(chain)["b"] == [state]
    # The end of b is a success, which starts c only if it waits for one.
    assert states(chain)["c"] == ["not_started"]
    assert chain.failure is None
    assert stage.elapsed - began < 60


def test_a_disabled_task_is_not_waited_for(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a c<b", b={"enabled": False})
    root = root_run(stage)
    elapsed = stage.elapsed

    chain = follow(stage, root)

    assert states(chain) == {"a": ["succeeded"], "b": ["disabled"], "c": ["not_started"]}
    assert chain.failure is None
    assert stage.elapsed == elapsed
    assert "it is disabled" in "\n".join(stage.messages)


def test_a_task_that_is_never_started_ends_the_wait_and_fails_the_chain(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a c<b")
    sandbox.switch(chain_delay=10_000)
    root = root_run(stage)
    began = stage.elapsed

    chain = follow(stage, root)

    assert states(chain) == {"a": ["succeeded"], "b": ["missing"], "c": ["not_started"]}
    assert 300 <= stage.elapsed - began < 320
    assert "no run of it showed up within 300 s" in (chain.failure or "")
    assert "task 'B' (task-b)" in (chain.failure or "")


def test_a_cycle_ends(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a<b b<a")
    sandbox.script("task-b", Script(run=5))
    sandbox.script("task-a", Script(run=5))

    chain = follow(stage)

    assert states(chain) == {"a": ["succeeded"], "b": ["succeeded"]}
    assert any("task 'A' (task-a) is started again by task 'B' (task-b): a cycle" in text for text in stage.warnings)


@pytest.mark.parametrize("cause", ["permissions", "404"])
def test_a_task_that_the_user_may_not_see_does_not_hold_the_wait(
    stage: Stage, sandbox: SandboxTenant, cause: str
) -> None:
    link_tasks(sandbox, "a b<a c<b")
    status = 403 if cause == "permissions" else 404
    graph = stage.client.call(_graph())
    for vertex in graph["vertices"]:
        if vertex["taskId"] == "task-b":
            del vertex["task"]
    sandbox.fault(operation="get_task_descendants", body=graph, status=200, times=None)
    sandbox.fault(operation="list_task_runs", path="*/task-b/runs", status=status, times=None)
    root = root_run(stage)
    began = stage.elapsed

    chain = follow(stage, root)

    assert states(chain) == {"a": ["succeeded"], "b": ["not_visible"], "c": ["not_started"]}
    assert chain.failure is None
    assert stage.elapsed - began < 320
    assert any("this user may not see its runs" in text for text in stage.warnings)


def _graph() -> Any:
    from airflow_provider_qlik.cloud.api import tasks
    from airflow_provider_qlik.cloud.models.scheduling import TaskGraph

    call = tasks.descendants("task-a", with_task=True)

    class Raw(TaskGraph):
        @classmethod
        def from_reply(cls, reply: Any) -> Any:
            return json.loads(reply.content)

    return call.read_as(Raw)


@NAMINGS
def test_a_failed_link_fails_the_chain_with_its_reason(stage: Stage, sandbox: SandboxTenant, naming: str) -> None:
    link_tasks(sandbox, "a b<a c<b d<a")
    sandbox.switch(chained_triggered_by=naming)
    sandbox.script("task-b", Script(run=5, end="FAILED", error="Table 'ledger' not found"))
    sandbox.script("task-d", Script(run=500))

    chain = follow(stage)

    assert states(chain) == {"a": ["succeeded"], "b": ["failed"], "c": ["not_started"], "d": ["succeeded"]}
    assert chain.failure is not None
    assert re.search(r"of task 'B' \(task-b\) ended as 'FAILED': .*Table 'ledger' not found", chain.failure)


@CERTAIN_NAMINGS
def test_a_run_of_somebody_else_at_the_same_time_is_not_followed(
    stage: Stage, sandbox: SandboxTenant, naming: str
) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by=naming, chain_delay=60)
    sandbox.script("task-b", Script(run=50))
    root = root_run(stage)
    stage.after(0.1, lambda: sandbox.add_run("task-b", started_ago=0.0, script=Script(run=900)))

    chain = follow(stage, root)

    # It was alone for a minute, and was taken for the run of the chain until that showed what had started it.
    assert {link.run_id for link in chain.links[1:]} == run_ids(sandbox, "b")
    assert chain.links[1].confirmed
    assert any("is not followed any more" in text for text in stage.warnings)


@pytest.mark.parametrize("naming", ["word", "absent"])
def test_two_runs_of_the_same_time_are_never_guessed(stage: Stage, sandbox: SandboxTenant, naming: str) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by=naming)
    sandbox.script("task-b", Script(run=500))
    root = root_run(stage)
    sandbox.add_run("task-b", started_ago=0.0, triggered_by="schedule", script=Script(run=500))

    chain = follow(stage, root)

    assert states(chain) == {"a": ["succeeded"], "b": ["ambiguous"]}
    assert "2 runs of it began at the time of the chain" in (chain.failure or "")


def test_a_competing_run_that_appears_later_makes_it_ambiguous(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by="word")
    sandbox.script("task-b", Script(run=900))
    root = root_run(stage)
    stage.after(40, lambda: sandbox.add_run("task-b", started_ago=30.0, script=Script(run=900)))

    assert states(follow(stage, root)) == {"a": ["succeeded"], "b": ["ambiguous"]}


def test_earlier_runs_prove_that_a_run_without_a_name_is_not_of_the_chain(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.add_run("task-b", started_ago=90_000.0, triggered_by="task-a")
    sandbox.switch(chain_delay=200)
    root = root_run(stage)
    manual = sandbox.add_run("task-b", started_ago=0.0, triggered_by="manual", script=Script(run=900))

    chain = follow(stage, root)

    assert {link.run_id for link in chain.links[1:]} == run_ids(sandbox, "b")
    assert manual not in {link.run_id for link in chain.links}
    assert any("were started by somebody else" in text for text in stage.messages)


def test_the_runs_of_another_start_of_the_same_parent_are_told_apart_by_their_parent(
    stage: Stage, sandbox: SandboxTenant
) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by="run_id")
    sandbox.add_run("task-a", started_ago=0.0, script=Script(run=1.5))
    chain = follow(stage)

    ours = chain.links[0].run_id
    assert [run["triggered_by"] for run in sandbox.runs("task-b") if run["id"] == chain.links[1].run_id] == [ours]
    assert len(chain.links) == 2


def test_the_runs_of_another_start_of_the_same_parent_are_ambiguous_if_only_the_task_is_named(
    stage: Stage, sandbox: SandboxTenant
) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.add_run("task-a", started_ago=0.0, script=Script(run=0.9))
    chain = follow(stage)

    assert states(chain)["b"] == ["ambiguous"]


def test_a_run_with_the_marker_of_another_start_is_not_followed(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by="word", chain_delay=60)
    root = root_run(stage)
    sandbox.add_run("task-b", started_ago=0.0, triggered_by=OTHER_MARKER, script=Script(run=900))

    assert {link.run_id for link in follow(stage, root).links[1:]} == run_ids(sandbox, "b")


def test_a_run_that_carries_the_marker_of_the_start_is_followed(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chain_delay=10_000)
    root = root_run(stage)
    run = sandbox.add_run("task-b", started_ago=0.0, triggered_by=root.triggered_by or "")

    (_, link) = follow(stage, root).links
    assert (link.run_id, link.confirmed) == (run, True)


def test_older_runs_are_not_followed(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by="word")
    sandbox.add_run("task-b", started_ago=30.0, script=Script(end=None))

    assert {link.run_id for link in follow(stage).links[1:]} == run_ids(sandbox, "b")


def test_a_wait_that_begins_hours_later_finds_the_same_runs(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a c<b")
    sandbox.switch(chained_triggered_by="word")
    root = root_run(stage)
    first = follow(stage, root)
    stage.run(_pause(20_000))
    sandbox.add_run("task-b", started_ago=3600.0)

    assert follow(stage, root) == first


def _pause(seconds: float) -> Any:
    from airflow_provider_qlik.cloud.flow import pause

    yield from pause(seconds)


def test_outages_of_qlik_do_not_end_the_wait(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chain_delay=30)
    sandbox.script("task-b", Script(run=200))
    root = root_run(stage)
    sandbox.fault(operation="get_task_descendants", status=503, times=4)
    sandbox.fault(operation="list_task_runs", status=502, times=40)

    assert states(follow(stage, root)) == {"a": ["succeeded"], "b": ["succeeded"]}
    assert any("could not be read, trying again" in text for text in stage.warnings)


def test_a_chain_that_takes_too_long_ends_at_the_deadline(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.script("task-b", Script(end=None))
    root = root_run(stage)
    wait = wait_for(stage, root, deadline=stage.now() + timedelta(seconds=500))

    with pytest.raises(WaitTimeoutError, match=r"^The wait timed out: .* its chain has not \(active: B\)"):
        stage.run(wait.until_end(), ONE_ATTEMPT)
    assert stage.now() - wait._deadline == timedelta(0)  # type: ignore[operator]
    assert wait.chain.links[1].state is LinkState.ACTIVE


def test_a_run_that_vanishes_is_not_a_success(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.script("task-b", Script(run=1000))
    root = root_run(stage)
    stage.after(60, lambda: sandbox.fault(path="*/task-b/runs", status=403, times=None))

    chain = follow(stage, root)

    assert states(chain)["b"] == ["unknown"]
    assert "is unknown" in (chain.failure or "")


def test_tasks_v1_is_refused_with_the_reason(still: SandboxTenant) -> None:
    with staged(still, tasks_path=V1_TASKS) as stage, pytest.raises(InvalidArgumentError) as error:
        stage.run(read_chain("task-a"))
    assert str(error.value).startswith("wait_for_chain: only the Scheduling API shows the chain of a task")
    assert still.request_log() == []


def test_a_tenant_that_has_tasks_v1_alone_is_refused_with_the_reason(stage: Stage, sandbox: SandboxTenant) -> None:
    sandbox.switch(tasks_paths="v1")
    with pytest.raises(InvalidArgumentError, match="^wait_for_chain: only the Scheduling API"):
        stage.run(read_chain("task-a"))


def test_a_graph_that_is_refused_for_good_is_an_error(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    root = root_run(stage)
    sandbox.fault(operation="get_task_descendants", status=403, times=None)
    with pytest.raises(StatusError):
        follow(stage, root)


# Cancelling


@CERTAIN_NAMINGS
def test_a_cancel_ends_the_active_runs_of_the_chain(stage: Stage, sandbox: SandboxTenant, naming: str) -> None:
    link_tasks(sandbox, "a b<a c<a d<b")
    sandbox.switch(chained_triggered_by=naming)
    sandbox.script("task-c", Script(end=None))
    sandbox.script("task-d", Script(end=None))
    root = root_run(stage)
    other = sandbox.add_run("task-c", started_ago=0.0, script=Script(end=None))
    stage.run(_pause(10))

    stage.run(cancel_chain(root, MatchTimeouts(), stage.write_log, 30.0, stage.now))

    stage.run(_pause(5))
    assert {run["id"] for run in sandbox.active() if run["kind"] == "task_run"} == {other}


def test_a_cancel_ends_what_qlik_starts_a_moment_later(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a c<b", status=None)
    sandbox.switch(chain_delay=8)
    sandbox.script("task-b", Script(end=None))
    sandbox.script("task-c", Script(end=None))
    root = root_run(stage)

    stage.run(cancel_chain(root, MatchTimeouts(), stage.write_log, 30.0, stage.now))

    stage.run(_pause(30))
    assert sandbox.active() == []


def test_a_cancel_leaves_a_run_alone_that_only_its_time_identifies(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chained_triggered_by="word")
    sandbox.script("task-b", Script(end=None))
    root = root_run(stage)

    stage.run(cancel_chain(root, MatchTimeouts(confirmation_time=5), stage.write_log, 30.0, stage.now))

    assert [run["status"] for run in sandbox.runs("task-b")] == ["RUNNING"]
    assert any("Only its time identifies the run" in text for text in stage.warnings)


def test_a_cancel_says_what_may_still_start(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a")
    sandbox.switch(chain_delay=100)
    root = root_run(stage)

    stage.run(cancel_chain(root, MatchTimeouts(), stage.write_log, 0.0, stage.now))

    assert any("may still start task 'B' (task-b)" in text for text in stage.warnings)


# What is shown


def test_the_table_and_the_json_say_the_same(stage: Stage, sandbox: SandboxTenant) -> None:
    link_tasks(sandbox, "a b<a c<b d<a", d={"enabled": False})
    sandbox.script("task-b", Script(run=5, end="FAILED", error="no space left"))

    chain = follow(stage)

    again = TaskChain.from_json(json.loads(json.dumps(chain.to_json())))
    assert again == chain
    table = chain.table()
    assert table[0].split() == ["task", "task", "id", "run", "id", "status", "seconds", "note"]
    assert len(table) == 5
    (row,) = (row for row in table if row.startswith("B "))
    assert row.split()[:2] == ["B", "task-b"]
    assert row.split()[3:5] == ["FAILED", "5"]
    assert row.endswith("no space left")
    (row,) = (row for row in table if row.startswith("D "))
    assert row.split()[2:4] == ["-", "disabled"]


@pytest.mark.parametrize("value", [None, [], "links", [{}], [{"qlik_task_id": "a", "state": "no such state"}], [1]])
def test_json_that_is_no_chain_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        TaskChain.from_json(value)
