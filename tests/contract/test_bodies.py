"""Request bodies are checked against the contract before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik.validation import InvalidArgumentError
from tests.contract.cases import ALL_CASES, CASES
from tests.contract.openapi import Operation, Place, contract, example, scheduling

OPERATIONS = [*contract().operations.values(), *scheduling().operations.values()]
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


WRITING = [operation for operation in OPERATIONS if ALL_CASES[operation.id].body is not None]


def mutated(operation: Operation) -> Iterator[tuple[str, Any]]:
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
def test_a_body_that_violates_the_contract_is_refused_with_the_member_before_it_is_sent(
    operation: Operation,
) -> None:
    assert operation.request is not None
    for name, body in mutated(operation):
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
def test_an_undocumented_enumeration_value_is_sent_unchanged(operation: Operation) -> None:
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


def test_the_contract_refuses_most_mutated_bodies() -> None:
    for operation in WRITING:
        assert operation.request is not None
        wrong = [bool(operation.contract.problems(operation.request, body)) for _, body in mutated(operation)]
        assert sum(wrong) > len(wrong) / 2


@pytest.mark.parametrize("member", ["spaceId", "userId", "name"])
def test_an_action_requires_its_only_member(member: str) -> None:
    for case in (case for case in CASES.values() if case.member == member):
        for wrong in (None, 17, ["text"]):
            with pytest.raises(InvalidArgumentError, match=member):
                case.with_body({member: wrong})
