"""The requests of every operation are valid under its contract, of which one has 49 operations and the other 19."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Call, Client, Tenant
from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.models.sharing_tasks import TASK_TYPES
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.tasks_api import TASKS_PATHS
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.contract.cases import ALL_CASES, CASES, KNOWN_AS, SCHEDULING_CASES, arguments_of
from tests.contract.openapi import Contract, Operation, Place, contract, example, has_example, scheduling
from tests.listener import Answer, Listener, Seen, listening
from tests.replies import about_the_call

OPERATIONS = [*contract().operations.values(), *scheduling().operations.values()]
TIERS = {"special": Tier.TASKS, 1: Tier.ONE, 2: Tier.TWO}
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def test_the_table_covers_the_49_operations_of_the_contract_and_the_19_of_the_scheduling_api() -> None:
    assert list(CASES) == [*contract().operations]
    assert list(SCHEDULING_CASES) == [*scheduling().operations]
    assert (len(CASES), len(SCHEDULING_CASES)) == (49, 19)


def test_the_table_covers_every_function_and_every_argument() -> None:
    made_here = {
        function
        for module in (tasks, reload_tasks, automations, sharing_tasks)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }
    # `execute` is not in the contract: it is the start with inputs, which another page of Qlik's tells of.
    assert {case.function for case in ALL_CASES.values()} == made_here - {automations.execute}
    for case in ALL_CASES.values():
        parameters = inspect.signature(case.function).parameters.values()
        optional = {one.name for one in parameters if one.default is not one.empty} - {"reload"}
        assert arguments_of(case.function) == optional


@each_operation
def test_an_operation_knows_its_name_its_limit_and_whether_it_may_be_repeated(operation: Operation) -> None:
    call = ALL_CASES[operation.id].bare()

    assert call.operation == KNOWN_AS.get(operation.id, operation.id)
    # Where a call of the Tasks family counts follows from the path that it takes, when it is sent.
    assert call.tier == (Tier.TASKS if operation in scheduling().operations.values() else TIERS[operation.tier])
    assert call.scheduling_only is (operation.id in scheduling().operations and operation.id not in KNOWN_AS)
    assert call.repeatable == operation.idempotent
    assert call.repeatable is (operation.method in {"GET", "PUT", "DELETE"})


# What is sent


def documented(operation: Operation, call: Call[Any]) -> Answer:
    """The documented answer of an operation, with the ids that were asked for; a text where there is none."""
    name = f"{operation.id}.response.{operation.success}"
    if has_example(name):
        return Answer(operation.success, about_the_call(call, example(name)))
    return Answer(operation.success, b"a log", {"content-type": "text/plain"})


def sent(listener: Listener, operation: Operation, call: Call[Any], driver: str, root: str | None = None) -> Seen:
    """The one request that a call becomes on the wire, at the path of its contract unless another root is given."""
    v1, other = TASKS_PATHS
    root = root or (other if operation.contract is scheduling() else v1)
    listener.answers(documented(operation, call))
    # What becomes of a file that is downloaded is no matter here.
    call = replace(call, response_type=str) if call.response_type is Download else call
    tenant, key = Tenant.at(listener.url, tasks_path=root), ApiKey("key")
    if driver == "sync":
        with Client(tenant, key) as client:
            client.call(call)
    else:

        async def asked() -> None:
            async with AsyncClient(tenant, key) as client:
                await client.call(call)

        asyncio.run(asked())
    (seen,) = listener.seen
    return seen


def problems_with(operation: Operation, seen: Seen) -> list[str]:
    """What the contract has against a request."""
    found = []
    if seen.method != operation.method:
        found.append(f"sent as {seen.method}")
    if operation.ids_in(seen.path) is None:
        found.append(f"sent to {seen.path}")
    given: dict[str, list[str]] = {}
    for name, text in seen.query:
        given.setdefault(name, []).append(text)
    for name, texts in given.items():
        if name not in operation.parameters:
            found.append(f"query parameter {name} is not declared")
            continue
        schema = operation.parameters[name].schema
        repeats = operation.contract.at(schema)["type"] == "array"
        if len(texts) > 1 and not repeats:
            found.append(f"query parameter {name} is sent twice")
        value = texts if repeats else _typed(operation.contract, schema, texts[0])
        found += [f"{name}: {problem}" for problem in operation.contract.problems(schema, value)]
    needed = {parameter.name for parameter in operation.parameters.values() if parameter.required}
    found += [f"query parameter {name} is missing" for name in needed - set(given)]
    if operation.request is None:
        return found + (["a body is sent"] if seen.body else [])
    if not seen.body:
        return found + (["no body is sent"] if operation.request_required else [])
    if seen.headers.get("content-type") != "application/json":
        found.append("the body is not announced as JSON")
    found += operation.contract.problems(operation.request, seen.json)
    for place, schemas, declares in operation.contract.members(operation.request, seen.json):
        if declares and not schemas:
            found.append(f"{place} is not declared")
        if operation.contract.word(schemas, "readOnly"):
            found.append(f"{place} is read-only")
    return found


def _typed(contract: Contract, schema: Place, text: str) -> Any:
    kind = contract.at(schema)["type"]
    if kind == "integer":
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "boolean" else text


@pytest.mark.parametrize("driver", ["sync", "async"])
@each_operation
def test_a_request_is_valid_under_the_contract(listener: Listener, operation: Operation, driver: str) -> None:
    case = ALL_CASES[operation.id]

    bare = sent(listener, operation, case.bare(), driver)
    full = sent(listener, operation, case.full(operation.id), driver)
    other = sent(listener, operation, case.other(), driver)

    for seen in (bare, full, other):
        assert problems_with(operation, seen) == []
    assert {name for name, _ in bare.query} <= {parameter.name for parameter in operation.parameters.values()}
    assert {name for name, _ in (*full.query, *other.query)} == set(operation.parameters)
    assert (bare.headers["authorization"], full.headers["authorization"]) == ("Bearer key", "Bearer key")


@each_operation
def test_ids_are_encoded_in_the_path(listener: Listener, operation: Operation) -> None:
    case = ALL_CASES[operation.id]
    names = operation.ids_in(operation.template)
    assert names is not None

    ids = operation.ids_in(sent(listener, operation, case.bare(), "sync").path)

    assert ids is not None
    assert all(not set(id) & set(" :;") for id in ids.values()), "ids are percent-encoded"
    given = case.needed if operation.id != "list_automation_usage" else ()
    assert [unquote(id) for id in ids.values()] == list(given)
    assert len(names) == len(given)


@pytest.mark.parametrize("operation", contract().family("Tasks"), ids=lambda operation: operation.id)
def test_task_operations_send_the_same_request_under_the_scheduling_path(
    listener: Listener, operation: Operation
) -> None:
    case = ALL_CASES[operation.id]
    # To take over a reload task is documented for Tasks v1 alone, and goes there whatever the root is.
    call = case.full(operation.id) if operation.id != "create_task" else case.with_body(example("create_task.request"))

    usual = sent(listener, operation, call, "sync")
    other = sent(listener, operation, call, "sync", root="/api/scheduling/tasks")

    assert other.target == usual.target.replace("/api/v1/tasks", "/api/scheduling/tasks", 1)
    assert (other.method, other.body) == (usual.method, usual.body)


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if has_example(f"{one.id}.request")], ids=lambda operation: operation.id
)
def test_a_documented_request_is_sent_as_it_is_documented(listener: Listener, operation: Operation) -> None:
    seen = sent(listener, operation, ALL_CASES[operation.id].full(operation.id), "sync")

    assert seen.json == example(f"{operation.id}.request")


def test_migrating_a_reload_task_uses_tasks_v1_whatever_the_root_is(listener: Listener) -> None:
    operation = contract().operations["create_task"]
    call = tasks.create(example("create_task.request"), migrate_from="reload task")

    seen = sent(listener, operation, call, "sync", root="/api/scheduling/tasks")

    assert seen.path == "/api/v1/tasks"
    assert problems_with(operation, seen) == []


def test_a_filtered_list_of_tasks_uses_the_scheduling_path_only() -> None:
    assert tasks.list(filter="enabled eq true").scheduling_only
    assert not tasks.list(sort="-lastEndedAt", resource_id="app").scheduling_only


@pytest.mark.parametrize(
    ("sorts", "operation"),
    [
        (tasks.V1_TASK_SORTS, "list_tasks"),
        (tasks.TASK_SORTS, "list_scheduling_tasks"),
        (tasks.TASK_SORTS, "list_task_parents"),
        (tasks.TASK_SORTS, "list_task_children"),
        (tasks.RUN_SORTS, "list_scheduling_task_runs"),
        (tasks.RUN_SORTS, "list_task_runs"),
        (tasks.RUN_SORTS, "list_resource_task_runs"),
        (automations.AUTOMATION_SORTS, "list_automations"),
        (automations.RUN_SORTS, "list_automation_runs"),
        (sharing_tasks.TASK_SORTS, "list_sharing_tasks"),
        (sharing_tasks.EXECUTION_SORTS, "list_sharing_task_executions"),
    ],
)
def test_the_accepted_sort_orders_are_the_documented_ones(sorts: tuple[str, ...], operation: str) -> None:
    only_these_can_be_asked_for(sorts, operation, "sort")


@pytest.mark.parametrize(
    ("words", "operation", "parameter"),
    [
        (sharing_tasks.ROLES, "list_sharing_tasks", "role"),
        (TASK_TYPES, "list_sharing_tasks", "type"),
        (sharing_tasks.KEPT_STATUSES, "list_sharing_task_executions", "status"),
        (sharing_tasks.LATEST_STATUSES, "get_sharing_task_execution", "status"),
        (sharing_tasks.LATEST_STATUSES, "get_sharing_task_execution_file", "status"),
    ],
)
def test_the_accepted_enumeration_values_are_the_documented_ones(
    words: tuple[str, ...], operation: str, parameter: str
) -> None:
    only_these_can_be_asked_for(words, operation, parameter)


def only_these_can_be_asked_for(words: tuple[str, ...], operation: str, parameter: str) -> None:
    case = ALL_CASES[operation]
    described = next(one for one in OPERATIONS if one.id == operation)
    schema, declared = described.parameters[parameter].schema, described.contract
    items = (*schema, "items") if declared.at(schema)["type"] == "array" else schema

    assert len(set(words)) == len(words)
    assert set(words) == set(declared.word([items], "enum"))
    for word in words:
        assert (parameter, word) in case.function(*case.needed, **{parameter: word}).query
    for wrong in ("color", "", 17, [*words, "color"]):
        with pytest.raises(InvalidArgumentError, match=parameter):
            case.function(*case.needed, **{parameter: wrong})
