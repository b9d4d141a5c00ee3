from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Script, Tenant

SHARING = "/api/v1/sharing-tasks"

NEW_TASK: dict[str, Any] = {
    "name": "Weekly",
    "type": "template-sharing",
    "state": {},
    "templates": [{"type": "multi-sheet", "subType": "xlsx", "multiSheetData": [{"appId": "app-1"}]}],
}


def read(api: httpx.Client, task_id: str) -> dict[str, Any]:
    response = api.get(f"{SHARING}/{task_id}")
    assert response.status_code == 200, response.text
    return dict(response.json())


def listed(api: httpx.Client, **query: Any) -> list[str]:
    response = api.get(SHARING, params=query)
    assert response.status_code == 200, response.text
    return [task["name"] for task in response.json()["sharingTasks"]]


def test_a_new_sharing_task_has_the_sent_members_and_its_owner(tenant: Tenant, api: httpx.Client) -> None:
    recipients = {"userIds": [{"value": "u-1", "enabled": False}], "emailAddresses": ["a@b.example"]}
    response = api.post(SHARING, json=NEW_TASK | {"recipients": recipients, "cleanupStrategy": "noCleanup"})
    task = response.json()
    assert response.status_code == 201
    assert (task["name"], task["statusCode"], task["owner"]) == ("Weekly", "VALID", tenant.user_id)
    assert (task["appId"], task["enabled"], "cleanupStrategy" in task) == ("app-1", True, False)
    assert task["recipients"]["userIds"] == [{"value": "u-1", "enabledByUser": False, "enabledBySystem": True}]
    assert task["recipients"]["emailAddresses"] == [{"value": "a@b.example", "enabled": True}]
    assert read(api, task["id"]) == task


def test_a_new_sharing_task_may_execute_at_once(tenant: Tenant, api: httpx.Client) -> None:
    task_id = api.post(SHARING, json=NEW_TASK | {"executeOnCreation": True}).json()["id"]
    assert [run["via"] for run in tenant.runs(task_id)] == ["api"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"type": "poem"}, "body.type"),
        ({"templates": [{}]}, "body.templates[0].type"),
        ({"state": {"selections": [{"name": "a"}]}}, "body.state.selections[0].values"),
        ({"trigger": {}}, "body.trigger.recurrence"),
        ({"scheduleOptions": {"recurrence": ["R"] * 6}}, "body.scheduleOptions.recurrence"),
        ({"transportChannels": ["pigeon"]}, "body.transportChannels[0]"),
        ({"recipients": {"emailAddresses": [f"{n}@b.example" for n in range(201)]}}, "body.recipients"),
    ],
)
def test_an_invalid_sharing_task_is_refused_with_the_member(
    api: httpx.Client, wrong: dict[str, Any], named: str
) -> None:
    response = api.post(SHARING, json=NEW_TASK | wrong)
    assert response.status_code == 400
    assert response.json()["errors"][0]["detail"].startswith(named)


@pytest.mark.parametrize("member", ["name", "type", "state", "templates"])
def test_the_required_members_of_a_sharing_task_must_be_sent(api: httpx.Client, member: str) -> None:
    assert api.post(SHARING, json={name: NEW_TASK[name] for name in NEW_TASK if name != member}).status_code == 400


def test_the_chart_of_a_template_may_be_null(api: httpx.Client) -> None:
    assert api.post(SHARING, json=NEW_TASK | {"templates": [{"type": "story", "chartData": None}]}).status_code == 201


def test_a_patch_is_a_list_of_operations(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_sharing_task("Old", description="gone soon")
    operations = [
        {"op": "replace", "path": "/name", "value": "New"},
        {"op": "replace", "path": "/tags", "value": ["a", "b"]},
        {"op": "replace", "path": "/enabled", "value": False},
        {"op": "replace", "path": "/ownerId", "value": "user-other"},
        {"op": "replace", "path": "/recipients", "value": {"emailAddresses": ["a@b.example"]}},
        {"op": "remove", "path": "/description"},
    ]
    response = api.patch(f"{SHARING}/{task_id}", json=operations)
    assert (response.status_code, response.content) == (204, b"")
    task = read(api, task_id)
    assert (task["name"], task["tags"], task["enabled"], task["enabledByUser"]) == ("New", ["a", "b"], False, False)
    assert (task["owner"], task["ownerName"], "description" in task) == ("user-other", "Somebody Else", False)
    assert (task["recipients"]["userIds"], len(task["recipients"]["emailAddresses"])) == ([], 1)


@pytest.mark.parametrize(
    "operations",
    [
        {"op": "replace", "path": "/name", "value": "New"},
        [{"op": "replace", "path": "/name"}],
        [{"op": "add", "path": "/name", "value": "New"}],
        [{"op": "replace", "path": "/id", "value": "New"}],
        [{"op": "replace", "path": "/name", "value": "New"}, {"op": "replace", "path": "/enabled", "value": "no"}],
    ],
)
def test_an_invalid_sharing_patch_changes_nothing(tenant: Tenant, api: httpx.Client, operations: Any) -> None:
    task_id = tenant.add_sharing_task("Old")
    assert api.patch(f"{SHARING}/{task_id}", json=operations).status_code == 400
    assert read(api, task_id)["name"] == "Old"


def test_the_snapshots_of_a_deleted_sharing_task_remain(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_sharing_task()
    tenant.add_execution(task_id, script=Script(end=None))
    assert api.delete(f"{SHARING}/{task_id}").status_code == 204
    assert api.get(f"{SHARING}/{task_id}").status_code == 404
    assert [run["active"] for run in tenant.runs(task_id)] == [True]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/none", None),
        ("PATCH", "/none", []),
        ("DELETE", "/none", None),
        ("POST", "/none/actions/cancel", None),
        ("GET", "/none/executions", None),
        ("GET", "/none/executions/latest", None),
        ("GET", "/none/executions/latest/files/report", None),
        ("POST", "/actions/execute", {"sharingTaskID": "none"}),
    ],
)
def test_an_unknown_sharing_task_is_404(api: httpx.Client, method: str, path: str, body: Any) -> None:
    response = api.request(method, f"{SHARING}{path}", json=body)
    assert (response.status_code, response.json()["errors"][0]["meta"]) == (404, {"httpCode": 404})


