"""What today's responses may hold, and tomorrow's: everything is read, and what can be written is written back.

All bodies are made from the schemas of both contracts. No server, no I/O.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import BaseModel

from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.models import writing as request_bodies
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.tasks import Task
from airflow_provider_qlik.cloud.transport.download import Download
from tests.contract.cases import ALL_CASES
from tests.contract.openapi import Operation, contract, example, scheduling
from tests.contract.samples import NEW_MEMBERS, NEW_NUMBER, NEW_WORD, STYLES, Style, sample, written_back

OPERATIONS = [*contract().operations.values(), *scheduling().operations.values()]
ANSWERING = [
    operation
    for operation in OPERATIONS
    if "application/json" in operation.responses[operation.success]
    and ALL_CASES[operation.id].bare().response_type is not Download
]
each_answer = pytest.mark.parametrize("operation", ANSWERING, ids=lambda operation: operation.id)
each_style = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)


@pytest.fixture(autouse=True)
def _nothing_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "_warned", set())


def response_type_of(operation: Operation, style: Style) -> Any:
    return sample(operation.contract, operation.responses[operation.success]["application/json"], style)


# Read


def missing(said: Any, read: Any, at: str = "answer") -> list[str]:
    """Return the members of a body that are not in what was read from it, or are none there."""
    if isinstance(read, BaseModel):
        fields = {field.alias or name: name for name, field in type(read).model_fields.items()}
        extra = read.model_extra or {}
        lost = [f"{at}.{name}" for name in said if name not in fields and name not in extra]
        lost += [f"{at}.{name} is {extra[name]!r}" for name, value in said.items() if extra.get(name, value) != value]
        for name in fields.keys() & said.keys():
            lost += missing(said[name], getattr(read, fields[name]), f"{at}.{name}")
        return lost
    if isinstance(said, list) and isinstance(read, list):
        different = [f"{at} has {len(read)} items"] if len(said) != len(read) else []
        return different + [one for pair in zip(said, read, strict=False) for one in missing(*pair, at)]
    return [f"{at} is None in place of {said!r}"] if read is None and said is not None else []


@each_style
@each_answer
def test_a_response_is_read_with_missing_and_unknown_members(operation: Operation, style: Style) -> None:
    said = response_type_of(operation, style)

    read = ALL_CASES[operation.id].bare().response_type.from_json(said)

    assert missing(said, read) == []
    assert not isinstance(read, Page) or (read.left_out == () and len(read.items) == 2)


@each_answer
def test_a_response_with_only_the_required_members_is_read(operation: Operation) -> None:
    schema = operation.responses[operation.success]["application/json"]
    said = sample(operation.contract, schema, STYLES["with the least"], at_top=False)

    read = ALL_CASES[operation.id].bare().response_type.from_json(said)

    assert missing(said, read) == []


def test_each_sample_style_has_its_property() -> None:
    task = response_type_of(
        scheduling().operations["get_scheduling_task"], STYLES["with new words and new members in its first form"]
    )
    assert task["states"][0]["type"] == NEW_WORD
    assert task["metadata"]["trigger"]["type"] == NEW_NUMBER
    assert task["metadata"]["orchestration"]["lastRun"]["newMember"] == NEW_MEMBERS["newMember"]
    least = response_type_of(scheduling().operations["get_scheduling_task"], STYLES["with the least"])
    assert (least["metadata"], least["start"]) == ({}, {"schedule": {}})
    assert len(ANSWERING) * len(STYLES) > 400


# Written back

BACK = {
    "get_task": "update_task",
    "create_task": "update_task",
    "update_task": "create_task",
    "get_scheduling_task": "update_scheduling_task",
    "create_scheduling_task": "update_scheduling_task",
    "update_scheduling_task": "create_scheduling_task",
    "patch_scheduling_task": "update_scheduling_task",
    "create_time_schedule_reload_task": "update_scheduling_task",
    "create_task_event_reload_task": "update_scheduling_task",
    "create_dataset_updated_reload_task": "update_scheduling_task",
}
"""Where a task is shown, and where it can be sent back."""
LISTED = {
    "list_tasks": "update_task",
    "list_scheduling_tasks": "update_scheduling_task",
    "list_task_parents": "update_scheduling_task",
    "list_task_children": "update_scheduling_task",
}


def operation_of(id: str) -> Operation:
    return next(operation for operation in OPERATIONS if operation.id == id)


def is_written_back(task: Task, said: Any, writing: Operation) -> None:
    """Nothing is refused, and nothing is lost, when a task is sent back with a change."""
    assert writing.request is not None
    expected = written_back(writing.contract, writing.request, said) | {"enabled": False}

    body = ALL_CASES[writing.id].with_body(task.model_copy(update={"enabled": False})).body

    assert body == expected
    assert writing.contract.problems_beside_words(writing.request, body) == []
    assert ALL_CASES[writing.id].with_body(body).body == body, "as a mapping it is sent alike"


@each_style
@pytest.mark.parametrize("reading", BACK)
def test_a_task_that_was_read_can_be_sent_back(reading: str, style: Style) -> None:
    operation = operation_of(reading)
    said = response_type_of(operation, style)

    is_written_back(ALL_CASES[reading].bare().response_type.from_json(said), said, operation_of(BACK[reading]))


@each_style
@pytest.mark.parametrize("reading", LISTED)
def test_a_task_of_a_list_can_be_sent_back(reading: str, style: Style) -> None:
    said = response_type_of(operation_of(reading), style)

    for task, plain in zip(ALL_CASES[reading].bare().response_type.from_json(said).items, said["data"], strict=True):
        is_written_back(task, plain, operation_of(LISTED[reading]))


EXAMPLES = [
    *("get_task.response.200", "create_task.response.201", "update_task.response.200"),
    *("get_scheduling_task.response.200", "create_scheduling_task.response.201"),
    *("update_scheduling_task.response.200", "patch_scheduling_task.response.200"),
    *("create_time_schedule_reload_task.response.201", "create_task_event_reload_task.response.201"),
    "create_dataset_updated_reload_task.response.201",
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_documented_task_is_sent_back_without_a_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    said = example(name)
    writing = (
        "update_task" if name.split(".")[0] in ("get_task", "create_task", "update_task") else "update_scheduling_task"
    )

    is_written_back(Task.from_json(said), said, operation_of(writing))

    assert caplog.records == []


def test_every_documented_task_of_a_list_is_sent_back_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    for reading, writing in LISTED.items():
        for said in example(f"{reading}.response.200")["data"]:
            is_written_back(Task.from_json(said), said, operation_of(writing))

    assert caplog.records == []


@each_style
@pytest.mark.parametrize(
    ("reading", "writing"),
    [
        ("get_automation", "update_automation"),
        ("get_automation_settings", "update_automation_settings"),
        ("get_reload_task", "update_reload_task"),
        ("get_sharing_settings", "update_sharing_settings"),
    ],
)
def test_other_writable_resources_can_be_sent_back(reading: str, writing: str, style: Style) -> None:
    operation = operation_of(writing)
    assert operation.request is not None
    said = response_type_of(operation_of(reading), style)
    members = {name for part in operation.contract.branches(operation.request) for name in _members(operation, part)}
    writable = {name: value for name, value in said.items() if name in members}
    writable = written_back(operation.contract, operation.request, writable)
    # More is required in what is written than in what is read.
    needed = {name for part in operation.contract.branches(operation.request) for name in _needed(operation, part)}
    whole = sample(operation.contract, operation.request)
    writable |= {name: whole[name] for name in needed - writable.keys()}

    assert ALL_CASES[writing].with_body(writable).body == writable


def _members(operation: Operation, part: Any) -> Any:
    return operation.contract.at(part).get("properties", ())


def _needed(operation: Operation, part: Any) -> Any:
    return operation.contract.at(part).get("required", ())


# Words


def test_an_unknown_enumeration_value_is_logged_once_per_member_and_value(caplog: pytest.LogCaptureFixture) -> None:
    task = Task.from_json({"name": "t", "specVersion": "1", "metadata": {"usage": "FUN", "disabledCode": "FUN"}})

    for _ in range(3):
        assert tasks.update("t", task).body["metadata"] == {"usage": "FUN", "disabledCode": "FUN"}
    tasks.create({"name": "t", "specVersion": "1", "metadata": {"usage": "SERIOUS"}})

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert [record.getMessage().partition(", which")[0] for record in caplog.records] == [
        "task: metadata.usage is 'FUN'",
        "task: metadata.disabledCode is 'FUN'",
        "task: metadata.usage is 'SERIOUS'",
    ]
    assert "'ANALYTICS', 'DATA_PREPARATION'" in caplog.text


def test_unknown_values_that_are_only_read_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    task = Task.from_json({"name": "t", "specVersion": "1", "metadata": {"usage": "FUN"}})

    assert task.metadata is not None
    assert task.metadata.usage == "FUN"
    assert caplog.records == []


def test_values_in_lists_and_numbers_are_checked_too(caplog: pytest.LogCaptureFixture) -> None:
    event = {"type": "com.qlik.new", "correlation": [{"contextAttributeName": "id"}, {"contextAttributeName": "new"}]}
    tasks.create({"name": "t", "specVersion": "1", "events": [event], "metadata": {"trigger": {"id": "i", "type": 5}}})

    assert [record.getMessage().partition(", which")[0] for record in caplog.records] == [
        "task: events.0.type is 'com.qlik.new'",
        "task: events.0.correlation.1.contextAttributeName is 'new'",
        "task: metadata.trigger.type is 5",
    ]


def test_the_number_of_warnings_about_unknown_values_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(request_bodies.MAX_WARNINGS + 100):
        tasks.create({"name": "t", "specVersion": "1", "metadata": {"usage": f"NEW-{number}"}})

    assert len(caplog.records) == request_bodies.MAX_WARNINGS
