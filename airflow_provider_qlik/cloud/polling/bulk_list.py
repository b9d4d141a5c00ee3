"""When to read a bulk list in place of many single lists, and when not to trust it.

One list response can hold the last run of every automation of a tenant. Where a hundred automations are polled, that
is one request in place of a hundred. But it has a price and a risk:

- The list is paged, and a tenant may have many more automations than are polled. So the number of pages that it took
  the last time is compared with the number of batches that it answers for (`min_batches`).
- It may leave out a resource, for instance one that the user sees only by its id. That one is polled singly for a
  while.
- Nothing that Qlik documents says how soon the list shows that a run has ended. A list that lags by an hour would delay
  all waits by an hour without any error. So some of the resources on it are polled singly as well, each in its turn: an
  *audit*. If the audit saw a terminal status, and a list that was read `MAX_STALENESS` seconds later still shows the
  run as active, the list is stale and is not read for an hour.

To compare the two at the same moment does not work: a run that ends between the two requests would make a correct list
look stale. And an audit of the same few resources does not work either: the list may lag for some of them only.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Generic

from airflow_provider_qlik.cloud.errors import QlikCloudError, StatusError
from airflow_provider_qlik.cloud.flow import KeyT, ResultT

MIN_BATCHES = 3
"""The number of batches from which a bulk list of unknown length is worth a try."""
RETRY_INTERVAL = 600.0
"""Seconds after which a list that was too long, was refused, or left out a resource is tried again."""
INITIAL_BACK_OFF = 60.0
"""Seconds between two attempts to read the bulk list after a failure; doubles with each failure."""
STALE_BACK_OFF = 3600.0
"""Seconds for which a stale list is not read."""
AUDIT_SHARE = 0.05
"""The fraction of the runs on a list that are audited."""
AUDIT_TIMEOUT = 120.0
"""Seconds within which an audit has to happen, before another resource is chosen: its wait may have ended."""
MAX_STALENESS = 60.0
"""Seconds by which a list may lag before it counts as stale."""
MAX_AUDITS = 5
"""The number of audits that may be outstanding at the same time."""
AUDIT_HISTORY = 100
"""The moments of the last audits are kept for this number of resources, more than twice those on the list."""


class BulkList(Generic[KeyT, ResultT]):
    """The state of one bulk list: its number of pages, the runs that it leaves out, and whether it is stale.

    *is_terminal* returns True for a result that will not change any more. The result None means that there is no run.
    """

    def __init__(self, is_terminal: Callable[[ResultT], bool]) -> None:
        self._is_terminal = is_terminal
        self._pages: int | None = None
        self._pages_known_until = 0.0
        self._failures = 0
        self._absent_until: dict[KeyT, float] = {}
        self._audit_until: dict[KeyT, float] = {}
        self._audited_at: dict[KeyT, float] = {}
        self._audits: dict[KeyT, tuple[float, ResultT]] = {}

    def covers(self, key: KeyT, now: float) -> bool:
        """Return True if the list may answer for this key: it was not missing there, and is not to be audited."""
        return self._audit_until.get(key, 0.0) <= now and self._absent_until.get(key, 0.0) <= now

    def min_batches(self, now: float) -> int:
        """Return the number of batches from which the list costs fewer requests than one request for each batch."""
        if self._pages is not None and self._pages_known_until <= now:
            self._pages = None
        return MIN_BATCHES if self._pages is None else self._pages + 1

    def max_pages(self, batches: int) -> int:
        """Return the number of pages that may be read to answer for so many batches."""
        return batches if self._pages is None else max(batches, self._pages + 1)

    def record_single_polls(self, results: Mapping[KeyT, ResultT | Exception], now: float) -> None:
        """Note the results of single polls; for keys that were to be audited they are the audit."""
        for key in [key for key in self._audit_until if key in results]:
            del self._audit_until[key]
            self._audited_at[key] = now
            result = results[key]
            if result is not None and not isinstance(result, Exception):
                self._audits[key] = now, result

    def take_audits(self, now: float) -> dict[KeyT, ResultT]:
        """Return and forget the audit results that are so old that a list that is read now must know them."""
        audits = {key: result for key, (moment, result) in self._audits.items() if moment <= now - MAX_STALENESS}
        self._audits = {key: audit for key, audit in self._audits.items() if key not in audits}
        return audits

    def record_read(
        self,
        pages: int,
        keys: Sequence[KeyT],
        results: Mapping[KeyT, ResultT],
        audits: Mapping[KeyT, ResultT],
        now: float,
    ) -> bool:
        """Note what a read of the list gave. Returns False if the list is stale and its results are not to be used.

        :param pages: the number of requests that it took.
        :param keys: what the list was read for.
        :param results: what it showed of these, and of the audited keys.
        :param audits: what single polls had seen before, from `take_audits`.
        """
        self._failures = 0
        if any(key in results and self._is_stale(results[key], audits[key]) for key in audits):
            self._suspend(now + STALE_BACK_OFF)
            return False
        found = [key for key in keys if key in results]
        if pages and (self._pages is None or pages > self._pages or len(found) < len(keys)):
            # It was read to its end, or further than before. Where all keys were found on the first pages, the number
            # of these says nothing about the length of the list.
            self._pages, self._pages_known_until = pages, now + RETRY_INTERVAL
        self._absent_until = {key: until for key, until in self._absent_until.items() if until > now}
        self._absent_until |= dict.fromkeys((key for key in keys if key not in results), now + RETRY_INTERVAL)
        self._choose_audits([key for key in found if not self._is_terminal(results[key])], now)
        return True

    def _is_stale(self, listed: ResultT, audited: ResultT) -> bool:
        return listed is None or (self._is_terminal(audited) and not self._is_terminal(listed))

    def _choose_audits(self, active: Sequence[KeyT], now: float) -> None:
        """Choose the keys to be polled singly next: those whose last audit is the longest ago."""
        if len(self._audited_at) > AUDIT_HISTORY + 2 * len(active):
            # Most of these keys are not polled any more.
            self._audited_at = {key: self._audited_at[key] for key in active if key in self._audited_at}
        self._audit_until = {key: until for key, until in self._audit_until.items() if until > now}
        count = max(0, min(MAX_AUDITS, math.ceil(len(active) * AUDIT_SHARE)) - len(self._audit_until))
        chosen = heapq.nsmallest(count, active, key=lambda key: self._audited_at.get(key, -math.inf))
        self._audit_until |= dict.fromkeys(chosen, now + AUDIT_TIMEOUT)

    def record_failure(self, error: QlikCloudError, now: float) -> bool:
        """Note that the list could not be read. Returns True if the error is the result of all polls it was read for.

        Otherwise these are sent singly at once. The first transient error in a row is a result: if Qlik Cloud is away,
        a hundred further requests would only fail as well, and each wait counts it and goes on. A permanent error, or
        the second one, may concern the list alone, and no wait may depend on that. Refused credentials are refused for
        every request.
        """
        if isinstance(error, StatusError) and error.credentials_refused:
            return True
        if not error.transient:
            self._suspend(now + RETRY_INTERVAL)
            return False
        self._suspend(now + min(INITIAL_BACK_OFF * 2.0**self._failures, RETRY_INTERVAL))
        self._failures = min(self._failures + 1, 10)
        return self._failures == 1

    def _suspend(self, until: float) -> None:
        """Do not read the list until that moment: as if it had more pages than there can be batches."""
        self._pages, self._pages_known_until = sys.maxsize - 1, until
        self._audit_until = {}
