"""Finding the item that a create operation would make a second time, so that a Dag can be run twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.pages import all_items

Json: TypeAlias = Mapping[str, Any]

TASK_ENDED, DATASET_UPDATED = "com.qlik.v1.task.run.finished", "com.qlik/active-analytics-orch"
"""The types of events that start tasks."""


def existing(operation: str, arguments: Mapping[str, Any]) -> Flow[Shape | None]:
    """Return the item that a create operation would make again, None if there is none.

    An item is the same if it has the same name; a reload task, or a task whose creator is given no name, if it reloads
    the same app on the same occasion.

    :param operation: one of `operations.CREATES`, with the arguments that it would be called with.
    """
    search = _SEARCHES[operation]
    value = arguments.get(search.body_argument) or {}
    body = value.model_dump(by_alias=True, exclude_none=True, mode="json") if isinstance(value, Shape) else dict(value)
    for item in (yield from all_items(search.list_call({**arguments, **body}))):
        if search.is_same(body, item.model_dump(by_alias=True, mode="json")):
            return item  # type: ignore[no-any-return]
    return None


@dataclass(frozen=True)
class _Search:
    """A search for an existing item: the argument with the body, the list to read, and the comparison with an item."""

    body_argument: str
    list_call: Callable[[Json], Call[Page[Any]]]
    is_same: Callable[[Json, Json], bool]


def _members(*names: str) -> Callable[[Json, Json], bool]:
    """Return a comparison of the members that the body has."""
    return lambda body, item: all(item.get(name) == body[name] for name in names if name in body)


def _named(otherwise: Callable[[Json, Json], bool]) -> Callable[[Json, Json], bool]:
    """Return a comparison by name, or by something else where the body has none."""
    return lambda body, item: item.get("name") == body["name"] if body.get("name") else otherwise(body, item)


def _same_schedule(body: Json, item: Json) -> bool:
    schedule = (item.get("start") or {}).get("schedule") or {}
    rules = schedule.get("recurrence") or schedule.get("interval")
    return _lines(rules) == _lines(body.get("recurrence")) and _members("startDateTime", "endDateTime")(body, schedule)


def _lines(rules: Any) -> list[str]:
    """Return the rules of a schedule, which is one text or a list of them."""
    return rules.split("\n") if isinstance(rules, str) else list(rules or ())


def _after_same_task(body: Json, item: Json) -> bool:
    return any(
        event.get("type") == TASK_ENDED and ("id", body.get("onTaskId")) in _correlated(event)
        for event in item.get("events") or ()
    )


def _correlated(event: Json) -> list[tuple[Any, Any]]:
    return [
        (attribute.get("contextAttributeName"), attribute.get("contextAttributeValue"))
        for attribute in event.get("correlation") or ()
    ]


def _on_dataset_update(_body: Json, item: Json) -> bool:
    """Return True for a task that a dataset update starts; an app has one of them at most."""
    return any(event.get("type") == DATASET_UPDATED for event in item.get("events") or ())


def _by_name(body: Json) -> str:
    return f"name eq {json.dumps(body.get('name', ''), ensure_ascii=False)}"


def _tasks_of_app(arguments: Json) -> Call[Page[Any]]:
    return tasks.list(resource_id=arguments["app_id"], limit=100)


_SEARCHES: dict[str, _Search] = {
    "tasks.create": _Search(
        "task", lambda body: tasks.list(resource_id=body.get("resourceId"), limit=100), _members("name", "version")
    ),
    "tasks.create_reload_on_schedule": _Search("reload", _tasks_of_app, _named(_same_schedule)),
    "tasks.create_reload_after_task": _Search("reload", _tasks_of_app, _named(_after_same_task)),
    "tasks.create_reload_on_dataset_update": _Search("reload", _tasks_of_app, _on_dataset_update),
    "automations.create": _Search(
        "automation", lambda body: automations.list(filter=_by_name(body), limit=200), _members("name", "spaceId")
    ),
    "reload_tasks.create": _Search(
        "reload_task",
        lambda body: reload_tasks.list(app_id=body.get("appId"), limit=100),
        _members("appId", "partial", "timeZone", "recurrence", "startDateTime", "endDateTime"),
    ),
    "sharing_tasks.create": _Search(
        "sharing_task", lambda body: sharing_tasks.list(app_id=body.get("appId"), limit=100), _members("name")
    ),
}