def test_sharing_tasks_are_listed_newest_first_and_filtered(tenant: Tenant, api: httpx.Client) -> None:
    app_id = tenant.add_app("Sales")
    tenant.add_sharing_task("b", app_id=app_id, recipients=["user-other"])
    tenant.advance(1)
    tenant.add_sharing_task("a", owner="user-other", ownerName="Somebody Else", type="chart-sharing")
    tenant.advance(1)
    tenant.add_sharing_task("c", recipients=[], statusCode="DELETING", templates=[{"type": "file", "templateId": "t"}])
    assert listed(api) == ["c", "a", "b"]
    assert listed(api, appid=app_id) == ["b"]
    assert listed(api, owner="user-other") == listed(api, ownername="Somebody Else") == ["a"]
    assert listed(api, role="owner") == ["c", "b"]
    assert listed(api, role="recipient") == ["a"]
    assert listed(api, role=["owner", "recipient"]) == ["c", "a", "b"]
    assert listed(api, type=["chart-sharing", "sheet-sharing"]) == ["a"]
    assert listed(api, templateId="t") == ["c"]
    assert listed(api, excludeDeleting="true") == ["a", "b"]
    for query in ({"role": "boss"}, {"type": "poem"}, {"excludeDeleting": "1"}, {"sort": "colour"}):
        assert api.get(SHARING, params=query).status_code == 400


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (["datecreated"], "bca"),
        (["-name"], "cba"),
        (["+status"], "bac"),
        (["type", "name"], "cab"),
        (["type", "-name"], "cba"),
        (["-sent"], "cab"),
    ],
)
def test_sharing_tasks_are_sorted_by_several_fields(
    tenant: Tenant, api: httpx.Client, sort: list[str], order: str
) -> None:
    for name, type, status_code in (
        ("b", "template-sharing", "FAILED"),
        ("c", "chart-sharing", "VALID"),
        ("a", "template-sharing", "MAX_FAILURES_REACHED"),
    ):
        tenant.add_sharing_task(name, id=name, type=type, statusCode=status_code)
        tenant.advance(1)
    tenant.add_execution("a", started_ago=10)
    tenant.add_execution("b", started_ago=20)
    assert "".join(listed(api, sort=sort)) == order


def test_viewing_the_chart_is_recorded(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_sharing_task()
    assert "lastViewed" not in read(api, task_id)
    assert "lastViewed" in api.get(f"{SHARING}/{task_id}", params={"isViewChart": "true"}).json()
    assert "lastViewed" in read(api, task_id)


def test_sharing_can_be_disabled(tenant: Tenant, api: httpx.Client) -> None:
    settings = api.get(f"{SHARING}/settings").json()
    assert (settings["enable-sharing"], settings["reportSubscriptionStatus"]) == (True, "none")
    assert api.put(f"{SHARING}/settings", json={"enable-sharing": False}).status_code == 204
    assert api.get(SHARING).status_code == 403
    operations = [
        {"op": "replace", "path": "/enable-sharing", "value": True},
        {"op": "replace", "path": "/enable-report-subscription", "value": False},
    ]
    tenant.advance(60)
    assert api.patch(f"{SHARING}/settings", json=operations).status_code == 204
    changed = api.get(f"{SHARING}/settings").json()
    assert (changed["enable-sharing"], changed["enable-report-subscription"]) == (True, False)
    assert changed["reportSubscriptionStatusChangeTime"] > settings["reportSubscriptionStatusChangeTime"]
    assert api.get(SHARING).status_code == 200


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PUT", {}),
        ("PUT", {"enable-sharing": "yes"}),
        ("PATCH", {}),
        ("PATCH", [{"op": "remove", "path": "/enable-sharing", "value": True}]),
        ("PATCH", [{"op": "replace", "path": "/maxRecipients", "value": True}]),
    ],
)
def test_invalid_settings_are_refused(api: httpx.Client, method: str, body: Any) -> None:
    assert api.request(method, f"{SHARING}/settings", json=body).status_code == 400


@pytest.mark.parametrize(("form", "members"), [("code", [{"code": "SHARING-TASKS-404"}]), ("empty", None)])
def test_an_error_of_sharing_tasks_has_several_forms(
    tenant: Tenant, api: httpx.Client, form: str, members: Any
) -> None:
    tenant.switch(sharing_error_form=form)
    body = api.get(f"{SHARING}/none").json()
    assert body.get("errors") == members
    assert "traceId" not in body


def test_a_sharing_task_requires_an_existing_app(tenant: Tenant) -> None:
    with pytest.raises(SandboxError, match="nothing-here"):
        tenant.add_sharing_task(app_id="nothing-here")
