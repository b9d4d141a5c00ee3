"""The intent of a start: what is stored before the request is sent, so that a retry can find its run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_provider_qlik.runs.run import Run

MARKER = re.compile(r"airflow-[0-9a-f]{8,16}")
"""The form of a marker. Its prefix alone proves nothing: a user or OAuth client may be called airflow-prod."""
CLOCK_SKEW = timedelta(seconds=5)
"""The most by which the clocks of two services of Qlik Cloud are expected to differ."""


def marker(*identity: str) -> str:
    """Return the marker for an identity: short and plain, since Qlik documents no character set for it."""
    return "airflow-" + hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]


def has_marker(run: Run) -> bool:
    """Return True if the run shows a marker of this package, of whichever task."""
    return MARKER.search(run.triggered_by or "") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The knowledge before a start: its marker, the ids of the runs that existed, the server's clock (UTC).

    `known_run_ids` is None where the user may not list the runs. This is not the same as an empty list: no run is ever
    taken for the run of this start then.
    `resumable` is an active run with this marker, which an earlier attempt has started.
    `markers_shown` is True if a run showed a marker of this package, so Qlik Cloud shows them.
    """

    kind: str
    resource_id: str
    marker: str
    known_run_ids: tuple[str, ...] | None
    server_time: datetime | None
    resumable: Run | None = None
    markers_shown: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the intent as plain JSON, without the resumable run."""
        return {
            "kind": self.kind,
            "resource_id": self.resource_id,
            "marker": self.marker,
            # Stored under this key since the first version: a retry may read what an older version has written.
            "known": None if self.known_run_ids is None else list(self.known_run_ids),
            "server_time": self.server_time.isoformat() if self.server_time else None,
            "markers_shown": self.markers_shown,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the intent that `to_json` wrote. Raises ValueError for anything else."""
        try:
            moment, run_ids = value["server_time"], None if value["known"] is None else tuple(value["known"])
            texts = (value["kind"], value["resource_id"], value["marker"])
            server_time = datetime.fromisoformat(moment).astimezone(UTC) if moment else None
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"expected an intent, not {value!r} ({error!r})") from error
        if not all(isinstance(text, str) and text for text in (*texts, *(run_ids or ()))):
            raise ValueError(f"expected an intent, not {value!r}")
        kind, resource_id, marker = texts
        return cls(
            kind=kind,
            resource_id=resource_id,
            marker=marker,
            known_run_ids=run_ids,
            server_time=server_time,
            # Earlier versions did not store it.
            markers_shown=value.get("markers_shown") is True,
        )

    def is_candidate(self, run: Run) -> bool:
        """Return True if this start may have made the run: it did not exist before, nor did it begin before."""
        if self.known_run_ids is None or run.id in self.known_run_ids:
            return False
        if has_marker(run) and not run.shows_marker(self.marker):
            return False
        return self.earliest is None or run.moment is None or run.moment >= self.earliest

    @property
    def earliest(self) -> datetime | None:
        """Return the earliest moment at which a run of this start can have begun, by a clock that may be slow."""
        return None if self.server_time is None else self.server_time - CLOCK_SKEW
