"""Lists as the Sharing tasks family pages them: they count what there is."""

from __future__ import annotations

from typing import Annotated, TypeVar

from airflow_provider_qlik.cloud.models.members import PERHAPS_EMPTY
from airflow_provider_qlik.cloud.models.paging import Link, Page, PageLinks
from airflow_provider_qlik.cloud.models.shape import Shape

ItemT = TypeVar("ItemT", bound=Shape)


class SharingPageLink(Link):
    """A link to another page, and the cursor in it."""

    type: str | None = None
    token: str | None = None


class SharingPageLinks(PageLinks):
    """The links to other pages of a list."""

    next: Annotated[SharingPageLink | None, PERHAPS_EMPTY] = None
    prev: Annotated[SharingPageLink | None, PERHAPS_EMPTY] = None


class SharingPage(Page[ItemT]):
    """One page of a list: `total_count` entries in all, `current_page_count` here."""

    links: Annotated[SharingPageLinks | None, PERHAPS_EMPTY] = None
    total_count: int | None = None
    current_page_count: int | None = None
