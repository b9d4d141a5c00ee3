from __future__ import annotations

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Script, SharingScript, Tenant


def test_any_handle_on_the_url_controls_the_tenant(tenant: Tenant) -> None:
    other = Tenant(tenant.url + "/")
    task_id = other.add_task("Sales", "task-1", "app-1", description="daily")
    assert task_id == "task-1"
    assert (other.api_key, other.runs(task_id)) == (tenant.api_key, [])


def test_added_tasks_and_automations_have_the_members_of_their_arguments(tenant: Tenant, api: httpx.Client) -> None:
    task = api.get(f"/api/v1/tasks/{tenant.add_task('T', annotations=['a'], metadata={'spaceId': 's'})}").json()
    assert (task["name"], task["annotations"], task["enabled"]) == ("T", ["a"], True)
    assert (task["metadata"]["spaceId"], task["metadata"]["ownerId"]) == ("s", tenant.user_id)
    disabled = api.get(f"/api/v1/tasks/{tenant.add_task(enabled=False)}").json()
    assert disabled["metadata"]["disabledCode"] == "MANUALLY"
    automation_id = tenant.add_automation("A", run_mode="webhook", spaceId="s")
    automation = api.get(f"/api/workflows/automations/{automation_id}").json()
    assert (automation["runMode"], automation["spaceId"]) == ("webhook", "s")


def test_the_worker_of_a_run_may_be_unknown_to_the_api(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task(worker="dataflows")
    tenant.add_run(task_id)
    run = api.get(f"/api/v1/tasks/{task_id}/runs/last").json()
    assert run["workerType"] == "dataflows"
    assert api.get(f"/api/v1/reloads/{run['workerId']}").status_code == 404


def test_an_added_run_follows_its_script(tenant: Tenant, api: httpx.Client) -> None:
    task_id, automation_id = tenant.add_task(), tenant.add_automation()
    for resource_id in (task_id, automation_id):
        tenant.add_run(resource_id, started_ago=100, script=Script(run=50))
        tenant.add_run(resource_id, started_ago=100, script=Script(run=150))
        assert [run["active"] for run in tenant.runs(resource_id)] == [False, True]
        assert {run["started_by"] for run in tenant.runs(resource_id)} == {"user-other"}
    assert api.get(f"/api/v1/tasks/{task_id}/runs").json()["data"][0]["triggeredBy"] == "schedule"
    assert {run["kind"] for run in tenant.active()} == {"task_run", "automation_run", "reload"}


def test_the_handle_returns_every_active_run(tenant: Tenant) -> None:
    app_id = tenant.add_app()
    for resource_id in (
        app_id,
        tenant.add_sharing_task(),
        tenant.add_task(resource_id=app_id),
        tenant.add_automation(),
    ):
        tenant.script(resource_id, Script(run=5))
        run_id = tenant.add_run(resource_id, script=Script(end=None))
        assert [run["id"] for run in tenant.runs(resource_id)][:1] == [run_id]
    kinds = [run["kind"] for run in tenant.active()]
    assert sorted(kinds) == ["automation_run", "execution", "reload", "reload", "task_run"]


def test_a_sharing_script_is_refused_for_other_resources(tenant: Tenant) -> None:
    with pytest.raises(SandboxError, match="recipients"):
        tenant.script(tenant.add_app(), SharingScript())


def test_the_snapshots_of_runs_outlive_their_task(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.add_run(task_id, script=Script(end=None))
    api.delete(f"/api/v1/tasks/{task_id}")
    assert [run["active"] for run in tenant.runs(task_id)] == [True]
    assert len(tenant.active()) == 2


def test_an_unknown_id_is_refused_by_name(tenant: Tenant) -> None:
    for ask in (tenant.runs, tenant.add_run, tenant.add_execution, lambda id: tenant.script(id, Script())):
        with pytest.raises(SandboxError, match="nothing-here"):
            ask("nothing-here")
    with pytest.raises(SandboxError, match="nothing-here"):
        tenant.add_task(worker="automations", resource_id="nothing-here")


def test_a_duplicate_id_is_refused(tenant: Tenant) -> None:
    tenant.add_task(id="one")
    with pytest.raises(SandboxError, match="one"):
        tenant.add_automation(id="one")
    adds = (tenant.add_task, tenant.add_app, tenant.add_space, tenant.add_sharing_task)
    for add in (*adds, lambda id: tenant.add_reload_task(tenant.add_app(), id=id)):
        with pytest.raises(SandboxError, match="one"):
            add(id="one")


def test_an_unknown_command_is_refused(tenant: Tenant) -> None:
    assert httpx.post(f"{tenant.url}/sandbox/dance", trust_env=False).json() == {"error": "there is no command dance"}
    assert httpx.post(f"{tenant.url}/sandbox/now", json={"a": 1}, trust_env=False).status_code == 400


def test_a_reset_restores_the_initial_state(tenant: Tenant, api: httpx.Client) -> None:
    task_id = tenant.add_task()
    tenant.add_run(task_id, script=Script(end=None))
    tenant.switch(disabled_start="ignored", next_link="loop")
    tenant.fault(status=500, times=None)
    tenant.set_limits(tasks=0)
    api.get("/api/v1/tasks")
    now = tenant.advance(10**6)
    tenant.reset()
    assert (tenant.active(), tenant.request_log()) == ([], [])
    assert tenant.now() < now
    assert api.get("/api/v1/tasks").json()["data"] == []
    assert api.get(f"/api/v1/tasks/{task_id}").status_code == 404


def test_every_response_has_the_date_of_the_tenants_clock(tenant: Tenant, anybody: httpx.Client) -> None:
    now = tenant.advance(3 * 86_400)
    for path in ("/api/v1/tasks", "/nowhere"):
        assert anybody.get(path).headers["date"] == f"{now:%a, %d %b %Y %H:%M:%S} GMT"
