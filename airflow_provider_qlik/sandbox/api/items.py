"""Items and spaces: how to find the id of what one knows by name."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Operation
from airflow_provider_qlik.sandbox.paging import Fields, Paging, in_order, page
from airflow_provider_qlik.sandbox.records import App, Automation, Space
from airflow_provider_qlik.sandbox.rights import sees, sees_space

_PAGING = Paging("next", default=10, most=100, back="prev", has_self=True)
_EXACT = ("id", "resourceId", "resourceType", "ownerId")


def list_items(asked: Asked) -> Response:
    """`GET /items`: the apps and automations of the tenant; `name` is looked for anywhere in their names."""
    if asked.parameter("resourceId") and not asked.parameter("resourceType"):
        raise Refused(400, "Bad request", "resourceId must come with resourceType")
    world, space_id = asked.world, asked.parameter("spaceId")
    resources: list[App | Automation] = [*world.apps.apps.values(), *world.automations.values()]
    items = [world.apps.view.item(one) for one in resources if sees(world, asked.caller.user, one)]
    found = [
        item
        for item in items
        if all(asked.parameter(name) in (None, item.get(name)) for name in _EXACT)
        and space_id in (None, item.get("spaceId", "personal"))
        and _is_named(asked, item["name"])
    ]
    fields: Fields[dict[str, Any]] = {
        name: lambda item, name=name: item[name]  # type: ignore[misc]
        for name in ("createdAt", "updatedAt", "name")
    }
    return page(asked, _PAGING, in_order(asked, found, fields, "+createdAt", is_signed=True), lambda item: item)


def list_spaces(asked: Asked) -> Response:
    """`GET /spaces`; `name` is looked for anywhere in their names."""
    fields: Fields[Space] = {
        "name": lambda space: space.name,
        "type": lambda space: space.type,
        "createdAt": lambda space: space.created,
    }
    found = [
        space
        for space in asked.world.apps.spaces.values()
        if _is_named(asked, space.name)
        and sees_space(asked.world, asked.caller.user, space.id)
        and asked.parameter("type") in (None, space.type)
        and asked.parameter("ownerId") in (None, space.owner_id)
    ]
    return page(asked, _PAGING, in_order(asked, found, fields, "+name", is_signed=False), asked.world.apps.view.space)


def _is_named(asked: Asked, name: str) -> bool:
    return (asked.parameter("name") or "").casefold() in name.casefold()


OPERATIONS = (
    Operation("list_items", "GET", ("/api/v1/items",), "items", "tier_1", list_items),
    Operation("list_spaces", "GET", ("/api/v1/spaces",), "spaces", "tier_1", list_spaces),
)
