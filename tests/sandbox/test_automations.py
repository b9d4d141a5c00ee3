from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant

AUTOMATIONS = "/api/workflows/automations"


def names(api: httpx.Client, **query: str) -> list[str]:
    response = api.get(AUTOMATIONS, params=query)
    assert response.status_code == 200, response.text
    return [automation["name"] for automation in response.json()["data"]]


def test_an_automation_is_created_read_replaced_and_deleted(tenant: Tenant, api: httpx.Client) -> None:
    schedule = {"startAt": "2022-01-01 00:00:00", "interval": 60, "timezone": "Europe/Stockholm"}
    response = api.post(AUTOMATIONS, json={"name": "A", "spaceId": "space-1", "schedules": [schedule]})
    automation = response.json()
    one = f"{AUTOMATIONS}/{automation['id']}"
    assert response.status_code == 201
    assert (automation["name"], automation["runMode"], automation["spaceId"]) == ("A", "scheduled", "space-1")
    assert automation["schedules"][0].items() >= schedule.items()
    assert api.get(one).json() == automation
    assert api.put(one, json={"name": "B", "maxConcurrentRuns": 10**6}).json()["name"] == "B"
    assert api.get(one).json()["maxConcurrentRuns"] == 50
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == 404


def test_a_list_has_a_duration_in_place_of_schedules(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation("A")
    tenant.add_run(automation_id, started_ago=60, script=Script(run=20))
    listed = api.get(AUTOMATIONS).json()["data"][0]
    assert "schedules" not in listed
    assert (listed["duration"], listed["lastRunStatus"]) == (20, "finished")
    tenant.switch(duration_form="string")
    assert api.get(AUTOMATIONS).json()["data"][0]["duration"] == "20"


def test_an_automation_shows_its_last_run(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(maxConcurrentRuns=1)
    assert "lastRun" not in api.get(f"{AUTOMATIONS}/{automation_id}").json()
    tenant.add_run(automation_id)
    ended = api.get(f"{AUTOMATIONS}/{automation_id}").json()
    assert (ended["lastRunStatus"], "lastRunAt" in ended) == ("finished", True)
    tenant.script(automation_id, Script(end=None))
    for _ in range(2):
        api.post(f"{AUTOMATIONS}/{automation_id}/runs", json={"context": "api"})
    queued = api.get(f"{AUTOMATIONS}/{automation_id}").json()
    assert (queued["lastRun"]["status"], queued["lastRunStatus"]) == ("queued", "not started")


def test_lists_are_filtered_by_name(tenant: Tenant, api: httpx.Client) -> None:
    for name in ("A", "B", 'say "hi" \\ and go'):
        tenant.add_automation(name)
    assert names(api, filter='name eq "A"') == ["A"]
    assert names(api, filter='name eq "a"') == []
    assert names(api, filter='name eq "say \\"hi\\" \\\\ and go"') == ['say "hi" \\ and go']
    assert sorted(names(api, filter='runMode eq "manual" and name ne "A"')) == ["B", 'say "hi" \\ and go']
    assert names(api, filter='name sw "say" and name co "go"') == ['say "hi" \\ and go']


@pytest.mark.parametrize(
    "text", ["name", 'name eq "A', 'name eq A"', 'colour eq "red"', 'name eq "A" and', 'name like "A"']
)
def test_an_invalid_filter_is_400(api: httpx.Client, text: str) -> None:
    assert api.get(AUTOMATIONS, params={"filter": text}).status_code == 400


def test_lists_are_sorted_with_and_without_a_sign(tenant: Tenant, api: httpx.Client) -> None:
    for name in ("B", "A", "C"):
        tenant.add_automation(name)
        tenant.advance(1)
    assert names(api, sort="name") == names(api, sort="+name") == ["A", "B", "C"]
    assert names(api, sort="-createdAt") == ["C", "A", "B"]
    assert api.get(AUTOMATIONS, params={"sort": "colour"}).status_code == 400


def test_changing_the_owner_of_an_automation_deletes_its_history(tenant: Tenant, api: httpx.Client) -> None:
    for action in ("change-owner", "move"):
        automation_id = tenant.add_automation()
        tenant.add_run(automation_id)
        path = f"{AUTOMATIONS}/{automation_id}/actions/{action}"
        assert api.post(path, json={"userId": "user-other"}).status_code == 204
        assert api.get(f"{AUTOMATIONS}/{automation_id}").json()["ownerId"] == "user-other"
        assert api.get(f"{AUTOMATIONS}/{automation_id}/runs").json()["data"] == []
        assert api.post(path, json={"userId": "nobody"}).status_code == 400
        assert api.post(path, json={}).status_code == 400


def test_an_automation_moves_to_a_space_and_back(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    path = f"{AUTOMATIONS}/{automation_id}/actions/change-space"
    assert api.post(path, json={"spaceId": "space-1"}).status_code == 204
    assert api.get(f"{AUTOMATIONS}/{automation_id}").json()["spaceId"] == "space-1"
    assert api.post(path, json={}).status_code == 400
    assert api.post(path).status_code == 204
    assert "spaceId" not in api.get(f"{AUTOMATIONS}/{automation_id}").json()


def test_a_copy_is_another_automation_with_its_own_token(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation("A", run_mode="triggered")
    response = api.post(f"{AUTOMATIONS}/{automation_id}/actions/copy", json={"name": "B"})
    assert response.status_code == 201
    old, new = (api.get(f"{AUTOMATIONS}/{one}").json() for one in (automation_id, response.json()["id"]))
    assert (new["name"], new["runMode"]) == ("B", "triggered")
    assert new["executionToken"] != old["executionToken"]


def test_a_disabled_automation_does_not_run(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    one = f"{AUTOMATIONS}/{automation_id}"
    assert api.post(f"{one}/actions/disable").status_code == 204
    assert api.get(one).json()["state"] == "disabled"
    assert api.post(f"{one}/runs", json={"context": "api"}).status_code == 400
    assert api.post(f"{one}/actions/enable").status_code == 204
    assert api.post(f"{one}/runs", json={"context": "api"}).status_code == 201


def test_the_settings_limit_concurrent_runs(tenant: Tenant, api: httpx.Client) -> None:
    settings = {"maxConcurrentRunsPerAutomation": 2}
    assert api.put(f"{AUTOMATIONS}/settings", json=settings).json() == settings
    assert api.get(f"{AUTOMATIONS}/settings").json() == settings
    assert api.post(AUTOMATIONS, json={"name": "A", "maxConcurrentRuns": 9}).json()["maxConcurrentRuns"] == 2
    for wrong in ({"maxConcurrentRunsPerAutomation": "2"}, {"maxConcurrentRunsPerAutomation": 0}):
        assert api.put(f"{AUTOMATIONS}/settings", json=wrong).status_code == 400


def test_usage_is_counted_per_day_and_automation(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation("A", run_mode="scheduled")
    tenant.add_run(automation_id, started_ago=60, script=Script(run=20))
    day = f"{tenant.now() - timedelta(seconds=60):%Y-%m-%d}"

    def usage(**query: str) -> Any:
        return api.get(f"{AUTOMATIONS}/usage", params=query).json()["data"]

    text = f'(name eq "scheduledRuns" or name eq "duration") and date ge "{day}"'
    found = {metric["name"]: metric["value"] for metric in usage(filter=text)}
    assert found == {"scheduledRun": 1, "duration": 20}
    assert usage(filter='name eq "runs"', breakdownBy="automation")[0]["automation"]["guid"] == automation_id
    assert api.get(f"{AUTOMATIONS}/usage").status_code == 400
    assert api.get(f"{AUTOMATIONS}/usage", params={"filter": 'name eq "fun"'}).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"name": 1}, {"name": "A", "schedules": {}}, {"name": "A", "maxConcurrentRuns": "1"}]
)
def test_an_invalid_automation_is_400_in_the_form_of_the_family(api: httpx.Client, body: Any) -> None:
    response = api.post(AUTOMATIONS, json=body)
    assert response.status_code == 400
    assert response.json()["errors"][0]["code"] == "AUTOMATIONS-400"
    assert response.json()["traceId"]


def test_a_body_that_is_not_json_is_400(api: httpx.Client) -> None:
    assert api.post(AUTOMATIONS, content=b"{").status_code == 400


@pytest.mark.parametrize("path", ["", "/runs", "/runs/x", "/runs/x/debug"])
def test_an_unknown_automation_is_404(api: httpx.Client, path: str) -> None:
    assert api.get(f"{AUTOMATIONS}/none{path}").status_code == 404
