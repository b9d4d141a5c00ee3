"""How far a watch has got: what it must store so that its successor misses no run that ends in between.

A moment alone does not do. Lists of different resources are not equally fresh, so a run may appear as ended after one
that ended later was reported: behind a moment that moves to the last end, it would be lost. So the moment trails by
`MAX_LAG`, and the ids of all ends since then say which of them have been dealt with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

VERSION = 1
MAX_LAG = timedelta(hours=1)
"""The time by which a list may lag before an end on it is missed: no document says how soon lists show the end."""
MAX_ENDS = 500
"""Ends whose ids are stored, at most. If more runs end within `MAX_LAG`, the moment trails by less."""
MAX_UNSETTLED = 100
"""Unsettled resources that are stored, at most."""


@dataclass(slots=True)
class Watermark:
    """The moment before which no end is reported, and the ids and moments (UTC) of the ends since then.

    `unsettled` are resources whose runs must be listed whatever the list of resources says: an earlier run than the
    last one is active, or its runs could not be listed.
    """

    moment: datetime
    ends: dict[str, datetime] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)

    def covers(self, run_id: str, ended_at: datetime | None) -> bool:
        """Return True if the end of a run has been dealt with, or was before the moment or is not known."""
        return run_id in self.ends or ended_at is None or ended_at < self.moment

    def add(self, run_id: str, ended_at: datetime) -> None:
        """Note that the end of a run has been dealt with."""
        self.ends[run_id] = ended_at

    def advance(self, now: datetime) -> None:
        """Let the moment trail *now*, and forget the ends before it."""
        self.moment = max(self.moment, now - MAX_LAG)
        if len(self.ends) > MAX_ENDS:
            # The moment covers the ids that are dropped here; without that they would be reported again.
            last_forgotten = sorted(self.ends.values())[-MAX_ENDS - 1]
            self.moment = max(self.moment, last_forgotten + timedelta(microseconds=1))
        self.ends = {run_id: ended_at for run_id, ended_at in self.ends.items() if ended_at >= self.moment}

    def to_json(self) -> dict[str, Any]:
        """Return the watermark as plain JSON."""
        return {
            "version": VERSION,
            "moment": self.moment.isoformat(),
            "ends": {run_id: ended_at.isoformat() for run_id, ended_at in self.ends.items()},
            "unsettled": sorted(self.unsettled)[:MAX_UNSETTLED],
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the watermark that `to_json` wrote. Raises ValueError for anything else."""
        try:
            if not isinstance(value, Mapping) or value["version"] != VERSION:
                raise ValueError(f"expected a watermark of version {VERSION}, not {value!r}")
            return cls(
                _moment(value["moment"]),
                {str(run_id): _moment(ended_at) for run_id, ended_at in value["ends"].items()},
                {str(resource_id) for resource_id in value["unsettled"]},
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"expected a watermark, not {value!r} ({error!r})") from error


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
