from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant

MOUNTS = ("/api/v1/tasks", "/api/scheduling/tasks")


def start(api: httpx.Client, task_id: str, **query: str) -> httpx.Response:
    return api.post(f"/api/v1/tasks/{task_id}/actions/start", params=query)


def last(api: httpx.Client, task_id: str) -> dict[str, Any]:
    response = api.get(f"/api/v1/tasks/{task_id}/runs/last")
    assert response.status_code == 200, response.text
    return dict(response.json())


def runs(api: httpx.Client, task_id: str, **query: str) -> list[dict[str, Any]]:
    return list(api.get(f"/api/v1/tasks/{task_id}/runs", params=query).json()["data"])


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_started_task_follows_its_script(tenant: Tenant, api: httpx.Client, mount: str) -> None:
    task_id = tenant.add_task("Sales", resource_id="app-sales")
    tenant.script(task_id, Script(run=30, end="FAILED", error="no such table", log=("Connected", "Failed")))
    assert api.post(f"{mount}/{task_id}/actions/start").status_code == 200
    run = api.get(f"{mount}/{task_id}/runs").json()["data"][0]
    assert run["status"] == "RUNNING"
    assert "endedAt" not in run
    tenant.advance(30)
    run = api.get(f"{mount}/{task_id}/runs/last").json()
    assert (run["status"], run["log"], run["taskName"]) == ("FAILED", "Connected\nFailed", "Sales")
    assert (datetime.fromisoformat(run["endedAt"]) - datetime.fromisoformat(run["startedAt"])).seconds == 30
    assert api.get(f"{mount}/resources/app-sales/runs").json()["data"] == [run]


def test_the_response_to_a_start_has_the_date_of_the_tenant(tenant: Tenant, api: httpx.Client) -> None:
    content = start(api, tenant.add_task()).json()
    assert content["code"] == "CHO-000"
    assert len(content["timestamp"].partition(".")[2]) == len("123456789Z")
    assert datetime.fromisoformat(content["timestamp"]) == tenant.now()


@pytest.mark.parametrize(("form", "text"), [("documented", '{"message":"Task started successfully"}'), ("empty", "")])
def test_the_response_to_a_start_has_several_forms(tenant: Tenant, api: httpx.Client, form: str, text: str) -> None:
    tenant.switch(start_response=form)
    response = start(api, tenant.add_task())
    assert (response.status_code, response.text) == (200, text)


