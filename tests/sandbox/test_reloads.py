from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Script, Tenant

RELOADS = "/api/v1/reloads"


@pytest.fixture
def app_id(tenant: Tenant) -> str:
    return tenant.add_app("Sales", id="app-1")


def create(api: httpx.Client, app_id: str, **members: Any) -> dict[str, Any]:
    response = api.post(RELOADS, json={"appId": app_id, **members})
    assert response.status_code == 201, response.text
    return dict(response.json())


def listed(api: httpx.Client, **query: str) -> list[str]:
    response = api.get(RELOADS, params=query)
    assert response.status_code == 200, response.text
    return [reload["id"] for reload in response.json()["data"]]


def read(api: httpx.Client, reload_id: str) -> dict[str, Any]:
    return dict(api.get(f"{RELOADS}/{reload_id}").json())


def test_a_reload_is_returned_and_goes_through_its_states(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.script(app_id, Script(wait=5, run=10))
    seen = [create(api, app_id)]
    for seconds in (5, 10):
        tenant.advance(seconds)
        seen.append(read(api, seen[0]["id"]))
    assert [one["status"] for one in seen] == ["QUEUED", "RELOADING", "SUCCEEDED"]
    assert ["startTime" in one for one in seen] == [False, True, True]
    assert ["endTime" in one for one in seen] == ["engineTime" in one for one in seen] == [False, False, True]
    assert (seen[0]["appId"], seen[0]["userId"], seen[0]["type"]) == (app_id, tenant.user_id, "external")


def test_a_reload_has_the_members_of_its_request(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    reload = create(api, app_id, partial=True, weight=3, variables={"vRegion": "EMEA"})
    assert (reload["partial"], reload["weight"]) == (True, 3)
    (run,) = tenant.runs(app_id)
    assert (run["variables"], run["via"], run["started_by"]) == ({"vRegion": "EMEA"}, "api", tenant.user_id)


@pytest.mark.parametrize("end", ["FAILED", "EXCEEDED_LIMIT", "CANCELED", "ODD"])
def test_a_reload_ends_with_the_status_and_error_of_its_script(
    tenant: Tenant, api: httpx.Client, app_id: str, end: str
) -> None:
    tenant.script(app_id, Script(run=0, end=end, error="no such table", log=("a", "b")))
    reload = create(api, app_id)
    assert (reload["status"], reload["errorMessage"], reload["log"]) == (end, "no such table", "a\nb")
    assert reload["errorCode"]
    assert "engineTime" not in reload


def test_a_reload_of_an_unknown_app_is_404(tenant: Tenant, api: httpx.Client) -> None:
    response = api.post(RELOADS, json={"appId": "nothing-here"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "RELOADS-404")
    assert tenant.reloads() == []


def test_the_app_of_a_task_exists(tenant: Tenant, api: httpx.Client) -> None:
    tenant.add_task("Sales", resource_id="app-2")
    assert create(api, "app-2")["appId"] == "app-2"


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"appId": 7}, "body.appId"),
        ({"partial": "yes"}, "body.partial"),
        ({"weight": 1.5}, "body.weight"),
        ({"variables": ["a"]}, "body.variables"),
        ({"variables": {"a": 1}}, "body.variables.a"),
        ({"variables": {f"v{place}": "" for place in range(21)}}, "body.variables"),
        ({"variables": {"a": "x" * 257}}, "body.variables.a"),
        ({"variables": {"n" * 257: "x"}}, "body.variables.n"),
    ],
)
def test_an_invalid_reload_is_refused_with_the_member(
    tenant: Tenant, api: httpx.Client, app_id: str, members: dict[str, Any], named: str
) -> None:
    response = api.post(RELOADS, json={"appId": app_id, **members})
    assert response.status_code == 400
    assert response.json()["errors"][0]["detail"].startswith(named)
    assert tenant.reloads() == []


