"""A run as all kinds share it: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

ENOUGH_OF_A_MARKER = 16
"""Characters by which a marker is known where Qlik cuts it."""


class RunState(StrEnum):
    """What a run's status comes to."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StatusMap:
    """Qlik's status words of one kind of run, by meaning. `stopping` words are active until an end time is set."""

    active: frozenset[str]
    succeeded: frozenset[str]
    failed: frozenset[str]
    cancelled: frozenset[str]
    stopping: frozenset[str] = frozenset()

    def state(self, status: str, ended: bool) -> RunState:
        """The state that a status comes to.

        A word nobody knows is active until an end time is set; then it is never a success: cancelled if it sounds like
        that, else failed. A known active word stays active even with an end time: the one who watches looks again.
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
        """Whether the word is one of ours."""
        word = status.strip().casefold()
        return any(
            word in status_map
            for status_map in (self.active, self.succeeded, self.failed, self.cancelled, self.stopping)
        )


@dataclass(frozen=True, slots=True)
class Worker:
    """Who does the work of a task run: a reload of an app, or a run of an automation."""

    type: str
    id: str
    resource_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: ids, state, Qlik's own word for it, times in UTC.

    `known_word` is False for a status that this version has never heard of. `reason` is what Qlik itself gave as error.
    `origin` is Qlik's word for what set it off, as long as it was just read: it is not part of its JSON.
    `unconfirmed_since` is set when nothing but the time tells that the run is ours: from then on no other may turn up, and
    none with our `marker` at all.
    `adopted` marks somebody else's run that is waited for in place of one of ours, and never cancelled. A run that is
    made up of several executions has their ids as `parts`, and `counts` how many of them are in which state.
    """

    kind: str
    resource_id: str
    id: str
    state: RunState
    status: str
    known_word: bool = True
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
        """Whether it is over."""
        return self.state is not RunState.ACTIVE

    @property
    def moment(self) -> datetime | None:
        """When it began, or else when it came to be."""
        return self.started_at or self.created_at

    def began_before(self, moment: datetime) -> bool:
        """Whether it surely began before a moment. Where its times are cut to the second, so is the moment."""
        if self.moment is None:
            return False
        return self.moment < (moment if self.moment.microsecond else moment.replace(microsecond=0))

    def takes_over_from(self, other: Run) -> bool:
        """Return whether this run is the one that *other* was only taken for, by its time: it shows our marker."""
        return other.unconfirmed_since is not None and other.marker is not None and self.carries(other.marker)

    def carries(self, marker: str) -> bool:
        """Return whether the run shows that marker, or enough of it where Qlik cuts it."""
        shown = self.triggered_by or ""
        return marker in shown or (len(shown) >= ENOUGH_OF_A_MARKER and marker.startswith(shown))

    @property
    def seconds(self) -> float | None:
        """How long it ran, in seconds, if both ends are known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    def __str__(self) -> str:
        began = f", began {self.moment.isoformat(timespec='seconds')}" if self.moment else ""
        by = f", triggered by {self.triggered_by!r}" if self.triggered_by else ""
        return f"{self.kind} run {self.id} ({self.status}{began}{by})"

    def to_json(self) -> dict[str, Any]:
        """The run as plain JSON: what a task returns and an event carries. Without its log."""
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
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The run that `to_json` wrote. Raises ValueError for anything else."""
        try:
            worker = given["worker"]
            return cls(
                kind=_word(given["kind"]),
                resource_id=_word(given["resource_id"]),
                id=_word(given["run_id"]),
                name=_perhaps(given["name"]),
                state=RunState(given["state"]),
                status=_word(given["status"], empty=True),
                created_at=_moment(given["created_at"]),
                started_at=_moment(given["started_at"]),
                ended_at=_moment(given["ended_at"]),
                reason=_perhaps(given["reason"]),
                triggered_by=_perhaps(given["triggered_by"]),
                worker=_worker(worker) if worker else None,
                unconfirmed_since=_moment(given["unconfirmed_since"]),
                marker=_perhaps(given["marker"]),
                adopted=bool(given["adopted"]),
                counts={_word(state): int(count) for state, count in given["counts"].items()}
                if given["counts"] is not None
                else None,
                parts=tuple(map(_word, given["parts"])),
                # Earlier versions did not note it.
                space_id=_perhaps(given.get("space_id")),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"expected a run, not {given!r} ({error!r})") from error


def without_repeats(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, each once, where a list shows some on two pages.

    Where two copies of a run differ, the one that has ended counts, else the one that was read last. A run that is made
    up of executions is not yet grouped here: its executions are told apart.
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


def _worker(given: Mapping[str, Any]) -> Worker:
    return Worker(_perhaps(given["type"]) or "", _word(given["id"]), _perhaps(given["resource_id"]))


def _perhaps(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ValueError(f"expected a text, not {given!r}")
    return given


def _word(given: object, *, empty: bool = False) -> str:
    if not isinstance(given, str) or not (given or empty):
        raise ValueError(f"expected a text, not {given!r}")
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelector:
    """Which run of a task or automation is meant: a given one, the first begun at or after a moment, or the last."""

    resource_id: str
    run_id: str | None = None
    started_after: datetime | None = None
    unconfirmed_since: datetime | None = None
    marker: str | None = None
    adopted: bool = False

    @classmethod
    def of(cls, run: Run) -> Self:
        """The wish for exactly that run."""
        return cls(
            resource_id=run.resource_id,
            run_id=run.id,
            unconfirmed_since=run.unconfirmed_since,
            marker=run.marker,
            adopted=run.adopted,
        )

    def pinned_to(self, run: Run) -> RunSelector:
        """Return the same wish, from now on for the run that was seen.

        Once a run shows our marker, it is no longer the time alone that tells that it is ours.
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
