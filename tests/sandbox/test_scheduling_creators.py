"""What `/api/scheduling/tasks` has and v1 has not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Tenant

ROOT = "/api/scheduling/tasks"
NEW_TASK = {"name": "New", "specVersion": "1.16.0"}
RULE = "RRULE:FREQ=DAILY;BYHOUR=5"


def create(api: httpx.Client, occasion: str, body: Any, app: str = "app") -> httpx.Response:
    return api.post(f"{ROOT}/resources/{app}/actions/reload/{occasion}", json=body)


def test_a_created_schedule_task_is_disabled_and_can_be_started(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_app("Sales", id="app")
    body = {"name": "Every morning", "recurrence": RULE, "timezone": "Europe/Stockholm", "partial": True}

    made = create(api, "on-time-schedule", body)

    task = made.json()
    assert (made.status_code, task["enabled"], task["resourceId"]) == (201, False, "app")
    assert task["start"]["schedule"] == {"recurrence": RULE, "timezone": "Europe/Stockholm"}
    assert task["metadata"]["trigger"]["type"] == 0
    api.patch(f"{ROOT}/{task['id']}", json=[{"op": "replace", "path": "/enabled", "value": True}])
    assert api.post(f"{ROOT}/{task['id']}/actions/start").status_code == 200


def test_a_created_event_task_depends_on_the_upstream_task(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_app(id="app")
    tenant.add_app(id="up", space_id=tenant.add_space(id="space"))
    upstream = tenant.add_task(resource_id="up")

    task = create(api, "on-task-event", {"onTaskId": upstream, "onTaskStatus": "failed", "enabled": True}).json()

    matches = {one["contextAttributeName"]: one["contextAttributeValue"] for one in task["events"][0]["correlation"]}
    assert matches == {"id": upstream, "appId": "up", "status": "failed", "spaceId": "space"}
    assert (task["enabled"], task["metadata"]["topology"]["isChild"]) == (True, True)
    assert [one["id"] for one in api.get(f"{ROOT}/{upstream}/graphs/children").json()["data"]] == [task["id"]]


def test_a_second_dataset_task_is_refused(tenant: Tenant, api: httpx.Client) -> None:
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
def test_a_creator_refuses_invalid_bodies_with_a_code(
    tenant: Tenant, api: httpx.Client, occasion: str, body: Any, status: int, code: str
) -> None:
    tenant.add_app(id="app")

    response = create(api, occasion, body)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["status_code"] == status


@pytest.mark.parametrize("occasion", ["on-time-schedule", "on-task-event", "on-dataset-updated"])
def test_a_creator_refuses_an_unknown_app_with_403(tenant: Tenant, api: httpx.Client, occasion: str) -> None:
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


@pytest.fixture
def editor(tenant: Tenant) -> Iterator[httpx.Client]:
    """A user who may reload app `sales`, view app `seen`, and not see app `hidden`."""
    user = tenant.add_user("Editor")
    for app, role in (("sales", "producer"), ("seen", "consumer"), ("hidden", None)):
        space = tenant.add_space(app)
        tenant.add_app(app, id=app, space_id=space)
        tenant.add_task(f"reload {app}", id=f"reload-{app}", resource_id=app)
        if role:
            tenant.grant_role(space, user.id, role)
    with httpx.Client(base_url=tenant.url, headers={"Authorization": f"Bearer {user.api_key}"}) as client:
        yield client


@pytest.mark.parametrize("creator", ["on-time-schedule", "on-task-event", "on-dataset-updated"])
@pytest.mark.parametrize("app", ["seen", "hidden"])
def test_a_creator_requires_permission_to_reload(editor: httpx.Client, tenant: Tenant, creator: str, app: str) -> None:
    bodies = {"on-time-schedule": {"recurrence": RULE}, "on-task-event": {"onTaskId": "reload-sales"}}

    response = editor.post(f"{ROOT}/resources/{app}/actions/reload/{creator}", json=bodies.get(creator, {}))

    assert (response.status_code, response.json()["code"]) == (403, "CHO-003")


@pytest.mark.parametrize(("upstream", "status"), [("sales", 201), ("seen", 201), ("hidden", 403)])
def test_an_event_task_requires_permission_to_see_the_upstream_app(
    editor: httpx.Client, upstream: str, status: int
) -> None:
    body = {"onTaskId": f"reload-{upstream}"}

    response = editor.post(f"{ROOT}/resources/sales/actions/reload/on-task-event", json=body)

    assert response.status_code == status
    assert status == 201 or response.json()["code"] == "CHO-015"


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
def test_writing_a_task_requires_permission_to_reload_its_app(
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
