"""How many requests a minute the tenant takes from one user."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal

Tier = Literal["tier_1", "tier_2", "tasks", "reloads"]

_EVERYBODY = ""
"""Stands for all users together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a minute per user and tier, counted over a window of so many seconds."""

    tier_1: float = 1000
    tier_2: float = 100
    tasks: float = 600
    reloads: float = 50
    """Starting and cancelling reloads, counted together."""
    tenant_users: float = 1000
    """Users of the tenant, by which its own limits go: half of a tier's limit for each of them, in all."""
    window: float = 300

    def set(self, changes: dict[str, Any]) -> Limits:
        """These limits with changes; unknown names and impossible numbers are refused by name."""
        names = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"no such limit: {name}; there are {', '.join(sorted(names))}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"limit {name}: {value!r} is not a number from 0")
        return replace(self, **changes)


class Meter:
    """Counts requests, and says when a tier is used up."""

    def __init__(self) -> None:
        self.limits = Limits()
        self._taken: defaultdict[tuple[str, Tier], deque[datetime]] = defaultdict(deque)

    def wait(self, user: str, tier: Tier, now: datetime) -> int:
        """Whole seconds until the tier takes requests of the user again; 0: this one was taken."""
        a_minute: float = getattr(self.limits, tier)
        counts = ((user, a_minute), (_EVERYBODY, a_minute * self.limits.tenant_users / 2))
        seconds = max(self._until_free(self._taken[who, tier], limit, now) for who, limit in counts)
        if not seconds:
            for who, _ in counts:
                self._taken[who, tier].append(now)
        return seconds

    def _until_free(self, taken: deque[datetime], a_minute: float, now: datetime) -> int:
        window = timedelta(seconds=self.limits.window)
        most = max(1, int(a_minute * self.limits.window / 60))
        while taken and taken[0] <= now - window:
            taken.popleft()
        if len(taken) < most:
            return 0
        return max(1, ceil((taken[len(taken) - most] + window - now).total_seconds()))

    def forget(self) -> None:
        """Start counting anew."""
        self._taken.clear()
