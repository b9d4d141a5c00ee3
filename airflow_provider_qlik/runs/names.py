"""Names in place of ids: looked up when a task runs, matched exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence

from airflow_provider_qlik.arguments import InvalidArgument
from airflow_provider_qlik.cloud.api import automations, catalog, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Flow
from airflow_provider_qlik.cloud.pages import all_items

MOST_CANDIDATES = 10


def space_id(name: str) -> Flow[str]:
    """The id of the space of that name. Raises InvalidArgument, with the candidates, if there is none or several."""
    found = yield from all_items(catalog.spaces(name=name, limit=100))
    return _only("space_name", name, [(item.name, item.id) for item in found])


def app_id(name: str, space_name: str | None = None) -> Flow[str]:
    """The id of the app of that name, in a space if one is named. Raises as `space_id`."""
    space = (yield from space_id(space_name)) if space_name else None
    found = yield from all_items(catalog.items(resource_type="app", name=name, space_id=space, limit=100))
    # The search for names is a "contains", and an item's own id is not the app's.
    return _only("app_name", name, [(item.name, item.resource_id) for item in found])


def automation_id(name: str, space_name: str | None = None) -> Flow[str]:
    """The id of the automation of that name, in a space if one is named. Raises as `space_id`."""
    space = (yield from space_id(space_name)) if space_name else None
    found = yield from all_items(automations.list(filter=f"name eq {json.dumps(name, ensure_ascii=False)}", limit=200))
    candidates = [(item.name, item.id) for item in found if space is None or item.space_id == space]
    return _only("automation_name", name, candidates)


def task_id(name: str, app: str) -> Flow[str]:
    """The id of the task of that name that works on an app. Raises as `space_id`."""
    found = yield from all_items(tasks.list(resource_id=app, limit=100))
    return _only("qlik_task_name", name, [(item.name, item.id) for item in found])


def sharing_task_id(name: str, app: str | None = None) -> Flow[str]:
    """The id of the sharing task of that name, of an app if one is known. Raises as `space_id`."""
    found = yield from all_items(sharing_tasks.list(app_id=app, limit=100))
    return _only("sharing_task_name", name, [(item.name, item.id) for item in found])


def _only(argument: str, name: str, candidates: Sequence[tuple[str | None, str | None]]) -> str:
    exact = [found for candidate, found in candidates if candidate == name and found]
    if len(exact) == 1:
        return exact[0]
    if exact:
        raise InvalidArgument(argument, name, f"{len(exact)} have that name: {', '.join(exact)}; give the id")
    listed = "; ".join(f"{candidate!r} is {found}" for candidate, found in candidates[:MOST_CANDIDATES])
    more = f" and {len(candidates) - MOST_CANDIDATES} more" if len(candidates) > MOST_CANDIDATES else ""
    hint = f"; what comes near: {listed}{more}" if listed else ""
    raise InvalidArgument(argument, name, f"nothing that this user can see has exactly that name{hint}")
