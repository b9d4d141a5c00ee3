"""How many requests a minute the tenant takes from one user."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal

Tier = Literal["tier_1", "tier_2", "tasks", "reloads"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a minute per user and tier, counted over a window of so many seconds."""

    tier_1: float = 1000
    tier_2: float = 100
    tasks: float = 600
    reloads: float = 50
    """Starting and cancelling reloads, counted together."""
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
        window = timedelta(seconds=self.limits.window)
        most = max(1, int(getattr(self.limits, tier) * self.limits.window / 60))
        taken = self._taken[user, tier]
        while taken and taken[0] <= now - window:
            taken.popleft()
        if len(taken) >= most:
            return max(1, ceil((taken[len(taken) - most] + window - now).total_seconds()))
        taken.append(now)
        return 0

    def forget(self) -> None:
        """Start counting anew."""
        self._taken.clear()
