from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant

AUTOMATIONS = "/api/workflows/automations"


def create(api: httpx.Client, automation_id: str, **more: Any) -> dict[str, Any]:
    response = api.post(f"{AUTOMATIONS}/{automation_id}/runs", json={"context": "api", **more})
    assert response.status_code == 201, response.text
    return dict(response.json())


def read(api: httpx.Client, automation_id: str, run_id: str) -> dict[str, Any]:
    return dict(api.get(f"{AUTOMATIONS}/{automation_id}/runs/{run_id}").json())


def listed(api: httpx.Client, automation_id: str, **query: str) -> list[str]:
    response = api.get(f"{AUTOMATIONS}/{automation_id}/runs", params=query)
    assert response.status_code == 200, response.text
    return [run["id"] for run in response.json()["data"]]


def execute(api: httpx.Client, tenant: Tenant, automation_id: str, inputs: Any = None) -> httpx.Response:
    token = api.get(f"{AUTOMATIONS}/{automation_id}").json()["executionToken"]
    path = f"{tenant.url}/api/v1/automations/{automation_id}/actions/execute"
    return httpx.post(path, json=inputs, headers={"X-Execution-Token": token}, trust_env=False)


def test_creating_a_run_returns_it_and_it_follows_its_script(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    tenant.script(automation_id, Script(wait=2, run=8, end="failed", error="boom", log=("one", "two")))
    run = create(api, automation_id)
    assert run["status"] == "not started"
    tenant.advance(2)
    assert read(api, automation_id, run["id"])["status"] == "running"
    tenant.advance(8)
    ended = read(api, automation_id, run["id"])
    assert (ended["status"], ended["error"]) == ("failed", [{"message": "boom"}])
    assert ended["stopTime"] > ended["startTime"]
    assert api.get(f"{AUTOMATIONS}/{automation_id}/runs/{run['id']}/debug").text == "one\ntwo"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("SUCCEEDED", "finished"),
        ("FAILED", "failed"),
        ("finished with warnings", "finished with warnings"),
        ("odd", "odd"),
    ],
)
def test_a_terminal_status_is_translated_to_the_words_of_automations(
    tenant: Tenant, api: httpx.Client, end: str, status: str
) -> None:
    automation_id = tenant.add_automation()
    tenant.script(automation_id, Script(run=0, end=end))
    assert create(api, automation_id)["status"] == status


@pytest.mark.parametrize(("form", "error"), [("strings", ["boom"]), ("object", {"message": "boom"})])
def test_an_error_has_several_forms(tenant: Tenant, api: httpx.Client, form: str, error: Any) -> None:
    tenant.switch(error_form=form)
    automation_id = tenant.add_automation()
    run_id = tenant.add_run(automation_id, script=Script(end="failed", error="boom"))
    assert read(api, automation_id, run_id)["error"] == error


