"""The end of a run starts the tasks that wait for it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant

ROOT = "/api/scheduling/tasks"


def after(*task_ids: str, status: str | None = "succeeded") -> list[dict[str, Any]]:
    """Return the events of a task that runs after others."""
    return [
        {
            "type": "com.qlik.v1.task.run.finished",
            "correlation": [
                {"contextAttributeName": "id", "contextAttributeValue": task_id},
                *([{"contextAttributeName": "status", "contextAttributeValue": status}] if status else []),
            ],
        }
        for task_id in task_ids
    ]


def start(api: httpx.Client, task_id: str) -> None:
    assert api.post(f"{ROOT}/{task_id}/actions/start").status_code == 200


def runs(api: httpx.Client, task_id: str) -> list[dict[str, Any]]:
    return list(api.get(f"{ROOT}/{task_id}/runs").json()["data"])


def test_a_chain_runs_while_nobody_looks(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a"))
    tenant.add_task("c", id="c", events=after("b"))
    tenant.script("b", Script(run=5))
    tenant.switch(chain_delay=2)
    start(api, "a")
    tenant.advance(60)

    (a,), (b,), (c,) = (tenant.runs(id) for id in "abc")
    assert (b["via"], c["via"]) == ("chain", "chain")
    seconds = [(api.get(f"{ROOT}/{id}/runs/last").json()["startedAt"])[17:19] for id in "abc"]
    assert [(int(second) - int(seconds[0])) % 60 for second in seconds] == [0, 3, 10]
    assert not any(run["active"] for run in (a, b, c))


@pytest.mark.parametrize(
    ("status", "end", "count"),
    [("succeeded", "SUCCEEDED", 1), ("succeeded", "FAILED", 0), ("failed", "FAILED", 1), (None, "FAILED", 1)],
)
def test_a_task_waits_for_a_status(tenant: Tenant, api: httpx.Client, status: str, end: str, count: int) -> None:
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a", status=status))
    tenant.script("a", Script(end=end))
    start(api, "a")
    tenant.advance(5)

    assert len(tenant.runs("b")) == count


@pytest.mark.parametrize(("exclusive", "count"), [(True, 2), (False, 1)])
def test_a_task_waits_for_any_or_for_all_of_its_events(
    tenant: Tenant, api: httpx.Client, exclusive: bool, count: int
) -> None:
    for id in "ab":
        tenant.add_task(id, id=id)
    state = {"name": "Reload", "type": "EVENT", "exclusive": exclusive, "onEvents": []}
    tenant.add_task("c", id="c", events=after("a", "b"), states=[state])
    start(api, "a")
    start(api, "b")
    tenant.advance(5)

    assert len(tenant.runs("c")) == count


@pytest.mark.parametrize("switch", ["task_id", "run_id", "word", "absent"])
def test_what_triggered_by_says_is_unknown(tenant: Tenant, api: httpx.Client, switch: str) -> None:
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a"))
    tenant.switch(chained_triggered_by=switch)
    start(api, "a")
    tenant.advance(5)

    (run,) = runs(api, "b")
    (parent,) = runs(api, "a")
    expected = {"task_id": "a", "run_id": parent["id"], "word": "task-event", "absent": None}
    assert run.get("triggeredBy") == expected[switch]


def test_a_disabled_task_is_not_started(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a"), enabled=False)
    start(api, "a")
    tenant.advance(5)

    assert tenant.runs("b") == []


def test_a_run_may_appear_late(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a"))
    start(api, "a")
    tenant.switch(show_after=30)
    tenant.advance(5)
    assert runs(api, "b") == []
    tenant.advance(30)
    assert len(runs(api, "b")) == 1


def test_a_run_that_had_ended_when_it_was_added_starts_nothing(tenant: Tenant) -> None:
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a"))
    tenant.add_run("a")
    tenant.add_run("a", started_ago=0, script=Script(run=5))
    tenant.advance(10)

    assert len(tenant.runs("b")) == 1


def test_a_task_that_is_made_while_its_parent_runs_is_started(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_task("a", id="a")
    start(api, "a")
    tenant.advance(5)
    start(api, "a")
    tenant.add_task("b", id="b", events=after("a"))
    tenant.advance(5)

    assert len(tenant.runs("b")) == 1


def test_a_graph_shows_no_members_of_a_task_that_the_user_may_not_run(tenant: Tenant) -> None:
    user = tenant.add_user()
    mine, others = tenant.add_app("Mine"), tenant.add_app("Others")
    space = tenant.add_space()
    tenant.grant_role(space, user.id, "producer")
    shared = tenant.add_app("Shared", space_id=space)
    tenant.add_task("a", id="a", resource_id=shared)
    tenant.add_task("b", id="b", resource_id=others, events=after("a"))
    headers = {"Authorization": f"Bearer {user.api_key}"}
    assert mine

    graph = httpx.get(f"{tenant.url}{ROOT}/a/graphs/descendants", params={"withTask": "true"}, headers=headers).json()

    assert {vertex["taskId"]: "task" in vertex for vertex in graph["vertices"]} == {"a": True, "b": False}
