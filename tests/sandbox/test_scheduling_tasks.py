"""What `/api/scheduling/tasks` has and v1 has not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant

ROOT = "/api/scheduling/tasks"
NEW_TASK = {"name": "New", "specVersion": "1.16.0"}
RULE = "RRULE:FREQ=DAILY;BYHOUR=5"


def after(*task_ids: str) -> list[dict[str, Any]]:
    """The events of a task that runs after others."""
    return [
        {
            "name": f"after-{task_id}",
            "type": "com.qlik.v1.task.run.finished",
            "correlation": [{"contextAttributeName": "id", "contextAttributeValue": task_id}],
        }
        for task_id in task_ids
    ]


@pytest.fixture
def chain(tenant: Tenant) -> None:
    """a sets off b and c, which both set off d."""
    tenant.add_task("a", id="a")
    tenant.add_task("b", id="b", events=after("a"))
    tenant.add_task("c", id="c", events=after("a"))
    tenant.add_task("d", id="d", events=after("b", "c"))


# Tasks


def test_a_new_task_is_enabled_only_if_its_body_says_so(api: httpx.Client) -> None:
    on = api.post(ROOT, json=NEW_TASK | {"enabled": True}).json()
    off = api.post(ROOT, json=NEW_TASK | {"name": "Überall!"}).json()

    assert (on["enabled"], "disabledCode" in on["metadata"]) == (True, False)
    assert (off["enabled"], off["metadata"]["disabledCode"]) == (False, "MANUALLY")


def test_a_task_shows_its_newest_run(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    assert "lastRun" not in api.get(f"{ROOT}/{task_id}").json()["metadata"]["orchestration"]
    assert api.get(f"{ROOT}/{task_id}/runs/last").status_code == 404
    tenant.add_run(task_id, started_ago=7200.0, script=Script(end="FAILED"), id="older")
    tenant.add_run(task_id, started_ago=3600.0, id="newer", triggered_by="somebody")

    last = api.get(f"{ROOT}/{task_id}").json()["metadata"]["orchestration"]["lastRun"]

    assert (last["id"], last["status"], last["triggeredBy"]) == ("newer", "SUCCEEDED", "somebody")
    assert last == {
        name: value for name, value in api.get(f"{ROOT}/{task_id}/runs/last").json().items() if name in last
    }
    assert "lastRun" not in str(api.get(f"/api/v1/tasks/{task_id}").json())


def test_the_newest_run_may_be_stale(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.add_run(task_id, started_ago=3600.0, id="older")
    tenant.switch(last_run_lag=30.0)
    api.post(f"{ROOT}/{task_id}/actions/start")

    def last() -> str:
        return str(api.get(f"{ROOT}/{task_id}").json()["metadata"]["orchestration"]["lastRun"]["id"])

    assert last() == "older"
    tenant.advance(31)
    assert last() != "older"


# List


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ('name eq "alpha"', ["Alpha"]),
        ('NAME EQ "ALPHA"', ["Alpha"]),
        ('name sw "a" or name sw "b"', ["Alpha", "Beta"]),
        ('name co "a" and enabled eq false', ["Gamma"]),
        ('name co "a" and (enabled eq false or name eq "Beta")', ["Beta", "Gamma"]),
        ('not (name eq "Beta")', ["Alpha", "Gamma"]),
        ('lastStatus eq "FAILED"', ["Beta"]),
        ("lastStatus pr", ["Beta"]),
        ('lastTriggeredBy eq "schedule"', ["Beta"]),
        ('resourceId eq "app-x"', ["Alpha"]),
        ('createdAt gt "2001-01-01T00:00:00Z"', ["Alpha", "Beta", "Gamma"]),
        ('lastEndedAt lt "2001-01-01T00:00:00Z"', []),
        ("triggerType eq 1", ["Gamma"]),
        ('triggerType eq "SINGLE_EVENT"', ["Gamma"]),
        ('ownerId ne "somebody"', ["Alpha", "Beta", "Gamma"]),
    ],
)
def test_tasks_are_filtered(tenant: Tenant, api: httpx.Client, filter: str, names: list[str]) -> None:
    tenant.add_task("Alpha", resource_id="app-x")
    failed = tenant.add_task("Beta")
    tenant.add_task("Gamma", enabled=False, events=after(failed))
    tenant.add_run(failed, script=Script(end="FAILED"))

    listed = api.get(ROOT, params={"filter": filter, "sort": "+name"}).json()["data"]

    assert [task["name"] for task in listed] == names


@pytest.mark.parametrize("filter", ["name", "name eq", 'color eq "red"', 'name is "a"', 'name eq "a" and', "(" * 50])
def test_an_invalid_filter_is_refused(api: httpx.Client, filter: str) -> None:
    response = api.get(ROOT, params={"filter": filter})

    assert response.status_code == 400
    assert "filter cannot be parsed" in response.text


def test_v1_ignores_or_refuses_a_filter(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_task("Alpha")
    assert len(api.get("/api/v1/tasks", params={"filter": 'name eq "x"'}).json()["data"]) == 1
    tenant.switch(v1_filter="refused")
    assert api.get("/api/v1/tasks", params={"filter": 'name eq "x"'}).status_code == 400


def test_tasks_are_sorted_by_their_last_run(tenant: Tenant, api: httpx.Client) -> None:
    for name, ago in (("first", 300.0), ("third", 100.0), ("second", 200.0)):
        tenant.add_run(tenant.add_task(name), started_ago=ago)

    def listed(sort: str) -> list[str]:
        return [task["name"] for task in api.get(ROOT, params={"sort": sort}).json()["data"]]

    assert listed("+lastStartedAt") == ["first", "second", "third"]
    assert listed("-lastStartedAt") == ["third", "second", "first"]


# Patch


def test_a_patch_changes_one_member_and_the_owner(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task("A", metadata={"ownerId": "user-other"}, description="as it was")

    patched = api.patch(f"{ROOT}/{task_id}", json=[{"op": "replace", "path": "/enabled", "value": False}])

    task = patched.json()
    assert (patched.status_code, task["enabled"], task["description"]) == (200, False, "as it was")
    assert (task["metadata"]["ownerId"], task["metadata"]["disabledCode"]) == (tenant.user_id, "MANUALLY")
    assert api.get(f"{ROOT}/{task_id}").json() == task


def test_a_patch_supports_all_operations_of_rfc_6902_but_test(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task("A", annotations=["one", "two"], description="text")
    operations = [
        {"op": "add", "path": "/annotations/-", "value": "three"},
        {"op": "remove", "path": "/annotations/0"},
        {"op": "copy", "from": "/description", "path": "/name"},
        {"op": "move", "from": "/description", "path": "/key"},
    ]

    task = api.patch(f"{ROOT}/{task_id}", json=operations).json()

    assert (task["annotations"], task["name"], task["key"]) == (["two", "three"], "text", "text")
    assert "description" not in task


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/name", "value": "A"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "remove", "path": "/annotations/7"},
        {"op": "replace", "path": "name", "value": "B"},
        {"op": "replace", "path": "/name"},
        {"op": "move", "path": "/name"},
        {"op": "remove", "path": "/name"},
        {"op": "replace", "path": "/name", "value": 7},
        {"op": "replace", "path": "/name", "value": "x" * 101},
        {"op": "remove", "path": ""},
        {"op": "move", "from": "/metadata", "path": "/metadata/inside"},
    ],
    ids=str,
)
def test_an_invalid_patch_changes_nothing(tenant: Tenant, api: httpx.Client, operation: dict[str, Any]) -> None:
    task_id = tenant.add_task("A", annotations=["one"])
    before = api.get(f"{ROOT}/{task_id}").json()

    response = api.patch(f"{ROOT}/{task_id}", json=[{"op": "add", "path": "/key", "value": "k"}, operation])

    assert response.status_code == 400
    assert api.get(f"{ROOT}/{task_id}").json() == before


def test_v1_has_neither_patches_nor_graphs(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    assert api.patch(f"/api/v1/tasks/{task_id}", json=[]).status_code == 404
    assert api.get(f"/api/v1/tasks/{task_id}/graphs/children").status_code == 404


# Graphs


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize(
    ("of", "graph", "depths", "edges"),
    [
        ("d", "ancestors", {"d": 0, "b": 1, "c": 1, "a": 2}, {("b", "d"), ("c", "d"), ("a", "b"), ("a", "c")}),
        ("a", "descendants", {"a": 0, "b": 1, "c": 1, "d": 2}, {("b", "a"), ("c", "a"), ("d", "b"), ("d", "c")}),
        ("b", "subgraph", {"b": 0, "a": 1, "d": 1}, {("a", "b"), ("d", "b")}),
        ("a", "ancestors", {"a": 0}, set()),
    ],
)
def test_a_graph_has_vertices_and_edges(
    api: httpx.Client, of: str, graph: str, depths: dict[str, int], edges: set[tuple[str, str]]
) -> None:
    got = api.get(f"{ROOT}/{of}/graphs/{graph}").json()

    assert {vertex["taskId"]: vertex["attrs"]["depth"] for vertex in got["vertices"]} == depths
    assert {(edge["source"], edge["target"]) for edge in got["edges"]} == edges


@pytest.mark.usefixtures("chain")
def test_a_graph_is_limited_by_level_and_contains_tasks_on_request(tenant: Tenant, api: httpx.Client) -> None:
    got = api.get(f"{ROOT}/a/graphs/descendants", params={"level": 1, "withTask": "true"}).json()
    assert [vertex["task"]["name"] for vertex in got["vertices"]] == ["a", "b", "c"]
    assert [vertex["attrs"]["isParent"] for vertex in got["vertices"]] == [True, True, True]
    tenant.switch(edges="downstream")
    got = api.get(f"{ROOT}/a/graphs/descendants", params={"level": 1}).json()
    assert {(edge["source"], edge["target"]) for edge in got["edges"]} == {("a", "b"), ("a", "c")}
    assert "task" not in got["vertices"][0]


@pytest.mark.usefixtures("chain")
def test_neighbours_are_listed_in_pages(api: httpx.Client) -> None:
    first = api.get(f"{ROOT}/d/graphs/parents", params={"limit": 1, "sort": "+name"}).json()
    second = api.get(first["links"]["next"]["href"]).json()
    children = api.get(f"{ROOT}/a/graphs/children", params={"filter": 'name eq "c"'}).json()

    assert [task["id"] for page in (first, second, children) for task in page["data"]] == ["b", "c", "c"]


# Creators


def test_the_scheduling_path_has_the_usual_rate_limits(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.set_limits(tasks=1000, tier_1=2, tier_2=1, window=60)

    assert [api.get(f"{ROOT}/{task_id}").status_code for _ in range(3)] == [200, 200, 429]
    assert [api.post(f"{ROOT}/{task_id}/actions/start").status_code for _ in range(2)] == [200, 429]
    assert api.get(f"/api/v1/tasks/{task_id}").status_code == 200


# Roles
