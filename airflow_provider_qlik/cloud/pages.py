"""Follow the pages of a list: which page is next, and which of its items are new. No I/O here.

Three faults of lists are hidden from callers:

- While a list is read, new items come in at its top, and one that stood at the end of a page stands at the beginning of
  the next one as well. Each item counts once, by its id.
- A list may link to a page that was read already. It ends there.
- A list may link to a new page again and again without any items, or have more pages than a tenant can have items. It
  ends with an error, since it cannot be read completely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import InvalidResponseError
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.models.paging import Page

ItemT = TypeVar("ItemT")

MAX_EMPTY_PAGES = 50
"""Consecutive pages without a new item after which a list counts as endless."""
MAX_PAGES = 100_000
"""Pages after which a list counts as endless: with the largest page size, more items than a tenant can have."""
IDS_KEPT = 10_000
"""Ids of the last items that are kept to recognise repeated items; those of a long list would fill the memory."""


class EndlessListError(InvalidResponseError):
    """A list does not end: page after page has no new item, or it has more pages than are possible.

    Transient, as all errors of invalid responses: a wait continues until its deadline, and the service may recover.
    """


class Pages(Generic[ItemT]):
    """The pages of a list: send `next_call`, pass its response to `take`, until `next_call` is None.

    It ends at a list without a next link and at a link that was seen before. `left_out` are the items that could not be
    read, as they came.
    """

    def __init__(self, call: Call[Page[Any]]) -> None:
        self.next_call: Call[Page[Any]] | None = call
        self.left_out: list[Any] = []
        self._operation = str(call)
        self._seen = {frozenset(call.query)}
        self._ids: set[str] = set()
        self._last_ids: deque[set[str]] = deque()
        self._empty = 0

    def take(self, page: Page[Any]) -> Sequence[ItemT]:
        """Return the items of a page that were on none before it; `next_call` is then that of the page after it.

        Raises EndlessListError.
        """
        new = self._new(page.items)
        self.left_out += page.left_out
        self._follow(page, nothing_new=not new and not page.left_out)
        return new

    def _follow(self, page: Page[Any], nothing_new: bool) -> None:
        query = page.next_query
        call = self.next_call
        if call is None or not query or frozenset(query) in self._seen:
            self.next_call = None
            return
        self._empty = self._empty + 1 if nothing_new else 0
        if self._empty >= MAX_EMPTY_PAGES:
            raise EndlessListError(
                f"the list does not end: its last {self._empty} pages had no new items, so it cannot be read"
                f" completely ({self._operation})"
            )
        if len(self._seen) >= MAX_PAGES:
            raise EndlessListError(
                f"the list does not end: {len(self._seen)} pages of it were read. Use a filter or a larger page size"
                f" ({self._operation})"
            )
        self._seen.add(frozenset(query))
        self.next_call = replace(call, query=query)

    def _new(self, items: Sequence[Any]) -> Sequence[ItemT]:
        """Return the items whose ids did not come before; those that have none are all different."""
        listed = [getattr(item, "id", None) for item in items]
        ids = {id for id in listed if id is not None}
        new: Sequence[ItemT] = items
        if len(ids) < len(listed) or not self._ids.isdisjoint(ids):
            seen_ids = set(self._ids)
            new = [item for item, id in zip(items, listed, strict=True) if id is None or _is_new(id, seen_ids)]
            ids -= self._ids
        self._ids |= ids
        self._last_ids.append(ids)
        while len(self._ids) > IDS_KEPT and len(self._last_ids) > 1:
            self._ids -= self._last_ids.popleft()
        return new


def _is_new(id: str, seen_ids: set[str]) -> bool:
    if id in seen_ids:
        return False
    seen_ids.add(id)
    return True


def all_items(call: Call[Page[Any]], max_items: int | None = None) -> Flow[list[Any]]:
    """Return all items of a paged list, inside a flow; no more than *max_items*, if that is set.

    Of an item that is listed more than once, the copy that was read last stands in the place of the first.
    """
    pages: Pages[Any] = Pages(call)
    found: dict[Any, Any] = {}
    while pages.next_call is not None and (max_items is None or len(found) < max_items):
        page = yield from send(pages.next_call)
        pages.take(page)
        for item in page.items:
            id = getattr(item, "id", None)
            found[len(found) if id is None else id] = item
    return [*found.values()][:max_items]
