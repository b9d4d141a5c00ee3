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

    task: "succeeds", "fails for good" (Airflow does not try again), "fails" or "is killed" (it does, and then all is
        well), "is ended" or "is cleared" by a user.
    sent, carried_out: starts in all, over both tries. sent None: any number, since Qlik refuses those without a token.
    running: whether a run of ours is still active. kept: what the task state store holds for the next try.
    """

    task: str
    reason: str = ""
    sent: int | None = 1
    carried_out: int = 1
    running: bool = False
    kept: str = NOTHING


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
NEVER_SHOWED_UP = End("fails for good", "may have been started, but no run.*showed up", carried_out=0, kept=A_START)
AMBIGUOUS = End(
    "fails for good",
    "does not show which of them this task has started.*None was cancelled",
    running=True,
    kept=A_START,
)
AMBIGUOUS_SINCE = replace(AMBIGUOUS, kept=A_RUN)
NOT_KNOWN_WHETHER = End(
    "fails for good", "does not show whether this task has started it.*None was", carried_out=0, kept=A_START
)
LEFT_UNKNOWN = End("fails for good", "was started, but.*It was not started again", running=True, kept=A_START)
"""It has started, but it cannot be seen which one it is: so it cannot be cancelled, and a user must look."""


def says(*parts: str) -> str:
    """Return a pattern of a text that says all of these, in whatever order."""
    return "^" + "".join(f"(?=.*({part}))" for part in parts)


def refused_before(status: int) -> End:
    return End("fails for good", says(str(status), "Fault"), sent=0, carried_out=0)


def refused(status: int) -> End:
    return End("fails for good", says("was not started", str(status), "Fault"), carried_out=0)


def not_to_be_seen(*reason: str) -> End:
    """A wait ends with the reason; the run goes on, for nobody has asked to stop it."""
    return End("fails for good", says(*reason), running=True, kept=A_RUN)


def cancelled_and_anew(reason: str) -> End:
    return End("fails", reason, sent=2, carried_out=2, kept=A_CANCELLED_RUN)


def cleared(kept: str) -> End:
    return End("is cleared", sent=2, carried_out=2, kept=kept)


def by_kind(default: End, **others: End) -> Mapping[str, End]:
    """An end for each kind: *returned* and *found* stand for several of them."""
    groups = {"returned": RETURNED, "found": FOUND, "unmarked": UNMARKED}
    ends = dict.fromkeys(ADAPTERS, default)
    for name, end in others.items():
        ends.update(dict.fromkeys(groups.get(name, (name,)), end))
    return ends


@dataclass(frozen=True)
class Row:
    """Some faults at some moments: for these kinds and modes they end alike, or as the kind says."""

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
    # A start is sent again only where it surely was not carried out; else its run is looked for.
    Row(faults.NOT_CARRIED_OUT, [DURING], NEVER_SHOWED_UP),
    Row((*faults.CARRIED_OUT, *faults.CARRIED_OUT_ALL_THE_SAME), [DURING], DONE),
    Row((*faults.TURNED_AWAY, faults.EXPIRED), [DURING], DONE_AT_THE_SECOND),
    Row([faults.NO_CONNECTION], [DURING], DONE),
    # What passes ends no wait, and is asked again.
    Row(faults.PASSING, [WAITING], DONE),
    Row(faults.A_FEW, [BEFORE, AFTER, AT_END], DONE),
    Row([faults.EXPIRED], READS, DONE),
    Row([faults.HIDDEN], [AFTER, WAITING, AT_END], DONE),
    Row([faults.HIDDEN_ONCE], [BEFORE], DONE),
    Row([faults.NO_CONNECTION], [BEFORE, WAITING, AT_END], DONE),
    # How a run ended is not changed by its log.
    Row([*faults.A_FEW, faults.EXPIRED], [LOG], DONE, kinds=LOGGED),
    Row([faults.KEY_REVOKED, faults.NOT_ALLOWED, faults.NOT_THERE], [LOG], DONE, kinds=LOGGED),
    Row([faults.RUN_FAILS], [LOG], End("fails", "no such table", sent=2, carried_out=2), kinds=LOGGED),
    # A page of something in between is not Qlik's word: a read is sent again, of a start nobody knows.
    Row((*faults.PAGES, *faults.MORE_PAGES), [DURING], NEVER_SHOWED_UP),
    Row(faults.PAGES_FOR_WHAT_WAS_CARRIED_OUT, [DURING], DONE),
    Row((*faults.PAGES, *faults.MORE_PAGES), [WAITING], DONE),
    Row(faults.PAGES, [BEFORE, AFTER, AT_END], DONE),
    Row(faults.PAGES, [LOG], DONE, kinds=LOGGED),
    # Every request has a deadline, however slowly its response arrives.
    Row(faults.TRICKLES, [DURING, *READS], DONE),
    Row(faults.TRICKLES_FOR_NOTHING, [DURING], NEVER_SHOWED_UP),
    Row(faults.TRICKLES, [LOG], DONE, kinds=LOGGED),
    # What tells of another run is no answer. Lists of automation runs do not name the automation: one without ours is
    # like one that does not show it yet, and a stranger's run on it at the start could be ours.
    Row([faults.OF_ANOTHER], [AFTER, WAITING, AT_END], DONE, kinds=(TASK, AUTOMATION, RELOAD, SHARING_TASK)),
    Row([faults.OF_ANOTHER_ONCE], [WAITING, AT_END], DONE, kinds=[TRIGGERED]),
    Row([faults.OF_ANOTHER_FOR_GOOD], [WAITING], cancelled_and_anew("The wait timed out")),
    # Sign-in passes and lasts as everything else does.
    Row(faults.SIGN_IN_FAULTS, [BEFORE, WAITING, AT_END], DONE),
    Row(faults.SIGN_IN_FAULTS, [DURING], DONE_AT_LAST),
    Row([faults.NO_SIGN_IN], [WAITING], End("fails", "The wait timed out.*polls failed", running=True, kept=A_RUN)),
    # A cancel is done when Qlik says so, and nobody else.
    Row(faults.CANCELS_MET, [CANCELLING], cancelled_and_anew("The wait timed out")),
    Row(faults.CANCELS_MET_FOR_GOOD, [CANCELLING], End("fails", "The wait timed out", running=True, kept=A_RUN)),
    # What lasts ends it with the reason. That a run cannot be looked at is no reason to cancel it.
    Row(faults.REFUSED_BRIEFLY, [AFTER, WAITING, AT_END], DONE),
    Row([faults.KEY_REVOKED], [BEFORE], refused_before(401)),
    # Whose start names its run is started without a list that may not be seen.
    Row([faults.NOT_ALLOWED], [BEFORE], by_kind(refused_before(403), automation=refused(403), reload=refused(403))),
    Row([faults.NOT_THERE], [BEFORE], by_kind(refused_before(404), reload=refused(404))),
    Row([faults.KEY_REVOKED], [DURING], refused(401)),
    Row([faults.NOT_ALLOWED], [DURING], refused(403)),
    Row([faults.NOT_THERE], [DURING], refused(404)),
    Row([faults.KEY_REVOKED], [AFTER], by_kind(LEFT_UNKNOWN, returned=not_to_be_seen("401", "Fault"))),
    Row([faults.NOT_ALLOWED], [AFTER], by_kind(LEFT_UNKNOWN, returned=not_to_be_seen("403", "Fault"))),
    Row([faults.NOT_THERE], [AFTER], by_kind(LEFT_UNKNOWN, returned=not_to_be_seen("404|does not know"))),
    Row([faults.KEY_REVOKED], [WAITING], not_to_be_seen("401", "Fault")),
    Row([faults.NOT_ALLOWED], [WAITING], not_to_be_seen("403", "Fault")),
    Row([faults.NOT_THERE], [WAITING], not_to_be_seen("404|does not know")),
    Row([faults.KEY_REVOKED], [AT_END], replace(not_to_be_seen("401", "Fault"), running=False)),
    Row([faults.NOT_ALLOWED], [AT_END], replace(not_to_be_seen("403", "Fault"), running=False)),
    Row([faults.NOT_THERE], [AT_END], replace(not_to_be_seen("404|does not know"), running=False)),
    # An outage ends a wait at its deadline. A retry starts anew what was cancelled, and takes up what was not.
    Row([faults.OUTAGE], [BEFORE], End("fails", says("503", "Fault"))),
    Row(
        [faults.OUTAGE], [AFTER], by_kind(LEFT_UNKNOWN, returned=cancelled_and_anew("The wait timed out.*polls failed"))
    ),
    Row([faults.OUTAGE], [WAITING], cancelled_and_anew("The wait timed out.*polls failed")),
    Row([faults.LINE_CUT], [BEFORE, DURING], End("fails", "^Could not connect")),
    Row([faults.LINE_CUT], [WAITING], End("fails", "The wait timed out.*polls failed", running=True, kept=A_RUN)),
    # Nobody else's run is taken for ours or cancelled. Where nothing tells which is ours, that is said.
    Row(
        [faults.COMPETING_WITH_MARKERS],
        [DURING],
        by_kind(DONE, unmarked=AMBIGUOUS),
        kinds=(TASK, AUTOMATION, *UNMARKED),
    ),
    Row([faults.COMPETING_WITHOUT_MARKERS], [DURING], AMBIGUOUS, kinds=[TASK]),
    Row([faults.COMPETING_AND_RESET], [DURING], NOT_KNOWN_WHETHER, kinds=[TASK]),
    Row([faults.COMPETING_WITH_MARKERS], [WAITING], by_kind(DONE, unmarked=AMBIGUOUS_SINCE)),
    Row([faults.COMPETING_WITHOUT_MARKERS], [WAITING], AMBIGUOUS_SINCE, kinds=[TASK]),
    Row([faults.PENDING], [BEFORE], End("fails for good", "is pending already", carried_out=0), kinds=[RELOAD]),
    Row([faults.LATE], [AFTER], DONE),
    # A retry starts nothing twice, and a user's end leaves nothing behind.
    Row([faults.KILLED], [BEFORE], End("is killed")),
    Row([faults.KILLED], [DURING, AFTER], End("is killed", kept=A_START)),
    Row([faults.KILLED], [WAITING, AT_END], End("is killed", kept=A_RUN)),
    Row([faults.TRIGGERER_LOST], [WAITING], DONE, modes=[DEFERRED]),
    Row([faults.ENDED], [BEFORE], End("is ended", sent=0, carried_out=0)),
    Row([faults.ENDED], [DURING], End("is ended", sent=0, carried_out=0, kept=A_START)),
    Row([faults.ENDED], [AFTER], End("is ended", kept=A_CANCELLED_RUN)),
    Row([faults.ENDED], [WAITING], End("is ended", kept=A_CANCELLED_RUN), modes=[WORKER]),
    # A trigger has no way to the task state store.
    Row([faults.ENDED], [WAITING], End("is ended", kept=A_RUN), modes=[DEFERRED]),
    Row([faults.ENDED_ALONE], [WAITING], End("is ended", running=True, kept=A_RUN)),
    Row([faults.CLEARED], [WAITING], cleared(A_CANCELLED_RUN), modes=[WORKER]),
    Row([faults.CLEARED], [WAITING], cleared(A_RUN), modes=[DEFERRED]),
    Row([faults.OUT_OF_TIME], [WAITING], cancelled_and_anew("The wait timed out")),
    Row([faults.OUT_OF_TIME_ALONE], [WAITING], End("fails", "The wait timed out", running=True, kept=A_RUN)),
    Row([faults.AIRFLOW_FAILS], [AFTER, WAITING], cancelled_and_anew("Airflow's database")),
    Row([faults.DEFERRAL_FAILED], [WAITING], cancelled_and_anew("timeout"), modes=[DEFERRED]),
)

CASES: Final = tuple(case for row in TABLE for case in row.cases())
