"""Sharing tasks: reports and subscriptions, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, Call, Client, InvalidResponseError, QlikCloudError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.api import sharing_tasks
from airflow_provider_qlik.cloud.models.sharing_executions import SharingTaskExecution, SharingTaskExecutionList
from airflow_provider_qlik.cloud.models.sharing_tasks import (
    SharingScheduleOptions,
    SharingSettings,
    SharingSettingsUpdate,
    SharingTask,
    SharingTaskCreate,
    SharingTaskList,
    SharingTaskPatchOperation,
)
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.listener import Answer, Listener

LEAST: dict[str, Any] = {"name": "A report", "type": "template-sharing", "state": {}, "templates": []}
EXECUTION = {"id": "e", "status": "in-progress"}


def with_member(**members: Any) -> dict[str, Any]:
    return {**LEAST, **members}


# Asking


def test_a_parameter_with_several_values_is_sent_once_for_each() -> None:
    call = sharing_tasks.list(role=["owner", "recipient"], sort=("-sent", "+name"), template_id=["a b", "c"])

    assert call.query_text == "role=owner&role=recipient&sort=-sent&sort=%2Bname&templateId=a%20b&templateId=c"


def test_one_value_may_stand_alone_and_none_is_not_sent() -> None:
    assert sharing_tasks.executions("s", sort="-starttime") == sharing_tasks.executions("s", sort=["-starttime"])
    assert sharing_tasks.list(role=[], sort=None).query == ()


def test_an_offset_may_be_nought() -> None:
    assert sharing_tasks.list(offset=0).query == (("offset", "0"),)


def test_the_latest_execution_is_asked_for_by_that_word() -> None:
    call = sharing_tasks.execution("s", "latest", status="successful")

    assert (call.path, call.query) == ("/api/v1/sharing-tasks/s/executions/latest", (("status", "successful"),))


def test_a_file_is_a_download_of_any_type() -> None:
    call = sharing_tasks.execution_file("s", "e", "small image/1".replace("/", ":"))

    assert (call.response_type, call.accept) == (Download, "*/*")
    assert call.path == "/api/v1/sharing-tasks/s/executions/e/files/small%20image%3A1"


@pytest.mark.parametrize(
    ("alias", "segment"),
    [
        ("sales/2026", "sales%2F2026"),
        ("../../users/me", "..%2F..%2Fusers%2Fme"),
        ("a?b#c\\d%2F", "a%3Fb%23c%5Cd%252F"),
        (" Umsätze ", "%20Ums%C3%A4tze%20"),
        ("{execution_id}", "%7Bexecution_id%7D"),
        ("a\x00b\n", "a%00b%0A"),
    ],
)
def test_an_alias_of_a_file_may_hold_anything_and_stays_one_segment_of_the_path(
    listener: Listener, alias: str, segment: str
) -> None:
    listener.answers(Answer(404))
    call = sharing_tasks.execution_file("s", "e", alias)

    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(QlikCloudError):
            client.download(call, lambda: nullcontext(BytesIO()))

    assert listener.seen[0].target == f"/api/v1/sharing-tasks/s/executions/e/files/{segment}"


def test_a_task_is_executed_by_its_id_in_the_body() -> None:
    assert sharing_tasks.execute(" s ").body == {"sharingTaskID": "s"}


def test_changes_are_shapes_or_mappings_and_several() -> None:
    shapes = [
        SharingTaskPatchOperation(op="replace", path="/enabled", value=False),
        SharingTaskPatchOperation(op="remove", path="/tags"),
    ]
    plain: list[dict[str, Any]] = [
        {"op": "replace", "path": "/enabled", "value": False},
        {"op": "remove", "path": "/tags"},
    ]

    assert sharing_tasks.patch("s", shapes) == sharing_tasks.patch("s", plain)
    assert sharing_tasks.patch("s", (shapes[0], plain[1])).body == plain


def test_a_change_to_nothing_says_so() -> None:
    nothing = [{"op": "replace", "path": "/description", "value": None}]

    assert sharing_tasks.patch("s", nothing).body == nothing
    shape = SharingTaskPatchOperation(op="replace", path="/description", value=None)
    assert sharing_tasks.patch("s", [shape]).body == nothing


def test_names_that_are_no_names_in_python_are_sent_as_qlik_has_them() -> None:
    assert sharing_tasks.update_settings(SharingSettingsUpdate(enable_sharing=False)).body == {"enable-sharing": False}
    assert sharing_tasks.update_settings({"enable_sharing": True}).body == {"enable-sharing": True}
    task = SharingTaskCreate(**LEAST, data_connection_id="d")
    assert sharing_tasks.create(task).body == {**LEAST, "dataConnectionID": "d"}


def test_what_qlik_sets_itself_is_not_sent() -> None:
    schedule = {"timezone": "UTC", "chronosJobID": "j", "nextExecutionTime": "2026-01-01T00:00:00Z"}
    trigger = {"recurrence": [], "chronosJobID": "j"}

    body = sharing_tasks.create(with_member(scheduleOptions=schedule, trigger=trigger)).body

    assert body == with_member(scheduleOptions={"timezone": "UTC"}, trigger={"recurrence": []})


def test_a_moment_is_sent_with_no_more_digits_than_it_has() -> None:
    def sent(moment: Any) -> Any:
        return sharing_tasks.create(with_member(expiration=moment)).body["expiration"]

    assert sent("2026-01-02T03:04:05Z") == "2026-01-02T03:04:05Z"
    assert sent("2026-01-02T03:04:05.120Z") == "2026-01-02T03:04:05.120Z"
    assert sent("2026-01-02T05:04:05.123456+02:00") == "2026-01-02T03:04:05.123456Z"
    task = SharingTaskCreate(**LEAST, expiration=datetime(2026, 1, 2, tzinfo=UTC))
    assert sharing_tasks.create(task).body["expiration"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        (lambda: sharing_tasks.create({}), "sharing_task: name and type and state and templates must be given"),
        (lambda: sharing_tasks.create(with_member(type=17)), "sharing_task: type: .*string"),
        (lambda: sharing_tasks.create(with_member(templates=[{}])), "sharing_task: templates.0: type must be given"),
        (lambda: sharing_tasks.create(with_member(templates=[{"type": 17}])), "templates.0.type: .*string"),
        (lambda: sharing_tasks.create(with_member(trigger={})), "sharing_task: trigger: recurrence must be given"),
        (lambda: sharing_tasks.create(with_member(transportChannels=[17])), "transportChannels.0: .*string"),
        (lambda: sharing_tasks.create(with_member(recipients={"userIds": ["u"]})), "recipients.userIds.0"),
        (
            lambda: sharing_tasks.create(with_member(scheduleOptions={"recurrence": ["RRULE:FREQ=DAILY"] * 6})),
            "scheduleOptions.recurrence: has at most 5 items, not 6",
        ),
        (lambda: sharing_tasks.patch("s", {"op": "remove", "path": "/tags"}), "changes: must be a list of .*a single"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.patch("s", SharingTaskPatchOperation(op="remove", path="/tags")), "changes: must be a"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.patch("s", "remove"), "changes: must be a list"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.patch("s", None), "changes: must be a list"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.patch("s", [{"op": 17, "path": "/tags"}]), r"changes\[0\]: op: .*string"),
        (
            lambda: sharing_tasks.patch("s", [{"op": "remove", "path": "/tags"}, {"op": "remove"}]),
            r"changes\[1\]: path must be given",
        ),
        (lambda: sharing_tasks.patch_settings([{"path": "/enable-sharing"}]), r"changes\[0\]: op must be given"),
        (lambda: sharing_tasks.patch_settings({}), "changes: must be a list"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.update_settings({}), "settings: enable-sharing must be given"),
        (lambda: sharing_tasks.update_settings(SharingSettings()), "settings: .*SharingSettingsUpdate"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.execute(""), "sharing_task_id: an id must not be empty"),
        (lambda: sharing_tasks.execute(None), "sharing_task_id: an id is a text"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.execution_file("s", "e", ".."), "file_alias: '..' cannot be an id or a name"),
        (lambda: sharing_tasks.execution_file("s", "e", "."), "file_alias: '.' cannot be an id or a name"),
        (lambda: sharing_tasks.execution_file("s", "e", ""), "file_alias: '' cannot be an id or a name"),
        (lambda: sharing_tasks.execution_file("s", "e", None), "file_alias: must be a text"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.execution_file("s", "e", "\ud83d"), "file_alias: has characters that cannot be sent"),
        (lambda: sharing_tasks.execution_file("s", "e/..", "a"), "execution_id: an id has no '/'"),
        (lambda: sharing_tasks.list(role="guest"), "role: one of 'owner', 'recipient', not 'guest'"),
        (lambda: sharing_tasks.list(sort=["name", "color"]), "sort: one of .*not 'color'"),
        (lambda: sharing_tasks.list(template_id=[17]), "template_id: a text or a list of texts"),  # type: ignore[list-item]
        (lambda: sharing_tasks.list(template_id=17), "template_id: a text or a list of texts"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.list(template_id=b"a"), "template_id: a text or a list of texts"),  # type: ignore[arg-type]
        (lambda: sharing_tasks.list(offset=-1), "offset"),
        (lambda: sharing_tasks.list(offset=False), "offset"),
        (lambda: sharing_tasks.list(next="a", prev="b"), "prev: must not be given together with next"),
        (lambda: sharing_tasks.executions("s", next="a", prev="b"), "prev: must not be given together with next"),
        (lambda: sharing_tasks.executions("s", status="cancelled"), "status: one of 'successful', 'failed'"),
        (lambda: sharing_tasks.list(owner=("a", "b")), "owner: must be a text or a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_refused_by_name(asks: Callable[[], Call[Any]], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        asks()


# Reading


def test_items_that_have_another_name_are_the_items_of_the_page() -> None:
    page = SharingTaskList.from_json({"sharingTasks": [{"id": "a"}, {"id": "b"}], "totalCount": 42})

    assert [task.id for task in page.items] == ["a", "b"]
    assert page.data == page.items
    assert page.total_count == 42
    assert "sharingTasks" in page.model_dump(by_alias=True)


def test_a_list_is_gone_through_whatever_its_items_are_called(listener: Listener) -> None:
    next_link = {"href": "https://elsewhere.invalid/x?next=2&sort=-starttime", "type": "next", "token": "2"}
    first = {"executions": [{**EXECUTION, "id": "a"}], "totalCount": 2, "links": {"next": next_link}}
    second = {"executions": [{**EXECUTION, "id": "b"}], "totalCount": 2, "links": {"next": {}}}
    listener.answers(Answer(200, first), Answer(200, second))

    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        found = [one.id for one in client.iterate(sharing_tasks.executions("s", sort="-starttime"))]

    assert found == ["a", "b"]
    assert [seen.target for seen in listener.seen] == [
        "/api/v1/sharing-tasks/s/executions?sort=-starttime",
        "/api/v1/sharing-tasks/s/executions?next=2&sort=-starttime",
    ]


@pytest.mark.parametrize(
    "said",
    [
        *({"executions": []}, {"executions": None}, {"executions": {}}, {"totalCount": 0}, {"totalCount": 3}, {}),
        *({"currentPageCount": 0, "totalCount": 7}, {"links": {}}),
    ],
)
def test_a_page_without_items_is_empty(said: dict[str, Any]) -> None:
    page = SharingTaskExecutionList.from_json(said)

    assert page.items == []
    assert not page.model_extra


@pytest.mark.parametrize("said", [[], None, {"errors": [{"code": "X", "title": "no"}]}, {"executions": 17}])
def test_what_is_no_page_at_all_is_no_empty_page(said: Any) -> None:
    with pytest.raises(InvalidResponseError, match="expected SharingTaskExecutionList"):
        SharingTaskExecutionList.from_json(said)


def test_an_execution_knows_when_it_began_and_ended_however_it_ended() -> None:
    began = "2026-01-02T03:04:05.878521494Z"

    for member in ("endTime", "failedTime", "cancelledTime"):
        execution = SharingTaskExecution.from_json({**EXECUTION, "startTime": began, member: "2026-01-02T04:00:00Z"})
        assert execution.started_at == datetime(2026, 1, 2, 3, 4, 5, 878521, tzinfo=UTC)
        assert execution.ended_at == datetime(2026, 1, 2, 4, tzinfo=UTC)


@pytest.mark.parametrize("said", [None, "", "0001-01-01T00:00:00Z", "soon"])
def test_a_time_of_an_execution_that_is_none_is_no_time(said: str | None) -> None:
    execution = SharingTaskExecution.from_json({**EXECUTION, "startTime": said, "endTime": said})

    assert (execution.started_at, execution.ended_at) == (None, None)
    assert execution.start_time == said


def test_what_went_wrong_in_an_execution_is_one_line() -> None:
    errors = [{"code": "R-1", "title": "no data", "detail": "empty filter"}, {"code": "R-2"}, {"detail": "more"}, {}]

    assert SharingTaskExecution.from_json({**EXECUTION, "errors": errors}).error_text == (
        "no data: empty filter (R-1); R-2; more"
    )
    assert SharingTaskExecution.from_json(EXECUTION).error_text is None


def test_words_and_numbers_that_nobody_knows_are_read() -> None:
    said = {"id": "s", "type": "new", "statusCode": "NEW", "templates": [{"type": "new", "subType": "new"}, {}]}
    task = SharingTask.from_json({**said, "scheduleOptions": {"recurrence": ["RRULE:FREQ=DAILY"] * 9}})

    assert (task.type, task.status_code) == ("new", "NEW")
    assert task.schedule_options == SharingScheduleOptions.from_json({"recurrence": ["RRULE:FREQ=DAILY"] * 9})
    assert SharingTaskExecution.from_json({**EXECUTION, "status": "asleep", "totalCount": "7"}).total_count == 7


def test_settings_are_read_by_their_names_in_python() -> None:
    settings = SharingSettings.from_json({"enable-sharing": True, "reporting-service-license-status": "new"})

    assert (settings.enable_sharing, settings.reporting_service_license_status) == (True, "new")
