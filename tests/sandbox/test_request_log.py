from __future__ import annotations

import httpx
import pytest

from airflow_provider_qlik.sandbox import Tenant


def test_the_request_log_has_requests_and_responses(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    api.get(f"/api/v1/tasks/{task_id}/runs?sort=%2BstartedAt&limit=5", headers={"User-Agent": "me"})
    (entry,) = tenant.request_log()
    assert (entry.operation, entry.method, entry.path) == (
        "list_task_runs",
        "GET",
        f"/api/v1/tasks/{task_id}/runs",
    )
    assert (entry.query, entry.raw_query) == (
        [("sort", "+startedAt"), ("limit", "5")],
        "sort=%2BstartedAt&limit=5",
    )
    assert (entry.headers["user-agent"], entry.status, entry.carried_out) == ("me", 200, True)
    assert (entry.credential, entry.fault, entry.time) == ("api_key", None, tenant.now())
    assert "authorization" not in entry.headers


def test_the_request_log_has_bodies_without_secrets(tenant: Tenant, api: httpx.Client, anybody: httpx.Client) -> None:
    body = {
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "grant_type": "client_credentials",
    }
    token = anybody.post("/oauth/token", data=body).json()["access_token"]
    anybody.post("/oauth/token", json=body | {"client_secret": "wrong"})
    anybody.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    good, bad, me = tenant.request_log()
    assert good.body == bad.body == body | {"client_secret": "***"}
    assert (good.credential, bad.credential, me.credential) == ("client", None, "client")
    assert (good.carried_out, bad.carried_out) == (True, False)
    assert not any(secret in str(tenant.request_log()) for secret in (tenant.client_secret, token, tenant.api_key))


def test_a_refused_request_was_not_carried_out(tenant: Tenant, api: httpx.Client) -> None:
    api.post("/api/v1/tasks", json={"name": 7})
    api.get("/nowhere")
    refused, unknown = tenant.request_log()
    assert (refused.operation, refused.status, refused.carried_out) == ("create_task", 400, False)
    assert (unknown.operation, unknown.status, unknown.carried_out) == (None, 404, False)


def test_an_execute_is_logged_with_the_credential_execution_token(tenant: Tenant, anybody: httpx.Client) -> None:
    automation_id = tenant.add_automation(run_mode="triggered", executionToken="abc")
    path = f"/api/v1/automations/{automation_id}/actions/execute"
    anybody.post(path, headers={"X-Execution-Token": "abc"}, json={"a": [1]})
    (entry,) = tenant.request_log("execute_automation")
    assert (entry.credential, entry.body, entry.carried_out) == ("execution_token", {"a": [1]}, True)


@pytest.mark.parametrize(
    ("which", "count"),
    [
        ({}, 3),
        ({"operation": "list_tasks"}, 2),
        ({"method": "post"}, 1),
        ({"path": "/api/v1/*"}, 3),
        ({"path": "/api/workflows/*"}, 0),
        ({"operation": "list_tasks", "method": "POST"}, 0),
    ],
)
def test_the_request_log_can_be_filtered(tenant: Tenant, api: httpx.Client, which: dict[str, str], count: int) -> None:
    api.get("/api/v1/tasks")
    api.get("/api/v1/tasks")
    api.post("/api/v1/tasks")
    assert len(tenant.request_log(**which)) == count


def test_control_requests_are_not_logged(tenant: Tenant, api: httpx.Client) -> None:
    api.get("/api/v1/tasks")
    tenant.clear_request_log()
    tenant.add_task()
    assert tenant.request_log() == []
