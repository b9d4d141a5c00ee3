"""How a paged list is followed, without fetching it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from airflow_provider_qlik.cloud.call import Call, Flow, ask
from airflow_provider_qlik.cloud.models.paging import Page

ItemT = TypeVar("ItemT")


class Pages(Generic[ItemT]):
    """The way through a paged list: ask `next_call`, hand its answer to `take`, until `next_call` is None.

    It ends at a list without a next link and at a link that was seen before.
    """

    def __init__(self, call: Call[Page[Any]]) -> None:
        self.next_call: Call[Page[Any]] | None = call
        self._seen = {frozenset(call.query)}

    def take(self, page: Page[Any]) -> Sequence[ItemT]:
        """The items of a page; `next_call` is then that of the page after it."""
        query = page.next_query
        call = self.next_call
        if call is None or not query or frozenset(query) in self._seen:
            self.next_call = None
        else:
            self._seen.add(frozenset(query))
            self.next_call = replace(call, query=query)
        return page.items


def all_items(call: Call[Page[Any]], most: int | None = None) -> Flow[list[Any]]:
    """All items of a paged list, inside a flow; no more than *most*, if that is given."""
    pages: Pages[Any] = Pages(call)
    found: list[Any] = []
    while pages.next_call is not None and (most is None or len(found) < most):
        found += pages.take((yield from ask(pages.next_call)))
    return found if most is None else found[:most]
