"""The links of a chain of tasks as its Airflow task shows them: a table, a reason to fail, plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from airflow_provider_qlik.runs.run import Run
from airflow_provider_qlik.text import REASON_LENGTH, printable, storable

NAME_WIDTH = 40
"""Characters of a name in the table, at most."""
ID_WIDTH = 40
"""The same of an id."""


class LinkState(StrEnum):
    """The state of a link: those of a run, and why there is no run or nothing is known of its end."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"
    """Its run was not seen yet."""
    DISABLED = "disabled"
    NOT_STARTED = "not_started"
    """The condition for its start was not met, or was perhaps not met, and it was not started."""
    MISSING = "missing"
    """The condition for its start was met, and no run of it showed up in time."""
    NOT_VISIBLE = "not_visible"
    AMBIGUOUS = "ambiguous"
    """Several runs may be the one that the chain has started."""
    UNKNOWN = "unknown"
    """Qlik Cloud does not show the run any more, so it is not known how it ended."""


FAILING = frozenset({LinkState.FAILED, LinkState.CANCELLED, LinkState.MISSING, LinkState.AMBIGUOUS, LinkState.UNKNOWN})
"""The states of a link with which its chain has not succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """One run of a task of the chain, or why there is none.

    :param note: the reason that Qlik Cloud gave for a failure, or what is known about a run that is missing.
    :param confirmed: False for a run that only its time identifies as part of the chain.
    """

    task_id: str
    name: str | None
    state: LinkState
    run_id: str | None = None
    status: str | None = None
    seconds: float | None = None
    started_at: str | None = None
    ended_at: str | None = None
    confirmed: bool = True
    note: str | None = None

    @classmethod
    def of_run(cls, run: Run, name: str | None, *, confirmed: bool = True, note: str | None = None) -> Self:
        """Return the link of a run."""
        return cls(
            task_id=run.resource_id,
            name=name or run.name,
            state=LinkState(run.state.value),
            run_id=run.id,
            status=run.status,
            seconds=run.seconds,
            started_at=run.started_at.isoformat() if run.started_at else None,
            ended_at=run.ended_at.isoformat() if run.ended_at else None,
            confirmed=confirmed,
            note=note or run.reason,
        )

    @property
    def has_failed(self) -> bool:
        """Return True if the chain has not succeeded because of this link."""
        return self.state in FAILING

    @property
    def failure(self) -> str:
        """Return the sentence that says why the chain has not succeeded."""
        name = f"'{printable(self.name, REASON_LENGTH)}' " if self.name else ""
        task = f"task {name}({printable(self.task_id, REASON_LENGTH)})"
        if self.run_id is None:
            return f"{task}: {self.note or self.state}"
        ended = f"ended as '{printable(self.status or self.state, REASON_LENGTH)}'"
        ended = f"is {self.state}" if self.state in {LinkState.UNKNOWN, LinkState.AMBIGUOUS} else ended
        why = f": {storable(self.note, REASON_LENGTH)}" if self.note else ""
        return f"run {printable(self.run_id, REASON_LENGTH)} of {task} {ended}{why}"

    def to_json(self) -> dict[str, Any]:
        """Return the link as plain JSON."""
        return {
            "qlik_task_id": self.task_id,
            "name": self.name,
            "run_id": self.run_id,
            "state": str(self.state),
            "status": self.status,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "seconds": self.seconds,
            "confirmed": self.confirmed,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the link that `to_json` wrote. Raises ValueError for anything else."""
        try:
            members = {**value, "state": LinkState(value["state"]), "task_id": value["qlik_task_id"]}
            del members["qlik_task_id"]
            return cls(**members)
        except (KeyError, TypeError) as error:
            raise ValueError(f"expected a link of a chain, not {value!r} ({error!r})") from error


@dataclass(frozen=True, slots=True)
class TaskChain:
    """A chain of tasks: its links, the first task first, parents before their children."""

    links: tuple[ChainLink, ...]

    @property
    def failure(self) -> str | None:
        """Return why the chain has not succeeded, None if it has. The first link is the task's own run and not part."""
        failures = [link.failure for link in self.links[1:] if link.has_failed]
        if not failures:
            return None
        count = f"{len(failures)} links" if len(failures) > 1 else "a link"
        return f"The chain did not succeed (fail_on_chain): {count} failed. {'; '.join(failures)}"

    def table(self) -> list[str]:
        """Return the lines of a table: name and id of the task, id of the run, status, seconds, note."""
        head = ("task", "task id", "run id", "status", "seconds", "note")
        rows = [head, *(_row(link) for link in self.links)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
        return [
            "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])).rstrip()
            for row in rows
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the links as plain JSON."""
        return [link.to_json() for link in self.links]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the chain that `to_json` wrote. Raises ValueError for anything else."""
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ValueError(f"expected the links of a chain, not {value!r}")
        return cls(tuple(ChainLink.from_json(link) for link in value))


def _row(link: ChainLink) -> tuple[str, ...]:
    notes = ["" if link.confirmed else "recognised by its time alone", link.note or ""]
    return (
        printable(link.name or "-", NAME_WIDTH),
        printable(link.task_id, ID_WIDTH),
        printable(link.run_id or "-", ID_WIDTH),
        printable(link.status or link.state.replace("_", " "), ID_WIDTH),
        "-" if link.seconds is None else f"{link.seconds:.0f}",
        printable("; ".join(filter(None, notes)), REASON_LENGTH),
    )
