from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Script, Tenant

RELOAD_TASKS = "/api/v1/reload-tasks"


@pytest.fixture(autouse=True)
def _as_it_was(tenant: Tenant) -> None:
    """Most of these are about the family as it was before Qlik deprecated it."""
    tenant.switch(reload_tasks="supported")


@pytest.fixture
def app_id(tenant: Tenant) -> str:
    return tenant.add_app("Sales", id="app-1", space_id=tenant.add_space("Finance", id="space-1"))


def read(api: httpx.Client, task_id: str) -> dict[str, Any]:
    response = api.get(f"{RELOAD_TASKS}/{task_id}")
    assert response.status_code == 200
    return dict(response.json())


def test_a_reload_task_is_created_enabled(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    body = {
        "appId": app_id,
        "timeZone": "Europe/Berlin",
        "recurrence": ["RRULE:FREQ=DAILY"],
        "type": "scheduled_reload",
    }
    response = api.post(RELOAD_TASKS, json=body)
    task = response.json()
    assert response.status_code == 201
    assert (task["state"], task["spaceId"], task["userId"]) == ("Enabled", "space-1", tenant.user_id)
    assert (task["recurrence"], "type" in task) == (["RRULE:FREQ=DAILY"], False)
    assert read(api, task["id"]) == task


@pytest.mark.parametrize(
    "wrong", [{"appId": 7}, {"timeZone": None}, {"recurrence": "RRULE:FREQ=DAILY"}, {"type": "other"}]
)
def test_an_invalid_reload_task_is_refused_with_the_member(
    api: httpx.Client, app_id: str, wrong: dict[str, Any]
) -> None:
    response = api.post(RELOAD_TASKS, json={"appId": app_id, "timeZone": "UTC", **wrong})
    error = response.json()["errors"][0]
    assert (response.status_code, error["code"]) == (400, "RELOAD-TASKS-400")
    assert f"body.{next(iter(wrong))}" in error["detail"]


def test_a_reload_task_of_an_unknown_app_is_404(tenant: Tenant, api: httpx.Client) -> None:
    assert api.post(RELOAD_TASKS, json={"appId": "nothing-here", "timeZone": "UTC"}).status_code == 404
    with pytest.raises(SandboxError, match="nothing-here"):
        tenant.add_reload_task("nothing-here")


def test_an_update_changes_only_the_sent_members(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    path = f"{RELOAD_TASKS}/{tenant.add_reload_task(app_id, partial=True)}"
    disabled = api.put(path, json={"state": "Disabled"}).json()
    assert (disabled["state"], disabled["disabledCode"], disabled["partial"]) == ("Disabled", "MANUALLY", True)
    enabled = api.put(path, json={"state": "Enabled", "partial": False}).json()
    assert (enabled["state"], "disabledCode" in enabled, enabled["partial"]) == ("Enabled", False, False)
    assert api.put(path, json={"state": "Paused"}).status_code == 400
    assert api.put(path, json={"appId": "nothing-here"}).status_code == 404


def test_a_deleted_reload_task_is_gone(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    path = f"{RELOAD_TASKS}/{tenant.add_reload_task(app_id)}"
    assert api.delete(path).status_code == 204
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        assert api.request(method, path, json=body).status_code == 404


def test_reload_tasks_are_listed_for_an_app(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    first = tenant.add_reload_task(app_id)
    second = tenant.add_reload_task(app_id, partial=True)
    third = tenant.add_reload_task(tenant.add_app())

    def listed(**query: str) -> list[str]:
        return [task["id"] for task in api.get(RELOAD_TASKS, params=query).json()["data"]]

    assert listed() == [first, second, third]
    assert listed(appId=app_id) == [first, second]
    assert listed(appId=app_id, partial="true") == [second]
    assert api.get(RELOAD_TASKS, params={"partial": "1"}).status_code == 400


def test_the_schedule_starts_a_reload_of_the_app(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    task_id = tenant.add_reload_task(app_id, partial=True, nextExecutionTime="2030-01-01T00:00:00Z")
    assert "lastExecutionTime" not in read(api, task_id)
    tenant.script(app_id, Script(run=100))
    reload_id = tenant.execute_reload_task(task_id, started_ago=60)
    task, reload = read(api, task_id), api.get(f"/api/v1/reloads/{reload_id}").json()
    assert (reload["status"], reload["type"], reload["resourceId"]) == ("RELOADING", "chronos", task_id)
    assert (reload["appId"], reload["partial"]) == (app_id, True)
    assert task["lastExecutionTime"] == f"{reload['creationTime'][:19]}Z"
    assert task["nextExecutionTime"] == "2030-01-01T00:00:00Z"
    assert [run["via"] for run in tenant.active()] == ["schedule"]


def test_the_last_execution_time_may_be_more_precise(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(reload_task_times="milliseconds")
    task_id = tenant.add_reload_task(app_id, lastExecutionTime="2020-01-01T00:00:00Z")
    assert read(api, task_id)["lastExecutionTime"] == "2020-01-01T00:00:00Z"
    reload_id = tenant.execute_reload_task(task_id)
    reload = api.get(f"/api/v1/reloads/{reload_id}").json()
    assert read(api, task_id)["lastExecutionTime"] == reload["creationTime"]


def test_only_an_enabled_schedule_can_be_executed(tenant: Tenant, app_id: str) -> None:
    with pytest.raises(SandboxError, match="Disabled"):
        tenant.execute_reload_task(tenant.add_reload_task(app_id, state="Disabled"))
    with pytest.raises(SandboxError, match="nothing-here"):
        tenant.execute_reload_task("nothing-here")


# As it is today, and as it will be


def test_creating_a_deprecated_reload_task_is_refused(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(reload_tasks="deprecated")

    response = api.post(RELOAD_TASKS, json={"appId": app_id, "timeZone": "UTC"})

    assert (response.status_code, response.json()["errors"][0]["code"]) == (410, "TASKS-011")
    assert api.get(RELOAD_TASKS).json()["data"] == []


def test_a_migrated_reload_task_can_be_read_but_not_changed(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(reload_tasks="deprecated")
    task_id = tenant.add_reload_task(app_id, migrated=True)

    for response in (
        api.put(f"{RELOAD_TASKS}/{task_id}", json={"partial": True}),
        api.delete(f"{RELOAD_TASKS}/{task_id}"),
    ):
        assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "TASKS-001")
    assert read(api, task_id)["migrated"] is True


def test_a_reload_task_that_was_not_migrated_can_be_changed(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(reload_tasks="deprecated")
    task_id = tenant.add_reload_task(app_id)

    assert api.put(f"{RELOAD_TASKS}/{task_id}", json={"partial": True}).status_code == 200
    assert api.delete(f"{RELOAD_TASKS}/{task_id}").status_code == 204


def test_a_removed_family_refuses_every_operation(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    task_id = tenant.add_reload_task(app_id)
    tenant.switch(reload_tasks="removed")

    for method, path in (("GET", ""), ("GET", f"/{task_id}"), ("DELETE", f"/{task_id}")):
        assert api.request(method, RELOAD_TASKS + path).status_code == 410


def test_reload_tasks_are_deprecated_by_default(tenant: Tenant) -> None:
    tenant.reset()
    response = httpx.post(
        tenant.url + RELOAD_TASKS,
        json={"appId": tenant.add_app(), "timeZone": "UTC"},
        headers={"authorization": f"Bearer {tenant.api_key}"},
    )

    assert response.status_code == 410
