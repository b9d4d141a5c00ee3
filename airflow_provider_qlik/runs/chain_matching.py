"""Which runs of a task belong to a chain: those that name what started them, else those of the right time.

It is documented nowhere what `triggeredBy` says of a run that the end of another task started. So all are taken into
account: the id of the run that ended, the id of its task, the marker of our start, and anything else. What names a run
of the chain is certain. What names its task is certain, too, unless another run of that task ended meanwhile. A text
that names neither proves nothing by itself; but once a run of the same chain, or any earlier run of the same task,
names what started it, a run that does not was started by somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from airflow_provider_qlik.runs.intent import CLOCK_SKEW, MARKER
from airflow_provider_qlik.runs.run import Run

COMPETING_WINDOW = timedelta(seconds=60)
"""The time before the end of a run of the chain in which the end of another run of its task counts as competing, and
after the beginning of an unconfirmed run in which another one does."""


class Naming(Enum):
    """The kind of thing that the `triggeredBy` of a run names."""

    RUN = "a run of the chain, or the marker of its start"
    TASK = "a task of the chain that starts this one"
    OTHER = "the marker of another start"
    NOTHING = "nothing that is known"


@dataclass(frozen=True, slots=True)
class Cause:
    """An ended run of the chain after which Qlik Cloud starts a task, or may start it.

    :param run: the run.
    :param certain: True if the condition of the task was met.
    """

    run: Run
    certain: bool

    @property
    def moment(self) -> datetime | None:
        """Return when the run ended; if that is not known, when it began."""
        return self.run.ended_at or self.run.moment


def naming(run: Run, run_ids: Collection[str], task_ids: Collection[str], marker: str | None) -> Naming:
    """Return what the `triggeredBy` of a run names.

    :param run_ids: the runs of the chain that may have started it.
    :param task_ids: their tasks.
    :param marker: the marker of the start of the chain.
    """
    text = run.triggered_by or ""
    if marker is not None and marker in text:
        return Naming.RUN
    if MARKER.search(text):
        return Naming.OTHER
    words = {text, *re.split(r"[\s/:,;|()'\"]+", text)}
    if not words.isdisjoint(run_ids):
        return Naming.RUN
    return Naming.TASK if not words.isdisjoint(task_ids) else Naming.NOTHING


def earliest(causes: Sequence[Cause]) -> datetime | None:
    """Return the moment before which no run began that one of these causes has started; None if it is not known."""
    moments = [cause.moment for cause in causes]
    return None if None in moments or not moments else min(moment for moment in moments if moment) - CLOCK_SKEW


def is_in_time(run: Run, causes: Sequence[Cause], match_timeout: float) -> bool:
    """Return True if a run began after the end of one of these runs, and not later than *match_timeout* seconds."""
    if run.moment is None:
        return False
    latest = timedelta(seconds=match_timeout) + CLOCK_SKEW
    return any(
        cause.moment is not None
        and not run.began_before(cause.moment - CLOCK_SKEW)
        # A retry follows shortly after the chain of the attempt before, whose runs began before this one was started.
        and not (cause.run.moment is not None and run.began_before(cause.run.moment))
        and run.moment <= cause.moment + latest
        for cause in causes
    )


def has_competing_cause(run: Run, causes: Sequence[Cause], others: Sequence[Run]) -> bool:
    """Return True if another run of the same task, one that is not of the chain, can have started this run as well."""
    ends = [other.ended_at for other in others if other.ended_at is not None]
    return any(
        cause.moment is not None
        and cause.moment - COMPETING_WINDOW <= end
        and (run.moment is None or end <= run.moment)
        for cause in causes
        for end in ends
    )


def answers(run: Run, cause: Cause, named: Naming) -> bool:
    """Return True if this run may be the one that *cause* has started, so that no further one is expected."""
    if cause.moment is None or run.moment is None:
        return True
    if named is Naming.RUN and cause.run.id in (run.triggered_by or ""):
        return True
    # A run that names another cause began before this one, unless the task waits for both.
    margin = CLOCK_SKEW if named is Naming.NOTHING else timedelta(0)
    return not run.began_before((cause.moment - margin).replace(microsecond=0))
