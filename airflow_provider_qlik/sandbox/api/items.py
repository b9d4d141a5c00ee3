"""Items and spaces, by which the id of a resource is found by its name."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Operation
from airflow_provider_qlik.sandbox.paging import Fields, Paging, page, sort_items
from airflow_provider_qlik.sandbox.permissions import sees, sees_space
from airflow_provider_qlik.sandbox.state.records import App, Automation, Space

_PAGING = Paging("next", default=10, max_limit=100, previous_cursor="prev", has_self=True)
_EXACT = ("id", "resourceId", "resourceType", "ownerId")


def list_items(request: ApiRequest) -> Response:
    """`GET /items`: the apps and automations of the tenant; `name` matches any part of their names, in any case."""
    if request.parameter("resourceId") and not request.parameter("resourceType"):
        raise ApiError(400, "Bad request", "resourceId must come with resourceType")
    tenant_state, space_id = request.tenant_state, request.parameter("spaceId")
    resources: list[App | Automation] = [*tenant_state.apps.apps.values(), *tenant_state.automations.values()]
    items = [
        tenant_state.apps.serializer.item(one) for one in resources if sees(tenant_state, request.caller.user, one)
    ]
    found = [
        item
        for item in items
        if all(request.parameter(name) in (None, item.get(name)) for name in _EXACT)
        and space_id in (None, item.get("spaceId", "personal"))
        and _has_name(request, item["name"])
    ]
    fields: Fields[dict[str, Any]] = {
        name: lambda item, name=name: item[name]  # type: ignore[misc]
        for name in ("createdAt", "updatedAt", "name")
    }
    return page(request, _PAGING, sort_items(request, found, fields, "+createdAt", is_signed=True), lambda item: item)


def list_spaces(request: ApiRequest) -> Response:
    """`GET /spaces`; `name` matches any part of their names, in any case."""
    fields: Fields[Space] = {
        "name": lambda space: space.name,
        "type": lambda space: space.type,
        "createdAt": lambda space: space.created,
    }
    found = [
        space
        for space in request.tenant_state.apps.spaces.values()
        if _has_name(request, space.name)
        and sees_space(request.tenant_state, request.caller.user, space.id)
        and request.parameter("type") in (None, space.type)
        and request.parameter("ownerId") in (None, space.owner_id)
    ]
    return page(
        request,
        _PAGING,
        sort_items(request, found, fields, "+name", is_signed=False),
        request.tenant_state.apps.serializer.space,
    )


def _has_name(request: ApiRequest, name: str) -> bool:
    return (request.parameter("name") or "").casefold() in name.casefold()


OPERATIONS = (
    Operation("list_items", "GET", ("/api/v1/items",), "items", "tier_1", list_items),
    Operation("list_spaces", "GET", ("/api/v1/spaces",), "spaces", "tier_1", list_spaces),
)
