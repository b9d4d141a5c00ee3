from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from typing import Any, Literal

import httpx
import pytest

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import SandboxError, Script, Tenant


def start(api: httpx.Client, task_id: str) -> httpx.Response:
    return api.post(f"/api/v1/tasks/{task_id}/actions/start")


def test_a_status_fault_answers_in_the_familys_form_and_carries_nothing_out(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    number = tenant.fault(status=503, retry_after=7, operation="start_task")
    answer = start(api, task_id)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["errors"][0]["code"] == 503
    assert tenant.runs(task_id) == []
    entry = tenant.request_log("start_task")[0]
    assert (entry.status, entry.carried_out, entry.fault) == (503, False, number)


def test_a_status_fault_may_hide_that_the_operation_happened(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault("POST", status=500, carried_out=True)
    assert start(api, task_id).status_code == 500
    assert len(tenant.runs(task_id)) == 1
    assert tenant.request_log()[0].carried_out


def test_a_fault_hits_as_often_as_asked_and_then_no_more(tenant: Tenant, api: httpx.Client) -> None:
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
def test_a_fault_hits_only_what_matches(tenant: Tenant, api: httpx.Client, only: dict[str, str]) -> None:
    tenant.fault(status=500, **only)  # type: ignore[arg-type]
    assert api.get("/api/v1/tasks").status_code == 200
    path = f"/api/v1/tasks/{tenant.add_task()}"
    assert (start(api, path.rpartition("/")[2]) if "method" in only else api.get(path)).status_code == 500


def test_a_fault_may_have_its_own_body_headers_and_code(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(status=418, body={"a": 1}, headers={"X-Tea": "green"})
    answer = api.get("/api/v1/tasks")
    assert (answer.status_code, answer.json(), answer.headers["x-tea"]) == (418, {"a": 1}, "green")
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


def test_a_reset_hits_one_connection_and_no_other(tenant: Tenant, api: httpx.Client, anybody: httpx.Client) -> None:
    anybody.get("/api/v1/tasks")
    tenant.fault(reset="before")
    with pytest.raises(httpx.ReadError):
        api.get("/api/v1/tasks")
    assert anybody.get("/api/v1/tasks").status_code == 401


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_gateway_answers_with_a_page(tenant: Tenant, api: httpx.Client, carried_out: bool) -> None:
    task_id = tenant.add_task()
    tenant.fault(answer="html", carried_out=carried_out)
    answer = start(api, task_id)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(tenant.runs(task_id)) == carried_out
    tenant.fault(answer="html", status=502)
    assert start(api, task_id).status_code == 502


def test_json_is_cut_in_the_middle_though_all_announced_bytes_came(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(answer="truncated")
    answer = start(api, task_id)
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"])
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert len(tenant.runs(task_id)) == 1


def test_a_connection_ends_in_the_middle_of_the_body(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(answer="cut")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        start(api, task_id)
    assert len(tenant.runs(task_id)) == 1
    assert start(api, task_id).status_code == 200


@pytest.mark.parametrize("cut_at", [0, 3])
def test_the_byte_may_be_named_at_which_a_body_ends(tenant: Tenant, api: httpx.Client, cut_at: int) -> None:
    whole = api.get("/api/v1/tasks").content
    tenant.fault(answer="cut", cut_at=cut_at)
    with api.stream("GET", "/api/v1/tasks") as answer:
        received = answer.iter_raw()
        assert b"".join(next(received) for _ in range(bool(cut_at))) == whole[:cut_at]
        with pytest.raises(httpx.RemoteProtocolError):
            next(received)


def test_an_answer_may_be_nonsense_or_empty(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(answer="nonsense")
    assert api.get("/api/v1/tasks").json() == [42, "nonsense"]
    tenant.fault(answer="empty")
    answer = api.get("/api/v1/tasks")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_delay_holds_up_nobody_else(tenant: Tenant, api: httpx.Client, anybody: httpx.Client) -> None:
    tenant.fault(delay=0.4, operation="list_tasks")
    answered: list[float] = []

    def ask() -> None:
        api.get("/api/v1/tasks")
        answered.append(time.monotonic())

    asked = time.monotonic()
    slow = threading.Thread(target=ask)
    slow.start()
    while not tenant.request_log("list_tasks"):
        time.sleep(0.001)
    anybody.get("/api/v1/users/me")
    quick = time.monotonic()
    slow.join()
    assert answered[0] - asked >= 0.4
    assert quick < answered[0]


def test_a_caller_that_gives_up_does_not_undo_what_happens_later(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(delay=0.1, operation="start_task")
    with pytest.raises(httpx.ReadTimeout):
        api.post(f"/api/v1/tasks/{task_id}/actions/start", timeout=0.02)
    until = time.monotonic() + 5
    while not tenant.runs(task_id) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(tenant.runs(task_id)) == 1


def test_faults_hit_token_requests_and_unknown_paths(tenant: Tenant, anybody: httpx.Client) -> None:
    tenant.fault(status=503, operation="token")
    tenant.fault(status=502, path="/nowhere*")
    assert anybody.post("/oauth/token").status_code == 503
    assert anybody.get("/nowhere/else").status_code == 502


def test_an_unknown_kind_of_fault_is_refused_by_name(tenant: Tenant) -> None:
    with pytest.raises(SandboxError, match="sometimes"):
        tenant.fault(reset="sometimes")  # type: ignore[arg-type]
    with pytest.raises(SandboxError, match="poem"):
        tenant.fault(answer="poem")  # type: ignore[arg-type]
    with pytest.raises(SandboxError, match="cut_at"):
        tenant.fault(answer="empty", cut_at=3)
    with pytest.raises(SandboxError, match="times"):
        tenant.fault(status=500, times=0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 409, 413, 429, 499, 520])
@pytest.mark.parametrize("carried_out", [False, True])
def test_something_in_between_answers_with_any_status(
    tenant: Tenant, api: httpx.Client, status: int, carried_out: bool
) -> None:
    task_id = tenant.add_task()
    tenant.fault(status=status, body="<html>", content_type="Text/HTML; charset=utf-8", carried_out=carried_out)
    answer = start(api, task_id)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (
        status,
        "Text/HTML; charset=utf-8",
        "<html>",
    )
    assert len(tenant.runs(task_id)) == carried_out


def test_a_page_may_have_no_content_type_and_any_bytes(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(status=403, body=b"\xff\xfe<\x00h\x00", content_type=None)
    answer = api.get("/api/v1/tasks")
    assert (answer.status_code, answer.content) == (403, b"\xff\xfe<\x00h\x00")
    assert "content-type" not in answer.headers
    tenant.fault(status=499, body="", content_type=None)
    answer = api.get("/api/v1/tasks")
    assert (answer.status_code, answer.content) == (499, b"")


@pytest.mark.parametrize("trickle", ["headers", "body"])
def test_an_answer_trickles_until_the_caller_hangs_up(
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


def test_a_caller_with_time_outs_between_bytes_alone_never_gets_to_the_end_of_a_trickle(
    tenant: Tenant, api: httpx.Client
) -> None:
    tenant.fault(trickle="body", interval=0.01)
    began = time.monotonic()
    with api.stream("GET", "/api/v1/tasks", timeout=0.2) as answer:
        for _ in answer.iter_raw():
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


def test_an_answer_about_somebody_else_has_other_ids_and_ended_well(tenant: Tenant, api: httpx.Client) -> None:
    task_id, automation_id, app_id = tenant.add_task(), tenant.add_automation(), tenant.add_app()
    sharing_task_id = tenant.add_sharing_task()
    for resource in (task_id, automation_id, app_id, sharing_task_id):
        tenant.script(resource, Script(end=None))
    start(api, task_id)
    run = api.post(f"/api/workflows/automations/{automation_id}/runs", json={"context": "api"}).json()
    reload = api.post("/api/v1/reloads", json={"appId": app_id}).json()
    api.post("/api/v1/sharing-tasks/actions/execute", json={"sharingTaskID": sharing_task_id})
    execution = api.get(f"/api/v1/sharing-tasks/{sharing_task_id}/executions").json()["executions"][0]
    asked = [
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
    for path, status, end, ids in asked:
        tenant.fault(answer="another")
        told = api.get(path).json()
        assert (told["status"], end in told) == (status, True)
        assert all(told[name] and told[name] != value for name, value in ids.items())
        true = api.get(path).json()
        assert true["status"] != status
        assert true.keys() <= told.keys()
    tenant.fault(answer="another")
    (listed,) = api.get(f"/api/v1/tasks/{task_id}/runs").json()["data"]
    assert (listed["taskId"] == task_id, listed["status"]) == (False, "SUCCEEDED")


def test_a_body_is_compressed_and_may_be_cut_off(tenant: Tenant, api: httpx.Client) -> None:
    plain = api.get("/api/v1/tasks").json()
    tenant.fault(encoding="gzip")
    answer = api.get("/api/v1/tasks")
    assert (answer.headers["content-encoding"], answer.json()) == ("gzip", plain)
    tenant.fault(encoding="gzip", answer="truncated", body="text " * 1000)
    with api.stream("GET", "/api/v1/tasks") as answer:
        raw = b"".join(answer.iter_raw())
    assert len(raw) == int(answer.headers["content-length"])
    with pytest.raises(EOFError):
        gzip.decompress(raw)


def test_a_small_body_may_unpack_to_a_large_one_that_is_still_json(tenant: Tenant, api: httpx.Client) -> None:
    plain = api.get("/api/v1/tasks")
    tenant.fault(encoding="gzip", padded_to=5_000_001)
    with api.stream("GET", "/api/v1/tasks") as answer:
        raw = b"".join(answer.iter_raw())
    unpacked = gzip.decompress(raw)
    assert (len(raw) < 10_000, len(unpacked)) == (True, 5_000_001)
    assert json.loads(unpacked) == plain.json()
    tenant.fault(status=500, padded_to=100_000)
    answer = api.get("/api/v1/tasks")
    assert (len(answer.content), "errors" in answer.json()) == (100_000, True)


def test_a_file_may_be_compressed_and_cut_off(tenant: Tenant, api: httpx.Client) -> None:
    sharing_task_id = tenant.add_sharing_task()
    execution_id = tenant.add_execution(sharing_task_id)
    path = f"/api/v1/sharing-tasks/{sharing_task_id}/executions/{execution_id}/files/report"
    whole = api.get(path).content
    tenant.fault(encoding="gzip")
    assert api.get(path).content == whole
    tenant.fault(encoding="gzip", answer="truncated")
    with api.stream("GET", path) as answer, pytest.raises(EOFError):
        gzip.decompress(b"".join(answer.iter_raw()))


def test_faults_of_the_token_endpoint_are_of_every_kind(tenant: Tenant, anybody: httpx.Client) -> None:
    body = {"client_id": tenant.client_id, "client_secret": tenant.client_secret, "grant_type": "client_credentials"}
    tenant.fault(operation="token", status=403, body="<html>", content_type="text/html")
    assert anybody.post("/oauth/token", json=body).text == "<html>"
    tenant.fault(operation="token", trickle="body", interval=0.01)
    with anybody.stream("POST", "/oauth/token", json=body) as answer:
        assert next(answer.iter_raw()) == b"{"
    assert "access_token" in anybody.post("/oauth/token", json=body).json()


@pytest.mark.parametrize(
    "members", [{"encoding": "brotli"}, {"trickle": "tears"}, {"interval": 0, "trickle": "body"}, {"padded_to": -1}]
)
def test_what_a_fault_cannot_do_is_refused_by_name(tenant: Tenant, members: dict[str, Any]) -> None:
    with pytest.raises(SandboxError, match=next(iter(members))):
        tenant.fault(**members)
