"""What a run will do, and where it is with that at a given moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from math import ceil
from typing import Any


@dataclass(frozen=True, slots=True)
class Script:
    """What a run does from its start to its end, in seconds of the tenant's time.

    wait: seconds before it begins to work (queued, not started).
    run: seconds it works.
    end: the status word it ends in, known to Qlik or not; None: it runs for ever. The words of tasks and
        automations for success and failure stand for each other.
    log: the lines of its log; they appear evenly while it works.
    error: what went wrong: a reload's `errorMessage`, an automation run's `error`.
    stops: whether it heeds a cancel; otherwise the cancel is accepted, and it goes on to its end.
    stopping: seconds from a cancel to the end it brings.
    ended_at: whether its end sets `endedAt`, `stopTime` or `endTime`.
    waiting_as, running_as: status words shown in place of the usual ones.
    """

    wait: float = 0.0
    run: float = 1.0
    end: str | None = "SUCCEEDED"
    log: tuple[str, ...] = ("Started", "Finished")
    error: str | None = None
    stops: bool = True
    stopping: float = 1.0
    ended_at: bool = True
    waiting_as: str | None = None
    running_as: str | None = None

    def __post_init__(self) -> None:
        for name in ("wait", "run", "stopping"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
                raise ValueError(f"script {name}: {seconds!r} is not a number of seconds from 0")
        if isinstance(self.log, str):
            raise ValueError("script log: give lines, not one text")
        object.__setattr__(self, "log", tuple(self.log))

    def to_json(self) -> dict[str, Any]:
        """The script as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Script:
        """The script that `to_json` wrote; unknown members are refused by name."""
        unknown = members.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"script: no such member: {', '.join(sorted(unknown))}")
        return cls(**members)


class Phase(Enum):
    """Where a run is, whatever Qlik calls it for that kind of run."""

    HELD = "held"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ENDED = "ended"

    @property
    def is_active(self) -> bool:
        """Whether the run still has something to do."""
        return self not in (Phase.STOPPED, Phase.ENDED)


@dataclass(slots=True)
class Life:
    """One run of a script, shared by a task run and the worker that does its work.

    `begin` is later than `created`, or None, while a concurrency limit holds the run back.
    """

    script: Script
    created: datetime
    begin: datetime | None
    stop_asked: datetime | None = None

    @property
    def working_from(self) -> datetime | None:
        """When it begins to work."""
        return self.begin + timedelta(seconds=self.script.wait) if self.begin else None

    @property
    def finish(self) -> datetime | None:
        """When it is or will be over; None: not as things stand."""
        if self.stop_asked and self.script.stops:
            return self.stop_asked + timedelta(seconds=self.script.stopping)
        if self.script.end is None or self.working_from is None:
            return None
        return self.working_from + timedelta(seconds=self.script.run)

    def phase(self, now: datetime) -> Phase:
        """Where the run is at that moment."""
        if self.finish and now >= self.finish:
            return Phase.STOPPED if self.stop_asked and self.script.stops else Phase.ENDED
        if self.stop_asked:
            return Phase.STOPPING
        if self.begin is None or now < self.begin:
            # Rivals may begin microseconds from now: only a limit holds a run back.
            return Phase.WAITING if self.begin == self.created else Phase.HELD
        working_from = self.working_from
        return Phase.RUNNING if working_from and now >= working_from else Phase.WAITING

    def is_active(self, now: datetime) -> bool:
        """Whether the run still has something to do at that moment."""
        return self.phase(now).is_active

    def ended_at(self, now: datetime) -> datetime | None:
        """When it ended, if it has and shows it."""
        return self.finish if self.script.ended_at and not self.is_active(now) else None

    def started_at(self, now: datetime) -> datetime | None:
        """When it began to work, if it has."""
        working_from = self.working_from
        return working_from if working_from and working_from <= now else None

    def log(self, now: datetime) -> tuple[str, ...]:
        """The log lines written by that moment."""
        started = self.started_at(now)
        if started is None:
            return ()
        if self.phase(now) is Phase.ENDED or not self.script.run:
            return self.script.log
        until = min(now, self.finish) if self.finish else now
        part = min(1.0, (until - started).total_seconds() / self.script.run)
        return self.script.log[: ceil(len(self.script.log) * part)]

    def stop(self, now: datetime) -> bool:
        """Whether there was something to stop; asking twice changes nothing."""
        if not self.is_active(now):
            return False
        self.stop_asked = self.stop_asked or now
        return True