def test_a_run_is_stopped(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    tenant.script(automation_id, Script(end=None, cancel_delay=3))
    run_id = create(api, automation_id)["id"]
    stop = f"{AUTOMATIONS}/{automation_id}/runs/{run_id}/actions/stop"
    assert api.post(stop).status_code == 204
    assert read(api, automation_id, run_id)["status"] == "must stop"
    tenant.advance(3)
    stopped = read(api, automation_id, run_id)
    assert (stopped["status"], "stopTime" in stopped) == ("stopped", True)
    assert api.post(stop).status_code == 204
    tenant.switch(stop_ended="refused")
    assert api.post(stop).status_code == 400


def test_runs_beyond_the_limit_are_queued_until_another_one_ends(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(maxConcurrentRuns=1)
    tenant.script(automation_id, Script(run=10))
    ids = [create(api, automation_id)["id"] for _ in range(3)]

    def states() -> list[str]:
        return [read(api, automation_id, run_id)["status"] for run_id in ids]

    assert states() == ["running", "queued", "queued"]
    tenant.advance(10)
    assert states() == ["finished", "running", "queued"]
    tenant.advance(20)
    assert states() == ["finished"] * 3


def test_a_queued_run_begins_when_another_one_is_stopped(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(maxConcurrentRuns=1)
    tenant.script(automation_id, Script(end=None, cancel_delay=0))
    first, second, third = (create(api, automation_id)["id"] for _ in range(3))
    for run_id in (second, first):
        api.post(f"{AUTOMATIONS}/{automation_id}/runs/{run_id}/actions/stop")
    tenant.advance(1)
    states = [read(api, automation_id, run_id)["status"] for run_id in (first, second, third)]
    assert states == ["stopped", "stopped", "running"]


def test_raising_the_limit_lets_queued_runs_begin(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(maxConcurrentRuns=1)
    tenant.script(automation_id, Script(run=10))
    create(api, automation_id)
    queued = create(api, automation_id)["id"]
    tenant.advance(5)
    api.put(f"{AUTOMATIONS}/{automation_id}", json={"maxConcurrentRuns": 2})
    assert read(api, automation_id, queued)["status"] == "running"
    tenant.advance(9)
    assert read(api, automation_id, queued)["status"] == "running"
    tenant.advance(1)
    assert read(api, automation_id, queued)["status"] == "finished"


def test_runs_are_sorted_by_id_by_default(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    for run_id, ago in (("b", 30), ("a", 20), ("c", 10)):
        tenant.add_run(automation_id, id=run_id, started_ago=ago)
    assert listed(api, automation_id) == ["a", "b", "c"]
    assert listed(api, automation_id, sort="startTime") == ["b", "a", "c"]
    assert listed(api, automation_id, sort="-startTime") == ["c", "a", "b"]
    assert api.get(f"{AUTOMATIONS}/{automation_id}/runs", params={"sort": "title"}).status_code == 400


def test_a_run_that_has_not_begun_has_no_start_time_and_counts_as_newest(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    tenant.add_run(automation_id, id="begun", started_ago=10)
    tenant.add_run(automation_id, id="waiting", started_ago=20, script=Script(wait=100))
    assert "startTime" not in read(api, automation_id, "waiting")
    assert listed(api, automation_id, sort="-startTime") == ["waiting", "begun"]
    tenant.switch(automation_start_time="created")
    assert "startTime" in read(api, automation_id, "waiting")
    assert listed(api, automation_id, sort="-startTime") == ["begun", "waiting"]


def test_runs_are_filtered(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    tenant.add_run(automation_id, id="a", script=Script(end="failed"))
    tenant.add_run(automation_id, id="b")
    assert listed(api, automation_id, filter='status eq "failed"') == ["a"]
    assert listed(api, automation_id, filter='executedById eq "user-other" and status eq "finished"') == ["b"]


@pytest.mark.parametrize("fineness", ["seconds", "microseconds"])
def test_times_of_runs_have_six_digits_that_may_be_zeros(tenant: Tenant, api: httpx.Client, fineness: str) -> None:
    tenant.switch(automation_times=fineness)
    tenant.advance(1 - tenant.now().microsecond / 10**6 + 0.123456)
    created = create(api, tenant.add_automation())["createdAt"]
    assert created.endswith(".000000Z" if fineness == "seconds" else ".123456Z")


def test_a_run_started_by_the_api_reports_the_configured_context(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    assert create(api, automation_id)["context"] == "api_async"
    tenant.switch(api_context="api_sync")
    assert create(api, automation_id)["context"] == "api_sync"
    assert api.post(f"{AUTOMATIONS}/{automation_id}/runs", json={"context": "detail"}).status_code == 400
    assert api.post(f"{AUTOMATIONS}/{automation_id}/runs", json={}).status_code == 400


def test_inputs_of_a_new_run_are_ignored_recorded_or_refused(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    create(api, automation_id, inputs={"a": 1})
    tenant.switch(run_inputs="recorded")
    create(api, automation_id, inputs={"a": 1})
    assert [run["inputs"] for run in tenant.runs(automation_id)] == [None, {"a": 1}]
    tenant.switch(run_inputs="refused")
    body = {"context": "api", "inputs": {"a": 1}}
    assert api.post(f"{AUTOMATIONS}/{automation_id}/runs", json=body).status_code == 400


def test_a_triggered_automation_is_executed_with_inputs_and_its_token(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(run_mode="triggered")
    response = execute(api, tenant, automation_id, {"region": "EMEA"})
    assert (response.status_code, response.json()) == (200, {"message": "Automation started"})
    (run,) = tenant.runs(automation_id)
    assert (run["inputs"], run["via"]) == ({"region": "EMEA"}, "execute")
    assert listed(api, automation_id) == [run["id"]]
    tenant.switch(execute_response="empty")
    assert execute(api, tenant, automation_id).text == ""


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"X-Execution-Token": "wrong"}, 403)])
def test_executing_without_the_right_token_starts_nothing(
    tenant: Tenant, api: httpx.Client, headers: dict[str, str], status: int
) -> None:
    automation_id = tenant.add_automation(run_mode="triggered")
    response = api.post(f"/api/v1/automations/{automation_id}/actions/execute", headers=headers)
    assert response.status_code == status
    assert tenant.runs(automation_id) == []


def test_only_triggered_automations_are_executed(tenant: Tenant, api: httpx.Client) -> None:
    assert execute(api, tenant, tenant.add_automation(run_mode="manual")).status_code == 400


def test_an_executed_run_may_be_visible_later_than_competing_runs(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(run_mode="triggered")
    tenant.switch(show_after=10, competing_runs=1)
    execute(api, tenant, automation_id)
    competing, own = tenant.runs(automation_id)
    assert (competing["via"], own["via"], own["hidden"]) == ("competing", "execute", True)
    assert listed(api, automation_id) == [competing["id"]]
    assert api.get(f"{AUTOMATIONS}/{automation_id}/runs/{own['id']}").status_code == 404
    tenant.advance(10)
    assert sorted(listed(api, automation_id)) == sorted([competing["id"], own["id"]])


def test_a_retry_makes_a_new_run_with_the_same_inputs(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation(run_mode="triggered")
    execute(api, tenant, automation_id, {"a": 1})
    old = tenant.runs(automation_id)[0]
    assert api.post(f"{AUTOMATIONS}/{automation_id}/runs/{old['id']}/actions/retry").status_code == 204
    new = tenant.runs(automation_id)[1]
    assert (new["via"], new["inputs"]) == ("retry", {"a": 1})
    assert new["id"] != old["id"]


def test_the_export_names_the_debug_log(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    run_id = tenant.add_run(automation_id, script=Script(log=("one",)))
    url = api.post(f"{AUTOMATIONS}/{automation_id}/runs/{run_id}/actions/export").json()["url"]
    assert api.get(url).text == "one"


def test_a_list_of_runs_has_a_duration_in_place_of_metrics(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    run_id = tenant.add_run(automation_id, script=Script(run=7))
    run = api.get(f"{AUTOMATIONS}/{automation_id}/runs").json()["data"][0]
    assert (run["duration"], "metrics" in run) == (7, False)
    assert "metrics" in read(api, automation_id, run_id)


def test_a_task_may_run_an_automation(tenant: Tenant, api: httpx.Client) -> None:
    automation_id = tenant.add_automation()
    task_id = tenant.add_task(worker="automations", resource_id=automation_id)
    tenant.script(task_id, Script(end=None, cancel_delay=1))
    api.post(f"/api/v1/tasks/{task_id}/actions/start")
    run = api.get(f"/api/v1/tasks/{task_id}/runs/last").json()
    assert (run["workerType"], run["resourceId"]) == ("automations", automation_id)
    assert listed(api, automation_id) == [run["workerId"]]
    api.post(f"{AUTOMATIONS}/{automation_id}/runs/{run['workerId']}/actions/stop")
    tenant.advance(1)
    assert read(api, automation_id, run["workerId"])["status"] == "stopped"
    assert api.get(f"/api/v1/tasks/{task_id}/runs/last").json()["status"] == "FAILED"
    assert tenant.active() == []
