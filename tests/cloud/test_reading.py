"""Nested members of a response stay JSON; the metadata is read on access, all is checked when it is written."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_qlik.cloud import ApiKey, Client, InvalidResponseError, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.models.automations import LastAutomationRun
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.models.tasks import (
    Task,
    TaskEvent,
    TaskList,
    TaskMetadata,
    TaskOnEvents,
    TaskRun,
    TaskScheduleRule,
    TaskStart,
    TaskState,
    TaskTriggerReference,
)
from airflow_provider_qlik.cloud.models.writing import json_of
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.listener import Answer, Listener
from tests.replies import examples

PLAIN: dict[str, Any] = {
    "id": "t",
    "name": "A task",
    "start": {"schedule": {"cron": "0 0 * * *"}, "colour": "red"},
    "events": [{"name": "one"}, {"name": "two", "type": "com.qlik.v1.task.run.finished"}],
    "states": [{"name": "s", "end": True, "onEvents": [{"eventRefs": ["one"], "actions": [{"functionRef": "f"}]}]}],
    "metadata": {"createdAt": "2026-01-02T03:04:05.678Z", "trigger": {"id": "i", "type": 2}},
    "specVersion": "1.0",
}
INVALID: list[tuple[str, Any, str]] = [
    ("states", [{"name": []}], r"states\.0\.name: Input should be a valid string"),
    ("states", [{"name": "s"}, 17], r"states\.1: Input should be an object"),
    ("states", {}, r"states: Input should be a valid array"),
    ("events", 17, r"events: Input should be a valid array"),
    ("events", "text", r"events: Input should be a valid array"),
    ("events", False, r"events: Input should be a valid array"),
    ("start", [], r"start: Input should be an object"),
    ("start", {"schedule": {"cron": {"expression": {}}}}, r"start\.schedule\.cron\.expression: .*string"),
    ("metadata", {"ownerId": []}, r"metadata\.ownerId: Input should be a valid string"),
    ("metadata", {"trigger": []}, r"metadata\.trigger: Input should be an object"),
    ("metadata", "", r"metadata: Input should be an object"),
]
WORKFLOW = ("start", "events", "states")
"""The members that stay plain JSON."""
each_invalid = pytest.mark.parametrize(("member", "value", "said"), INVALID, ids=str)


def task(**other: Any) -> Task:
    """Return a task of a response."""
    return Task.from_json({**PLAIN, **other})


def page(*items: Task) -> TaskList:
    return TaskList(data=[*items], server_time=None)


def test_the_workflow_is_plain_json_and_the_metadata_is_a_shape() -> None:
    read = task()

    assert {name: getattr(read, name) for name in WORKFLOW} == {name: PLAIN[name] for name in WORKFLOW}
    assert isinstance(read.metadata, TaskMetadata)
    assert isinstance(read.metadata.trigger, TaskTriggerReference)


def test_a_workflow_in_a_request_is_read_as_shapes() -> None:
    checked = Task.model_validate_json(json.dumps(PLAIN))

    assert checked.events == [TaskEvent.from_json(event) for event in PLAIN["events"]]
    assert isinstance(checked.start, TaskStart)
    assert isinstance(checked.start.schedule, TaskScheduleRule)
    assert isinstance(checked.states[0], TaskState)
    assert checked.states[0].on_events == [TaskOnEvents.from_json(PLAIN["states"][0]["onEvents"][0])]
    assert isinstance(checked.metadata, TaskMetadata)


@pytest.mark.parametrize("member", ["start", "events", "states", "metadata"])
def test_a_second_access_gives_the_same(member: str) -> None:
    read = task()

    assert getattr(read, member) == getattr(read, member)


@pytest.mark.parametrize("member", ["start", "events", "states", "metadata"])
def test_none_and_an_empty_list_stay_what_they_are(member: str) -> None:
    assert getattr(task(**{member: None}), member) is None
    assert getattr(Task(name="t", spec_version="1"), member) is None
    if member in {"events", "states"}:
        empty = task(**{member: []})
        assert getattr(empty, member) == []
        assert getattr(empty, member) is getattr(empty, member)


OUTPUTS: dict[str, Callable[[Task], Any]] = {
    "written for Qlik": lambda task: task.model_dump(by_alias=True, exclude_none=True, mode="json"),
    "written": lambda task: task.model_dump(),
    "written as text": lambda task: task.model_dump_json(by_alias=True, exclude_unset=True),
    "written in part": lambda task: task.model_dump(
        include={"events": {0}, "start": {"schedule"}, "metadata_json": True}
    ),
    "written but for a part": lambda task: task.model_dump(exclude={"events": {0: {"name"}, 1: True}, "states": {0}}),
    "shown": repr,
    "shown as text": str,
    "its members": dict,
    "made anew from its members": lambda task: Task.model_construct(**dict(task)),
    "a page of it": lambda task: page(task).model_dump_json(),
    "what would be sent": lambda task: tasks.update(
        "t", task.model_copy(update={"events": None, "metadata_json": None})
    ),
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
def test_output_does_not_depend_on_access(output: Callable[[Task], Any]) -> None:
    accessed = task()
    assert accessed.metadata
    rebuilt = Task.model_construct(
        **{name: getattr(accessed, name) for name in Task.model_fields if name in accessed.model_fields_set}
    )

    assert output(task()) == output(accessed) == output(rebuilt)


def test_a_response_is_written_as_it_came() -> None:
    assert task().model_dump(by_alias=True, exclude_none=True, mode="json") == PLAIN
    assert json_of(task()) == PLAIN


def test_json_of_writes_nested_members_by_the_rules_of_all_members() -> None:
    read = task(
        metadata={"deletedAt": "0001-01-01T00:00:00Z", "trigger": {"id": "i", "type": "2"}, "ownerId": 17},
        states=[{"name": "s", "end": None, "newMember": None}],
    )
    expected = {
        **PLAIN,
        "metadata": {"trigger": {"id": "i", "type": 2}, "ownerId": "17"},
        "states": [{"name": "s", "newMember": None}],
    }

    assert json_of(read) == expected
    assert tasks.update("t", read).body == {name: value for name, value in expected.items() if name != "id"}


def test_unknown_words_and_members_are_read() -> None:
    read = task(events=[{"type": "new word"}], metadata={"usage": "NEW", "newMember": 1}, states=[{"newMember": 1}])

    assert (read.events, read.states) == ([{"type": "new word"}], [{"newMember": 1}])
    assert read.metadata == TaskMetadata.from_json({"usage": "NEW", "newMember": 1})
    assert read.metadata is not None
    assert (read.metadata.usage, read.metadata.model_extra) == ("NEW", {"newMember": 1})


def test_tasks_with_the_same_members_are_equal() -> None:
    accessed = task()
    assert accessed.metadata

    assert task() == accessed == task()
    assert task() != task(states=[])
    assert task(metadata={"trigger": {"type": "2"}}).metadata == task(metadata={"trigger": {"type": 2}}).metadata
    assert page(task()) == page(accessed)
    assert task() != cast(object, PLAIN)


def test_equal_tasks_have_one_hash() -> None:
    one, other = (task(start=None, states=None, events=None, metadata=None) for _ in range(2))

    assert len({one, other}) == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(task())


COPIES: dict[str, Callable[[Task], Task]] = {
    "copied": copy.copy,
    "copied deep": copy.deepcopy,
    "copied by pydantic": lambda task: task.model_copy(),
    "copied deep by pydantic": lambda task: task.model_copy(deep=True),
    "pickled": lambda task: pickle.loads(pickle.dumps(task)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_equals_its_original(copied: Callable[[Task], Task]) -> None:
    accessed = task()
    assert accessed.metadata

    for copied_task in (copied(task()), copied(accessed), copied(copied(task()))):
        assert copied_task == task()
        assert (copied_task.states, copied_task.metadata) == (accessed.states, accessed.metadata)
        assert copied_task.model_fields_set == accessed.model_fields_set


def test_a_subclass_has_all_members_and_the_class_itself_has_no_attributes_for_them() -> None:
    class Heir(Task):
        states: list[TaskState] | None = None

    assert not hasattr(Task, "states")
    heir = Heir.from_json(PLAIN)
    assert heir.states == [TaskState.from_json(state) for state in PLAIN["states"]]
    assert (heir.events, heir.metadata) == (task().events, task().metadata)
    with pytest.raises(ValidationError, match="frozen"):
        heir.events = None


# Invalid members


@each_invalid
def test_an_invalid_nested_member_does_not_hide_the_others(member: str, value: Any, said: str) -> None:
    read = task(**{member: value})

    assert read.name == "A task"
    if member == "metadata":
        assert not _has_any(read.metadata)
    else:
        assert getattr(read, member) == value
    assert all(getattr(read, other) for other in {"start", "events", "states", "metadata"} - {member})


def _has_any(read: Any) -> bool:
    """Return True if any member has a value."""
    return any(_has_any(value) for _, value in read) if isinstance(read, Shape) else read is not None


def test_an_invalid_member_of_the_metadata_hides_no_other() -> None:
    read = task(metadata={"disabledCode": "OWNER-DELETED", "trigger": [], "createdAt": 17.5, "ownerId": {}})

    assert read.metadata is not None
    assert (read.metadata.disabled_code, read.metadata.trigger, read.metadata.owner_id) == ("OWNER-DELETED", None, None)


@each_invalid
def test_an_invalid_nested_member_is_written_and_shown_as_it_came(member: str, value: Any, said: str) -> None:
    read = task(**{member: value})

    assert read.model_dump(by_alias=True, exclude_none=True, mode="json") == {**PLAIN, member: value}
    field = {"metadata": "metadata_json"}.get(member, member)
    assert f"{field}={value!r}" in repr(read)
    assert dict(read)[field] == value
    assert json_of(read)[member] == value
    assert read == task(**{member: value}) == pickle.loads(pickle.dumps(read))
    assert read != task()


@each_invalid
def test_an_invalid_nested_member_is_not_sent(member: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"task: {said.split(':')[0]}"):
        tasks.update("t", task(**{member: value}))


def test_a_task_with_invalid_members_does_not_end_an_iteration(listener: Listener) -> None:
    pages = [
        {"data": [{"id": "a"}, {"id": "b", "states": 17}], "links": {"next": {"href": "?page=2"}}},
        {"data": [{"id": "c", "metadata": {"createdAt": "soon"}}, {"id": "d", "events": [{}]}]},
    ]
    listener.answers(*(Answer(200, page) for page in pages))

    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        walked = list(client.iterate(tasks.list()))

    assert [task.id for task in walked] == ["a", "b", "c", "d"]
    assert walked[1].states == 17
    assert (walked[2].metadata, walked[3].events) == (TaskMetadata(), [{}])


def test_invalid_members_of_a_task_itself_are_left_out() -> None:
    page = TaskList.from_json({"data": [PLAIN, {**PLAIN, "enabled": "perhaps", "name": 5, "annotations": [1, {}]}]})

    assert [(each.enabled, each.name) for each in page.items] == [(None, "A task"), (None, "5")]
    assert page.items[1].annotations == ["1"]


def test_a_last_run_that_cannot_be_read_is_not_taken_for_none() -> None:
    automation = LastAutomationRun.from_json({"id": "a", "lastRun": {"id": "r", "status": None}})

    with pytest.raises(InvalidResponseError, match="expected AutomationRun, but status"):
        _ = automation.last_run


# Created or written


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lax"])
def test_an_object_that_is_created_in_python_is_checked_at_once(strict: bool) -> None:
    with pytest.raises(ValidationError, match="states"):
        Task.model_validate({"name": "t", "specVersion": "1", "states": [{"name": []}]}, strict=strict)
    with pytest.raises(ValidationError, match="specVersion must be given"):
        Task.model_validate({"name": "t"}, strict=strict)
    with pytest.raises(ValidationError, match="schedule must be given"):
        Task.model_validate({"name": "t", "specVersion": "1", "start": {"stateName": "s"}}, strict=False)
    made = Task(name="t", spec_version="1", states=[TaskState(name="s")])
    assert made.states == [TaskState(name="s")]


def test_json_that_is_sent_is_checked_at_once() -> None:
    with pytest.raises(ValidationError, match=r"states\.0\.name"):
        Task.model_validate_json(
            json.dumps({"name": "t", "specVersion": "1", "states": [{"name": 17.5}]}).replace("17.5", "[]")
        )
    with pytest.raises(ValidationError, match="schedule must be given"):
        Task.model_validate_json('{"name": "t", "specVersion": "1", "start": {"stateName": "s"}}')


GIVEN: list[tuple[str, Any, Any]] = [
    ("states", [TaskState(name="s"), {"name": 17}], r"states\.1\.name"),
    ("states", [{"name": []}], r"states\.0\.name"),
    ("events", 17, "events"),
    ("start", {"stateName": "s"}, "schedule must be given"),
    ("metadata", {"usage": []}, r"metadata\.usage"),
]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("member", "value", "said"), GIVEN, ids=str)
@pytest.mark.parametrize("made", ["copied", "made"])
def test_an_unchecked_value_is_refused_when_it_is_sent(made: str, member: str, value: Any, said: str) -> None:
    field = {"metadata": "metadata_json"}.get(member, member)
    if made == "copied":
        unchecked = task().model_copy(update={field: value})
    else:
        unchecked = Task.model_construct(**{"name": "A task", "spec_version": "1.0", field: value})

    with pytest.raises(InvalidArgumentError, match=said):
        tasks.update("t", unchecked)


def test_shapes_in_a_changed_task_are_sent() -> None:
    changed = task().model_copy(update={"states": [TaskState(name="new")], "metadata_json": None, "events": []})

    assert changed.states == [TaskState(name="new")]
    assert tasks.update("t", changed).body == {
        "name": "A task",
        "specVersion": "1.0",
        "start": PLAIN["start"],
        "states": [{"name": "new"}],
        "events": [],
    }


# Speed


def test_more_tasks_on_a_page_run_no_more_python_of_this_package() -> None:
    def calls(count: int) -> int:
        reply = Reply(200, content=json.dumps({"data": [PLAIN] * count}).encode())
        TaskList.from_reply(reply)
        seen: list[str] = []
        sys.setprofile(lambda frame, event, _: seen.append(frame.f_code.co_filename) if event == "call" else None)
        try:
            page = TaskList.from_reply(reply)
        finally:
            sys.setprofile(None)
        assert len(page.items) == count
        return sum("airflow_provider_qlik" in name for name in seen)

    # Not exactly as many: the garbage collector may end a generator of ours in between.
    assert 0 < calls(1) < 100
    assert 0 < calls(300) < 100


digits = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{3}|\.[0-9]{6})?", fullmatch=True
)
near = st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds"))


def moment(text: str) -> Any:
    return TaskRun.from_json({"id": "r", "status": "s", "endedAt": text}).ended_at


@examples(300)
@given(digits | near)
def test_a_moment_in_the_usual_form_is_the_same_as_in_any_other(text: str) -> None:
    usual, other = moment(f"{text}Z"), moment(f"{text}+00:00")

    assert usual == other
    assert type(usual) is type(other)
    assert getattr(usual, "tzinfo", None) is getattr(other, "tzinfo", None)


@pytest.mark.parametrize(
    "text",
    [
        "2026-W01-1T03:04:05Z",
        "20260102T030405.678Z",
        "2026-01-02x03:04:05Z",
        "٢026-01-02T03:04:05Z",
        "2026-02-30T03:04:05Z",
    ],
)
def test_a_form_that_only_python_reads_as_a_moment_is_none(text: str) -> None:
    assert moment(text) is None
