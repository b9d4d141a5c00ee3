"""Documented responses are read without loss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import NoneType
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.transport.download import Download
from tests.contract.cases import ALL_CASES
from tests.contract.openapi import Operation, contract, example, has_example, scheduling
from tests.contract.samples import sample

OPERATIONS = [*contract().operations.values(), *scheduling().operations.values()]
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


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
    if "application/json" in one.responses[one.success] and ALL_CASES[one.id].bare().response_type is not Download
]


@pytest.mark.parametrize("operation", ANSWERING, ids=lambda operation: operation.id)
def test_a_documented_response_is_read_without_loss(operation: Operation) -> None:
    said = example(f"{operation.id}.response.{operation.success}")

    assert list(lost(said, ALL_CASES[operation.id].bare().response_type.from_json(said))) == []


@pytest.mark.parametrize("operation", ANSWERING, ids=lambda operation: operation.id)
def test_every_member_that_the_contract_declares_is_read(operation: Operation) -> None:
    schema = operation.responses[operation.success]["application/json"]
    said = sample(operation.contract, schema)
    assert operation.contract.problems(schema, said) == [], "the sample itself is valid"

    assert list(lost(said, ALL_CASES[operation.id].bare().response_type.from_json(said))) == []


def test_an_operation_without_a_documented_response_body_returns_none() -> None:
    for operation in OPERATIONS:
        silent = not operation.responses[operation.success]
        assert (ALL_CASES[operation.id].bare().response_type is NoneType) is silent, operation.id
        assert silent is (operation.success == 204)


def test_a_patch_without_a_response_body_returns_a_task_without_members() -> None:
    patched = tasks.patch("task", []).response_type.from_reply(Reply(204))

    assert (patched.id, patched.enabled, patched.metadata) == (None, None, None)


def test_every_documented_response_is_covered() -> None:
    shown = {one.id for one in OPERATIONS if has_example(f"{one.id}.response.{one.success}")}

    assert shown == {operation.id for operation in ANSWERING} | {"get_sharing_task_execution_file"}
    assert len(shown) == 32 + 18
