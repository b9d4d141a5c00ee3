"""Whether what is to be created is there already, so that a Dag can be run twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Call, Flow
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.pages import all_items


def existing(operation: str, arguments: Mapping[str, Any]) -> Flow[Shape | None]:
    """What a create operation would make again: of the same name, or for a reload task with the same app and schedule.

    *operation* is any that is called create, with the arguments it would be called with.
    """
    body_argument, list_call, same_by = _HOW[operation]
    body = arguments[body_argument]
    plain = body.model_dump(by_alias=True, exclude_none=True, mode="json") if isinstance(body, Shape) else dict(body)
    for item in (yield from all_items(list_call(plain))):
        there = item.model_dump(by_alias=True, mode="json")
        if all(there.get(member) == plain[member] for member in same_by if member in plain):
            return item  # type: ignore[no-any-return]
    return None


def _by_name(body: Mapping[str, Any]) -> str:
    return f"name eq {json.dumps(body.get('name', ''), ensure_ascii=False)}"


_HOW: dict[str, tuple[str, Callable[[Mapping[str, Any]], Call[Page[Any]]], tuple[str, ...]]] = {
    "tasks.create": (
        "task",
        lambda body: tasks.list(resource_id=body.get("resourceId"), limit=100),
        ("name", "version"),
    ),
    "automations.create": (
        "automation",
        lambda body: automations.list(filter=_by_name(body), limit=200),
        ("name", "spaceId"),
    ),
    "reload_tasks.create": (
        "reload_task",
        lambda body: reload_tasks.list(app_id=body.get("appId"), limit=100),
        ("appId", "partial", "timeZone", "recurrence", "startDateTime", "endDateTime"),
    ),
    "sharing_tasks.create": (
        "sharing_task",
        lambda body: sharing_tasks.list(app_id=body.get("appId"), limit=100),
        ("name",),
    ),
}