def test_the_maximum_number_and_length_of_variables_is_accepted(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    create(api, app_id, variables={f"{place:0256}": "x" * 256 for place in range(20)})


def test_a_reload_is_refused_with_a_code_while_another_one_is_pending(
    tenant: Tenant, api: httpx.Client, app_id: str
) -> None:
    tenant.script(app_id, Script(run=10))
    create(api, app_id)
    response = api.post(RELOADS, json={"appId": app_id})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (429, "RELOADS-007")
    assert "retry-after" not in response.headers
    create(api, tenant.add_app())
    tenant.advance(10)
    create(api, app_id)


def test_a_reload_may_be_queued_until_the_pending_one_has_ended(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(pending_reload="queued")
    tenant.script(app_id, Script(run=10))
    ids = [create(api, app_id)["id"] for _ in range(3)]

    def states() -> list[str]:
        return [read(api, reload_id)["status"] for reload_id in ids]

    assert states() == ["RELOADING", "QUEUED", "QUEUED"]
    tenant.advance(10)
    assert states() == ["SUCCEEDED", "RELOADING", "QUEUED"]
    api.post(f"{RELOADS}/{ids[1]}/actions/cancel")
    tenant.advance(1)
    assert states() == ["SUCCEEDED", "CANCELED", "RELOADING"]


def test_a_queued_reload_can_be_cancelled(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(pending_reload="queued")
    tenant.script(app_id, Script(end=None, cancel_delay=0))
    first, second = (create(api, app_id)["id"] for _ in range(2))
    assert api.post(f"{RELOADS}/{second}/actions/cancel").status_code == 202
    assert [read(api, one)["status"] for one in (first, second)] == ["RELOADING", "CANCELED"]


def test_a_reload_whose_response_was_lost_is_in_the_list(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    old = tenant.add_run(app_id)
    tenant.fault(reset="after", operation="create_reload")
    with pytest.raises(httpx.ReadError):
        api.post(RELOADS, json={"appId": app_id})
    new, found = listed(api, appId=app_id, sort="-creationTime")
    assert found == old
    assert read(api, new)["userId"] == tenant.user_id


def test_a_reload_may_show_up_late(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(reload_show_after=5)
    reload_id = create(api, app_id)["id"]
    assert listed(api, appId=app_id) == []
    assert api.get(f"{RELOADS}/{reload_id}").status_code == 404
    assert api.post(f"{RELOADS}/{reload_id}/actions/cancel").status_code == 404
    assert [run["hidden"] for run in tenant.runs(app_id)] == [True]
    tenant.advance(5)
    assert listed(api, appId=app_id) == [reload_id]
    assert read(api, reload_id)["status"] == "SUCCEEDED"


def test_reloads_are_listed_by_app_and_sorted(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    other = tenant.add_run(tenant.add_app(), started_ago=5)
    tenant.add_run(app_id, id="b", started_ago=30, script=Script(wait=15))
    tenant.add_run(app_id, id="a", started_ago=20, script=Script(end="FAILED"))
    assert listed(api, appId=app_id) == ["a", "b"]
    assert listed(api, appId=app_id, sort="creationTime") == ["b", "a"]
    assert listed(api, appId=app_id, sort="+startTime") == ["a", "b"]
    assert listed(api, appId=app_id, sort="-endTime") == ["b", "a"]
    assert listed(api, appId=app_id, sort="status") == ["a", "b"]
    assert listed(api) == [other, "a", "b"]
    assert listed(api, appId="nothing-here") == []


def test_reloads_are_filtered(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.script(app_id, Script(run=0, end="FAILED"), Script(run=0))
    failed, fine = create(api, app_id, partial=True)["id"], create(api, app_id)["id"]
    assert listed(api, partial="true") == [failed]
    assert listed(api, filter='status eq "SUCCEEDED" and type eq "external"') == [fine]
    assert listed(api, filter='partial eq "false"') == [fine]
    for query in ({"partial": "maybe"}, {"filter": 'colour eq "red"'}, {"sort": "colour"}, {"log": "1"}):
        assert api.get(RELOADS, params=query).status_code == 400


def test_a_list_contains_logs_only_on_request(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.add_run(app_id, script=Script(log=("one",)))
    assert "log" not in api.get(RELOADS).json()["data"][0]
    assert api.get(RELOADS, params={"log": "true"}).json()["data"][0]["log"] == "one"


def test_an_app_lists_the_logs_of_its_reloads(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    for reload_id, ago, script in (
        ("fine", 30, Script(run=2, log=("one", "two"))),
        ("bad", 20, Script(run=3, end="FAILED")),
        ("active", 10, Script(end=None)),
    ):
        tenant.add_run(app_id, id=reload_id, started_ago=ago, script=script)
    logs = api.get(f"/api/v1/apps/{app_id}/reloads/logs").json()["data"]
    assert [(one["reloadId"], one["success"], one["duration"]) for one in logs] == [
        ("bad", False, 3000),
        ("fine", True, 2000),
    ]
    log = api.get(logs[1]["links"]["log"]["href"])
    assert (log.text, log.headers["content-type"]) == ("one\ntwo", "text/plain; charset=utf-8")
    assert api.get("/api/v1/apps/nothing-here/reloads/logs").status_code == 404
    assert api.get("/api/v1/apps/other/reloads/logs/fine").status_code == 404


def test_a_run_of_a_task_is_a_reload_of_its_app(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    task_id = tenant.add_task(resource_id=app_id)
    tenant.script(app_id, Script(run=7))
    api.post(f"/api/v1/tasks/{task_id}/actions/start")
    run = api.get(f"/api/v1/tasks/{task_id}/runs/last").json()
    assert listed(api, appId=app_id) == [run["workerId"]]
    reload = read(api, run["workerId"])
    assert (run["workerType"], reload["type"], reload["resourceId"]) == ("reloads", "choreographer", task_id)
    assert api.post(RELOADS, json={"appId": app_id}).status_code == 429
    tenant.advance(7)
    assert read(api, run["workerId"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize("word", ["FAILED", "CANCELED"])
def test_cancelling_the_reload_ends_the_task_run(tenant: Tenant, api: httpx.Client, app_id: str, word: str) -> None:
    tenant.switch(cancelled_task_status=word)
    task_id = tenant.add_task(resource_id=app_id)
    tenant.script(task_id, Script(end=None, cancel_delay=2))
    api.post(f"/api/v1/tasks/{task_id}/actions/start")
    (reload_id,) = listed(api)
    assert api.post(f"{RELOADS}/{reload_id}/actions/cancel").status_code == 202
    assert read(api, reload_id)["status"] == "CANCELING"
    assert {run["kind"] for run in tenant.active()} == {"task_run", "reload"}
    tenant.advance(2)
    assert read(api, reload_id)["status"] == "CANCELED"
    assert api.get(f"/api/v1/tasks/{task_id}/runs/last").json()["status"] == word
    assert tenant.active() == []
    assert [one["status"] for one in tenant.reloads()] == ["CANCELED"]


def test_the_response_to_a_cancel_may_be_204(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    tenant.switch(cancel_response=204)
    tenant.script(app_id, Script(end=None))
    assert api.post(f"{RELOADS}/{create(api, app_id)['id']}/actions/cancel").status_code == 204


def test_a_reload_that_has_ended_cannot_be_cancelled(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    reload_id = tenant.add_run(app_id)
    assert api.post(f"{RELOADS}/{reload_id}/actions/cancel").status_code == 409
    assert read(api, reload_id)["status"] == "SUCCEEDED"


def test_an_unknown_reload_is_404(api: httpx.Client) -> None:
    assert api.get(f"{RELOADS}/none").status_code == 404
    assert api.post(f"{RELOADS}/none/actions/cancel").status_code == 404


def test_reloads_of_other_users_are_visible(tenant: Tenant, api: httpx.Client, app_id: str) -> None:
    reload_id = tenant.add_run(app_id, started_ago=100, script=Script(run=150))
    assert (read(api, reload_id)["status"], read(api, reload_id)["userId"]) == ("RELOADING", "user-other")
    assert [run["active"] for run in tenant.runs(app_id)] == [True]
    with pytest.raises(SandboxError, match="app-1"):
        tenant.add_app(id=app_id)
