from __future__ import annotations

import gzip
import json
import socket
import time
from typing import Literal

import httpx
import pytest

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import Script, Tenant


def start(api: httpx.Client, task_id: str) -> httpx.Response:
    return api.post(f"/api/v1/tasks/{task_id}/actions/start")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 409, 413, 429, 499, 520])
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_proxy_page_may_have_any_status(tenant: Tenant, api: httpx.Client, status: int, carried_out: bool) -> None:
    task_id = tenant.add_task()
    tenant.fault(status=status, body="<html>", content_type="Text/HTML; charset=utf-8", carried_out=carried_out)
    response = start(api, task_id)
    assert (response.status_code, response.headers["content-type"], response.text) == (
        status,
        "Text/HTML; charset=utf-8",
        "<html>",
    )
    assert len(tenant.runs(task_id)) == carried_out


def test_a_page_may_have_no_content_type_and_any_bytes(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(status=403, body=b"\xff\xfe<\x00h\x00", content_type=None)
    response = api.get("/api/v1/tasks")
    assert (response.status_code, response.content) == (403, b"\xff\xfe<\x00h\x00")
    assert "content-type" not in response.headers
    tenant.fault(status=499, body="", content_type=None)
    response = api.get("/api/v1/tasks")
    assert (response.status_code, response.content) == (499, b"")


@pytest.mark.parametrize("trickle", ["headers", "body"])
def test_a_response_trickles_until_the_client_disconnects(
    tenant: Tenant, api: httpx.Client, trickle: Literal["headers", "body"]
) -> None:
    task_id = tenant.add_task()
    tenant.fault(trickle=trickle, interval=0.01, operation="start_task")
    received = b""
    with socket.create_connection(("127.0.0.1", httpx.URL(tenant.url).port), timeout=5) as caller:
        key = f"Authorization: Bearer {tenant.api_key}\r\nHost: tenant\r\nContent-Length: 0\r\n\r\n"
        caller.sendall(f"POST /api/v1/tasks/{task_id}/actions/start HTTP/1.1\r\n{key}".encode())
        while received.count(b" \r\n1\r\n") < 3 and not received.endswith(b"x-trickle: aaa"):
            part = caller.recv(1000 if trickle == "body" and b"\r\n\r\n" not in received else 10)
            received += part
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(tenant.runs(task_id)) == 1
    assert tenant.request_log("start_task")[0].status == (200 if trickle == "body" else None)
    assert api.get("/api/v1/tasks").status_code == 200


def test_a_trickle_never_exceeds_a_time_out_between_bytes(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(trickle="body", interval=0.01)
    began = time.monotonic()
    with api.stream("GET", "/api/v1/tasks", timeout=0.2) as response:
        for _ in response.iter_raw():
            if time.monotonic() - began > 0.5:
                break
        else:
            pytest.fail("the body came to an end")


def test_a_trickle_ends_with_the_server() -> None:
    with socket.socket() as caller:
        with sandbox.serve() as tenant:
            tenant.fault(trickle="headers", interval=0.01)
            caller.connect(("127.0.0.1", httpx.URL(tenant.url).port))
            caller.sendall(b"GET /api/v1/tasks HTTP/1.1\r\nHost: tenant\r\n\r\n")
            assert caller.recv(1) == b"H"
            began = time.monotonic()
        assert time.monotonic() - began < 2


def test_a_response_about_another_run_has_other_ids_and_has_succeeded(tenant: Tenant, api: httpx.Client) -> None:
    task_id, automation_id, app_id = tenant.add_task(), tenant.add_automation(), tenant.add_app()
    sharing_task_id = tenant.add_sharing_task()
    for resource in (task_id, automation_id, app_id, sharing_task_id):
        tenant.script(resource, Script(end=None))
    start(api, task_id)
    run = api.post(f"/api/workflows/automations/{automation_id}/runs", json={"context": "api"}).json()
    reload = api.post("/api/v1/reloads", json={"appId": app_id}).json()
    api.post("/api/v1/sharing-tasks/actions/execute", json={"sharingTaskID": sharing_task_id})
    execution = api.get(f"/api/v1/sharing-tasks/{sharing_task_id}/executions").json()["executions"][0]
    cases = [
        (f"/api/v1/tasks/{task_id}/runs/last", "SUCCEEDED", "endedAt", {"taskId": task_id}),
        (f"/api/workflows/automations/{automation_id}/runs/{run['id']}", "finished", "stopTime", {"id": run["id"]}),
        (f"/api/v1/reloads/{reload['id']}", "SUCCEEDED", "endTime", {"id": reload["id"], "appId": app_id}),
        (
            f"/api/v1/sharing-tasks/{sharing_task_id}/executions/{execution['id']}",
            "successful",
            "endTime",
            {"id": execution["id"], "sharingTaskID": sharing_task_id, "workflowID": execution["workflowID"]},
        ),
    ]
    for path, status, end, ids in cases:
        tenant.fault(response="other_run")
        body = api.get(path).json()
        assert (body["status"], end in body) == (status, True)
        assert all(body[name] and body[name] != value for name, value in ids.items())
        true = api.get(path).json()
        assert true["status"] != status
        assert true.keys() <= body.keys()
    tenant.fault(response="other_run")
    (listed,) = api.get(f"/api/v1/tasks/{task_id}/runs").json()["data"]
    assert (listed["taskId"] == task_id, listed["status"]) == (False, "SUCCEEDED")


def test_a_body_is_compressed_and_may_be_cut_off(tenant: Tenant, api: httpx.Client) -> None:
    plain = api.get("/api/v1/tasks").json()
    tenant.fault(encoding="gzip")
    response = api.get("/api/v1/tasks")
    assert (response.headers["content-encoding"], response.json()) == ("gzip", plain)
    tenant.fault(encoding="gzip", response="truncated", body="text " * 1000)
    with api.stream("GET", "/api/v1/tasks") as response:
        raw = b"".join(response.iter_raw())
    assert len(raw) == int(response.headers["content-length"])
    with pytest.raises(EOFError):
        gzip.decompress(raw)


def test_a_small_body_may_unpack_to_a_large_one_that_is_still_json(tenant: Tenant, api: httpx.Client) -> None:
    plain = api.get("/api/v1/tasks")
    tenant.fault(encoding="gzip", padded_to=5_000_001)
    with api.stream("GET", "/api/v1/tasks") as response:
        raw = b"".join(response.iter_raw())
    unpacked = gzip.decompress(raw)
    assert (len(raw) < 10_000, len(unpacked)) == (True, 5_000_001)
    assert json.loads(unpacked) == plain.json()
    tenant.fault(status=500, padded_to=100_000)
    response = api.get("/api/v1/tasks")
    assert (len(response.content), "errors" in response.json()) == (100_000, True)


def test_a_file_may_be_compressed_and_cut_off(tenant: Tenant, api: httpx.Client) -> None:
    sharing_task_id = tenant.add_sharing_task()
    execution_id = tenant.add_execution(sharing_task_id)
    path = f"/api/v1/sharing-tasks/{sharing_task_id}/executions/{execution_id}/files/report"
    whole = api.get(path).content
    tenant.fault(encoding="gzip")
    assert api.get(path).content == whole
    tenant.fault(encoding="gzip", response="truncated")
    with api.stream("GET", path) as response, pytest.raises(EOFError):
        gzip.decompress(b"".join(response.iter_raw()))
