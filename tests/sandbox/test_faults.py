from __future__ import annotations

import threading
import time

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Tenant


def start(api: httpx.Client, task_id: str) -> httpx.Response:
    return api.post(f"/api/v1/tasks/{task_id}/actions/start")


def test_a_status_fault_answers_in_the_familys_form_and_carries_nothing_out(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    number = tenant.fault(status=503, retry_after=7, operation="start_task")
    answer = start(api, task_id)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["errors"][0]["code"] == 503
    assert tenant.runs(task_id) == []
    entry = tenant.journal("start_task")[0]
    assert (entry.status, entry.carried_out, entry.fault) == (503, False, number)


def test_a_status_fault_may_hide_that_the_operation_happened(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault("POST", status=500, carried_out=True)
    assert start(api, task_id).status_code == 500
    assert len(tenant.runs(task_id)) == 1
    assert tenant.journal()[0].carried_out


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
    entry = tenant.journal("start_task")[0]
    assert (entry.status, entry.carried_out, entry.credential) == (None, False, "api_key")


def test_a_connection_is_reset_after_the_operation_was_carried_out(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.fault(reset="after", operation="start_task")
    with pytest.raises(httpx.ReadError):
        start(api, task_id)
    assert len(tenant.runs(task_id)) == 1
    entry = tenant.journal("start_task")[0]
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
    while not tenant.journal("list_tasks"):
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
