"""A run, its states, and the selector that says which run is meant. All kinds share these values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

MIN_MARKER_LENGTH = 16
"""Characters of a marker that identify it where Qlik Cloud cuts it off."""


class RunState(StrEnum):
    """The four states that Qlik Cloud's status words stand for."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StatusMap:
    """The status words of one kind of run, by the state that they stand for, in lower case.

    `stopping` words are active until an end time is set, and cancelled from then on.
    """

    active: frozenset[str]
    succeeded: frozenset[str]
    failed: frozenset[str]
    cancelled: frozenset[str]
    stopping: frozenset[str] = frozenset()

    def state(self, status: str, ended: bool) -> RunState:
        """Return the state that a status word stands for; *ended* is True if the run has an end time.

        An unknown word is active until an end time is set. Then it is never a success: it is cancelled if it contains a
        word for that, else failed. A known active word stays active even with an end time: `RunWait` polls it again.
        """
        word = status.strip().casefold()
        if word in self.succeeded:
            return RunState.SUCCEEDED
        if word in self.failed:
            return RunState.FAILED
        if word in self.cancelled or (word in self.stopping and ended):
            return RunState.CANCELLED
        if word in self.active or word in self.stopping or not ended:
            return RunState.ACTIVE
        return RunState.CANCELLED if any(hint in word for hint in ("cancel", "abort", "stop")) else RunState.FAILED

    def knows(self, status: str) -> bool:
        """Return True if the status word is in this map."""
        word = status.strip().casefold()
        return any(word in words for words in (self.active, self.succeeded, self.failed, self.cancelled, self.stopping))


