"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_core import to_json

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.models.lenient import warn_once
from airflow_provider_qlik.cloud.models.members import PERHAPS_EMPTY
from airflow_provider_qlik.cloud.models.problems import problem_in
from airflow_provider_qlik.cloud.models.shape import Reply, Shape

ItemT = TypeVar("ItemT", bound=Shape)

_OF_AN_ERROR = {"error", "errors", "message"}
"""Members that an error has, and a page has not."""
_WITHOUT_BLANKS = {"sort", "page", "next", "cursor"}


class Link(Shape):
    """A link to another page, or to the object itself."""

    href: str | None = None


class SelfLinks(Shape):
    """The link to the object itself."""

    self_: Link | None = Field(None, alias="self")

    @field_validator("*", mode="before")
    @classmethod
    def _link_from_text(cls, value: Any) -> Any:
        return {"href": value} if isinstance(value, str) else value


class PageLinks(SelfLinks):
    """The links to other pages of a list."""

    next: Annotated[Link | None, PERHAPS_EMPTY] = None
    prev: Annotated[Link | None, PERHAPS_EMPTY] = None


class Page(Shape, Generic[ItemT]):
    """One page of a list. `server_time` is the server's clock at the time of the response, to the second.

    A page without its list is empty, unless it has the members of an error. Where Qlik has the items under another
    name, a subclass sets that name as the alias of `data`.
    """

    data: list[ItemT] = Field(default_factory=list)
    links: Annotated[PageLinks | None, PERHAPS_EMPTY] = None
    server_time: datetime | None = Field(None, exclude=True)
    _left_out: tuple[Any, ...] = PrivateAttr(())

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        page = super().from_reply(reply)
        if not page.data and "data" not in page.model_fields_set and _OF_AN_ERROR & {*(page.model_extra or ())}:
            name = cls.model_fields["data"].alias
            raise InvalidResponseError(f"expected {cls.__name__}, but {name}: Field required", reply.text)
        return page.model_copy(update={"server_time": reply.server_time})

    @classmethod
    def _read_leniently(cls, value: Any) -> Self:
        """Return the page with its items read one by one; invalid items are left out, with one warning."""
        name = cls.model_fields["data"].alias or "data"
        listed = value.get(name) if isinstance(value, dict) else None
        if not isinstance(listed, list):
            if listed:
                cls._read(to_json({name: listed}))  # raises ValidationError: neither a list nor empty
            return super()._read_leniently(value)
        page = super()._read_leniently({**value, name: []})
        (shape,) = get_args(cls.model_fields["data"].annotation)
        read: Callable[[Any], Shape] = (shape if isinstance(shape, type(Shape)) else Shape)._read_leniently
        items, left_out, problems = [], [], []
        for place, plain in enumerate(listed):
            try:
                items.append(read(plain))
            except ValidationError as error:
                left_out.append(plain)
                problems.append(problem_in(error, f"{name}.{place}"))
        if problems:
            warn_once(cls.__name__, len(problems), problems[0])
        page = page.model_copy(update={"data": items})
        page._left_out = tuple(left_out)
        return page

    def _find_secrets(self, found: list[str]) -> None:
        # Links are left out: the set of masked texts would grow with each cursor.
        for item in self.data:
            item._find_secrets(found)

    @field_validator("data", mode="before")
    @classmethod
    def _empty_list_for_none(cls, value: Any) -> Any:
        # Services in PHP write an empty object as a list, and an empty list as an object.
        return [] if value is None or value == {} else value

    @property
    def left_out(self) -> tuple[Any, ...]:
        """Return the items that cannot be read, as plain JSON."""
        return self._left_out

    @property
    def items(self) -> list[ItemT]:
        """Return the items of this page, which may be empty although further pages follow."""
        return self.data

    @property
    def next_query(self) -> tuple[tuple[str, str], ...]:
        """Return the query of the next page, empty on the last page.

        Only the query of the link is used: its host and path are never trusted with our token. An unencoded plus sign
        in `sort` or a cursor, where no blank can be, stays a plus sign. Raises InvalidResponseError for an invalid
        link.
        """
        href = self.links and self.links.next and self.links.next.href
        if not href:
            return ()
        try:
            query = urlsplit(href).query
        except ValueError:
            raise InvalidResponseError("the link to the next page is not an address", href) from None
        return tuple(
            (name, value.replace(" ", "+") if name in _WITHOUT_BLANKS else value)
            for name, value in parse_qsl(query, keep_blank_values=True)
        )
