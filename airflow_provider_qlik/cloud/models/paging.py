"""Lists that come in pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator

from airflow_provider_qlik.cloud.errors import UnreadableAnswer
from airflow_provider_qlik.cloud.models.shape import PERHAPS_EMPTY, Reply, Shape

ItemT = TypeVar("ItemT", bound=Shape)

_WITHOUT_BLANKS = {"sort", "page", "next", "cursor"}


class Link(Shape):
    """A link to another page, or to the thing itself."""

    href: str | None = None


class SelfLinks(Shape):
    """Where a thing itself is."""

    self_: Link | None = Field(None, alias="self")

    @field_validator("*", mode="before")
    @classmethod
    def _a_bare_address_is_a_link(cls, given: Any) -> Any:
        return {"href": given} if isinstance(given, str) else given


class PageLinks(SelfLinks):
    """Where a list goes on."""

    next: Annotated[Link | None, PERHAPS_EMPTY] = None
    prev: Annotated[Link | None, PERHAPS_EMPTY] = None


class Page(Shape, Generic[ItemT]):
    """One page of a list. `server_time` is the server's clock when it answered, to the second.

    Where Qlik has the items under another name, a subclass gives `data` that name as its alias.
    """

    data: list[ItemT]
    links: Annotated[PageLinks | None, PERHAPS_EMPTY] = None
    server_time: datetime | None = Field(None, exclude=True)

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        return super().from_reply(reply).model_copy(update={"server_time": reply.server_time})

    @field_validator("data", mode="before")
    @classmethod
    def _no_list_is_an_empty_one(cls, given: Any) -> Any:
        return [] if given is None else given

    @property
    def items(self) -> list[ItemT]:
        """What is on this page; it may be empty with more pages to come."""
        return self.data

    @property
    def next_query(self) -> tuple[tuple[str, str], ...]:
        """The query that asks for the next page, empty at the end.

        Only the query: host and path of a link are never trusted with our token. A plus sign that came unencoded in
        `sort` or a cursor, where no blank can be, is still a plus sign. Raises UnreadableAnswer for what is no link.
        """
        href = self.links and self.links.next and self.links.next.href
        if not href:
            return ()
        try:
            query = urlsplit(href).query
        except ValueError:
            raise UnreadableAnswer("the link to the next page is none", href) from None
        return tuple(
            (name, given.replace(" ", "+") if name in _WITHOUT_BLANKS else given)
            for name, given in parse_qsl(query, keep_blank_values=True)
        )
