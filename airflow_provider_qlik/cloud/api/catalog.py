"""The Items and Spaces families, which find ids by name. https://qlik.dev/apis/rest/items/, https://qlik.dev/apis/rest/spaces/

Errors of each: QlikCloudError.
"""

from __future__ import annotations

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.catalog import ItemList, SpaceList
from airflow_provider_qlik.cloud.parameters import page_size

_ITEMS = Family("/api/v1/items", reading=Tier.ONE, writing=Tier.TWO)
_SPACES = Family("/api/v1/spaces", reading=Tier.ONE, writing=Tier.TWO)


def items(
    *,
    resource_type: str | None = None,
    resource_id: str | None = None,
    name: str | None = None,
    space_id: str | None = None,
    limit: int | None = None,
    next: str | None = None,
) -> Call[ItemList]:
    """List the items that the user may see, such as apps; *limit* is the page size, 10 by default, at most 100.

    *resource_type* is a word such as ``app``; with *resource_id* the list has only the item of that resource. *name*
    finds all names that contain it, whatever their letter case, so compare the names in the response.
    """
    parameters = {
        "resourceType": resource_type,
        "resourceId": resource_id,
        "name": name,
        "spaceId": space_id,
        "limit": page_size(limit, 100),
        "next": next,
    }
    return _ITEMS.call("list_items", "GET", "", ItemList, parameters=parameters)


def spaces(*, name: str | None = None, limit: int | None = None, next: str | None = None) -> Call[SpaceList]:
    """List the spaces that the user may see; paged and searched like `items`."""
    parameters = {"name": name, "limit": page_size(limit, 100), "next": next}
    return _SPACES.call("list_spaces", "GET", "", SpaceList, parameters=parameters)
