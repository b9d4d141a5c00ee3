from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import datetime

import httpx
import pytest

from airflow_provider_qlik import sandbox


def test_a_tenant_starts_and_stops_in_well_under_a_second() -> None:
    others, began = set(threading.enumerate()), time.monotonic()
    with sandbox.serve() as tenant:
        tenant.now()
    assert time.monotonic() - began < 0.9
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "qlik-sandbox"]
    with pytest.raises(OSError, match="refused"):
        tenant.now()


def test_tenants_run_side_by_side() -> None:
    with sandbox.serve() as one, sandbox.serve(speed=1000) as two:
        one.add_task(id="here")
        assert one.runs("here") == []
        with pytest.raises(sandbox.SandboxError):
            two.runs("here")
        assert one.api_key != two.api_key


def test_the_speed_of_a_tenant_applies_to_its_clock() -> None:
    with sandbox.serve(speed=10_000) as tenant:
        task_id = tenant.add_task()
        tenant.script(task_id, sandbox.Script(run=100))
        key = {"Authorization": f"Bearer {tenant.api_key}"}
        url = f"{tenant.url}/api/v1/tasks/{task_id}"
        httpx.post(f"{url}/actions/start", headers=key, trust_env=False)
        time.sleep(0.02)
        assert httpx.get(f"{url}/runs/last", headers=key, trust_env=False).json()["status"] == "SUCCEEDED"


def test_a_request_sees_one_time_at_any_speed() -> None:
    with sandbox.serve(speed=10**6) as tenant:
        task_id = tenant.add_task()
        key = {"Authorization": f"Bearer {tenant.api_key}"}
        content = httpx.post(f"{tenant.url}/api/v1/tasks/{task_id}/actions/start", headers=key, trust_env=False).json()
        (run,) = tenant.runs(task_id)
        assert datetime.fromisoformat(run["created_at"]) == datetime.fromisoformat(content["timestamp"])


def test_a_tenant_that_ends_aborts_delayed_responses() -> None:
    raised: list[Exception] = []

    def ask(url: str) -> None:
        try:
            httpx.get(f"{url}/api/v1/tasks", timeout=30, trust_env=False)
        except httpx.HTTPError as error:
            raised.append(error)

    with sandbox.serve() as tenant:
        tenant.fault(delay=30)
        waiting = threading.Thread(target=ask, args=[tenant.url])
        waiting.start()
        while not tenant.request_log():
            time.sleep(0.001)
    waiting.join(5)
    assert len(raised) == 1


def test_a_port_may_be_chosen_and_is_free_again_afterwards() -> None:
    with sandbox.serve() as tenant:
        port = int(tenant.url.rpartition(":")[2])
    for _ in range(2):
        with sandbox.serve(port=port) as tenant:
            assert tenant.url == f"http://127.0.0.1:{port}"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_importing_the_sandbox_loads_no_server() -> None:
    code = """
import sys
from airflow_provider_qlik import sandbox
sandbox.Script, sandbox.Switches, sandbox.Tenant
print([name for name in ("uvicorn", "starlette", "httpx", "jwt", "airflow") if name in sys.modules])
"""
    assert run(code).strip() == "[]"


def test_a_missing_library_is_reported_with_the_extra_to_install() -> None:
    code = """
import sys
sys.modules["uvicorn"] = None
from airflow_provider_qlik import sandbox
sandbox.serve
"""
    assert "install airflow-provider-qlik[sandbox]" in run(code)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_control_api_responds_to_its_own_hosts(host: str) -> None:
    with sandbox.serve() as tenant:
        port = tenant.url.rpartition(":")[2]
        response = httpx.post(f"{tenant.url}/sandbox/now", headers={"host": host.format(port=port)}, trust_env=False)
        assert response.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil"])
def test_the_control_api_refuses_other_hosts(host: str) -> None:
    """A web page whose name leads to 127.0.0.1 (DNS rebinding) must not read the secrets or change anything."""
    with sandbox.serve() as tenant:
        port = tenant.url.rpartition(":")[2]
        headers = {"host": host.format(port=port)}
        for command in ("credentials", "reset"):
            response = httpx.post(f"{tenant.url}/sandbox/{command}", headers=headers, trust_env=False)
            assert response.status_code == 403
            assert "control API" in response.json()["error"]
            assert tenant.api_key not in response.text
        # The API of the tenant itself may be reached through anything.
        key = {"authorization": f"Bearer {tenant.api_key}"}
        assert httpx.get(f"{tenant.url}/api/v1/tasks", headers=headers | key, trust_env=False).status_code == 200


def test_the_control_api_refuses_a_web_page_of_another_origin() -> None:
    with sandbox.serve() as tenant:
        for origin, status in (("https://evil.example", 403), ("null", 403), (tenant.url, 200)):
            response = httpx.post(f"{tenant.url}/sandbox/now", headers={"origin": origin}, trust_env=False)
            assert response.status_code == status
