"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_core import to_json

from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.models.lenient import tell_once
from airflow_provider_qlik.cloud.models.problems import problem_in
from airflow_provider_qlik.cloud.models.shape import PERHAPS_EMPTY, Reply, Shape

ItemT = TypeVar("ItemT", bound=Shape)

_OF_AN_ERROR = {"error", "errors", "message"}
"""Members that a page does not have, and an error has."""
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

    A page without its list is empty, unless it tells of an error in its place. Where Qlik has the
    items under another name, a subclass gives `data` that name as its alias.
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
        """Return the page, its items read one by one: what cannot be read is left out, and said once."""
        name = cls.model_fields["data"].alias or "data"
        listed = value.get(name) if isinstance(value, dict) else None
        if not isinstance(listed, list):
            if listed:
                cls._read(to_json({name: listed}))  # raises: this is no list, and no sign that there is none
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
            tell_once(cls.__name__, len(problems), problems[0])
        page = page.model_copy(update={"data": items})
        page._left_out = tuple(left_out)
        return page

    def _find_secrets(self, found: list[str]) -> None:
        # Not from the links: whoever masks each cursor masks without end.
        for item in self.data:
            item._find_secrets(found)

    @field_validator("data", mode="before")
    @classmethod
    def _no_list_is_an_empty_one(cls, given: Any) -> Any:
        # Services in PHP write an object that is empty as a list, and the other way round.
        return [] if given is None or given == {} else given

    @property
    def left_out(self) -> tuple[Any, ...]:
        """Return the items that cannot be read, as they came."""
        return self._left_out

    @property
    def items(self) -> list[ItemT]:
        """What is on this page; it may be empty with more pages to come."""
        return self.data

    @property
    def next_query(self) -> tuple[tuple[str, str], ...]:
        """The query that asks for the next page, empty at the end.

        Only the query: host and path of a link are never trusted with our token. A plus sign that came unencoded in
        `sort` or a cursor, where no blank can be, is still a plus sign. Raises InvalidResponseError for what is no link.
        """
        href = self.links and self.links.next and self.links.next.href
        if not href:
            return ()
        try:
            query = urlsplit(href).query
        except ValueError:
            raise InvalidResponseError("the link to the next page is none", href) from None
        return tuple(
            (name, given.replace(" ", "+") if name in _WITHOUT_BLANKS else given)
            for name, given in parse_qsl(query, keep_blank_values=True)
        )
