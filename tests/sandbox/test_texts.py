from __future__ import annotations

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant

ODD = "a\x00b caf\ud83d"
"""NUL, and half a surrogate pair: JSON can carry both, most databases take neither."""


def test_a_reload_error_carries_any_text(tenant: Tenant, api: httpx.Client) -> None:
    app_id = tenant.add_app(name=ODD)
    tenant.script(app_id, Script(run=1, end="FAILED", error=ODD, log=(ODD,)))
    reload = api.post("/api/v1/reloads", json={"appId": app_id}).json()
    tenant.advance(5)
    assert api.get(f"/api/v1/reloads/{reload['id']}").json()["errorMessage"] == ODD
    log = api.get(f"/api/v1/apps/{app_id}/reloads/logs/{reload['id']}").content
    assert log == ODD.encode(errors="surrogatepass")
    (item,) = api.get("/api/v1/items", params={"resourceType": "app"}).json()["data"]
    assert item["name"] == ODD


@pytest.mark.parametrize("form", ["objects", "strings", "object"])
def test_an_automation_error_carries_any_text(tenant: Tenant, api: httpx.Client, form: str) -> None:
    automation_id = tenant.add_automation(name=ODD)
    tenant.switch(error_form=form)
    tenant.script(automation_id, Script(run=1, end="FAILED", error=ODD, log=(ODD,)))
    path = f"/api/workflows/automations/{automation_id}"
    run = api.post(f"{path}/runs", json={"context": "api"}).json()
    tenant.advance(5)
    error = api.get(f"{path}/runs/{run['id']}").json()["error"]
    assert error == {"objects": [{"message": ODD}], "strings": [ODD], "object": {"message": ODD}}[form]
    assert api.get(path).json()["name"] == ODD


def test_a_task_run_and_its_log_carry_any_text(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task(name=ODD)
    run_id = tenant.add_run(task_id, triggered_by=ODD, script=Script(run=1, end="FAILED", log=("one", ODD)))
    (run,) = api.get(f"/api/v1/tasks/{task_id}/runs").json()["data"]
    assert (run["taskName"], run["triggeredBy"], run["log"]) == (ODD, ODD, f"one\n{ODD}")
    path = f"/api/v1/tasks/{task_id}/runs/{run_id}/log"
    assert api.get(path, headers={"accept": "application/json"}).json()["logContent"] == f"one\n{ODD}"
    assert api.get(path, headers={"accept": "text/plain"}).content == f"one\n{ODD}".encode(errors="surrogatepass")


def test_a_report_error_carries_any_text(tenant: Tenant, api: httpx.Client) -> None:
    sharing_task_id = tenant.add_sharing_task(name=ODD)
    tenant.add_execution(sharing_task_id, script=Script(run=1, end="FAILED", error=ODD))
    (execution,) = api.get(f"/api/v1/sharing-tasks/{sharing_task_id}/executions").json()["executions"]
    assert execution["errors"][0]["detail"] == ODD
    assert api.get(f"/api/v1/sharing-tasks/{sharing_task_id}").json()["name"] == ODD


def test_the_request_log_contains_any_text(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    body = f'{{"source": "{"x" * 3}\\u0000\\ud83d"}}'
    api.post(f"/api/v1/tasks/{task_id}/actions/start", content=body, headers={"content-type": "application/json"})
    assert tenant.request_log("start_task")[0].body == {"source": "xxx\x00\ud83d"}
