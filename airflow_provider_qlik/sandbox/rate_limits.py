"""The rate limits of the tenant, per user and for all users together."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal

Tier = Literal["tier_1", "tier_2", "tasks", "reloads"]

_ALL_USERS = ""
"""The key under which the requests of all users are counted together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per minute for each user and tier, counted over a sliding window of `window` seconds."""

    tier_1: float = 1000
    tier_2: float = 100
    tasks: float = 600
    reloads: float = 50
    """Starting and cancelling reloads, counted together."""
    tenant_users: float = 1000
    """Users of the tenant; all together have half of a tier's limit for each of them."""
    window: float = 300

    def set(self, changes: dict[str, Any]) -> Limits:
        """Return the limits with changes. Raises ValueError for an unknown name or an impossible number."""
        names = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"there is no limit {name}, only {', '.join(sorted(names))}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"limit {name}: {value!r} is not a number from 0")
        return replace(self, **changes)


class RateLimiter:
    """Counts requests in a sliding window for each user and tier."""

    def __init__(self) -> None:
        self.limits = Limits()
        self._requests: defaultdict[tuple[str, Tier], deque[datetime]] = defaultdict(deque)

    def acquire(self, user: str, tier: Tier, now: datetime) -> int:
        """Count a request and return 0, or return the whole seconds until the tier accepts requests again."""
        per_minute: float = getattr(self.limits, tier)
        counts = ((user, per_minute), (_ALL_USERS, per_minute * self.limits.tenant_users / 2))
        seconds = max(self._seconds_until_free(self._requests[key, tier], limit, now) for key, limit in counts)
        if not seconds:
            for key, _ in counts:
                self._requests[key, tier].append(now)
        return seconds

    def _seconds_until_free(self, requests: deque[datetime], per_minute: float, now: datetime) -> int:
        window = timedelta(seconds=self.limits.window)
        max_requests = max(1, int(per_minute * self.limits.window / 60))
        while requests and requests[0] <= now - window:
            requests.popleft()
        if len(requests) < max_requests:
            return 0
        return max(1, ceil((requests[len(requests) - max_requests] + window - now).total_seconds()))

    def forget(self) -> None:
        """Clear all counts."""
        self._requests.clear()
