"""The expected outcome of each fault, by kind of run, mode and moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from tests.faults import faults
from tests.faults.dimensions import (
    ADAPTERS,
    AFTER,
    AT_END,
    AUTO,
    AUTOMATION,
    BEFORE,
    BOTH_MODES,
    CANCELLING,
    DEFERRED,
    DURING,
    FOUND,
    LOG,
    LOGGED,
    MODES,
    PATHS,
    READS,
    RELOAD,
    RETURNED,
    SHARING_TASK,
    TASK,
    TRIGGERED,
    UNMARKED,
    WAITING,
    WORKER,
)
from tests.faults.faults import Fault

NOTHING, A_START, A_RUN, A_CANCELLED_RUN = "nothing", "a start", "a run", "a cancelled run"


@dataclass(frozen=True)
class End:
    """The expected outcome, when the first try has ended.

    task: "succeeds", "fails permanently" (Airflow does not try again), "fails" or "is killed" (it does, and the second
        try succeeds), "is ended" or "is cleared" by a user.
    sent, carried_out: starts over both tries. sent None: any number, since Qlik refuses those without a token.
    running: True if a run of ours is still active.
    checkpoint: the contents of the task state store for the next try.
    """

    task: str
    reason: str = ""
    sent: int | None = 1
    carried_out: int = 1
    running: bool = False
    checkpoint: str = NOTHING


@dataclass(frozen=True)
class Case:
    """One combination, and its outcome."""

    kind: str
    mode: str
    fault: Fault
    moment: str
    end: End
    tasks_api: str = AUTO

    def __str__(self) -> str:
        kind = self.kind if self.tasks_api == AUTO else f"{self.kind} on v1"
        return f"{kind}-{self.mode}-{self.fault.name}-{self.moment}"


# Outcomes.

DONE = End("succeeds")
DONE_AT_THE_SECOND = End("succeeds", sent=2)
DONE_AT_LAST = End("succeeds", sent=None)
NEVER_APPEARED = End(
    "fails permanently", "may have been started, but no run.*showed up", carried_out=0, checkpoint=A_START
)
AMBIGUOUS = End(
    "fails permanently",
    "does not show which of them this task has started.*None was cancelled",
    running=True,
    checkpoint=A_START,
)
AMBIGUOUS_SINCE = replace(AMBIGUOUS, checkpoint=A_RUN)
UNKNOWN_OUTCOME = End(
    "fails permanently", "does not show whether this task has started it.*None was", carried_out=0, checkpoint=A_START
)
STARTED_BUT_NOT_FOUND = End(
    "fails permanently", "was started, but.*It was not started again", running=True, checkpoint=A_START
)
"""The run has started, but it cannot be recognised, so it is not cancelled and a user must check it."""


def says(*parts: str) -> str:
    """Return a pattern of a text that contains all of these, in any order."""
    return "^" + "".join(f"(?=.*({part}))" for part in parts)


def refused_before(status: int) -> End:
    return End("fails permanently", says(str(status), "Fault"), sent=0, carried_out=0)


def refused(status: int) -> End:
    return End("fails permanently", says("was not started", str(status), "Fault"), carried_out=0)


def hidden(*reason: str) -> End:
    """Return the end of a wait whose run cannot be read: the error contains the reason, and the run continues."""
    return End("fails permanently", says(*reason), running=True, checkpoint=A_RUN)


def cancelled_then_restarted(reason: str) -> End:
    return End("fails", reason, sent=2, carried_out=2, checkpoint=A_CANCELLED_RUN)


def cleared(checkpoint: str) -> End:
    return End("is cleared", sent=2, carried_out=2, checkpoint=checkpoint)


def by_kind(default: End, **others: End) -> Mapping[str, End]:
    """Return an end for each kind: *returned*, *found* and *unmarked* stand for several of them."""
    groups = {"returned": RETURNED, "found": FOUND, "unmarked": UNMARKED}
    ends = dict.fromkeys(ADAPTERS, default)
    for name, end in others.items():
        ends.update(dict.fromkeys(groups.get(name, (name,)), end))
    return ends


@dataclass(frozen=True)
class Row:
    """Some faults at some moments, and their end: the same for all these kinds and modes, or by kind."""

    faults: Sequence[Fault]
    moments: Sequence[str]
    end: End | Mapping[str, End]
    kinds: Sequence[str] = ADAPTERS
    modes: Sequence[str] = MODES

    def cases(self) -> Iterator[Case]:
        for place, (fault, moment) in enumerate(product(self.faults, self.moments)):
            for number, kind in enumerate(self.kinds, place):
                end = self.end if isinstance(self.end, End) else self.end[kind]
                for mode in self.modes if moment in BOTH_MODES else [self.modes[number % len(self.modes)]]:
                    for tasks_api in PATHS.get(kind, (AUTO,)):
                        yield Case(kind, mode, fault, moment, end, tasks_api)


TABLE = (
    # A start is repeated only if it certainly was not carried out; otherwise its run is looked for.
    Row(faults.NOT_CARRIED_OUT, [DURING], NEVER_APPEARED),
    Row((*faults.CARRIED_OUT, *faults.CARRIED_OUT_DESPITE_ERROR), [DURING], DONE),
    Row((*faults.REPEATABLE, faults.EXPIRED), [DURING], DONE_AT_THE_SECOND),
    Row([faults.NO_CONNECTION], [DURING], DONE),
    # A transient fault ends no wait: the poll is repeated.
    Row(faults.TRANSIENT, [WAITING], DONE),
    Row(faults.A_FEW, [BEFORE, AFTER, AT_END], DONE),
    Row([faults.EXPIRED], READS, DONE),
    Row([faults.HIDDEN], [AFTER, WAITING, AT_END], DONE),
    Row([faults.HIDDEN_ONCE], [BEFORE], DONE),
    Row([faults.NO_CONNECTION], [BEFORE, WAITING, AT_END], DONE),
    # A missing log does not change the outcome of a run.
    Row([*faults.A_FEW, faults.EXPIRED], [LOG], DONE, kinds=LOGGED),
    Row([faults.KEY_REVOKED, faults.NOT_ALLOWED, faults.NOT_THERE], [LOG], DONE, kinds=LOGGED),
    Row([faults.RUN_FAILS], [LOG], End("fails", "no such table", sent=2, carried_out=2), kinds=LOGGED),
    # A page of an intermediary is no response of Qlik: a read is repeated, and the outcome of a start is unknown.
    Row((*faults.PAGES, *faults.MORE_PAGES), [DURING], NEVER_APPEARED),
    Row(faults.PAGES_CARRIED_OUT, [DURING], DONE),
    Row((*faults.PAGES, *faults.MORE_PAGES), [WAITING], DONE),
    Row(faults.PAGES, [BEFORE, AFTER, AT_END], DONE),
    Row(faults.PAGES, [LOG], DONE, kinds=LOGGED),
    # Every request has a deadline, however slowly its response arrives.
    Row(faults.TRICKLES, [DURING, *READS], DONE),
    Row(faults.TRICKLES_NOT_CARRIED_OUT, [DURING], NEVER_APPEARED),
    Row(faults.TRICKLES, [LOG], DONE, kinds=LOGGED),
    # A response about another run is ignored. Lists of automation runs do not name the automation: a list without our
    # run looks as if it does not show it yet, and another user's run on it at the start could be ours.
    Row([faults.ABOUT_ANOTHER_RUN], [AFTER, WAITING, AT_END], DONE, kinds=(TASK, AUTOMATION, RELOAD, SHARING_TASK)),
    Row([faults.ABOUT_ANOTHER_RUN_ONCE], [WAITING, AT_END], DONE, kinds=[TRIGGERED]),
    Row([faults.ABOUT_ANOTHER_RUN_PERMANENTLY], [WAITING], cancelled_then_restarted("The wait timed out")),
    # Faults of token requests are transient or permanent like those of others.
    Row(faults.SIGN_IN_FAULTS, [BEFORE, WAITING, AT_END], DONE),
    Row(faults.SIGN_IN_FAULTS, [DURING], DONE_AT_LAST),
    Row(
        [faults.NO_SIGN_IN], [WAITING], End("fails", "The wait timed out.*polls failed", running=True, checkpoint=A_RUN)
    ),
    # Only Qlik's own response confirms a cancel.
    Row(faults.CANCEL_FAULTS, [CANCELLING], cancelled_then_restarted("The wait timed out")),
    Row(
        faults.PERMANENT_CANCEL_FAULTS, [CANCELLING], End("fails", "The wait timed out", running=True, checkpoint=A_RUN)
    ),
    # A permanent fault ends the wait with the reason. A run that cannot be read is not cancelled.
    Row(faults.REFUSED_BRIEFLY, [AFTER, WAITING, AT_END], DONE),
    Row([faults.KEY_REVOKED], [BEFORE], refused_before(401)),
    # If the response to a start names the run, a refused list does not prevent the start.
    Row([faults.NOT_ALLOWED], [BEFORE], by_kind(refused_before(403), automation=refused(403), reload=refused(403))),
    Row([faults.NOT_THERE], [BEFORE], by_kind(refused_before(404), reload=refused(404))),
    Row([faults.KEY_REVOKED], [DURING], refused(401)),
    Row([faults.NOT_ALLOWED], [DURING], refused(403)),
    Row([faults.NOT_THERE], [DURING], refused(404)),
    Row([faults.KEY_REVOKED], [AFTER], by_kind(STARTED_BUT_NOT_FOUND, returned=hidden("401", "Fault"))),
    Row([faults.NOT_ALLOWED], [AFTER], by_kind(STARTED_BUT_NOT_FOUND, returned=hidden("403", "Fault"))),
    Row([faults.NOT_THERE], [AFTER], by_kind(STARTED_BUT_NOT_FOUND, returned=hidden("404|does not know"))),
    Row([faults.KEY_REVOKED], [WAITING], hidden("401", "Fault")),
    Row([faults.NOT_ALLOWED], [WAITING], hidden("403", "Fault")),
    Row([faults.NOT_THERE], [WAITING], hidden("404|does not know")),
    Row([faults.KEY_REVOKED], [AT_END], replace(hidden("401", "Fault"), running=False)),
    Row([faults.NOT_ALLOWED], [AT_END], replace(hidden("403", "Fault"), running=False)),
    Row([faults.NOT_THERE], [AT_END], replace(hidden("404|does not know"), running=False)),
    # An outage ends a wait at its deadline. A retry starts a new run if the old one was cancelled, and resumes it
    # otherwise.
    Row([faults.OUTAGE], [BEFORE], End("fails", says("503", "Fault"))),
    Row(
        [faults.OUTAGE],
        [AFTER],
        by_kind(STARTED_BUT_NOT_FOUND, returned=cancelled_then_restarted("The wait timed out.*polls failed")),
    ),
    Row([faults.OUTAGE], [WAITING], cancelled_then_restarted("The wait timed out.*polls failed")),
    Row([faults.LINE_CUT], [BEFORE, DURING], End("fails", "^Could not connect")),
    Row([faults.LINE_CUT], [WAITING], End("fails", "The wait timed out.*polls failed", running=True, checkpoint=A_RUN)),
    # No run of another user is taken for ours or cancelled. If our run cannot be recognised, the error says so.
    Row(
        [faults.COMPETING_WITH_MARKERS],
        [DURING],
        by_kind(DONE, unmarked=AMBIGUOUS),
        kinds=(TASK, AUTOMATION, *UNMARKED),
    ),
    Row([faults.COMPETING_WITHOUT_MARKERS], [DURING], AMBIGUOUS, kinds=[TASK]),
    Row([faults.COMPETING_AND_RESET], [DURING], UNKNOWN_OUTCOME, kinds=[TASK]),
    Row([faults.COMPETING_WITH_MARKERS], [WAITING], by_kind(DONE, unmarked=AMBIGUOUS_SINCE)),
    Row([faults.COMPETING_WITHOUT_MARKERS], [WAITING], AMBIGUOUS_SINCE, kinds=[TASK]),
    Row([faults.PENDING], [BEFORE], End("fails permanently", "is pending already", carried_out=0), kinds=[RELOAD]),
    Row([faults.LATE], [AFTER], DONE),
    # A retry starts no second run, and a task that a user ends cancels its run.
    Row([faults.KILLED], [BEFORE], End("is killed")),
    Row([faults.KILLED], [DURING, AFTER], End("is killed", checkpoint=A_START)),
    Row([faults.KILLED], [WAITING, AT_END], End("is killed", checkpoint=A_RUN)),
    Row([faults.TRIGGERER_LOST], [WAITING], DONE, modes=[DEFERRED]),
    Row([faults.ENDED], [BEFORE], End("is ended", sent=0, carried_out=0)),
    Row([faults.ENDED], [DURING], End("is ended", sent=0, carried_out=0, checkpoint=A_START)),
    Row([faults.ENDED], [AFTER], End("is ended", checkpoint=A_CANCELLED_RUN)),
    Row([faults.ENDED], [WAITING], End("is ended", checkpoint=A_CANCELLED_RUN), modes=[WORKER]),
    # A trigger cannot write to the task state store.
    Row([faults.ENDED], [WAITING], End("is ended", checkpoint=A_RUN), modes=[DEFERRED]),
    Row([faults.ENDED_ALONE], [WAITING], End("is ended", running=True, checkpoint=A_RUN)),
    Row([faults.CLEARED], [WAITING], cleared(A_CANCELLED_RUN), modes=[WORKER]),
    Row([faults.CLEARED], [WAITING], cleared(A_RUN), modes=[DEFERRED]),
    Row([faults.OUT_OF_TIME], [WAITING], cancelled_then_restarted("The wait timed out")),
    Row([faults.OUT_OF_TIME_ALONE], [WAITING], End("fails", "The wait timed out", running=True, checkpoint=A_RUN)),
    Row([faults.AIRFLOW_FAILS], [AFTER, WAITING], cancelled_then_restarted("Airflow's database")),
    Row([faults.DEFERRAL_FAILED], [WAITING], cancelled_then_restarted("timeout"), modes=[DEFERRED]),
)

CASES: Final = tuple(case for row in TABLE for case in row.cases())
