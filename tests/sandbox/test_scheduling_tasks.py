"""What `/api/scheduling/tasks` has and v1 has not."""

from __future__ import annotations

from collections.abc import Iterator
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


def test_a_new_task_is_on_if_it_says_so_and_off_if_not(api: httpx.Client) -> None:
    on = api.post(ROOT, json=NEW_TASK | {"enabled": True}).json()
    off = api.post(ROOT, json=NEW_TASK | {"name": "Überall!"}).json()

    assert (on["enabled"], "disabledCode" in on["metadata"]) == (True, False)
    assert (off["enabled"], off["metadata"]["disabledCode"]) == (False, "MANUALLY")


def test_a_task_tells_of_its_newest_run_once_there_is_one(tenant: Tenant, api: httpx.Client) -> None:
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


def test_the_newest_run_may_lag_behind(tenant: Tenant, api: httpx.Client) -> None:
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
def test_a_filter_that_is_not_understood_is_refused(api: httpx.Client, filter: str) -> None:
    response = api.get(ROOT, params={"filter": filter})

    assert response.status_code == 400
    assert "filter cannot be parsed" in response.text


def test_v1_overlooks_a_filter_or_refuses_it(tenant: Tenant, api: httpx.Client) -> None:
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


def test_a_patch_changes_one_thing_and_takes_the_task_over(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task("A", metadata={"ownerId": "user-other"}, description="as it was")

    patched = api.patch(f"{ROOT}/{task_id}", json=[{"op": "replace", "path": "/enabled", "value": False}])

    task = patched.json()
    assert (patched.status_code, task["enabled"], task["description"]) == (200, False, "as it was")
    assert (task["metadata"]["ownerId"], task["metadata"]["disabledCode"]) == (tenant.user_id, "MANUALLY")
    assert api.get(f"{ROOT}/{task_id}").json() == task


def test_a_patch_does_all_that_rfc_6902_knows_but_test(tenant: Tenant, api: httpx.Client) -> None:
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
def test_a_patch_that_cannot_be_done_changes_nothing(
    tenant: Tenant, api: httpx.Client, operation: dict[str, Any]
) -> None:
    task_id = tenant.add_task("A", annotations=["one"])
    before = api.get(f"{ROOT}/{task_id}").json()

    response = api.patch(f"{ROOT}/{task_id}", json=[{"op": "add", "path": "/key", "value": "k"}, operation])

    assert response.status_code == 400
    assert api.get(f"{ROOT}/{task_id}").json() == before


def test_v1_knows_neither_patches_nor_graphs(tenant: Tenant, api: httpx.Client) -> None:
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
def test_a_graph_is_walked(
    api: httpx.Client, of: str, graph: str, depths: dict[str, int], edges: set[tuple[str, str]]
) -> None:
    got = api.get(f"{ROOT}/{of}/graphs/{graph}").json()

    assert {vertex["taskId"]: vertex["attrs"]["depth"] for vertex in got["vertices"]} == depths
    assert {(edge["source"], edge["target"]) for edge in got["edges"]} == edges


@pytest.mark.usefixtures("chain")
def test_a_graph_ends_at_its_level_and_holds_tasks_on_request(tenant: Tenant, api: httpx.Client) -> None:
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


def create(api: httpx.Client, occasion: str, body: Any, app: str = "app") -> httpx.Response:
    return api.post(f"{ROOT}/resources/{app}/actions/reload/{occasion}", json=body)


def test_a_reload_on_a_schedule_is_made_switched_off_and_can_be_started(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_app("Sales", id="app")
    body = {"name": "Every morning", "recurrence": RULE, "timezone": "Europe/Stockholm", "partial": True}

    made = create(api, "on-time-schedule", body)

    task = made.json()
    assert (made.status_code, task["enabled"], task["resourceId"]) == (201, False, "app")
    assert task["start"]["schedule"] == {"recurrence": RULE, "timezone": "Europe/Stockholm"}
    assert task["metadata"]["trigger"]["type"] == 0
    api.patch(f"{ROOT}/{task['id']}", json=[{"op": "replace", "path": "/enabled", "value": True}])
    assert api.post(f"{ROOT}/{task['id']}/actions/start").status_code == 200


def test_a_reload_after_a_task_waits_for_that_task(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_app(id="app")
    tenant.add_app(id="up", space_id=tenant.add_space(id="space"))
    upstream = tenant.add_task(resource_id="up")

    task = create(api, "on-task-event", {"onTaskId": upstream, "onTaskStatus": "failed", "enabled": True}).json()

    matches = {one["contextAttributeName"]: one["contextAttributeValue"] for one in task["events"][0]["correlation"]}
    assert matches == {"id": upstream, "appId": "up", "status": "failed", "spaceId": "space"}
    assert (task["enabled"], task["metadata"]["topology"]["isChild"]) == (True, True)
    assert [one["id"] for one in api.get(f"{ROOT}/{upstream}/graphs/children").json()["data"]] == [task["id"]]


def test_a_reload_on_new_data_is_made_once(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_app(id="app", datasets=["d1", "d2"])

    made, again = create(api, "on-dataset-updated", None), create(api, "on-dataset-updated", {"name": "Again"})

    assert made.json()["metadata"]["trigger"]["type"] == 4
    assert (made.status_code, again.status_code, again.json()["code"]) == (201, 409, "CHO-031")
    assert again.json()["value"] == {"existingTaskId": made.json()["id"]}


BAD = [
    ("on-time-schedule", {}, 400, "CHO-001"),
    ("on-time-schedule", {"recurrence": 5}, 400, "CHO-001"),
    ("on-time-schedule", {"recurrence": RULE, "name": "x" * 101}, 400, "CHO-001"),
    ("on-time-schedule", {"recurrence": RULE, "description": "x" * 1025}, 400, "CHO-001"),
    ("on-time-schedule", {"recurrence": "daily"}, 400, "CHO-017"),
    ("on-time-schedule", {"recurrence": RULE, "timezone": "Europe/Nowhere"}, 400, "CHO-017"),
    ("on-time-schedule", {"recurrence": RULE, "endDateTime": "2001-01-01T00:00:00"}, 400, "CHO-017"),
    (
        "on-time-schedule",
        {"recurrence": RULE, "startDateTime": "2099-01-02T00:00:00", "endDateTime": "2099-01-01T00:00:00"},
        400,
        "CHO-017",
    ),
    ("on-task-event", {"onTaskId": "up", "onTaskStatus": "perhaps"}, 400, "CHO-001"),
    ("on-task-event", {"onTaskId": "no-such"}, 400, "CHO-016"),
    ("on-dataset-updated", {}, 422, "CHO-030"),
]


@pytest.mark.parametrize(("occasion", "body", "status", "code"), BAD, ids=str)
def test_a_creator_says_what_is_wrong_by_a_code(
    tenant: Tenant, api: httpx.Client, occasion: str, body: Any, status: int, code: str
) -> None:
    tenant.add_app(id="app")

    response = create(api, occasion, body)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["status_code"] == status


@pytest.mark.parametrize("occasion", ["on-time-schedule", "on-task-event", "on-dataset-updated"])
def test_an_app_that_is_not_there_is_a_403(tenant: Tenant, api: httpx.Client, occasion: str) -> None:
    task_id = tenant.add_task()
    bodies = {"on-time-schedule": {"recurrence": RULE}, "on-task-event": {"onTaskId": task_id}}

    response = create(api, occasion, bodies.get(occasion), app="no-such")

    assert (response.status_code, response.json()["code"]) == (403, "CHO-003")


def test_an_app_has_ten_tasks_at_most(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_app(id="app")
    responses = [create(api, "on-time-schedule", {"recurrence": RULE}) for _ in range(11)]

    assert [one.status_code for one in responses] == [201] * 10 + [422]
    assert responses[-1].json()["code"] == "CHO-014"


# Rate limits


def test_reads_and_writes_have_the_limits_of_all_others(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.set_limits(tasks=1000, tier_1=2, tier_2=1, window=60)

    assert [api.get(f"{ROOT}/{task_id}").status_code for _ in range(3)] == [200, 200, 429]
    assert [api.post(f"{ROOT}/{task_id}/actions/start").status_code for _ in range(2)] == [200, 429]
    assert api.get(f"/api/v1/tasks/{task_id}").status_code == 200


# Roles


@pytest.fixture
def editor(tenant: Tenant) -> Iterator[httpx.Client]:
    """A user who may reload app `sales`, view app `seen`, and not see app `hidden`."""
    user = tenant.add_user("Editor")
    for app, role in (("sales", "producer"), ("seen", "consumer"), ("hidden", None)):
        space = tenant.add_space(app)
        tenant.add_app(app, id=app, space_id=space)
        tenant.add_task(f"reload {app}", id=f"reload-{app}", resource_id=app)
        if role:
            tenant.give_role(space, user.id, role)
    with httpx.Client(base_url=tenant.url, headers={"Authorization": f"Bearer {user.api_key}"}) as client:
        yield client


@pytest.mark.parametrize("creator", ["on-time-schedule", "on-task-event", "on-dataset-updated"])
@pytest.mark.parametrize("app", ["seen", "hidden"])
def test_a_creator_takes_the_right_to_reload(editor: httpx.Client, tenant: Tenant, creator: str, app: str) -> None:
    bodies = {"on-time-schedule": {"recurrence": RULE}, "on-task-event": {"onTaskId": "reload-sales"}}

    response = editor.post(f"{ROOT}/resources/{app}/actions/reload/{creator}", json=bodies.get(creator, {}))

    assert (response.status_code, response.json()["code"]) == (403, "CHO-003")


@pytest.mark.parametrize(("upstream", "status"), [("sales", 201), ("seen", 201), ("hidden", 403)])
def test_a_chained_reload_takes_the_right_to_see_the_other_app(
    editor: httpx.Client, upstream: str, status: int
) -> None:
    body = {"onTaskId": f"reload-{upstream}"}

    response = editor.post(f"{ROOT}/resources/sales/actions/reload/on-task-event", json=body)

    assert response.status_code == status
    assert status == 201 or response.json()["code"] == "CHO-015"


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
def test_a_task_cannot_be_given_an_app_that_its_writer_may_not_reload(
    editor: httpx.Client, tenant: Tenant, method: str
) -> None:
    path = f"{ROOT}/reload-sales"
    action = {"functionRef": {"refName": "app.reload", "arguments": {"appId": "seen"}}}
    states = [{"name": "Reload", "type": "EVENT", "end": True, "onEvents": [{"eventRefs": [], "actions": [action]}]}]
    body = NEW_TASK | {"states": states}
    match method:
        case "PATCH":
            response = editor.patch(path, json=[{"op": "add", "path": "/states", "value": states}])
        case "PUT":
            response = editor.put(path, json=body)
        case _:
            response = editor.post(ROOT, json=body)

    assert response.status_code == 403
    assert editor.get(path).json()["resourceId"] == "sales"
