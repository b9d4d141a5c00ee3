"""Enabling and disabling tasks, on both paths of the Tasks family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, Client, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ForbiddenError,
    IntermediaryResponseError,
    InvalidArgumentError,
    NoResponseError,
    NotFoundError,
    QlikCloudError,
    StatusError,
)
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.cloud.models.scheduling import PatchedTask
from airflow_provider_qlik.cloud.models.tasks import Task
from airflow_provider_qlik.runs import disable_task, enable_task
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant

V1, SCHEDULING = "/api/v1/tasks", "/api/scheduling/tasks"
EVENT = {
    "name": "after",
    "type": "com.qlik/active-analytics-orch",
    "source": "dataset.updated",
    "correlation": [{"contextAttributeName": "datasetId", "contextAttributeValue": "d"}],
    "unknown": {"to": ["this", None]},
}
ODD: dict[str, Any] = {
    "description": "Überall: any text",
    "events": [EVENT],
    "states": [{"name": "Reload", "type": "event", "onEvents": [{"eventRefs": ["after"], "actions": []}]}],
    "unknownToThis": {"package": None},
}
"""Members of a task with words that were added in 2026, and with undocumented ones."""
each_path = pytest.mark.parametrize("path", [V1, SCHEDULING])


@pytest.fixture
def client(sandbox: SandboxTenant, path: str) -> Iterator[Client]:
    tenant = Tenant.at(sandbox.url, tasks_path=path)
    with Client(tenant, ApiKey(sandbox.api_key), retry_policy=RetryPolicy(max_attempts=1)) as client:
        yield client


def shown(sandbox: SandboxTenant, client: Client, task_id: str) -> dict[str, Any]:
    return client.call(_get(task_id)).model_dump(by_alias=True, mode="json")


def _get(task_id: str) -> Call[Task]:
    from airflow_provider_qlik.cloud.api import tasks

    return tasks.get(task_id)


def changes(sandbox: SandboxTenant) -> list[str]:
    """Return the methods of the requests that changed something."""
    return [entry.method for entry in sandbox.request_log() if entry.method != "GET" and entry.carried_out]


@each_path
def test_a_task_is_switched_on_and_off_and_stays_as_it_was(sandbox: SandboxTenant, client: Client, path: str) -> None:
    task_id = sandbox.add_task("A task", enabled=False, **ODD)
    before = shown(sandbox, client, task_id)

    on = client.run_flow(enable_task(task_id))
    off = client.run_flow(disable_task(task_id))

    assert (on.enabled, on.metadata and on.metadata.disabled_code) == (True, None)
    assert (off.enabled, off.metadata and off.metadata.disabled_code) == (False, "MANUALLY")
    after = shown(sandbox, client, task_id)
    for member in before.keys() - {"metadata"}:
        assert after[member] == before[member], member
    assert after["events"][0]["unknown"] == EVENT["unknown"]
    assert after["unknownToThis"] == {"package": None}
    assert changes(sandbox) == ["PUT" if path == V1 else "PATCH"] * 2


@each_path
def test_a_task_with_the_right_state_keeps_its_owner(sandbox: SandboxTenant, client: Client, path: str) -> None:
    task_id = sandbox.add_task("A task", metadata={"ownerId": "user-other"})

    task = client.run_flow(enable_task(task_id))

    assert task.metadata is not None
    assert task.metadata.owner_id == "user-other"
    assert changes(sandbox) == []


@each_path
def test_the_caller_becomes_the_owner_of_a_changed_task(sandbox: SandboxTenant, client: Client, path: str) -> None:
    task_id = sandbox.add_task("A task", metadata={"ownerId": "user-other"})

    task = client.run_flow(disable_task(task_id))

    assert task.metadata is not None
    assert task.metadata.owner_id == sandbox.user_id


@each_path
def test_a_task_that_is_not_there_is_not_found(sandbox: SandboxTenant, client: Client, path: str) -> None:
    with pytest.raises(NotFoundError):
        client.run_flow(enable_task("no-such-task"))


@pytest.mark.parametrize("path", [SCHEDULING])
def test_after_an_empty_response_to_a_patch_the_task_is_read(sandbox: SandboxTenant, client: Client, path: str) -> None:
    sandbox.switch(patch_response="no_content")
    task_id = sandbox.add_task("A task", enabled=False)

    task = client.run_flow(enable_task(task_id))

    assert (task.id, task.enabled) == (task_id, True)


@pytest.mark.parametrize("path", [SCHEDULING])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_patch_whose_response_is_lost_is_made_once(
    sandbox: SandboxTenant, client: Client, path: str, reset: Any
) -> None:
    task_id = sandbox.add_task("A task", enabled=False)
    sandbox.fault("PATCH", reset=reset)

    assert client.run_flow(enable_task(task_id)).enabled is True
    assert changes(sandbox) == ["PATCH"]


# Responses that the sandbox does not give


def driven(flow: Flow[Task], *answers: Task | Exception) -> tuple[Task, list[str]]:
    """Return the result of a flow for these responses, and the calls that it made."""
    made: list[str] = []
    call = next(flow)
    for answer in answers:
        assert isinstance(call, Call)
        made.append(f"{call.method} {call.body}" if call.body else call.method)
        try:
            call = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as end:
            return end.value, made
    raise AssertionError(f"wants more: {call}")


def task(enabled: bool | None) -> Task:
    return Task.from_json(
        {"id": "t", "name": "n", "specVersion": "1", **({} if enabled is None else {"enabled": enabled})}
    )


def refused(kind: type[StatusError], status: int) -> StatusError:
    return kind(status=status, method="PATCH", path="/api/v1/tasks/t")


NO_PATCH: list[Callable[[], Exception]] = [
    lambda: refused(NotFoundError, 404),
    lambda: refused(StatusError, 405),
    lambda: IntermediaryResponseError("a web page", "<html>", 404),
    lambda: IntermediaryResponseError("a web page", "<html>", 405),
    lambda: InvalidArgumentError("tasks_api", V1, "must be another path for patch_scheduling_task"),
]


@pytest.mark.parametrize("error", NO_PATCH)
def test_where_there_is_no_patch_the_task_is_replaced(error: Callable[[], Exception]) -> None:
    result, made = driven(enable_task("t"), task(False), error(), task(True))

    assert result == task(True)
    assert made[0] == "GET"
    assert made[1].startswith("PATCH ")
    assert made[2] == "PUT {'name': 'n', 'enabled': True, 'specVersion': '1'}"


@pytest.mark.parametrize(
    "error", [refused(ForbiddenError, 403), refused(BadRequestError, 400), InvalidArgumentError("x", None, "y")]
)
def test_another_refusal_of_the_patch_is_the_end(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        driven(enable_task("t"), task(False), error)

    assert raised.value is error


def test_a_patch_of_unknown_outcome_is_sent_twice_at_most() -> None:
    lost: QlikCloudError = NoResponseError("nothing came back")
    with pytest.raises(NoResponseError):
        driven(enable_task("t"), task(False), lost, task(False), NoResponseError("again"))


def test_a_missing_enabled_member_is_added() -> None:
    _, made = driven(disable_task("t"), task(None), PatchedTask.from_json({"id": "t", "enabled": False}))

    assert made[1] == "PATCH [{'value': False, 'op': 'add', 'path': '/enabled'}]"
