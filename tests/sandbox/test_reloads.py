from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Script, Tenant


def started(tenant: Tenant, api: httpx.Client, script: Script) -> tuple[str, str]:
    """The ids of a task and of the reload that works for its new run."""
    task_id = tenant.add_task(resource_id="app-1")
    tenant.script(task_id, script)
    assert api.post(f"/api/v1/tasks/{task_id}/actions/start").status_code == 200
    run = api.get(f"/api/v1/tasks/{task_id}/runs/last").json()
    assert run["workerType"] == "reloads"
    return task_id, run["workerId"]


def reload(api: httpx.Client, reload_id: str) -> dict[str, Any]:
    return dict(api.get(f"/api/v1/reloads/{reload_id}").json())


def test_a_reload_goes_through_its_states(tenant: Tenant, api: httpx.Client) -> None:
    _, reload_id = started(tenant, api, Script(wait=5, run=10))
    seen = [reload(api, reload_id)]
    for seconds in (5, 10):
        tenant.advance(seconds)
        seen.append(reload(api, reload_id))
    assert [one["status"] for one in seen] == ["QUEUED", "RELOADING", "SUCCEEDED"]
    assert ["startTime" in one for one in seen] == [False, True, True]
    assert ["endTime" in one for one in seen] == [False, False, True]
    assert seen[0]["appId"] == "app-1"


def test_a_failed_reload_says_why(tenant: Tenant, api: httpx.Client) -> None:
    _, reload_id = started(tenant, api, Script(run=0, end="FAILED", error="no such table", log=("a", "b")))
    found = reload(api, reload_id)
    assert (found["status"], found["errorMessage"]) == ("FAILED", "no such table")
    assert found["errorCode"]
    assert api.get(f"/api/v1/apps/app-1/reloads/logs/{reload_id}").text == "a\nb"


@pytest.mark.parametrize("word", ["FAILED", "CANCELED"])
def test_cancelling_the_reload_ends_the_task_run(tenant: Tenant, api: httpx.Client, word: str) -> None:
    tenant.switch(cancelled_task_status=word)
    task_id, reload_id = started(tenant, api, Script(end=None, stopping=2))
    assert api.post(f"/api/v1/reloads/{reload_id}/actions/cancel").status_code == 202
    assert reload(api, reload_id)["status"] == "CANCELING"
    assert len(tenant.active()) == 2
    tenant.advance(2)
    assert reload(api, reload_id)["status"] == "CANCELED"
    assert api.get(f"/api/v1/tasks/{task_id}/runs/last").json()["status"] == word
    assert tenant.active() == []
    assert [one["status"] for one in tenant.reloads()] == ["CANCELED"]


def test_a_cancel_may_answer_204(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(cancel_reply=204)
    _, reload_id = started(tenant, api, Script(end=None))
    assert api.post(f"/api/v1/reloads/{reload_id}/actions/cancel").status_code == 204


def test_a_reload_that_has_ended_cannot_be_cancelled(tenant: Tenant, api: httpx.Client) -> None:
    _, reload_id = started(tenant, api, Script(run=0))
    assert api.post(f"/api/v1/reloads/{reload_id}/actions/cancel").status_code == 409
    assert reload(api, reload_id)["status"] == "SUCCEEDED"


def test_an_unknown_reload_is_404(api: httpx.Client) -> None:
    assert api.get("/api/v1/reloads/none").status_code == 404
    assert api.post("/api/v1/reloads/none/actions/cancel").status_code == 404
