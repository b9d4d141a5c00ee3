"""The shapes by which names are looked up: items and spaces.

https://qlik.dev/apis/rest/items/ and https://qlik.dev/apis/rest/spaces/
"""

from __future__ import annotations

from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape


class Item(Shape):
    """The entry of a resource, such as an app, in the catalog. The id of the resource is `resource_id`, not `id`."""

    id: str
    name: str | None = None
    resource_id: str | None = None
    resource_type: str | None = None
    resource_sub_type: str | None = None
    space_id: str | None = None
    owner_id: str | None = None
    description: str | None = None
    created_at: Moment = None
    updated_at: Moment = None


class Space(Shape):
    """A space."""

    id: str
    name: str | None = None
    type: str | None = None
    owner_id: str | None = None
    description: str | None = None
    created_at: Moment = None
    updated_at: Moment = None


class ItemList(Page[Item]):
    """A page of items."""


class SpaceList(Page[Space]):
    """A page of spaces."""
