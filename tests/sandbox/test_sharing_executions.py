from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Script, SharingScript, Tenant

SHARING = "/api/v1/sharing-tasks"


@pytest.fixture
def task_id(tenant: Tenant) -> str:
    """A report for a user and somebody outside."""
    return tenant.add_sharing_task("Weekly", recipients=["user-sandbox", "a@b.example"])


def execute(api: httpx.Client, task_id: str) -> None:
    response = api.post(f"{SHARING}/actions/execute", json={"sharingTaskID": task_id})
    assert (response.status_code, response.content) == (204, b"")


def executions(api: httpx.Client, task_id: str, **query: str) -> list[dict[str, Any]]:
    response = api.get(f"{SHARING}/{task_id}/executions", params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["executions"])


def states(api: httpx.Client, task_id: str) -> list[str]:
    return [execution["status"] for execution in executions(api, task_id)]


def status_code(api: httpx.Client, task_id: str) -> str:
    return str(api.get(f"{SHARING}/{task_id}").json()["statusCode"])


def test_one_execute_makes_an_execution_for_each_recipient(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    execute(api, task_id)
    first, second = executions(api, task_id)
    assert first["targetUser"] == {"type": "userId", "value": "user-sandbox"}
    assert second["targetUser"] == {"type": "email", "value": "a@b.example"}
    assert first["workflowID"] == second["workflowID"]
    assert first["id"] != second["id"]
    assert (first["sharingTaskID"], first["ownerId"], "reloadId" in first) == (task_id, tenant.user_id, False)
    assert [run["via"] for run in tenant.runs(task_id)] == ["api", "api"]


def test_two_executes_are_two_workflows(api: httpx.Client, task_id: str) -> None:
    execute(api, task_id)
    execute(api, task_id)
    assert len({execution["workflowID"] for execution in executions(api, task_id)}) == 2


def test_the_workflow_id_may_be_absent(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.switch(workflow_id="absent")
    execute(api, task_id)
    assert not any("workflowID" in execution for execution in executions(api, task_id))


def test_an_execution_goes_through_its_states(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.script(task_id, SharingScript([Script(wait=2, run=6)], delivery=2))
    execute(api, task_id)
    seen = [states(api, task_id)]
    for seconds in (2, 4, 2):
        tenant.advance(seconds)
        seen.append(states(api, task_id))
    assert seen == [["initialized"], ["in-progress"], ["presuccessful"], ["successful"]]
    (ended,) = executions(api, task_id)
    assert ended["endTime"] > ended["startTime"] == ended["eventTime"]
    assert (ended["successCount"], ended["totalCount"]) == (1, 1)


def test_each_recipient_may_have_a_script_of_its_own(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.script(
        task_id, SharingScript([Script(run=2), Script(run=1, end="FAILED", error="no access"), Script(end=None)])
    )
    execute(api, task_id)
    tenant.advance(2)
    assert states(api, task_id) == ["successful", "failed", "in-progress"]
    failed = executions(api, task_id)[1]
    assert (failed["errors"][0]["detail"], failed["failedCount"]) == ("no access", 1)
    assert ("failedTime" in failed, "endTime" in failed) == (True, False)
    assert status_code(api, task_id) == "IN_PROGRESS"


@pytest.mark.parametrize("end", ["successful", "failed", "cancelled", "invalid", "a new word"])
def test_an_execution_may_end_with_any_status(tenant: Tenant, api: httpx.Client, task_id: str, end: str) -> None:
    tenant.script(task_id, Script(run=0, end=end))
    execute(api, task_id)
    assert states(api, task_id) == [end, end]


def test_more_executions_may_appear_while_the_first_ones_run(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.script(task_id, SharingScript([Script(run=2)] * 3, appear_after=[0, 0, 5]))
    execute(api, task_id)
    assert len(executions(api, task_id)) == 2
    assert [run["hidden"] for run in tenant.runs(task_id)] == [False, False, True]
    tenant.advance(3)
    assert states(api, task_id) == ["successful"] * 2
    assert status_code(api, task_id) == "IN_PROGRESS"
    tenant.advance(2)
    assert states(api, task_id) == ["successful", "successful", "in-progress"]
    tenant.advance(2)
    assert (len(executions(api, task_id)), status_code(api, task_id)) == (3, "VALID")
    assert len({execution["workflowID"] for execution in executions(api, task_id)}) == 1


def test_executions_may_show_up_late(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.switch(sharing_show_after=5)
    execute(api, task_id)
    hidden = tenant.runs(task_id)[0]["id"]
    assert executions(api, task_id) == []
    for execution_id in (hidden, "latest"):
        assert api.get(f"{SHARING}/{task_id}/executions/{execution_id}").status_code == 404
    assert status_code(api, task_id) == "IN_PROGRESS"
    assert len(tenant.active()) == 2
    tenant.advance(5)
    assert states(api, task_id) == ["successful"] * 2


def test_a_sharing_task_shows_its_scripted_status_code(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.script(task_id, SharingScript([], status_code="REPORTING_DAILY_QUOTA_EXCEEDED"), SharingScript())
    execute(api, task_id)
    assert (executions(api, task_id), status_code(api, task_id)) == ([], "REPORTING_DAILY_QUOTA_EXCEEDED")
    execute(api, task_id)
    assert status_code(api, task_id) == "IN_PROGRESS"
    tenant.advance(1)
    assert status_code(api, task_id) == "VALID"


def test_a_cancel_ends_active_and_future_executions(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.script(
        task_id, SharingScript([Script(run=1), Script(end=None, cancel_delay=2), Script()], appear_after=[0, 0, 9])
    )
    execute(api, task_id)
    tenant.advance(1)
    cancel = f"{SHARING}/{task_id}/actions/cancel"
    assert api.post(cancel).status_code == 204
    assert states(api, task_id) == ["successful", "cancelling"]
    assert status_code(api, task_id) == "CANCELLING"
    tenant.advance(10)
    assert states(api, task_id) == ["successful", "cancelled"]
    cancelled = executions(api, task_id)[1]
    assert ("cancelledTime" in cancelled, cancelled["cancelledCount"]) == (True, 1)
    assert (status_code(api, task_id), tenant.active()) == ("CANCELLED", [])
    assert api.post(cancel).status_code == 404


def test_the_status_code_of_a_cancelled_task_depends_on_the_switch(
    tenant: Tenant, api: httpx.Client, task_id: str
) -> None:
    tenant.switch(cancelled_sharing_task="VALID")
    tenant.script(task_id, Script(end=None, cancel_delay=0))
    execute(api, task_id)
    assert api.post(f"{SHARING}/{task_id}/actions/cancel").status_code == 204
    assert status_code(api, task_id) == "VALID"


def test_executions_are_sorted_by_their_start(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    for execution_id, ago in (("b", 30), ("a", 20), ("c", 10)):
        tenant.add_execution(task_id, id=execution_id, started_ago=ago)

    def ids(**query: str) -> list[str]:
        return [execution["id"] for execution in executions(api, task_id, **query)]

    assert ids() == ids(sort="+starttime") == ids(sort="starttime") == ["b", "a", "c"]
    assert ids(sort="-starttime") == ["c", "a", "b"]
    assert api.get(f"{SHARING}/{task_id}/executions", params={"sort": "status"}).status_code == 400


def test_the_start_time_may_be_the_start_of_the_work(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.switch(execution_start_time="started", sharing_times="seconds")
    tenant.script(task_id, SharingScript([Script(wait=10)]))
    execute(api, task_id)
    (waiting,) = executions(api, task_id)
    tenant.advance(10)
    (working,) = executions(api, task_id)
    assert ("startTime" in waiting, working["startTime"] > working["eventTime"]) == (False, True)
    assert len(working["startTime"]) == len("2026-01-01T00:00:00Z")


def test_executions_are_filtered_by_status(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    good = tenant.add_execution(task_id)
    bad = tenant.add_execution(task_id, script=Script(end="failed"))
    assert [one["id"] for one in executions(api, task_id, status="successful")] == [good]
    assert [one["id"] for one in executions(api, task_id, status="failed")] == [bad]
    assert api.get(f"{SHARING}/{task_id}/executions", params={"status": "cancelled"}).status_code == 400


def test_the_latest_execution_may_be_the_latest_of_a_status(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    for word, ago in (("cancelled", 40), ("failed", 30), ("successful", 20)):
        tenant.add_execution(task_id, id=word, started_ago=ago, script=Script(end=word))
    path = f"{SHARING}/{task_id}/executions"
    assert api.get(f"{path}/latest").json()["id"] == "successful"
    for word in ("cancelled", "failed", "successful"):
        assert api.get(f"{path}/latest", params={"status": word}).json()["id"] == word
    assert api.get(f"{path}/latest", params={"status": "invalid"}).status_code == 400
    assert api.get(f"{path}/failed").json()["status"] == "failed"
    assert api.get(f"{path}/none").status_code == 404


def test_an_app_reload_may_set_off_executions_in_the_same_minute(
    tenant: Tenant, api: httpx.Client, task_id: str
) -> None:
    execute(api, task_id)
    first = tenant.add_execution(task_id, started_ago=0, reload_id="reload-1", workflow_id="other")
    second = tenant.add_execution(task_id, started_ago=0, reload_id="reload-1", workflow_id="other")
    found = {execution["id"]: execution for execution in executions(api, task_id)}
    assert (len(found), found[first]["reloadId"], found[first]["workflowID"]) == (4, "reload-1", "other")
    assert found[second]["workflowID"] == "other"
    assert [run["via"] for run in tenant.runs(task_id)] == ["api", "api", "reload", "reload"]


def test_competing_executions_start_with_the_callers(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.switch(competing_runs=1, competing_moment="after")
    execute(api, task_id)
    runs = tenant.runs(task_id)
    assert [run["via"] for run in runs] == ["api", "api", "competing", "competing"]
    assert len({run["workflow_id"] for run in runs}) == 2
    assert len(executions(api, task_id)) == 4


def test_an_added_execution_follows_its_script(tenant: Tenant, task_id: str) -> None:
    tenant.add_run(task_id, started_ago=100, script=Script(run=150))
    tenant.add_execution(task_id, started_ago=100, script=SharingScript(Script(run=50)))
    assert [(run["started_by"], run["active"]) for run in tenant.runs(task_id)] == [
        ("user-other", True),
        ("user-other", False),
    ]
    assert [run["kind"] for run in tenant.active()] == ["execution"]
    with pytest.raises(SandboxError, match="none"):
        tenant.add_execution("none")
    with pytest.raises(SandboxError, match="recipient"):
        tenant.add_execution(task_id, script=SharingScript([]))


@pytest.mark.parametrize(
    ("switch", "status", "count"), [("refused", 400, 0), ("ignored", 204, 0), ("accepted", 204, 1)]
)
def test_executing_a_disabled_task_has_several_outcomes(
    tenant: Tenant, api: httpx.Client, switch: str, status: int, count: int
) -> None:
    tenant.switch(disabled_start=switch)
    task_id = tenant.add_sharing_task(enabled=False)
    assert api.post(f"{SHARING}/actions/execute", json={"sharingTaskID": task_id}).status_code == status
    assert len(tenant.runs(task_id)) == count


@pytest.mark.parametrize(
    ("switch", "status", "count"), [("refused", 400, 2), ("ignored", 204, 2), ("parallel", 204, 4)]
)
def test_executing_a_task_at_work_has_several_outcomes(
    tenant: Tenant, api: httpx.Client, task_id: str, switch: str, status: int, count: int
) -> None:
    tenant.switch(running_start=switch)
    execute(api, task_id)
    assert api.post(f"{SHARING}/actions/execute", json={"sharingTaskID": task_id}).status_code == status
    assert len(tenant.runs(task_id)) == count


@pytest.mark.parametrize("body", [None, {}, {"sharingTaskID": 7}, []])
def test_an_invalid_execute_starts_nothing(tenant: Tenant, api: httpx.Client, task_id: str, body: Any) -> None:
    assert api.post(f"{SHARING}/actions/execute", json=body).status_code == 400
    assert tenant.runs(task_id) == []


def test_an_execute_whose_response_was_lost_is_carried_out(tenant: Tenant, api: httpx.Client, task_id: str) -> None:
    tenant.fault(reset="after", operation="execute_sharing_task")
    with pytest.raises(httpx.ReadError):
        execute(api, task_id)
    assert len(executions(api, task_id)) == 2
