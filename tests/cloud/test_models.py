"""Read leniently, written strictly."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_qlik.cloud import ApiKey, Call, Client, InvalidResponseError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.api import automations, reloads, tasks
from airflow_provider_qlik.cloud.models.automations import (
    Automation,
    AutomationCreate,
    AutomationList,
    AutomationRun,
    AutomationRunList,
    AutomationRunMetrics,
    AutomationSchedule,
    AutomationUpdate,
    LastAutomationRun,
)
from airflow_provider_qlik.cloud.models.reload_tasks import ReloadTask
from airflow_provider_qlik.cloud.models.reloads import Reload
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution
from airflow_provider_qlik.cloud.models.tasks import (
    Task,
    TaskMetadata,
    TaskRun,
    TaskRunList,
    TaskRunLog,
    TaskStart,
    TaskStarted,
)
from airflow_provider_qlik.cloud.models.users import User
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.listener import Answer, Listener

RUN = {"id": "r", "status": "RUNNING"}
NUL_SHOWN = "a\\x00b"

# Reading


def test_members_that_nobody_knows_are_kept() -> None:
    run = TaskRun.from_json({**RUN, "mood": "good", "taskMeta": {"colour": {"deep": [1]}}})

    assert run.model_extra == {"mood": "good"}
    assert run.task_meta is not None
    assert run.model_dump(by_alias=True, exclude_none=True)["taskMeta"] == {"colour": {"deep": [1]}}


def test_words_that_nobody_knows_are_read() -> None:
    assert TaskRun.from_json({"id": "r", "status": "ABORTED"}).status == "ABORTED"
    assert Automation.from_json({"id": "a", "state": "asleep", "runMode": "by night"}).run_mode == "by night"
    task = Task.from_json({"name": "t", "metadata": {"usage": "NEW", "disabledCode": "NEW", "trigger": {"type": 9}}})
    assert task.metadata is not None
    assert (task.metadata.usage, task.metadata.disabled_code) == ("NEW", "NEW")


def test_a_number_written_as_text_is_a_number() -> None:
    assert Automation.from_json({"id": "a", "duration": "9001", "maxConcurrentRuns": "5"}).duration == 9001
    assert AutomationRun.from_json({**RUN, "metrics": {"totalApiCalls": "7"}}).metrics.total_api_calls == 7  # type: ignore[union-attr]


def test_a_text_written_as_a_number_is_a_text() -> None:
    assert TaskRun.from_json({"id": 17, "status": 3}).id == "17"


def test_nulls_are_read_everywhere_but_where_nothing_works_without() -> None:
    run = TaskRun.from_json({**RUN, **dict.fromkeys(("endedAt", "taskMeta", "log", "workerId", "triggeredBy"))})

    assert (run.ended_at, run.task_meta, run.log, run.worker_id) == (None, None, None, None)
    with pytest.raises(InvalidResponseError, match="expected TaskRun, but status"):
        TaskRun.from_json({"id": "r", "status": None})
    with pytest.raises(InvalidResponseError, match="expected TaskRun, but id: Field required"):
        TaskRun.from_json({"status": "RUNNING"})


def test_members_that_are_required_in_writing_may_be_missing_in_an_answer() -> None:
    assert Task.from_json({"id": "t"}).name is None


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.878521494Z", datetime(2026, 1, 2, 3, 4, 5, 878521, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.000000Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1767323045, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("9999-12-31T23:59:59-05:00", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00.000Z", None),
        ("", None),
        (" ", None),
        (None, None),
    ],
)
def test_a_moment_is_read_in_utc_and_never_is_none(said: object, moment: datetime | None) -> None:
    run = TaskRun.from_json({**RUN, "endedAt": said})

    assert run.ended_at == moment
    assert run.ended_at is None or run.ended_at.tzinfo is UTC


@pytest.mark.parametrize(
    "said",
    [
        *(
            "n/a",
            "tomorrow",
            "2026-02-30T00:00:00Z",
            "2026-01-02T25:00:00Z",
            "2026-01-02T24:00:01Z",
            "+292278994-08-17",
        ),
        *([], {}, True, [1], 1e300, "Fri, 32 Jan 2026 25:61:61 GMT", "10000-01-01T00:00:00Z", "\u0000"),
        "+292278994-08-17T07:12:55.807Z",
    ],
    ids=str,
)
def test_a_time_that_cannot_be_read_is_no_time(said: object) -> None:
    assert TaskRun.from_json({**RUN, "endedAt": said}).ended_at is None


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-11-26T10:00:60Z", datetime(2026, 11, 26, 10, 1, tzinfo=UTC)),
        ("2026-11-26T10:00:60.250Z", datetime(2026, 11, 26, 10, 1, 0, 250000, tzinfo=UTC)),
        ("2026-12-31T23:59:60+00:00", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-11-26T24:00:00Z", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-26T24:00:00.000+01:00", datetime(2026, 11, 26, 23, tzinfo=UTC)),
        ("2026-11-26 24:00", datetime(2026, 11, 27, tzinfo=UTC)),
        ("Thu, 26 Nov 2026 10:00:00 GMT", datetime(2026, 11, 26, 10, tzinfo=UTC)),
        (" 2026-11-26T10:00:00Z\n", datetime(2026, 11, 26, 10, tzinfo=UTC)),
    ],
)
def test_a_time_in_an_odd_form_is_read(said: str, moment: datetime) -> None:
    assert TaskRun.from_json({**RUN, "endedAt": said}).ended_at == moment


@pytest.mark.parametrize(
    "said",
    [
        *("1753-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1899-12-30T00:00:00Z", 0, "0"),
        *("1979-12-31T23:59:59Z", "0001-01-02T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "0000-00-00T00:00:00Z"),
    ],
    ids=str,
)
def test_a_time_before_1980_says_never(said: object) -> None:
    assert TaskRun.from_json({**RUN, "startedAt": said}).started_at is None
    assert ReloadTask.from_json({"id": "r", "lastExecutionTime": said}).last_execution_time is None
    execution = SharingTaskExecution.from_json({**RUN, "startTime": said, "endTime": said})
    assert (execution.started_at, execution.ended_at) == (None, None)


ODD: list[Any] = [
    {"id": None, "status": "SUCCEEDED"},
    {"id": "r2", "status": None},
    {"status": "SUCCEEDED"},
    {"id": "r2"},
    {"id": [], "status": "SUCCEEDED"},
    {"id": "", "status": "SUCCEEDED"},
    {"id": "r2", "status": {}},
    *(None, 17, [], "text", [[]]),
]
"""Items that no run can be made of."""


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_item_that_cannot_be_read_is_left_out_of_its_list(odd: Any, place: int) -> None:
    listed: list[Any] = [{"id": "a", "status": "SUCCEEDED"}, {"id": "b", "status": "RUNNING"}]
    listed.insert(place, odd)

    page = TaskRunList.from_json({"data": listed, "links": {"next": {"href": "?page=2"}}})

    assert [(run.id, run.status) for run in page.items] == [("a", "SUCCEEDED"), ("b", "RUNNING")]
    assert page.next_query == (("page", "2"),)
    assert page.left_out == (odd,)


def test_of_a_list_that_nothing_can_be_read_of_nothing_is_left() -> None:
    page = TaskRunList.from_json({"data": ODD})

    assert page.items == []
    assert len(page.left_out) == len(ODD)


MEMBERS: list[Any] = [[], {}, True, 17, "text", [None], {"deep": [1]}, None, 1e300]


@pytest.mark.parametrize("odd", MEMBERS, ids=str)
@pytest.mark.parametrize(
    "member", ["taskMeta", "startedAt", "log", "taskName", "workerId", "triggeredBy", "resourceId", "unheard of"]
)
def test_a_member_of_a_wrong_type_hides_no_other(member: str, odd: Any) -> None:
    run = TaskRun.from_json({**RUN, "workerType": "reloads", member: odd})

    assert (run.id, run.status, run.worker_type) == ("r", "RUNNING", "reloads")
    run.model_dump(by_alias=True, mode="json")


@pytest.mark.parametrize("odd", MEMBERS, ids=str)
@pytest.mark.parametrize("member", ["partial", "weight", "log", "endTime", "errorMessage", "engineTime"])
def test_a_reload_is_read_whatever_its_members_hold(member: str, odd: Any) -> None:
    assert Reload.from_json({**RUN, member: odd}).status == "RUNNING"


@pytest.mark.parametrize("odd", MEMBERS, ids=str)
@pytest.mark.parametrize("member", ["metrics", "duration", "testRun", "stopTime", "error", "title"])
def test_an_automation_run_is_read_whatever_its_members_hold(member: str, odd: Any) -> None:
    run = AutomationRun.from_json({**RUN, member: odd})

    assert run.status == "RUNNING"
    _ = run.metrics, run.error_text


@pytest.mark.parametrize("odd", MEMBERS, ids=str)
def test_links_that_are_none_end_a_list(odd: Any) -> None:
    page = TaskRunList.from_json({"data": [RUN], "links": odd})

    assert [run.id for run in page.items] == ["r"]
    assert page.next_query == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"a\\u0000b"', NUL_SHOWN),
        ('"a\x00b"', NUL_SHOWN),
        ('"caf\\ud83d"', "caf\\ud83d"),
        ('"\\ude00\\ud83d"', "\\ude00\\ud83d"),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('"a\\\\u0000b"', "a\\u0000b"),
        ('"one\ntwo"', "one\ntwo"),
    ],
    ids=ascii,
)
def test_every_text_out_of_a_response_can_be_stored(text: str, shown: str) -> None:
    body = f'{{"id": "r", "status": "s", "log": {text}, "other": [{{"x": {text}}}], "taskMeta": {{"y": {text}}}}}'
    for content in (body.encode(), f'{{"data": [{body}]}}'.encode()):
        run = (
            TaskRunList.from_reply(Reply(200, content=content)).items[0]
            if content.startswith(b'{"data"')
            else TaskRun.from_reply(Reply(200, content=content))
        )
        assert run.log == shown
        assert run.model_extra == {"other": [{"x": shown}]}
        assert run.task_meta is not None
        assert run.task_meta.model_extra == {"y": shown}


@pytest.mark.parametrize(
    "body",
    [
        codecs.BOM_UTF8 + b'{"id": "r", "status": "s"}',
        '{"id": "r", "status": "s"}'.encode("utf-16"),
        b'{"id": "r", "status": "s", "log": "caf\xe9"}',
        b'{"id": "r", "status": "s", "x": NaN, "y": [-Infinity], "z": 1e999}',
        b'{"id": "r", "status": "s", "x": ' + b"9" * 5000 + b', "log": "\\ud800"}',
    ],
    ids=["BOM", "UTF-16", "Latin-1", "NaN", "huge"],
)
def test_a_body_that_only_a_lenient_reader_takes_is_read(body: bytes) -> None:
    run = TaskRun.from_reply(Reply(200, content=body))

    assert (run.id, run.status) == ("r", "s")
    json.dumps(run.model_dump(mode="json"), allow_nan=False).encode()


def test_what_is_left_out_is_said_once_and_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    odd = {"id": None, "status": "s", "executionToken": "very-secret"}
    for _ in range(3):
        TaskRunList.from_json({"data": [RUN, odd, {**odd, "id": "r3", "status": None}]})
        AutomationRunList.from_json({"data": [{"id": None, "executionToken": "very-secret"}]})

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    first, second = (record.getMessage() for record in caplog.records)
    assert "held 2 items that cannot be read" in first
    assert "data.1.id: Input should be a valid string" in first
    assert "held 1 item " in second
    assert "very-secret" not in caplog.text


def test_secrets_are_found_by_their_names_in_what_nobody_has_described() -> None:
    page = AutomationList.from_json(
        {
            "data": [
                {"id": "a", "executionToken": "secret-one", "webhook": {"apiKey": "secret-two", "retries": 5}},
                {"id": "b", "workspace": {"blocks": [{"client_secret": "secret-three", "name": "x"}]}},
                {"id": "c", "x_access_token": "secret-four", "tokensUsed": 5, "nextPageToken": "not-a-secret"},
            ],
            "links": {"next": {"href": "?cursor=x", "token": "not-a-secret"}},
        }
    )

    assert set(page.secrets) == {"secret-one", "secret-two", "secret-three", "secret-four"}
    assert "secret-" not in repr(page).replace("not-a-secret", "")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"17", b"{", b'{"id": "r"', b"\xff", b"<html>"])
def test_what_is_no_object_is_no_run(body: bytes) -> None:
    with pytest.raises(InvalidResponseError, match="expected TaskRun"):
        TaskRun.from_reply(Reply(200, content=body))


def test_an_execution_token_is_read_and_not_shown() -> None:
    automation = Automation.from_json({"id": "a", "executionToken": "very-secret"})

    assert automation.execution_token is not None
    assert automation.execution_token.get_secret_value() == "very-secret"
    assert "very-secret" not in f"{automation!r} {automation} {automation.model_dump()} {automation.model_dump_json()}"


def test_an_execution_token_is_not_shown_where_a_list_cannot_be_read() -> None:
    listed = [{"id": "a", "executionToken": "very-secret"}, {"name": "no id"}]

    assert "very-secret" not in repr(AutomationList.from_json({"data": listed}))
    with pytest.raises(InvalidResponseError, match=r'"executionToken": "\*\*\*"') as raised:
        AutomationRun.from_json({"executionToken": "very-secret", "status": "no id"})
    assert "very-secret" not in str(raised.value)
    with pytest.raises(InvalidResponseError) as raised:
        AutomationList.from_reply(Reply(200, content=b'{"data":[{"id":"a","executionToken":"very-secr'))
    assert "very" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ([{"message": "no such table"}], "no such table"),
        (["first", {"detail": "second"}], "first; second"),
        ({"title": "no such table"}, "no such table"),
        ("no such table", "no such table"),
        ([{"code": 7}], '{"code": 7}'),
        ([], None),
        (None, None),
        ([None, {}, " "], None),
    ],
)
def test_what_went_wrong_in_a_run_is_one_line_in_every_form(error: object, text: str | None) -> None:
    assert AutomationRun.from_json({**RUN, "error": error}).error_text == text


@pytest.mark.parametrize(
    ("body", "log"),
    [
        (b'{"logContent": "a\\nb"}', "a\nb"),
        (b"a\nb", "a\nb"),
        (b'"a\\nb"', "a\nb"),
        (b"", ""),
        (b"17", "17"),
        (b'{"logContent": null}', None),
        (b"\xff", "\\xff"),
        (b"[2026-01-01] started", "[2026-01-01] started"),
        (b"a\x00b", NUL_SHOWN),
        (b'"a\\u0000b"', NUL_SHOWN),
        (b'{"logContent": "a\\u0000b"}', NUL_SHOWN),
        (b'{"logContent": "caf\\ud83d"}', "caf\\ud83d"),
        (b'{"logContent": ["no text"]}', None),
        (codecs.BOM_UTF8 + b'{"logContent": "a"}', "a"),
        (codecs.BOM_UTF8 + b"a", "a"),
        ("a".encode("utf-16"), "a"),
    ],
)
def test_a_log_is_read_in_every_form(body: bytes, log: str | None) -> None:
    assert TaskRunLog.from_reply(Reply(200, content=body)).log_content == log


def test_a_start_tells_the_servers_clock_from_its_body_or_its_header() -> None:
    headers = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    in_header = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)
    seen = b'{"status_code": 200, "code": "CHO-000", "timestamp": "2025-04-17T14:35:14.878521494Z", "value": null}'

    assert TaskStarted.from_reply(Reply(200, headers, seen)).timestamp == datetime(
        2025, 4, 17, 14, 35, 14, 878521, tzinfo=UTC
    )
    assert TaskStarted.from_reply(Reply(200, headers, b'{"message": "ok"}')).timestamp == in_header
    assert TaskStarted.from_reply(Reply(200, headers, b"")).timestamp == in_header
    assert TaskStarted.from_reply(Reply(200, {}, b"")).timestamp is None


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Oct 2026 07:28:00 GMT"])
def test_a_server_without_a_clock_has_none(date: str) -> None:
    assert Reply(200, {"date": date}).server_time is None


@pytest.mark.parametrize("reply", ["observed", "documented", "empty"])
def test_every_start_tells_the_servers_clock(sandbox: SandboxTenant, client: Client, reply: str) -> None:
    sandbox.set_speed(0)
    sandbox.switch(start_response=reply)

    timestamp = client.call(tasks.start(sandbox.add_task())).timestamp

    assert timestamp is not None
    assert abs((timestamp - sandbox.now()).total_seconds()) < 1


@pytest.mark.parametrize("form", ["accept", "json", "text", "text_json"])
def test_the_log_of_a_run_is_the_same_in_every_form(sandbox: SandboxTenant, client: Client, form: str) -> None:
    sandbox.switch(log_form=form)
    task_id = sandbox.add_task()
    run_id = sandbox.add_run(task_id, script=Script(log=("one", "two")))

    assert client.call(tasks.run_log(task_id, run_id)).log_content == "one\ntwo"


def test_the_reload_behind_a_task_run_is_read(sandbox: SandboxTenant, client: Client) -> None:
    task_id = sandbox.add_task(resource_id="app")
    sandbox.add_run(task_id, script=Script(end="FAILED", error="no such table"))
    run = client.call(tasks.last_run(task_id))

    assert run.worker_id is not None
    reload = client.call(reloads.get(run.worker_id))

    assert isinstance(reload, Reload)
    assert (reload.app_id, reload.status, reload.error_message) == ("app", "FAILED", "no such table")


def test_a_user_is_read_with_whatever_roles() -> None:
    assert User.from_json({"id": "u", "assignedRoles": [{"name": "TenantAdmin"}, "Developer"]}).assigned_roles


# Writing

GOOD = {"name": "A task", "specVersion": "1.0"}


def with_start(**start: Any) -> dict[str, Any]:
    return {**GOOD, "start": start}


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        (lambda: tasks.create({"name": "A task"}), "task: specVersion must be given"),
        (lambda: tasks.create({}), "task: name and specVersion must be given"),
        (lambda: tasks.create({**GOOD, "name": 17}), "task: name: .*string"),
        (lambda: tasks.create({**GOOD, "enabled": "yes"}), "task: enabled: .*boolean"),
        (lambda: tasks.create({**GOOD, "annotations": "one"}), "task: annotations: .*array"),
        (lambda: tasks.create(with_start(stateName="s")), "task: start: schedule must be given"),
        (lambda: tasks.create(with_start(schedule={"cron": {}})), "task: start.schedule.cron: expression must be"),
        (lambda: tasks.create({**GOOD, "metadata": {"usage": 17}}), "task: metadata.usage: .*string"),
        (lambda: tasks.create({**GOOD, "metadata": {"trigger": {"id": "i", "type": "4"}}}), "trigger.type: .*integer"),
        (lambda: tasks.create({**GOOD, "metadata": {"trigger": {"id": "i"}}}), "trigger: type must be given"),
        (lambda: tasks.create({**GOOD, "metadata": {"updatedAt": 5}}), "metadata.updatedAt: must be a datetime"),
        (lambda: tasks.create({**GOOD, "events": [{"type": 17}]}), "task: events.0.type: .*string"),
        (lambda: tasks.create({**GOOD, "extra": {1, 2}}), "task: must be writable as JSON"),
        (lambda: tasks.create("a task"), "task: "),  # type: ignore[arg-type]
        (lambda: tasks.create(None), "task: "),  # type: ignore[arg-type]
        (lambda: tasks.create([GOOD]), "task: "),  # type: ignore[arg-type]
        (lambda: tasks.update("t", {"name": "A task"}), "task: specVersion must be given"),
        (lambda: tasks.update("", GOOD), "task_id: an id must not be empty"),
        (lambda: tasks.list(sort="createdAt"), "sort: one of "),
        (lambda: tasks.list(limit=0), "limit: a whole number"),
        (lambda: automations.create({}), "automation: name must be given"),
        (lambda: automations.update("a", {"schedules": [{"interval": "60"}]}), "automation: schedules.0.interval: "),
        (lambda: automations.update("a", {"workspace": []}), "automation: workspace: .*object"),
        (lambda: automations.update_settings({"maxConcurrentRunsPerAutomation": "5"}), "settings: maxConc"),
        (lambda: automations.copy("a", None), "name: name must be given"),  # type: ignore[arg-type]
        (lambda: automations.change_owner("a", 17), "user_id: userId: .*string"),  # type: ignore[arg-type]
        (lambda: automations.runs("a", sort="-color"), "sort: one of "),
    ],
)
def test_what_is_wrong_is_refused_by_name_before_anything_is_sent(
    sandbox: SandboxTenant, client: Client, asks: Callable[[], Call[Any]], named: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        client.call(asks())

    assert sandbox.request_log() == []


def test_a_shape_made_in_python_is_strict() -> None:
    with pytest.raises(ValidationError, match="specVersion must be given"):
        Task(name="A task")
    with pytest.raises(ValidationError, match="usage"):
        TaskMetadata(usage=17)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="name"):
        AutomationCreate(name=17)  # type: ignore[arg-type]


def test_shapes_and_mappings_are_sent_alike() -> None:
    shape = Task(name="A task", spec_version="1.0", start=TaskStart(schedule="R/PT1H"), keep_active=False)
    mapping = {**GOOD, "start": {"schedule": "R/PT1H"}, "keepActive": False}

    assert tasks.create(shape) == tasks.create(mapping)
    assert tasks.create(shape).body == mapping


def test_python_names_may_stand_in_a_mapping() -> None:
    assert tasks.create({"name": "A task", "spec_version": "1.0"}).body == GOOD


def test_a_task_that_was_read_can_be_written_back(sandbox: SandboxTenant, client: Client) -> None:
    task_id = sandbox.add_task("Before", description="A task.", newMember={"kept": [1, None]})
    task = client.call(tasks.get(task_id))

    written = client.call(tasks.update(task_id, task.model_copy(update={"name": "After"})))

    assert (written.name, written.description) == ("After", "A task.")
    (entry,) = sandbox.request_log("update_task")
    assert entry.body["newMember"] == {"kept": [1, None]}
    assert "id" not in entry.body
    assert not {"createdAt", "deletedAt"} & set(entry.body["metadata"])


def test_what_qlik_sets_itself_is_not_sent() -> None:
    schedule = {"id": "s", "lastStartedAt": "2026-01-01T00:00:00Z", "interval": 60}

    assert automations.update("a", {"schedules": [schedule]}).body == {"schedules": [{"interval": 60}]}
    assert automations.update("a", AutomationUpdate(schedules=[AutomationSchedule(id="s", interval=60)])).body == {
        "schedules": [{"interval": 60}]
    }


def test_a_workspace_is_sent_as_it_is() -> None:
    workspace = {"blocks": [{"id": None, "a b": {"c": [None, 1.5, "ä"]}}]}

    assert automations.update("a", {"workspace": workspace}).body == {"workspace": workspace}
    assert automations.update("a", AutomationUpdate(workspace=workspace)).body == {"workspace": workspace}


def test_a_shape_of_another_kind_is_refused() -> None:
    automation = Automation.from_json({"id": "a", "name": "A", "executionToken": "very-secret"})

    with pytest.raises(InvalidArgumentError, match=r"automation: .*AutomationUpdate.*Automation"):
        automations.update("a", automation)  # type: ignore[arg-type]


def test_a_new_automation_may_stand_for_an_update() -> None:
    assert automations.update("a", AutomationCreate(name="A")).body == {"name": "A"}


def test_inputs_are_sent_as_they_are(sandbox: SandboxTenant, client: Client) -> None:
    automation_id = sandbox.add_automation(run_mode="triggered")
    token = client.call(automations.get(automation_id)).execution_token
    assert token is not None

    client.call(automations.execute(automation_id, token.get_secret_value(), {"table": "sales", "n": [1, None]}))

    (run,) = sandbox.runs(automation_id)
    assert run["inputs"] == {"table": "sales", "n": [1, None]}
    assert token.get_secret_value() not in json.dumps([entry.to_json() for entry in sandbox.request_log()])


def test_what_cannot_be_read_is_asked_for_again_in_vain(listener: Listener) -> None:
    listener.answers(Answer(200, {"id": "r"}))
    retry_policy = RetryPolicy(max_attempts=3, initial_backoff=0.001)
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=retry_policy) as client,
        pytest.raises(InvalidResponseError, match="status: Field required") as raised,
    ):
        client.call(tasks.last_run("t"))

    assert len(listener.seen) == 3
    assert raised.value.excerpt == '{"id": "r"}'


def test_an_empty_object_may_come_as_an_empty_list() -> None:
    automation = Automation.from_json({"id": "1", "workspace": [], "lastRun": []})
    assert (automation.workspace, automation.last_run) == (None, None)
    assert LastAutomationRun.from_json({"id": "1", "lastRun": []}).last_run is None
    assert AutomationRun.from_json({**RUN, "metrics": []}).metrics is None
    assert AutomationRun.from_json({**RUN, "metrics": {"network": []}}).metrics == AutomationRunMetrics()
    assert AutomationList.from_json({"data": [], "links": []}).next_query == ()
    assert AutomationList.from_json({"data": [], "links": {"next": []}}).next_query == ()
    with pytest.raises(InvalidArgumentError, match="workspace"):
        automations.create({"name": "A", "workspace": []})
