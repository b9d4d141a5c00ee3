"""All operations of both contracts, 49 and 19, against their contract: what is sent, and what is read."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from types import NoneType
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import BaseModel, SecretStr

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Call, Client, Tenant
from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.models.sharing_tasks import TASK_TYPES
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.cloud.transport.tenant import TASKS_PATHS
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.contract.cases import ALL_CASES, CASES, KNOWN_AS, SCHEDULING_CASES, arguments_of
from tests.contract.openapi import Contract, Operation, Place, contract, example, has_example, scheduling
from tests.contract.samples import sample
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
    call = replace(call, answer=str) if call.answer is Download else call
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
def test_what_is_sent_fits_the_contract(listener: Listener, operation: Operation, driver: str) -> None:
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
def test_ids_arrive_as_they_were_given(listener: Listener, operation: Operation) -> None:
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
def test_tasks_are_asked_in_the_same_way_under_their_other_root(listener: Listener, operation: Operation) -> None:
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


def test_to_take_over_a_reload_task_goes_to_tasks_v1_whatever_the_root_is(listener: Listener) -> None:
    operation = contract().operations["create_task"]
    call = tasks.create(example("create_task.request"), migrate_from="reload task")

    seen = sent(listener, operation, call, "sync", root="/api/scheduling/tasks")

    assert seen.path == "/api/v1/tasks"
    assert problems_with(operation, seen) == []


def test_a_list_with_a_filter_is_for_the_scheduling_path_since_v1_might_overlook_it() -> None:
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
def test_the_orders_that_can_be_asked_for_are_the_documented_ones(sorts: tuple[str, ...], operation: str) -> None:
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
def test_the_words_that_can_be_asked_for_are_the_documented_ones(
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


# What is refused before it is sent

WRITING = [operation for operation in OPERATIONS if ALL_CASES[operation.id].body is not None]


def spoiled(operation: Operation) -> Iterator[tuple[str, Any]]:
    """The documented body with one thing wrong, for everything that can be wrong, and the name of the member."""
    assert operation.request is not None
    whole = _whole(operation)
    for place, schemas, _ in operation.contract.members(operation.request, whole):
        name = str(place[-1])
        if operation.contract.word(schemas, "readOnly"):
            continue
        yield name, _with(whole, place, _GONE)
        for wrong in ("no such word", 17, 1.5, True, ["text"], [17], {"no": "such"}, None):
            yield name, _with(whole, place, wrong)


def _whole(operation: Operation) -> Any:
    whole = example(f"{operation.id}.request")
    if operation.id in ("create_task", "update_task", "create_scheduling_task", "update_scheduling_task"):
        # The objects that the documented body shows in their other form.
        cron = {"expression": "0 0 * * *", "validUntil": "2026-01-01"}
        whole["start"] = {"schedule": {"cron": cron, "interval": "R/PT1H", "timezone": "UTC"}, "stateName": "Reload"}
        whole["states"][0]["onEvents"][0]["actions"][0]["functionRef"] = {"refName": "app.reload", "invoke": "SYNC"}
    return whole


_GONE = object()


def _with(value: Any, place: Place, given: Any) -> Any:
    if not place:
        return given
    at, rest = place[0], place[1:]
    if isinstance(value, list):
        return [_with(item, rest, given) if index == at else item for index, item in enumerate(value)]
    changed = {name: _with(member, rest, given) if name == at else member for name, member in value.items()}
    return {name: member for name, member in changed.items() if member is not _GONE}


LOOSER = ("functionRef", "refName", "recurrence")
"""Members of the Scheduling API that are sent although its contract refuses them.

