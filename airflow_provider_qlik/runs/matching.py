"""Finding the run that a start made, where Qlik does not say which it is."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from airflow_provider_qlik.cloud.call import Flow, pause
from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError
from airflow_provider_qlik.runs import refusals as refusal
from airflow_provider_qlik.runs.errors import AmbiguousRunError, RunNotFoundError
from airflow_provider_qlik.runs.run import Run

if TYPE_CHECKING:
    from airflow_provider_qlik.runs.adapter import RunAdapter

LogCallback: TypeAlias = Callable[[int, str], object]
"""Where a flow says what a user should read: a level of `logging` and a sentence. A logger's `log` fits."""


def marker(*identity: str) -> str:
    """What a start is marked with: short and plain, since nobody knows what Qlik takes there."""
    return "airflow-" + hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]


def has_marker(run: Run) -> bool:
    """Return whether a run shows a marker of this package, of whichever task: then Qlik shows markers."""
    return MARKER.search(run.triggered_by or "") is not None


MARKER = re.compile(r"airflow-[0-9a-f]{8,16}")
"""What a marker looks like. Its beginning alone tells nothing: a user or OAuth client may be called airflow-prod."""
CLOCK_SKEW = timedelta(seconds=5)
COMPETING_WINDOW = timedelta(seconds=60)
BEGINNING = datetime(1980, 1, 1, tzinfo=UTC)
"""Before all runs: to go through the whole list of them, as far as lists are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is known before a start: the marker it will carry, the runs that exist, the server's clock (UTC).

    `known` is None where the user may not list the runs: nothing is known then, which is not the same as that there
    are none, and no run is ever taken for the one of this start.
    `underway` is a run that carries the very marker already and goes on: an earlier try has started it.
    `markers_shown`: some run carried a marker of this package then, so Qlik shows them.
    """

    kind: str
    resource_id: str
    marker: str
    known: tuple[str, ...] | None
    server_time: datetime | None
    resumable: Run | None = None
    markers_shown: bool = False

    def to_json(self) -> dict[str, Any]:
        """The intent as plain JSON."""
        return {
            "kind": self.kind,
            "resource_id": self.resource_id,
            "marker": self.marker,
            "known": None if self.known is None else list(self.known),
            "server_time": self.server_time.isoformat() if self.server_time else None,
            "markers_shown": self.markers_shown,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The intent that `to_json` wrote. Raises ValueError for anything else."""
        try:
            moment, known = given["server_time"], None if given["known"] is None else tuple(given["known"])
            texts = (given["kind"], given["resource_id"], given["marker"])
            server_time = datetime.fromisoformat(moment).astimezone(UTC) if moment else None
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"expected an intent, not {given!r} ({error!r})") from error
        if not all(isinstance(text, str) and text for text in (*texts, *(known or ()))):
            raise ValueError(f"expected an intent, not {given!r}")
        kind, resource_id, marker = texts
        # Earlier versions did not note it.
        shown = given.get("markers_shown") is True
        return cls(
            kind=kind,
            resource_id=resource_id,
            marker=marker,
            known=known,
            server_time=server_time,
            markers_shown=shown,
        )

    def could_be(self, run: Run) -> bool:
        """Whether a run can have come from this start: it did not exist before, and did not begin before."""
        if self.known is None or run.id in self.known or (has_marker(run) and not self.marks(run)):
            return False
        return self.earliest is None or run.moment is None or run.moment >= self.earliest

    def marks(self, run: Run) -> bool:
        """Whether a run carries the marker, or enough of it where Qlik cuts it."""
        return run.carries(self.marker)

    @property
    def earliest(self) -> datetime | None:
        """When a run of this start can have begun at the earliest, by a clock that may be a little behind."""
        return None if self.server_time is None else self.server_time - CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class Search:
    """How long a run is looked for, in seconds; not so long where it is unsure that there is one.

    With its marker a run is known at once. Without, it is taken for ours only after it was the only one for `settle`.
    Where it has ended by then, so that no competing run would be noticed while it is watched, or where there are several, of
    which ours may yet show a marker, that takes `settle_unsure`.
    """

    give_up: float = 300.0
    give_up_unanswered: float = 60.0
    settle: float = 20.0
    settle_unsure: float = 60.0
    initial_backoff: float = 1.0
    max_backoff: float = 10.0


def find(
    kind: RunAdapter,
    intent: Intent,
    search: Search,
    write_log: LogCallback,
    clock: Callable[[], float] = time.monotonic,
    *,
    answered: bool = True,
) -> Flow[Run | None]:
    """The run that came of a start, or None when none showed up in time. *answered*: whether the start surely arrived.

    The marker decides. Where Qlik does not show markers, a run that alone can be ours counts as ours, with
    `unconfirmed_since` set so that whoever watches it notices a competing run later. Raises AmbiguousRunError when several could be it.

    Whether Qlik shows markers is nowhere written. What a run shows in their place tells nothing: a word such as
    "manual" or the name of a user stands there for a run of somebody else where markers are shown, and for ours as well
    where they are not. So only this counts: a marker of this package, on any run of the list, proves that they are
    shown, and then a run without ours is never taken for ours, whatever it shows and however lonely it is. The proof is
    looked for on all runs there were before the start, on all that show up later and, before a run without a marker is
    followed, once in the whole list. Without proof the run is followed, and the proof may still come: then the wait
    goes over to the run with our marker, or ends in doubt (`RunAdapter.look`).

    Raises RunNotFoundError at once where the runs before the start are not known (`Intent.known` is None).
    """
    known = intent.known
    if known is None:
        raise cannot_find(kind, intent)
    began = answering_since = clock()
    seen_since: float | None = None
    refused_since: float | None = None
    markers_shown, all_seen = intent.markers_shown, False
    candidates: list[Run] = []
    seconds = search.initial_backoff
    while True:
        try:
            recent = yield from kind.recent(intent.resource_id, intent.earliest)
        except QlikCloudError as error:
            # The list of a task that never ran may be a 404, until its first run shows up.
            if not error.transient and not isinstance(error, NotFoundError):
                refused_since = refused_since if refused_since is not None else clock()
                lasts = clock() - refused_since >= refusal.REFUSAL_LASTS.total_seconds()
                if lasts or not refusal.refuses_to_show(error):
                    raise
            else:
                refused_since = None
            write_log(logging.WARNING, f"Could not look for the {kind.name} run, looking again: {error}")
            # While Qlik does not answer, that no run shows up tells nothing.
            answering_since = answering_since if isinstance(error, NotFoundError) else clock()
        else:
            refused_since = None
            # A marker of this package on any run proves that Qlik shows them: then ours will have one, too.
            markers_shown = markers_shown or any(map(has_marker, recent))
            marked = [run for run in recent if run.id not in known and intent.marks(run)]
            if len(marked) == 1:
                return marked[0]
            if len(marked) > 1:
                raise ambiguous(kind, intent.resource_id, marked)
            candidates = [run for run in recent if intent.could_be(run) and kind.can_be_api_run(run)]
            unmarked = [] if markers_shown else candidates
            now = clock()
            seen_since = (seen_since if seen_since is not None else now) if unmarked else None
            one_goes_on = len(unmarked) == 1 and not unmarked[0].ended
            needed = search.settle if one_goes_on else search.settle_unsure
            if seen_since is not None and now - seen_since >= needed:
                if len(unmarked) > 1:
                    unmarked = yield from kind.exclude_other_users(intent.resource_id, unmarked)
                if len(unmarked) > 1:
                    raise ambiguous(kind, intent.resource_id, unmarked)
                if not all_seen:
                    # Older runs are read once: a marker that any of them shows is proof enough.
                    older = yield from _whole_list(kind, intent.resource_id)
                    all_seen, markers_shown = older is not None, any(map(has_marker, older or ()))
                if all_seen and not markers_shown:
                    ours = unmarked[0]
                    write_log(logging.INFO, f"{ours} carries no marker, but no other can be ours: it is followed.")
                    since = min(filter(None, (intent.server_time, ours.moment)), default=None)
                    return replace(ours, unconfirmed_since=since, marker=intent.marker)
        now = clock()
        unanswered_for_long = not answered and not candidates and now - answering_since >= search.give_up_unanswered
        if unanswered_for_long or now - began >= search.give_up:
            if candidates:
                raise ambiguous(kind, intent.resource_id, candidates)
            return None
        yield from pause(seconds)
        seconds = min(seconds * 1.5, search.max_backoff)


def _whole_list(kind: RunAdapter, resource_id: str) -> Flow[list[Run] | None]:
    """Return all runs there are, as far as lists are read; None where they cannot be read just now."""
    try:
        return (yield from kind.recent(resource_id, BEGINNING))
    except QlikCloudError as error:
        if not error.transient and not isinstance(error, NotFoundError):
            raise
        return None


def competing_runs(ours: Run, recent: Sequence[Run]) -> list[Run]:
    """The other runs that could as well be ours, for a run that only the time tells."""
    if ours.unconfirmed_since is None:
        return []
    since, began = ours.unconfirmed_since, ours.moment or ours.unconfirmed_since
    return [
        run
        for run in recent
        if run.id != ours.id
        and (
            (run.moment is not None and since <= run.moment and run.moment - began <= COMPETING_WINDOW)
            or (ours.marker is not None and ours.marker in (run.triggered_by or ""))
        )
    ]


def cannot_find(kind: RunAdapter, intent: Intent, unanswered: QlikCloudError | None = None) -> RunNotFoundError:
    """Return the error for a start whose response was lost, by a user who may not list the runs."""
    why = f" The response to the start: {unanswered}" if unanswered is not None else ""
    return RunNotFoundError(
        f"The {kind.name} may have been started, and nothing can tell: the response to the start was lost, and this"
        f" user may not list its runs. Look at them in Qlik Cloud, then clear this task. It was not started again"
        f" ({kind.name} {intent.resource_id}).{why}"
    )


def ambiguous(kind: RunAdapter, resource_id: str, candidates: Sequence[Run]) -> AmbiguousRunError:
    """The error that lists the runs which could be ours."""
    listed = "; ".join(map(str, candidates))
    runs, which = ("runs", "which is ours") if len(candidates) > 1 else ("run", "whether it is ours")
    return AmbiguousRunError(
        f"{len(candidates)} {runs} of {kind.name} {resource_id} began since ours was started, and nothing tells"
        f" {which}: {listed}. None was cancelled. Look at them in Qlik Cloud, then clear this task."
    )
