"""What is nested in a task is read when it is looked at, and nobody notices."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from typing import Any

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
)
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
NONSENSE: list[tuple[str, Any, str]] = [
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
each_nonsense = pytest.mark.parametrize(("member", "value", "said"), NONSENSE, ids=str)


def task(**other: Any) -> Task:
    """A task that was read, and at which nobody has looked."""
    return Task.from_json({**PLAIN, **other})


def page(*items: Task) -> TaskList:
    return TaskList(data=[*items], server_time=None)


def test_what_is_nested_is_there_as_shapes() -> None:
    read = task()

    assert read.start == TaskStart.from_json(PLAIN["start"])
    assert read.events == [TaskEvent.from_json(event) for event in PLAIN["events"]]
    assert type(read.states) is list
    assert isinstance(read.states[0], TaskState)
    assert isinstance(read.metadata, TaskMetadata)
    assert isinstance(read.start, TaskStart)
    assert isinstance(read.start.schedule, TaskScheduleRule)
    assert read.states[0].on_events == [TaskOnEvents.from_json(PLAIN["states"][0]["onEvents"][0])]


@pytest.mark.parametrize("member", ["start", "events", "states", "metadata"])
def test_whoever_looks_again_sees_the_same(member: str) -> None:
    read = task()

    assert getattr(read, member) is getattr(read, member)


@pytest.mark.parametrize("member", ["start", "events", "states", "metadata"])
def test_nothing_and_no_items_are_what_they_are(member: str) -> None:
    assert getattr(task(**{member: None}), member) is None
    assert getattr(Task(name="t", spec_version="1"), member) is None
    if member in {"events", "states"}:
        empty = task(**{member: []})
        assert getattr(empty, member) == []
        assert getattr(empty, member) is getattr(empty, member)


LOOKS: dict[str, Callable[[Task], Any]] = {
    "written for Qlik": lambda task: task.model_dump(by_alias=True, exclude_none=True, mode="json"),
    "written": lambda task: task.model_dump(),
    "written as text": lambda task: task.model_dump_json(by_alias=True, exclude_unset=True),
    "written in part": lambda task: task.model_dump(include={"events": {0}, "start": {"schedule"}, "metadata": True}),
    "written but for a part": lambda task: task.model_dump(exclude={"events": {0: {"name"}, 1: True}, "states": {0}}),
    "shown": repr,
    "shown as text": str,
    "its members": dict,
    "made anew from its members": lambda task: Task.model_construct(**dict(task)),
    "a page of it": lambda task: page(task).model_dump_json(),
    "what would be sent": lambda task: tasks.update("t", task.model_copy(update={"events": None, "metadata": None})),
}


@pytest.mark.parametrize("poll", LOOKS.values(), ids=LOOKS)
def test_it_is_the_same_whether_or_not_somebody_has_looked(poll: Callable[[Task], Any]) -> None:
    looked_at = task()
    at_once = Task.model_construct(
        **{name: getattr(looked_at, name) for name in Task.model_fields if name in looked_at.model_fields_set}
    )

    assert poll(task()) == poll(looked_at) == poll(at_once)


def test_what_was_read_is_written_as_it_came() -> None:
    assert task().model_dump(by_alias=True, exclude_none=True, mode="json") == PLAIN


def test_what_nobody_has_looked_at_is_written_by_the_same_rules() -> None:
    read = task(metadata={"createdAt": "0001-01-01T00:00:00Z", "trigger": {"type": "2"}, "ownerId": 17})

    assert read.model_dump(exclude_none=True)["metadata"] == {"trigger": {"type": 2}, "owner_id": "17"}


def test_words_that_nobody_knows_are_read_when_they_are_looked_at() -> None:
    read = task(events=[{"type": "new word"}], metadata={"usage": "NEW"}, states=[{"newMember": 1}])

    assert read.events is not None
    assert read.events[0].type == "new word"
    assert read.metadata == TaskMetadata.from_json({"usage": "NEW"})
    assert read.states is not None
    assert read.states[0].model_extra == {"newMember": 1}


def test_tasks_are_alike_whether_or_not_somebody_has_looked() -> None:
    looked_at = task()
    assert looked_at.states

    assert task() == looked_at == task()
    assert task() != task(states=[])
    assert task(metadata={"trigger": {"type": "2"}}) == task(metadata={"trigger": {"type": 2}})
    assert page(task()) == page(looked_at)
    assert task() != PLAIN


def test_tasks_that_are_alike_have_one_hash() -> None:
    one, other = (task(states=None, events=None, metadata={"trigger": {"type": given}}) for given in (2, "2"))

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
def test_a_copy_is_as_good(copied: Callable[[Task], Task]) -> None:
    looked_at = task()
    assert looked_at.states

    for one in (copied(task()), copied(looked_at), copied(copied(task()))):
        assert one == task()
        assert one.states == looked_at.states
        assert one.model_fields_set == looked_at.model_fields_set


def test_a_shape_class_has_no_members_of_its_own_and_its_heirs_have_all() -> None:
    class Heir(Task):
        states: list[TaskState] | None = None

    assert not hasattr(Task, "states")
    heir = Heir.from_json(PLAIN)
    assert (heir.states, heir.events) == (task().states, task().events)
    with pytest.raises(ValidationError, match="frozen"):
        heir.events = None


# What makes no sense


@each_nonsense
def test_what_makes_no_sense_is_left_out_for_whoever_looks_and_costs_nothing_else(
    member: str, value: Any, said: str
) -> None:
    read = task(**{member: value})

    assert read.name == "A task"
    for _ in range(2):
        assert not _has_any(getattr(read, member), LEFT_OVER.get(said, set()))
    assert all(getattr(read, other) for other in {"start", "events", "states", "metadata"} - {member})


LEFT_OVER = {r"states\.1: Input should be an object": {"s"}}
"""What makes sense beside what does not, by the problem."""


def _has_any(read: Any, known: set[str]) -> bool:
    """Tell whether anything is left but what is known."""
    if isinstance(read, list):
        return any(_has_any(item, known) for item in read)
    if isinstance(read, Shape):
        return any(_has_any(value, known) for _, value in read)
    return read is not None and read not in known


def test_one_odd_member_hides_no_other_of_what_is_nested() -> None:
    read = task(metadata={"disabledCode": "OWNER-DELETED", "trigger": [], "createdAt": 17.5, "ownerId": {}})

    assert read.metadata is not None
    assert (read.metadata.disabled_code, read.metadata.trigger, read.metadata.owner_id) == ("OWNER-DELETED", None, None)


@each_nonsense
def test_what_makes_no_sense_is_written_and_shown_as_it_came(member: str, value: Any, said: str) -> None:
    read = task(**{member: value})

    assert read.model_dump(by_alias=True, exclude_none=True, mode="json") == {**PLAIN, member: value}
    assert f"{member}={value!r}" in repr(read)
    assert dict(read)[member] == value
    assert read == task(**{member: value}) == pickle.loads(pickle.dumps(read))
    assert read != task()


@each_nonsense
def test_what_makes_no_sense_is_not_sent(member: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"task: {said.split(':')[0]}"):
        tasks.update("t", task(**{member: value}))


def test_one_strange_task_does_not_end_a_walk_over_all(listener: Listener) -> None:
    pages = [
        {"data": [{"id": "a"}, {"id": "b", "states": 17}], "links": {"next": {"href": "?page=2"}}},
        {"data": [{"id": "c", "metadata": {"createdAt": "soon"}}, {"id": "d", "events": [{}]}]},
    ]
    listener.answers(*(Answer(200, page) for page in pages))

    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        walked = list(client.iterate(tasks.list()))

    assert [task.id for task in walked] == ["a", "b", "c", "d"]
    assert walked[1].states is None


def test_what_a_task_says_itself_is_read_at_once_and_left_out_where_it_makes_no_sense() -> None:
    page = TaskList.from_json({"data": [PLAIN, {**PLAIN, "enabled": "perhaps", "name": 5, "annotations": [1, {}]}]})

    assert [(each.enabled, each.name) for each in page.items] == [(None, "A task"), (None, "5")]
    assert page.items[1].annotations == ["1"]


def test_a_last_run_that_cannot_be_read_is_not_taken_for_none() -> None:
    automation = LastAutomationRun.from_json({"id": "a", "lastRun": {"id": "r", "status": None}})

    with pytest.raises(InvalidResponseError, match="expected LastAutomationRun, but lastRun"):
        _ = automation.last_run


# What is made or written


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lax"])
def test_what_is_made_in_python_is_checked_at_once(strict: bool) -> None:
    with pytest.raises(ValidationError, match="states"):
        Task.model_validate({"name": "t", "specVersion": "1", "states": [{"name": []}]}, strict=strict)
    with pytest.raises(ValidationError, match="specVersion must be given"):
        Task.model_validate({"name": "t"}, strict=strict)
    with pytest.raises(ValidationError, match="schedule must be given"):
        Task.model_validate({"name": "t", "specVersion": "1", "start": {"stateName": "s"}}, strict=False)
    made = Task(name="t", spec_version="1", states=[TaskState(name="s")])
    assert made.states == [TaskState(name="s")]


def test_what_stands_in_json_that_is_to_be_sent_is_checked_at_once() -> None:
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
def test_what_somebody_put_in_unchecked_is_refused_when_it_is_sent(
    made: str, member: str, value: Any, said: str
) -> None:
    if made == "copied":
        unchecked = task().model_copy(update={member: value})
    else:
        unchecked = Task.model_construct(**{"name": "A task", "spec_version": "1.0", member: value})

    with pytest.raises(InvalidArgumentError, match=said):
        tasks.update("t", unchecked)


def test_shapes_that_somebody_put_in_are_sent() -> None:
    changed = task().model_copy(update={"states": [TaskState(name="new")], "metadata": None, "events": []})

    assert changed.states == [TaskState(name="new")]
    assert tasks.update("t", changed).body == {
        "name": "A task",
        "specVersion": "1.0",
        "start": PLAIN["start"],
        "states": [{"name": "new"}],
        "events": [],
    }


# What it is for


def test_more_tasks_on_a_page_run_no_more_of_our_python() -> None:
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
def test_what_only_python_would_take_for_a_moment_is_none(text: str) -> None:
    assert moment(text) is None