The documented body of Tasks v1 has a reference to a function without its name, and a task is read and written back on
both paths. Whether a new schedule takes one rule or a list of them could not be read.
"""


@pytest.mark.parametrize("operation", WRITING, ids=lambda operation: operation.id)
def test_whatever_the_contract_refuses_but_unknown_words_is_refused_by_name_before_it_is_sent(
    operation: Operation,
) -> None:
    assert operation.request is not None
    for name, body in spoiled(operation):
        wrong = operation.contract.problems_beside_words(operation.request, body)
        sent, refusal = _sent_or_refused(operation, body)
        if refusal:
            assert wrong, f"{name} is fine, but {refusal}"
            assert name in str(refusal)
        elif name in LOOSER and operation.contract is scheduling():
            assert sent == _without_nulls(body)
        else:
            # What is left out is not sent as null.
            assert not wrong or (wrong and _without_nulls(body) == sent), f"{name} is sent: {wrong}"
            assert operation.contract.problems_beside_words(operation.request, sent) == []


@pytest.mark.parametrize("operation", WRITING, ids=lambda operation: operation.id)
def test_a_word_that_the_contract_does_not_list_is_sent_as_it_is(operation: Operation) -> None:
    assert operation.request is not None
    whole = _whole(operation)
    for place, schemas, _ in operation.contract.members(operation.request, whole):
        words = operation.contract.word(schemas, "enum")
        if words and not operation.contract.word(schemas, "readOnly"):
            body = _with(whole, place, 99 if isinstance(words[0], int) else "A new word")

            assert ALL_CASES[operation.id].with_body(body).body == body


def _sent_or_refused(operation: Operation, body: Any) -> tuple[Any, InvalidArgumentError | None]:
    try:
        return ALL_CASES[operation.id].with_body(body).body, None
    except InvalidArgumentError as error:
        return None, error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return value


def test_the_contract_refuses_most_of_what_is_spoiled() -> None:
    for operation in WRITING:
        assert operation.request is not None
        wrong = [bool(operation.contract.problems(operation.request, body)) for _, body in spoiled(operation)]
        assert sum(wrong) > len(wrong) / 2


@pytest.mark.parametrize("member", ["spaceId", "userId", "name"])
def test_an_action_needs_its_one_member(member: str) -> None:
    for case in (case for case in CASES.values() if case.member == member):
        for wrong in (None, 17, ["text"]):
            with pytest.raises(InvalidArgumentError, match=member):
                case.with_body({member: wrong})


# What is read


def lost(value: Any, model: Any, at: str = "answer") -> Iterator[str]:
    """What of a JSON value is not, or not the same, in what was read from it."""
    if isinstance(model, BaseModel):
        fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
        for name, member in value.items():
            if name not in fields:
                yield f"{at}.{name} is no member of {type(model).__name__}"
            else:
                yield from lost(member, getattr(model, fields[name]), f"{at}.{name}")
    elif isinstance(value, list):
        if len(value) != len(model):
            yield f"{at} has {len(model)} items in place of {len(value)}"
        for index, (item, read) in enumerate(zip(value, model, strict=False)):
            yield from lost(item, read, f"{at}[{index}]")
    elif not _same(value, model):
        yield f"{at} is {model!r} in place of {value!r}"


def _same(value: Any, read: Any) -> bool:
    if isinstance(read, SecretStr):
        return bool(read.get_secret_value() == value)
    if isinstance(read, datetime):
        return read.utcoffset() is not None and read == datetime.fromisoformat(value)
    if isinstance(read, float):
        return read == float(value)
    return type(read) is type(value) and bool(read == value)


ANSWERING = [
    one
    for one in OPERATIONS
    if "application/json" in one.answers[one.success] and ALL_CASES[one.id].bare().answer is not Download
]


@pytest.mark.parametrize("operation", ANSWERING, ids=lambda operation: operation.id)
def test_a_documented_answer_is_read_without_loss(operation: Operation) -> None:
    said = example(f"{operation.id}.response.{operation.success}")

    assert list(lost(said, ALL_CASES[operation.id].bare().answer.from_json(said))) == []


@pytest.mark.parametrize("operation", ANSWERING, ids=lambda operation: operation.id)
def test_every_member_that_the_contract_declares_is_read(operation: Operation) -> None:
    schema = operation.answers[operation.success]["application/json"]
    said = sample(operation.contract, schema)
    assert operation.contract.problems(schema, said) == [], "the sample itself is valid"

    assert list(lost(said, ALL_CASES[operation.id].bare().answer.from_json(said))) == []


def test_an_operation_without_a_documented_body_answers_nothing() -> None:
    for operation in OPERATIONS:
        silent = not operation.answers[operation.success]
        assert (ALL_CASES[operation.id].bare().answer is NoneType) is silent, operation.id
        assert silent is (operation.success == 204)


def test_a_patched_task_that_qlik_does_not_show_has_no_members() -> None:
    patched = tasks.patch("task", []).answer.from_reply(Reply(204))

    assert (patched.id, patched.enabled, patched.metadata) == (None, None, None)


def test_every_documented_answer_was_looked_at() -> None:
    shown = {one.id for one in OPERATIONS if has_example(f"{one.id}.response.{one.success}")}

    assert shown == {operation.id for operation in ANSWERING} | {"get_sharing_task_execution_file"}
    assert len(shown) == 32 + 18
