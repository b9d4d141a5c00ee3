from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Tenant


def start(api: httpx.Client, task_id: str) -> httpx.Response:
    return api.post(f"/api/v1/tasks/{task_id}/actions/start")


def test_a_status_fault_has_the_form_of_the_family_and_carries_nothing_out(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    number = tenant.fault(status=503, retry_after=7, operation="start_task")
    response = start(api, task_id)
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["errors"][0]["code"] == 503
    assert tenant.runs(task_id) == []
    entry = tenant.request_log("start_task")[0]
    assert (entry.status, entry.carried_out, entry.fault) == (503, False, number)


def test_a_status_fault_may_carry_out_the_operation(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault("POST", status=500, carried_out=True)
    assert start(api, task_id).status_code == 500
    assert len(tenant.runs(task_id)) == 1
    assert tenant.request_log()[0].carried_out


def test_a_fault_applies_as_many_times_as_set(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(status=500, times=2)
    assert [api.get("/api/v1/tasks").status_code for _ in range(3)] == [500, 500, 200]
    tenant.fault(status=500, times=None)
    assert [api.get("/api/v1/tasks").status_code for _ in range(3)] == [500, 500, 500]
    tenant.clear_faults()
    assert api.get("/api/v1/tasks").status_code == 200


@pytest.mark.parametrize(
    "only",
    [{"method": "post"}, {"path": "/api/v1/tasks/*"}, {"operation": "get_task"}],
    ids=lambda only: next(iter(only)),
)
def test_a_fault_applies_to_matching_requests_only(tenant: Tenant, api: httpx.Client, only: dict[str, str]) -> None:
    tenant.fault(status=500, **only)  # type: ignore[arg-type]
    assert api.get("/api/v1/tasks").status_code == 200
    path = f"/api/v1/tasks/{tenant.add_task()}"
    assert (start(api, path.rpartition("/")[2]) if "method" in only else api.get(path)).status_code == 500


def test_a_fault_may_have_its_own_body_headers_and_code(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(status=418, body={"a": 1}, headers={"X-Tea": "green"})
    response = api.get("/api/v1/tasks")
    assert (response.status_code, response.json(), response.headers["x-tea"]) == (418, {"a": 1}, "green")
    tenant.fault(status=502, body="Bad gateway")
    assert api.get("/api/v1/tasks").text == "Bad gateway"
    tenant.fault(status=429, code="RELOADS-007")
    assert api.get("/api/v1/tasks").json()["errors"][0]["code"] == "RELOADS-007"


def test_a_connection_is_reset_before_anything_is_carried_out(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(reset="before", operation="start_task")
    with pytest.raises(httpx.ReadError):
        start(api, task_id)
    assert tenant.runs(task_id) == []
    entry = tenant.request_log("start_task")[0]
    assert (entry.status, entry.carried_out, entry.credential) == (None, False, "api_key")


def test_a_connection_is_reset_after_the_operation_was_carried_out(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(reset="after", operation="start_task")
    with pytest.raises(httpx.ReadError):
        start(api, task_id)
    assert len(tenant.runs(task_id)) == 1
    entry = tenant.request_log("start_task")[0]
    assert (entry.status, entry.carried_out) == (None, True)


def test_a_reset_affects_one_connection_only(tenant: Tenant, api: httpx.Client, anybody: httpx.Client) -> None:
    anybody.get("/api/v1/tasks")
    tenant.fault(reset="before")
    with pytest.raises(httpx.ReadError):
        api.get("/api/v1/tasks")
    assert anybody.get("/api/v1/tasks").status_code == 401


@pytest.mark.parametrize("carried_out", [False, True])
def test_an_html_fault_returns_a_web_page(tenant: Tenant, api: httpx.Client, carried_out: bool) -> None:
    task_id = tenant.add_task()
    tenant.fault(response="html", carried_out=carried_out)
    response = start(api, task_id)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(tenant.runs(task_id)) == carried_out
    tenant.fault(response="html", status=502)
    assert start(api, task_id).status_code == 502


def test_truncated_json_has_a_matching_length(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(response="truncated")
    response = start(api, task_id)
    assert response.status_code == 200
    assert len(response.content) == int(response.headers["content-length"])
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()
    assert len(tenant.runs(task_id)) == 1


def test_a_connection_ends_in_the_middle_of_the_body(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(response="cut")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        start(api, task_id)
    assert len(tenant.runs(task_id)) == 1
    assert start(api, task_id).status_code == 200


@pytest.mark.parametrize("cut_at", [0, 3])
def test_a_body_may_be_cut_at_any_byte(tenant: Tenant, api: httpx.Client, cut_at: int) -> None:
    whole = api.get("/api/v1/tasks").content
    tenant.fault(response="cut", cut_at=cut_at)
    with api.stream("GET", "/api/v1/tasks") as response:
        received = response.iter_raw()
        assert b"".join(next(received) for _ in range(bool(cut_at))) == whole[:cut_at]
        with pytest.raises(httpx.RemoteProtocolError):
            next(received)


def test_a_response_may_be_nonsense_or_empty(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(response="nonsense")
    assert api.get("/api/v1/tasks").json() == [42, "nonsense"]
    tenant.fault(response="empty")
    response = api.get("/api/v1/tasks")
    assert (response.status_code, response.content) == (200, b"")


def test_a_delay_does_not_delay_other_requests(tenant: Tenant, api: httpx.Client, anybody: httpx.Client) -> None:
    tenant.fault(delay=0.4, operation="list_tasks")
    responses: list[float] = []

    def ask() -> None:
        api.get("/api/v1/tasks")
        responses.append(time.monotonic())

    sent = time.monotonic()
    slow = threading.Thread(target=ask)
    slow.start()
    while not tenant.request_log("list_tasks"):
        time.sleep(0.001)
    anybody.get("/api/v1/users/me")
    quick = time.monotonic()
    slow.join()
    assert responses[0] - sent >= 0.4
    assert quick < responses[0]


def test_a_client_that_disconnects_does_not_prevent_a_delayed_operation(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(delay=0.1, operation="start_task")
    with pytest.raises(httpx.ReadTimeout):
        api.post(f"/api/v1/tasks/{task_id}/actions/start", timeout=0.02)
    until = time.monotonic() + 5
    while not tenant.runs(task_id) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(tenant.runs(task_id)) == 1


def test_faults_apply_to_token_requests_and_unknown_paths(tenant: Tenant, anybody: httpx.Client) -> None:
    tenant.fault(status=503, operation="token")
    tenant.fault(status=502, path="/nowhere*")
    assert anybody.post("/oauth/token").status_code == 503
    assert anybody.get("/nowhere/else").status_code == 502


def test_an_unknown_kind_of_fault_is_refused_by_name(tenant: Tenant) -> None:
    with pytest.raises(SandboxError, match="sometimes"):
        tenant.fault(reset="sometimes")  # type: ignore[arg-type]
    with pytest.raises(SandboxError, match="poem"):
        tenant.fault(response="poem")  # type: ignore[arg-type]
    with pytest.raises(SandboxError, match="cut_at"):
        tenant.fault(response="empty", cut_at=3)
    with pytest.raises(SandboxError, match="times"):
        tenant.fault(status=500, times=0)


def test_faults_of_the_token_endpoint_are_of_every_kind(tenant: Tenant, anybody: httpx.Client) -> None:
    body = {"client_id": tenant.client_id, "client_secret": tenant.client_secret, "grant_type": "client_credentials"}
    tenant.fault(operation="token", status=403, body="<html>", content_type="text/html")
    assert anybody.post("/oauth/token", json=body).text == "<html>"
    tenant.fault(operation="token", trickle="body", interval=0.01)
    with anybody.stream("POST", "/oauth/token", json=body) as response:
        assert next(response.iter_raw()) == b"{"
    assert "access_token" in anybody.post("/oauth/token", json=body).json()


@pytest.mark.parametrize(
    "members", [{"encoding": "brotli"}, {"trickle": "tears"}, {"interval": 0, "trickle": "body"}, {"padded_to": -1}]
)
def test_an_invalid_fault_argument_is_refused_by_name(tenant: Tenant, members: dict[str, Any]) -> None:
    with pytest.raises(SandboxError, match=next(iter(members))):
        tenant.fault(**members)