def test_the_source_is_shown_as_triggered_by(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    start(api, task_id, source="airflow dag/task ä")
    assert last(api, task_id)["triggeredBy"] == "airflow dag/task ä"
    start(api, task_id)
    assert last(api, task_id)["triggeredBy"] == "manual"


def test_the_source_may_be_hidden_but_is_in_the_snapshot(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(echo_source=False)
    task_id = tenant.add_task()
    start(api, task_id, source="airflow")
    assert last(api, task_id)["triggeredBy"] == "manual"
    assert [run["source"] for run in tenant.runs(task_id)] == ["airflow"]


def test_a_long_source_is_refused_or_truncated(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.switch(source_limit=5)
    assert start(api, task_id, source="123456").status_code == 400
    assert tenant.runs(task_id) == []
    tenant.switch(source_truncated=True)
    start(api, task_id, source="123456")
    assert last(api, task_id)["triggeredBy"] == "12345"


def test_last_is_404_for_a_task_that_never_ran(tenant: Tenant, api: httpx.Client) -> None:
    assert api.get(f"/api/v1/tasks/{tenant.add_task()}/runs/last").status_code == 404


def test_a_late_run_is_hidden_and_last_returns_the_previous_one(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task(resource_id="app-1")
    previous = tenant.add_run(task_id)
    tenant.switch(show_after=10)
    start(api, task_id)
    late = tenant.runs(task_id)[1]
    assert late["hidden"]
    assert last(api, task_id)["id"] == previous
    assert [run["id"] for run in runs(api, task_id)] == [previous]
    assert [run["id"] for run in api.get("/api/v1/tasks/resources/app-1/runs").json()["data"]] == [previous]
    assert api.get(f"/api/v1/tasks/{task_id}/runs/{late['id']}/log").status_code == 404
    tenant.advance(10)
    assert last(api, task_id)["id"] == late["id"]
    assert api.get(f"/api/v1/tasks/{task_id}/runs/{late['id']}/log").status_code == 200


def test_a_waiting_run_is_shown_as_running_or_hidden(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.script(task_id, Script(wait=5, run=5))
    start(api, task_id)
    assert last(api, task_id)["status"] == "RUNNING"
    tenant.switch(waiting_task_run="hidden")
    assert runs(api, task_id) == []
    tenant.advance(5)
    assert last(api, task_id)["status"] == "RUNNING"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_competing_runs_start_in_the_same_second(tenant: Tenant, api: httpx.Client, moment: str) -> None:
    task_id = tenant.add_task()
    tenant.switch(competing_runs=2, competing_moment=moment)
    start(api, task_id, source="own")
    assert [run["via"] for run in tenant.runs(task_id)].count("competing") == 2
    shown = runs(api, task_id)
    triggers = [run["triggeredBy"] for run in shown]
    assert triggers == (["own", "manual", "manual"] if moment == "before" else ["manual", "manual", "own"])
    assert len({run["startedAt"][:19] for run in shown}) == 1


def test_competing_runs_are_visible_at_once_while_the_callers_is_late(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.switch(competing_runs=1, competing_moment="after", show_after=10)
    start(api, task_id, source="own")
    assert [run["triggeredBy"] for run in runs(api, task_id)] == ["manual"]


@pytest.mark.parametrize(
    ("disabled_start", "status", "count"), [("refused", 400, 0), ("accepted", 200, 1), ("ignored", 200, 0)]
)
def test_starting_a_disabled_task(
    tenant: Tenant, api: httpx.Client, disabled_start: str, status: int, count: int
) -> None:
    task_id = tenant.add_task(enabled=False)
    tenant.switch(disabled_start=disabled_start)
    assert start(api, task_id).status_code == status
    assert len(tenant.runs(task_id)) == count


@pytest.mark.parametrize(
    ("running_start", "status", "count"), [("parallel", 200, 2), ("refused", 400, 1), ("ignored", 200, 1)]
)
def test_starting_a_task_that_runs(
    tenant: Tenant, api: httpx.Client, running_start: str, status: int, count: int
) -> None:
    task_id = tenant.add_task()
    start(api, task_id)
    tenant.switch(running_start=running_start)
    assert start(api, task_id).status_code == status
    assert len(tenant.runs(task_id)) == count


def test_scripts_are_used_in_turn_and_the_last_one_stays(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.script(task_id, Script(run=0, end="FAILED"), Script(run=0))
    ends = []
    for _ in range(3):
        start(api, task_id)
        ends.append(last(api, task_id)["status"])
    tenant.script(task_id, Script(run=0, end="ABORTED"))
    start(api, task_id)
    assert [*ends, last(api, task_id)["status"]] == ["FAILED", "SUCCEEDED", "SUCCEEDED", "ABORTED"]


def test_any_status_may_be_scripted(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.script(task_id, Script(run=5, end="ABORTED", running_as="QUEUED", ended_at=False))
    start(api, task_id)
    assert last(api, task_id)["status"] == "QUEUED"
    tenant.advance(5)
    assert last(api, task_id)["status"] == "ABORTED"
    assert "endedAt" not in last(api, task_id)


@pytest.mark.parametrize(("fineness", "length"), [("nanoseconds", 30), ("milliseconds", 24), ("seconds", 20)])
def test_the_precision_of_times_of_runs_may_vary(tenant: Tenant, api: httpx.Client, fineness: str, length: int) -> None:
    task_id = tenant.add_task()
    tenant.switch(task_times=fineness)
    start(api, task_id)
    assert len(last(api, task_id)["startedAt"]) == length


def test_the_clock_of_runs_may_be_ahead(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.switch(run_clock_skew=90, task_times="nanoseconds")
    start(api, task_id)
    assert (datetime.fromisoformat(last(api, task_id)["startedAt"]) - tenant.now()).total_seconds() == 90


@pytest.mark.parametrize(
    ("form", "accept", "content_type", "text"),
    [
        ("accept", "application/json", "application/json", '{"logContent":"one\\ntwo"}'),
        ("accept", "text/plain", "text/plain; charset=utf-8", "one\ntwo"),
        ("accept", "*/*", "application/json", '{"logContent":"one\\ntwo"}'),
        ("json", "text/plain", "application/json", '{"logContent":"one\\ntwo"}'),
        ("text", "application/json", "text/plain; charset=utf-8", "one\ntwo"),
        ("text_json", "application/json", "text/plain; charset=utf-8", '{"logContent":"one\\ntwo"}'),
    ],
)
def test_the_log_has_several_forms(
    tenant: Tenant, api: httpx.Client, form: str, accept: str, content_type: str, text: str
) -> None:
    task_id = tenant.add_task()
    run_id = tenant.add_run(task_id, script=Script(log=("one", "two")))
    tenant.switch(log_form=form)
    response = api.get(f"/api/v1/tasks/{task_id}/runs/{run_id}/log", headers={"Accept": accept})
    assert (response.headers["content-type"], response.text) == (content_type, text)


def test_the_log_of_a_running_run_has_the_lines_so_far_or_is_missing(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    run_id = tenant.add_run(task_id, started_ago=5, script=Script(run=10, log=("one", "two")))
    log = f"/api/v1/tasks/{task_id}/runs/{run_id}/log"
    assert api.get(log).json() == {"logContent": "one"}
    tenant.switch(running_log="missing")
    assert api.get(log).status_code == 404
