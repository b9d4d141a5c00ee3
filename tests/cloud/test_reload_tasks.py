"""Reload tasks: the schedules of apps' reloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik.cloud import Call
from airflow_provider_qlik.cloud.api import reload_tasks
from airflow_provider_qlik.cloud.models.reload_tasks import (
    ReloadTask,
    ReloadTaskCreate,
    ReloadTaskList,
    ReloadTaskUpdate,
)
from airflow_provider_qlik.validation import InvalidArgumentError

READ = {"id": "r", "appId": "app", "state": "Enabled", "timeZone": "UTC", "tenantId": "t", "userId": "u"}


def test_a_reload_task_of_a_shape_and_of_a_mapping_are_the_same_call() -> None:
    shape = ReloadTaskCreate(app_id="app", time_zone="UTC", recurrence=["RRULE:FREQ=DAILY"], auto_reload=False)
    mapping = {"appId": "app", "timeZone": "UTC", "recurrence": ["RRULE:FREQ=DAILY"], "autoReload": False}

    assert reload_tasks.create(shape) == reload_tasks.create(mapping)
    assert reload_tasks.create(shape).body == mapping


def test_one_member_is_enough_to_switch_a_reload_task_off() -> None:
    assert reload_tasks.update("r", ReloadTaskUpdate(state="Disabled")).body == {"state": "Disabled"}
    assert reload_tasks.update("r", {"state": "Disabled"}) == reload_tasks.update(
        "r", ReloadTaskUpdate(state="Disabled")
    )


def test_an_empty_start_says_that_there_is_no_schedule_and_is_sent() -> None:
    assert reload_tasks.update("r", {"startDateTime": "", "recurrence": []}).body == {
        "startDateTime": "",
        "recurrence": [],
    }


def test_the_reload_tasks_of_an_app_are_asked_for() -> None:
    call = reload_tasks.list(app_id="app", partial=False, limit=100, next="c+")

    assert dict(call.query) == {"appId": "app", "limit": "100", "next": "c+", "partial": "false"}


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        (lambda: reload_tasks.create({"timeZone": "UTC"}), "reload_task: appId must be given"),
        (lambda: reload_tasks.create({"appId": "app"}), "reload_task: timeZone must be given"),
        (lambda: reload_tasks.create({"appId": "a", "timeZone": "UTC", "type": 17}), "reload_task: type: .*string"),
        (lambda: reload_tasks.create({"appId": "a", "timeZone": "UTC", "recurrence": "x"}), "reload_task: recurrence"),
        (lambda: reload_tasks.update("r", {"state": True}), "reload_task: state: .*string"),
        (lambda: reload_tasks.update("r", ReloadTask.from_json(READ)), "must be ReloadTaskUpdate .*not ReloadTask"),  # type: ignore[arg-type]
        (lambda: reload_tasks.update("", {}), "reload_task_id: an id must not be empty"),
        (lambda: reload_tasks.list(limit=101), "limit: a whole number from 1 to 100, not 101"),
        (lambda: reload_tasks.list(next="a", prev="b"), "prev: must not be given together with next"),
    ],
)
def test_what_is_wrong_is_refused_by_name(asks: Callable[[], Call[Any]], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        asks()


def test_a_reload_task_is_read_whatever_its_words() -> None:
    task = ReloadTask.from_json(
        {**READ, "state": "Asleep", "disabledCode": "NEW", "nextExecutionTime": "", "links": {"self": {"href": "h"}}}
    )

    assert (task.state, task.disabled_code, task.next_execution_time) == ("Asleep", "NEW", None)
    assert task.links is not None
    assert task.links.self_ is not None
    assert task.links.self_.href == "h"


def test_a_page_of_reload_tasks_leads_to_the_next() -> None:
    page = ReloadTaskList.from_json({"data": [READ], "links": {"next": {"href": "/x?next=c%2B&limit=10"}}})

    assert [task.id for task in page.items] == ["r"]
    assert page.next_query == (("next", "c+"), ("limit", "10"))
