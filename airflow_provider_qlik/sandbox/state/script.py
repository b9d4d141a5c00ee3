"""What runs will do, and where they are with that at a given moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from math import ceil
from typing import Any

from airflow_provider_qlik.sandbox.state.files import File


def _check_seconds(what: str, seconds: Any) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"{what}: {seconds!r} is not a number of seconds from 0")


def _refuse_unknown(what: str, members: dict[str, Any], kind: type[Any]) -> None:
    unknown = members.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{what}: no such member: {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class Script:
    """What a run does from its start to its end, in seconds of the tenant's time.

    wait: seconds before it begins to work (queued, not started).
    run: seconds it works.
    end: the status word it ends in, known to Qlik or not; None: it runs for ever. SUCCEEDED and FAILED stand
        for each family's own word.
    log: the lines of its log; they appear evenly while it works.
    error: what went wrong: a reload's `errorMessage`, an automation run's `error`, an execution's `errors`.
    stops: whether it heeds a cancel; otherwise the cancel is accepted, and it goes on to its end.
    stopping: seconds from a cancel to the end it brings.
    ended_at: whether its end sets `endedAt`, `stopTime`, `endTime`, `failedTime` or `cancelledTime`.
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
            _check_seconds(f"script {name}", getattr(self, name))
        if isinstance(self.log, str):
            raise ValueError("script log: give lines, not one text")
        object.__setattr__(self, "log", tuple(self.log))

    def to_json(self) -> dict[str, Any]:
        """The script as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Script:
        """The script that `to_json` wrote; unknown members are refused by name."""
        _refuse_unknown("script", members, cls)
        return cls(**members)


@dataclass(frozen=True, slots=True)
class Sharing:
    """What one execute of a sharing task brings: an execution for each recipient, all of one workflow.

    recipients: one script for every recipient of the task, or a script for each execution in turn; an empty list
        makes no execution at all.
    appear_after: seconds from the execute until each execution exists, in turn; 0 for those not named.
    delivery: seconds at the end of its work during which an execution is `presuccessful`.
    files: what each execution that succeeds has made; None: one file for each template of the task.
    status_code: the task's `statusCode` when all is over; it is IN_PROGRESS until then.
    """

    recipients: Script | Sequence[Script] = Script()
    appear_after: Sequence[float] = ()
    delivery: float = 0.0
    files: Sequence[File] | None = None
    status_code: str = "VALID"

    def __post_init__(self) -> None:
        if not isinstance(self.recipients, Script):
            object.__setattr__(self, "recipients", tuple(self.recipients))
        object.__setattr__(self, "appear_after", tuple(self.appear_after))
        for seconds in (*self.appear_after, self.delivery):
            _check_seconds("sharing appear_after and delivery", seconds)
        if self.files is not None:
            object.__setattr__(self, "files", tuple(self.files))

    def scripts(self, count: int) -> tuple[Script, ...]:
        """A script for each execution, where the task has so many recipients."""
        return (self.recipients,) * count if isinstance(self.recipients, Script) else tuple(self.recipients)

    def to_json(self) -> dict[str, Any]:
        """The script as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Sharing:
        """The script that `to_json` wrote, or that of one run as that of every recipient."""
        if "recipients" not in members:
            return cls(Script.from_json(members))
        _refuse_unknown("sharing", members, cls)
        recipients, files = members["recipients"], members.get("files")
        if isinstance(recipients, dict):
            scripts: Script | tuple[Script, ...] = Script.from_json(recipients)
        else:
            scripts = tuple(Script.from_json(script) for script in recipients)
        for file in files or ():
            _refuse_unknown("file", file, File)
        made = None if files is None else tuple(File(**file) for file in files)
        return cls(**{**members, "recipients": scripts, "files": made})


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
