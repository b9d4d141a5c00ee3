"""The responses of the sandbox are valid under the same contracts as those of Qlik Cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.cloud import Client, Tenant
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.contract.cases import KNOWN_AS
from tests.contract.openapi import Operation, example, scheduling
from tests.contract.sandbox_calls import (
    OPERATIONS,
    SCHEDULING,
    V1,
    calls,
    client_for,
    each_operation,
    furnish,
    is_read,
    problems_with,
    send,
)


def test_every_operation_has_a_test_case() -> None:
    assert list(calls()) == [operation.id for operation in OPERATIONS]


@each_operation
def test_a_response_is_valid_under_the_contract_and_is_read(
    sandbox: SandboxTenant, raw: httpx.Client, client: Client, scheduling_client: Client, operation: Operation
) -> None:
    call = calls()[operation.id]
    sandbox.switch(start_response="documented")
    furnish(sandbox)

    response = send(raw, sandbox, call, operation)

    assert response.status_code == operation.success, response.text
    assert problems_with(operation, response) == []
    assert [entry.operation for entry in sandbox.request_log()] == [KNOWN_AS.get(operation.id, operation.id)]

    sandbox.reset()
    furnish(sandbox)
    assert is_read(client_for(operation, client, scheduling_client), call)


@each_operation
def test_a_request_without_credentials_gets_a_documented_401(
    sandbox: SandboxTenant, raw: httpx.Client, operation: Operation
) -> None:
    for wrong in ("", "Bearer wrong"):
        headers = {"authorization": wrong} if wrong else {"authorization": "Basic x"}
        response = send(raw, sandbox, calls()[operation.id], operation, headers=headers)

        assert response.status_code == 401
        assert problems_with(operation, response) == []


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if "{" in one.template and "/resources/" not in one.template],
    ids=lambda operation: operation.id,
)
def test_an_unknown_resource_gets_a_documented_404(
    sandbox: SandboxTenant, raw: httpx.Client, operation: Operation
) -> None:
    response = send(raw, sandbox, calls(*["no-such"] * 4)[operation.id], operation)

    assert response.status_code == 404
    assert problems_with(operation, response) == []


BAD_QUERIES = {
    "list_tasks": ["limit=0", "limit=101", "sort=color", "sort=createdAt"],
    "list_task_runs": ["limit=0", "limit=101", "sort=color", "sort=startedAt"],
    "list_resource_task_runs": ["limit=0", "limit=101", "sort=color"],
    "list_reload_tasks": ["limit=0", "limit=101", "partial=perhaps", "next=a&prev=b"],
    "list_automations": ["limit=0", "limit=201", "sort=color", "filter=name is what"],
    "list_automation_runs": ["limit=0", "limit=201", "sort=color", "filter=name is what"],
    "list_automation_usage": ["", "filter=color"],
    "list_sharing_tasks": ["limit=0", "limit=101", "sort=color", "role=guest", "type=color", "offset=-1"],
    "list_sharing_task_executions": ["limit=0", "limit=201", "sort=color", "status=cancelled", "next=a&prev=b"],
    "get_sharing_task_execution": ["status=asleep"],
    "list_scheduling_tasks": ["limit=0", "limit=101", "sort=color", "sort=name", "filter=name", "filter=color eq 1"],
    "list_task_parents": ["limit=0", "sort=%2Bcolor", "filter=name eq what"],
    "list_task_children": ["limit=101", "sort=createdAt", "filter=(enabled eq true"],
    "list_scheduling_task_runs": ["limit=0", "limit=101", "sort=color", "sort=startedAt"],
    "list_scheduling_resource_runs": ["limit=0", "limit=101", "sort=color"],
    "get_task_ancestors": ["level=0", "level=101", "withTask=perhaps"],
    "get_task_descendants": ["level=some"],
    "get_task_subgraph": ["level=-1"],
}


@pytest.mark.parametrize("operation", BAD_QUERIES)
def test_an_invalid_query_gets_a_documented_400(sandbox: SandboxTenant, raw: httpx.Client, operation: str) -> None:
    furnish(sandbox)
    for query in BAD_QUERIES[operation]:
        described = next(one for one in OPERATIONS if one.id == operation)
        root = SCHEDULING if described.contract is scheduling() else V1
        path = Tenant.at(sandbox.url, tasks_path=root).path_of(calls()[operation])
        response = raw.get(f"{path}?{query}")

        assert response.status_code == 400, query
        assert problems_with(described, response) == []


def mutated(operation: Operation) -> Iterator[tuple[str, Any]]:
    """The documented body with one thing wrong."""
    assert operation.request is not None
    body = example(f"{operation.id}.request")
    if isinstance(body, list):
        first, *rest = body
        yield "one that is no list", first
        for name in ("op", "path"):
            yield f"without {name}", [{member: value for member, value in first.items() if member != name}, *rest]
            yield f"{name} is no word for that", [{**first, name: "test"}, *rest]
        return
    for name in operation.contract.word([operation.request], "required") or ():
        yield f"without {name}", {member: value for member, value in body.items() if member != name}
    for name, value in body.items():
        yield f"{name} of a wrong type", {**body, name: 17 if not isinstance(value, int) else "text"}


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.request is not None], ids=lambda operation: operation.id
)
def test_an_invalid_body_gets_a_400(sandbox: SandboxTenant, raw: httpx.Client, operation: Operation) -> None:
    furnish(sandbox)
    for what, body in mutated(operation):
        if "resourceId" in what:  # has no effect when it is sent, so nobody looks at it
            continue
        response = send(raw, sandbox, calls()[operation.id], operation, json=body)

        assert response.status_code == 400, what
        assert problems_with(operation, response) == []
