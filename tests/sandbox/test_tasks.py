from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Tenant

NEW_TASK = {"name": "New", "specVersion": "0.8"}


def reloading(app_id: str) -> dict[str, Any]:
    action = {"functionRef": {"refName": "app.reload", "arguments": {"appId": app_id}}}
    return NEW_TASK | {"states": [{"onEvents": [{"eventRefs": [], "actions": [action]}]}]}


def test_a_new_task_is_disabled_on_v1(tenant: Tenant, api: httpx.Client) -> None:
    sent = reloading("app-1") | {"enabled": True, "resourceId": "no effect", "id": "no effect"}
    response = api.post("/api/v1/tasks", json=sent, params={"migrateFrom": "old-1"})
    task = response.json()
    assert response.status_code == 201
    assert (task["enabled"], task["metadata"]["disabledCode"]) == (False, "MANUALLY")
    assert (task["resourceId"], task["metadata"]["migratedFrom"]) == ("app-1", "old-1")
    assert task["metadata"]["ownerId"] == tenant.user_id
    assert api.get(f"/api/v1/tasks/{task['id']}").json() == task


def test_a_task_is_enabled_by_replacing_it(tenant: Tenant, api: httpx.Client) -> None:
    task = api.post("/api/v1/tasks", json=reloading("app-1")).json()
    enabled = api.put(f"/api/v1/tasks/{task['id']}", json=task | {"enabled": True}).json()
    assert enabled["enabled"]
    assert "disabledCode" not in enabled["metadata"]
    assert api.post(f"/api/v1/tasks/{task['id']}/actions/start").status_code == 200


def test_replacing_a_task_changes_its_owner(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task(metadata={"ownerId": "user-other", "createdBy": "user-other"})
    task = api.put(f"/api/v1/tasks/{task_id}", json=NEW_TASK).json()
    assert (task["metadata"]["ownerId"], task["metadata"]["createdBy"]) == (tenant.user_id, "user-other")


def test_a_deleted_task_is_gone(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    assert api.delete(f"/api/v1/tasks/{task_id}").status_code == 204
    assert api.get(f"/api/v1/tasks/{task_id}").status_code == 404


def test_a_resource_has_ten_tasks_at_most(tenant: Tenant, api: httpx.Client) -> None:
    statuses = [api.post("/api/v1/tasks", json=reloading("app-1")).status_code for _ in range(11)]
    assert statuses == [201] * 10 + [400]
    assert api.post("/api/v1/tasks", json=reloading("app-2")).status_code == 201


def test_tasks_are_listed_for_a_resource_newest_update_first(tenant: Tenant, api: httpx.Client) -> None:
    ids = []
    for place in range(3):
        ids.append(tenant.add_task(resource_id="app-1" if place else "app-2"))
        tenant.advance(1)

    def listed(**query: str) -> list[str]:
        return [task["id"] for task in api.get("/api/v1/tasks", params=query).json()["data"]]

    assert listed() == ids[::-1]
    assert listed(resourceId="app-1") == [ids[2], ids[1]]
    assert listed(sort="+createdAt") == ids
    tenant.switch(resource_id_required=True)
    assert api.get("/api/v1/tasks").status_code == 400
    assert listed(resourceId="app-2") == [ids[0]]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (None, "body"),
        ([], "body"),
        ({"specVersion": "0.8"}, "body.name"),
        (NEW_TASK | {"name": 7}, "body.name"),
        (NEW_TASK | {"enabled": "yes"}, "body.enabled"),
        (NEW_TASK | {"metadata": {"usage": "FUN"}}, "body.metadata.usage"),
        (NEW_TASK | {"events": [{"type": "other"}]}, r"body.events\[0\].type"),
        (NEW_TASK | {"start": {"schedule": 5}}, "body.start.schedule"),
    ],
)
def test_an_invalid_task_is_refused_with_the_member(api: httpx.Client, body: Any, named: str) -> None:
    response = api.post("/api/v1/tasks", json=body)
    error = response.json()
    assert response.status_code == 400
    assert error["errors"][0]["code"] == 400
    assert error["errors"][0]["context"].startswith(named.replace("\\", ""))
    assert len(error["traceId"]) == 32


@pytest.mark.parametrize("path", ["", "/runs", "/runs/last", "/runs/x/log"])
def test_an_unknown_task_is_404(api: httpx.Client, path: str) -> None:
    response = api.get(f"/api/v1/tasks/none{path}")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 404)


def test_an_unknown_route_is_404(api: httpx.Client) -> None:
    for method, path in (
        ("GET", "/api/v1/nothing"),
        ("PATCH", "/api/v1/tasks"),
        ("GET", "/"),
        ("GET", "/sandbox"),
    ):
        response = api.request(method, path)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "HTTP-404")