@dataclass(frozen=True, slots=True)
class Worker:
    """The run that does the work of a task run: a reload of an app, or a run of an automation."""

    type: str
    id: str
    resource_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: ids, state, the status word of Qlik Cloud, times in UTC.

    - `status_known` is False for a status that is not in the status map of this version.
    - `reason` is the error that Qlik Cloud gave.
    - `origin` is Qlik's word for what started the run. It is not part of the JSON, so a stored run has none.
    - `unconfirmed_since` is set if only its time identifies the run as our own. If a competing run begins after that
      moment, or a run shows our `marker`, the match was wrong or doubtful (see `matching`).
    - `adopted` is True for a run of another user that is waited for in place of one of our own; it is never cancelled.
    - `parts` are the ids of the executions that make up a run, `counts` the number of them in each state.
    """

    kind: str
    resource_id: str
    id: str
    state: RunState
    status: str
    status_known: bool = True
    name: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    triggered_by: str | None = None
    origin: str | None = field(default=None, compare=False)
    worker: Worker | None = None
    log: str | None = field(default=None, repr=False)
    unconfirmed_since: datetime | None = None
    marker: str | None = None
    adopted: bool = False
    counts: Mapping[str, int] | None = None
    parts: tuple[str, ...] = ()
    space_id: str | None = None

    @property
    def ended(self) -> bool:
        """Return True if the status is terminal."""
        return self.state is not RunState.ACTIVE

    @property
    def moment(self) -> datetime | None:
        """Return when the run began; if that is not known, when it was created."""
        return self.started_at or self.created_at

    def began_before(self, moment: datetime) -> bool:
        """Return True if the run certainly began before a moment.

        Where the times of the run are cut to the second, so is the moment.
        """
        if self.moment is None:
            return False
        return self.moment < (moment if self.moment.microsecond else moment.replace(microsecond=0))

    def takes_over_from(self, other: Run) -> bool:
        """Return True if *other* was taken for our own by its time alone, and this run shows its marker."""
        return other.unconfirmed_since is not None and other.marker is not None and self.shows_marker(other.marker)

    def shows_marker(self, marker: str) -> bool:
        """Return True if the run shows the marker, or enough of it where Qlik Cloud cuts it off."""
        shown = self.triggered_by or ""
        return marker in shown or (len(shown) >= MIN_MARKER_LENGTH and marker.startswith(shown))

    @property
    def seconds(self) -> float | None:
        """Return the duration in seconds, None unless start and end are known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    def __str__(self) -> str:
        began = f", began {self.moment.isoformat(timespec='seconds')}" if self.moment else ""
        by = f", triggered by {self.triggered_by!r}" if self.triggered_by else ""
        return f"{self.kind} run {self.id} ({self.status}{began}{by})"

    def to_json(self) -> dict[str, Any]:
        """Return the run as plain JSON, for the return value of a task and for events. Without its log."""
        return {
            "kind": self.kind,
            "resource_id": self.resource_id,
            "run_id": self.id,
            "name": self.name,
            "state": str(self.state),
            "status": self.status,
            "created_at": _text(self.created_at),
            "started_at": _text(self.started_at),
            "ended_at": _text(self.ended_at),
            "seconds": self.seconds,
            "reason": self.reason,
            "triggered_by": self.triggered_by,
            "worker": {"type": self.worker.type, "id": self.worker.id, "resource_id": self.worker.resource_id}
            if self.worker
            else None,
            "unconfirmed_since": _text(self.unconfirmed_since),
            "marker": self.marker,
            "adopted": self.adopted,
            "counts": dict(self.counts) if self.counts is not None else None,
            "parts": list(self.parts),
            "space_id": self.space_id,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the run that `to_json` wrote. Raises ValueError for anything else."""
        try:
            worker = value["worker"]
            return cls(
                kind=_required_text(value["kind"]),
                resource_id=_required_text(value["resource_id"]),
                id=_required_text(value["run_id"]),
                name=_optional_text(value["name"]),
                state=RunState(value["state"]),
                status=_required_text(value["status"], empty=True),
                created_at=_moment(value["created_at"]),
                started_at=_moment(value["started_at"]),
                ended_at=_moment(value["ended_at"]),
                reason=_optional_text(value["reason"]),
                triggered_by=_optional_text(value["triggered_by"]),
                worker=_worker(worker) if worker else None,
                unconfirmed_since=_moment(value["unconfirmed_since"]),
                marker=_optional_text(value["marker"]),
                adopted=bool(value["adopted"]),
                counts={_required_text(state): int(count) for state, count in value["counts"].items()}
                if value["counts"] is not None
                else None,
                parts=tuple(map(_required_text, value["parts"])),
                # Earlier versions did not store it.
                space_id=_optional_text(value.get("space_id")),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"expected a run, not {value!r} ({error!r})") from error


def without_repeats(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, each once, where a list contains some on two pages.

    Of two copies of a run, the one that has ended is kept, else the one that was read last. Executions that make up a
    run are kept apart; `ConsistsOfItems.group` joins them later.
    """
    found: dict[tuple[str, ...], Run] = {}
    for run in runs:
        key = (run.id, *run.parts)
        if key not in found or run.ended or not found[key].ended:
            found[key] = run
    return [*found.values()]


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _worker(value: Mapping[str, Any]) -> Worker:
    return Worker(
        _optional_text(value["type"]) or "", _required_text(value["id"]), _optional_text(value["resource_id"])
    )


def _optional_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"expected a text, not {value!r}")
    return value


def _required_text(value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"expected a text, not {value!r}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelector:
    """A reference to one run of a resource: by id, the first that began at or after a moment, or the last."""

    resource_id: str
    run_id: str | None = None
    started_after: datetime | None = None
    unconfirmed_since: datetime | None = None
    marker: str | None = None
    adopted: bool = False

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return the selector of exactly that run."""
        return cls(
            resource_id=run.resource_id,
            run_id=run.id,
            unconfirmed_since=run.unconfirmed_since,
            marker=run.marker,
            adopted=run.adopted,
        )

    def pinned_to(self, run: Run) -> RunSelector:
        """Return the selector of the run that was found, by its id from now on.

        Once a run shows our marker, it is confirmed.
        """
        unconfirmed_since = run.unconfirmed_since if self.unconfirmed_since is not None else None
        if self.run_id == run.id and self.started_after is None and self.unconfirmed_since == unconfirmed_since:
            return self
        return replace(self, run_id=run.id, started_after=None, unconfirmed_since=unconfirmed_since)

    def __str__(self) -> str:
        if self.run_id:
            return f"run {self.run_id}"
        if self.started_after:
            return f"the first run begun at or after {self.started_after.isoformat(timespec='seconds')}"
        return "the last run"
