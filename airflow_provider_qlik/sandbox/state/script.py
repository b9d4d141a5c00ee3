"""Scripts of runs, and the progress of a run at a time."""

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
        raise ValueError(f"{what} has no member {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class Script:
    """The course of a run from its start to its end, in sandbox seconds.

    wait: seconds before it begins to work (queued, not started).
    run: seconds it works.
    end: the terminal status, known to Qlik or not; None: it never ends. SUCCEEDED and FAILED are translated to
        each family's own word.
    log: the lines of its log; they appear evenly while it works.
    error: the error message: a reload's `errorMessage`, an automation run's `error`, an execution's `errors`.
    cancellable: True if a cancel takes effect; otherwise it is accepted, and the run continues to its end.
    cancel_delay: seconds from a cancel to the end.
    ended_at: True if the end sets `endedAt`, `stopTime`, `endTime`, `failedTime` or `cancelledTime`.
    waiting_as, running_as: statuses in place of the usual ones.
    """

    wait: float = 0.0
    run: float = 1.0
    end: str | None = "SUCCEEDED"
    log: tuple[str, ...] = ("Started", "Finished")
    error: str | None = None
    cancellable: bool = True
    cancel_delay: float = 1.0
    ended_at: bool = True
    waiting_as: str | None = None
    running_as: str | None = None

    def __post_init__(self) -> None:
        for name in ("wait", "run", "cancel_delay"):
            _check_seconds(f"script {name}", getattr(self, name))
        if isinstance(self.log, str):
            raise ValueError("script log: must be a list of lines, not one string")
        object.__setattr__(self, "log", tuple(self.log))

    def to_json(self) -> dict[str, Any]:
        """Return the script as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Script:
        """Return the script that `to_json` wrote. Raises ValueError for unknown members."""
        _refuse_unknown("script", members, cls)
        return cls(**members)


@dataclass(frozen=True, slots=True)
class SharingScript:
    """The course of one execute of a sharing task: an execution for each recipient, all of one workflow.

    recipients: one script for every recipient of the task, or a script for each execution in turn; an empty list
        makes no execution at all.
    appear_after: seconds from the execute until each execution exists, in order; 0 for further ones.
    delivery: seconds at the end of its work during which an execution is `presuccessful`.
    files: the files of each execution that succeeds; None: one file for each template of the task.
    status_code: the task's `statusCode` when all executions have ended; it is IN_PROGRESS until then.
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
        """Return a script for each execution of a task with `count` recipients."""
        return (self.recipients,) * count if isinstance(self.recipients, Script) else tuple(self.recipients)

    def to_json(self) -> dict[str, Any]:
        """Return the script as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> SharingScript:
        """Return the script that `to_json` wrote. Raises ValueError for unknown members."""
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
    """The phase of a run, independent of the status words of its kind."""

    HELD = "held"
    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    ENDED = "ended"

    @property
    def is_active(self) -> bool:
        """Return True if the run has not ended."""
        return self not in (Phase.CANCELLED, Phase.ENDED)


@dataclass(slots=True)
class Progress:
    """The progress of a run through its script, shared by a task run and its worker.

    `begin` is later than `created`, or None, while a concurrency limit holds the run back.
    """

    script: Script
    created: datetime
    begin: datetime | None
    cancel_requested_at: datetime | None = None

    @property
    def working_from(self) -> datetime | None:
        """Return the time at which it begins to work; None while that is unknown."""
        return self.begin + timedelta(seconds=self.script.wait) if self.begin else None

    @property
    def finish(self) -> datetime | None:
        """Return the time at which it ended or will end; None while that is unknown."""
        if self.cancel_requested_at and self.script.cancellable:
            return self.cancel_requested_at + timedelta(seconds=self.script.cancel_delay)
        if self.script.end is None or self.working_from is None:
            return None
        return self.working_from + timedelta(seconds=self.script.run)

    def phase(self, now: datetime) -> Phase:
        """Return the phase of the run at that time."""
        if self.finish and now >= self.finish:
            return Phase.CANCELLED if self.cancel_requested_at and self.script.cancellable else Phase.ENDED
        if self.cancel_requested_at:
            return Phase.CANCELLING
        if self.begin is None or now < self.begin:
            # Competing runs may begin microseconds from now; HELD is for runs that a limit holds back.
            return Phase.WAITING if self.begin == self.created else Phase.HELD
        working_from = self.working_from
        return Phase.RUNNING if working_from and now >= working_from else Phase.WAITING

    def is_active(self, now: datetime) -> bool:
        """Return True if the run has not ended."""
        return self.phase(now).is_active

    def ended_at(self, now: datetime) -> datetime | None:
        """Return the time at which it ended; None if it has not, or does not show it."""
        return self.finish if self.script.ended_at and not self.is_active(now) else None

    def started_at(self, now: datetime) -> datetime | None:
        """Return the time at which it began to work; None if it has not."""
        working_from = self.working_from
        return working_from if working_from and working_from <= now else None

    def log(self, now: datetime) -> tuple[str, ...]:
        """Return the log lines written until that time."""
        started = self.started_at(now)
        if started is None:
            return ()
        if self.phase(now) is Phase.ENDED or not self.script.run:
            return self.script.log
        until = min(now, self.finish) if self.finish else now
        part = min(1.0, (until - started).total_seconds() / self.script.run)
        return self.script.log[: ceil(len(self.script.log) * part)]

    def cancel(self, now: datetime) -> bool:
        """Cancel the run and return True, or return False if it has ended. A repeated cancel changes nothing."""
        if not self.is_active(now):
            return False
        self.cancel_requested_at = self.cancel_requested_at or now
        return True
