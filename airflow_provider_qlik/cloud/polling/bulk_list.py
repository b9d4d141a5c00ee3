"""Whether a list of everything is worth reading, and whether it is to be believed."""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_qlik.cloud.errors import QlikCloudError, StatusError

BULK_THRESHOLD = 3
"""From so many groups on a list of everything is worth a try."""
TRY_AGAIN = 600.0
"""Seconds after which a list that did not help is tried again."""
NOT_NOW = 60.0
"""Seconds after which a list that failed is tried again; twice as many each time that it fails again."""
NOT_BELIEVED = 3600.0
"""Seconds for which a list is left alone that was behind the times."""
CHECKED = 0.05
"""The part of those that a list tells of who are looked at by themselves the next time."""
CHECKED_WITHIN = 120.0
"""Seconds in which they are; then another's turn comes, since they may not be waited for any more."""
BEHIND = 60.0
"""Seconds by which a list may be behind the times."""
MAX_CHECKED = 5
"""So many are to be looked at by themselves at the same time, at most."""
MAX_KEPT = 100
"""It is known of so many more than twice those that a list tells of when they were looked at by themselves."""


class BulkList:
    """What is known of a list that tells of many groups at once: what it costs, whom it leaves out, whether it lies.

    Nobody says that Qlik Cloud brings it up to date at once. So a few of those that it tells of are looked at by
    themselves the next time, each in its turn. If one is over, and shows as going on, or not at all, in a list that was
    read a minute after that, the list is behind the times, and is left alone.

    *is_over* says of an answer whether nothing about it will change any more. None is the answer that there is nothing.
    """

    def __init__(self, is_over: Callable[[Any], bool]) -> None:
        self._is_over = is_over
        self._pages: int | None = None
        self._known_until = 0.0
        self._failures = 0
        self._absent: dict[Any, float] = {}
        self._to_check: dict[Any, float] = {}
        self._checked: dict[Any, float] = {}
        self._seen: dict[Any, tuple[float, Any]] = {}

    def tells_of(self, about: Any, now: float) -> bool:
        """Whether it is to be asked about that, as far as is known."""
        return self._to_check.get(about, 0.0) <= now and self._absent.get(about, 0.0) <= now

    def groups_needed(self, now: float) -> int:
        """From how many groups on it costs less than to ask for each."""
        if self._pages is not None and self._known_until <= now:
            self._pages = None
        return BULK_THRESHOLD if self._pages is None else self._pages + 1

    def most_pages(self, groups: int) -> int:
        """How many pages of it may be read in place of so many groups."""
        return groups if self._pages is None else max(groups, self._pages + 1)

    def seen_alone(self, answers: Mapping[Any, Any], now: float) -> None:
        """Those were looked at by themselves."""
        for about in [each for each in self._to_check if each in answers]:
            del self._to_check[about]
            self._checked[about] = now
            if answers[about] is not None and not isinstance(answers[about], Exception):
                self._seen[about] = now, answers[about]

    def take_seen(self, now: float) -> dict[Any, Any]:
        """What was seen of those who were looked at by themselves, a while ago.

        The list that is read now is also asked about them: it should know by now.
        """
        seen = {about: answer for about, (moment, answer) in self._seen.items() if moment <= now - BEHIND}
        self._seen = {about: known for about, known in self._seen.items() if about not in seen}
        return seen

    def was_read(
        self, calls: int, about: Sequence[Any], answers: Mapping[Any, Any], seen: Mapping[Any, Any], now: float
    ) -> bool:
        """Whether to believe what it told of those, in so many calls, after what had been *seen* of some."""
        self._failures = 0
        if any(each in answers and self._is_behind(answers[each], seen[each]) for each in seen):
            self._leave_alone(now + NOT_BELIEVED)
            return False
        told = [each for each in about if each in answers]
        if calls and (self._pages is None or calls > self._pages or len(told) < len(about)):
            # It was read to its end, or further than ever: not where all were found on the first pages.
            self._pages, self._known_until = calls, now + TRY_AGAIN
        self._absent = {each: until for each, until in self._absent.items() if until > now}
        self._absent |= dict.fromkeys((each for each in about if each not in answers), now + TRY_AGAIN)
        self._choose([each for each in told if not self._is_over(answers[each])], now)
        return True

    def _is_behind(self, listed: Any, seen: Any) -> bool:
        return listed is None or (self._is_over(seen) and not self._is_over(listed))

    def _choose(self, told: Sequence[Any], now: float) -> None:
        """Some who are to be looked at by themselves next, whoever was not for longest."""
        if len(self._checked) > MAX_KEPT + 2 * len(told):
            # Most of them do not wait any more.
            self._checked = {each: self._checked[each] for each in told if each in self._checked}
        self._to_check = {each: until for each, until in self._to_check.items() if until > now}
        count = max(0, min(MAX_CHECKED, math.ceil(len(told) * CHECKED)) - len(self._to_check))
        chosen = heapq.nsmallest(count, told, key=lambda each: self._checked.get(each, -math.inf))
        self._to_check |= dict.fromkeys(chosen, now + CHECKED_WITHIN)

    def failed(self, error: QlikCloudError, now: float) -> bool:
        """Whether that is told to all who wait for it, and not asked for otherwise at once.

        What passes costs a poll, and saves asking for each where nobody answers. Where it does not pass, the list may
        be all that fails: nobody's wait hangs on that. Refused credentials are everybody's.
        """
        if isinstance(error, StatusError) and error.credentials_refused:
            return True
        if not error.transient:
            self._leave_alone(now + TRY_AGAIN)
            return False
        self._leave_alone(now + min(NOT_NOW * 2.0**self._failures, TRY_AGAIN))
        self._failures = min(self._failures + 1, 10)
        return self._failures == 1

    def _leave_alone(self, until: float) -> None:
        self._pages, self._known_until = sys.maxsize - 1, until
        self._to_check = {}
