"""The search for the runs that Qlik Cloud starts in a chain, in the lists of the tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from airflow_provider_qlik.cloud.errors import NotFoundError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.runs.adapter import LogCallback
from airflow_provider_qlik.runs.chain_links import LinkState
from airflow_provider_qlik.runs.chain_matching import (
    COMPETING_WINDOW,
    Naming,
    answers,
    earliest,
    has_competing_cause,
    is_in_time,
    naming,
)
from airflow_provider_qlik.runs.chain_nodes import TASK, ChainNode, Clock, FollowedRun
from airflow_provider_qlik.runs.intent import MARKER
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.matching import BACKOFF_FACTOR, BEGINNING, MatchTimeouts
from airflow_provider_qlik.runs.run import Run, RunSelector
from airflow_provider_qlik.runs.waiting import MAX_RETRY_AFTER, RunWait

NEVER = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


class ChainSearch:
    """Reads the lists of the tasks of a chain, and decides which runs belong to it.

    :param root: the run of the first task.
    :param nodes: the tasks of the chain, by their ids.
    :param timeouts: how long a run is searched for, and must be the only candidate.
    :param write_log: writes the lines for the task log.
    :param clock: returns the current time.
    """

    def __init__(
        self,
        root: Run,
        nodes: Mapping[str, ChainNode],
        timeouts: MatchTimeouts,
        write_log: LogCallback,
        clock: Clock,
    ) -> None:
        shown = MARKER.search(root.triggered_by or "")
        self._marker = shown.group() if shown else None
        self._nodes = nodes
        self._timeouts = timeouts
        self._write_log = write_log
        self._clock = clock

    def look(self, node: ChainNode) -> Flow[None]:
        """Read the list of a task once, and follow the runs in it that belong to the chain."""
        now = self._clock()
        node.due = now + timedelta(seconds=node.backoff)
        node.backoff = min(node.backoff * BACKOFF_FACTOR, self._timeouts.max_backoff)
        try:
            runs = yield from recent_runs(TASK, node.task.id, earliest(node.causes))
            yield from self._match(node, runs)
        except QlikCloudError as error:
            self._note_failure(node, error)
            return
        node.refusal = None
        node.searching_since = node.searching_since or now
        if node.active and self.is_complete(node) and not node.unconfirmed:
            # Read again when the run has ended, or when another end starts the task.
            node.due = NEVER

    def is_complete(self, node: ChainNode) -> bool:
        """Return True if there is a run for each end that starts the task, or if no further one showed up in time."""
        return self.is_over(node) or all(
            any(answers(followed.run, cause, followed.named) for followed in node.runs) for cause in node.causes
        )

    def is_over(self, node: ChainNode) -> bool:
        """Return True if the task was searched for long enough."""
        seconds = timedelta(seconds=self._timeouts.match_timeout)
        return node.searching_since is not None and self._clock() - node.searching_since >= seconds

    def give_up(self, node: ChainNode) -> None:
        """Note why no run of a task is followed, after the search is over."""
        within = f"within {self._timeouts.match_timeout:g} s"
        if node.refusal is not None:
            node.state, node.note = LinkState.NOT_VISIBLE, f"this user may not see its runs ({node.refusal})"
        elif node.candidates_since is not None:
            node.state = LinkState.AMBIGUOUS
            node.note = f"it could not be told {within} whether a run of it belongs to the chain"
        elif any(cause.certain for cause in node.causes):
            node.state = LinkState.MISSING
            node.note = f"the condition for its start was met, and no run of it showed up {within}"
        else:
            node.state = LinkState.NOT_STARTED
            node.note = f"no run of it showed up {within}, and it is not known if the condition for its start was met"

    def _note_failure(self, node: ChainNode, error: QlikCloudError) -> None:
        now = self._clock()
        if error.transient:
            # A list that cannot be read does not count as one without a run.
            node.searching_since = now
            node.due = now + timedelta(seconds=max(node.backoff, min(error.retry_after or 0.0, MAX_RETRY_AFTER)))
            self._write_log(logging.WARNING, f"Could not look for a run of {node.task}, looking again: {error}")
            return
        node.searching_since = node.searching_since or now
        # The list of a task that never ran may be a 404.
        if not (isinstance(error, NotFoundError) and node.task.visible):
            node.refusal = error

    def _match(self, node: ChainNode, runs: Sequence[Run]) -> Flow[None]:
        """Follow the runs that belong to the chain, as far as they are not followed."""
        known_ids = {followed.run.id for followed in node.runs}
        run_ids = {cause.run.id for cause in node.causes}
        task_ids = {cause.run.resource_id for cause in node.causes}
        by_naming: dict[Naming, list[Run]] = {kind: [] for kind in Naming}
        for run in runs:
            kind = naming(run, run_ids, task_ids, self._marker)
            if run.id not in known_ids and (kind is Naming.RUN or is_in_time(run, node.causes, self._match_timeout)):
                by_naming[kind].append(run)
        certain, by_task, unnamed = by_naming[Naming.RUN], by_naming[Naming.TASK], by_naming[Naming.NOTHING]
        self._follow(node, certain, Naming.RUN)
        if by_task and not self._chain_shows(Naming.RUN):
            competing = yield from self._competing(node, by_task)
            self._follow(node, [run for run in by_task if run not in competing], Naming.TASK)
            by_task = competing
        if self._chain_shows(Naming.RUN):
            by_task = unnamed = []
        elif self._chain_shows(Naming.TASK):
            unnamed = []
        yield from self._match_by_time(node, by_task or unnamed, name_task=bool(by_task))

    @property
    def _match_timeout(self) -> float:
        return self._timeouts.match_timeout

    def _chain_shows(self, kind: Naming) -> bool:
        """Return True if a run of the chain, other than the first, names what started it in this way."""
        followed = (followed for node in self._nodes.values() if node.task.parents for followed in node.runs)
        return any(run.named is kind for run in followed)

    def _follow(self, node: ChainNode, runs: Sequence[Run], named: Naming, *, confirmed: bool = True) -> None:
        for run in runs:
            for wrong in node.unconfirmed if confirmed else ():
                node.runs.remove(wrong)
                self._write_log(
                    logging.WARNING,
                    f"{run} shows that the chain has started it, so {wrong.run} is not followed any more: it was"
                    " recognised by its time alone.",
                )
            how = "" if confirmed else ". Only its time identifies it: Qlik Cloud does not show what has started it"
            self._write_log(logging.INFO, f"The chain goes on with {node.task}: {run}{how}.")
            wait = None
            if not run.ended:
                selector = RunSelector.of(run)
                wait = RunWait(TASK, selector, self._write_log, known_run=run, clock=self._clock)
            node.runs.append(FollowedRun(run, named, confirmed, wait, self._clock()))

    def _competing(self, node: ChainNode, runs: Sequence[Run]) -> Flow[list[Run]]:
        """Return the runs that another run of the same parents, one that is not of the chain, can have started."""
        since = earliest(node.causes)
        others: list[Run] = []
        for id in sorted({cause.run.resource_id for cause in node.causes}):
            own_ids = {followed.run.id for followed in self._nodes[id].runs}
            found = yield from recent_runs(TASK, id, since and since - COMPETING_WINDOW)
            others += [run for run in found if run.id not in own_ids]
        return [run for run in runs if has_competing_cause(run, node.causes, others)]

    def _match_by_time(self, node: ChainNode, candidates: Sequence[Run], *, name_task: bool) -> Flow[None]:
        """Follow candidates that nothing but their time identifies, if there are no more than the chain has started.

        :param name_task: the candidates name the right task, of which several runs can have started them.
        """
        expected = 1 if node.task.any_trigger is False else len(node.causes)
        unconfirmed = node.unconfirmed
        if len(unconfirmed) >= expected:
            candidates = [run for run in candidates if any(_competes(run, own.run) for own in unconfirmed)]
        if not candidates or node.names_parents or any(followed.confirmed for followed in node.runs):
            node.candidates_since = None
            return
        node.candidates_since = node.candidates_since or self._clock()
        too_many = len(unconfirmed) + len(candidates) > expected
        is_doubtful = too_many or any(run.ended for run in candidates)
        timeouts = self._timeouts
        seconds = timeouts.doubtful_confirmation_time if is_doubtful else timeouts.confirmation_time
        if (self._clock() - node.candidates_since).total_seconds() < seconds:
            return
        if not node.history_read and not name_task:
            node.names_parents = yield from self._history_names_parents(node)
            node.history_read = True
        if node.names_parents:
            node.candidates_since = None
            self._write_log(
                logging.INFO,
                f"Earlier runs of {node.task} name what has started them, so these were started by somebody else:"
                f" {'; '.join(map(str, candidates))}.",
            )
        elif too_many:
            candidates = [*(followed.run for followed in unconfirmed), *candidates]
            node.runs, node.state = [], LinkState.AMBIGUOUS
            node.note = (
                f"{len(candidates)} runs of it began at the time of the chain, and Qlik Cloud does not show which of"
                f" them the chain has started: {'; '.join(map(str, candidates))}"
            )
            self._write_log(logging.ERROR, f"{node.task}: {node.note}. None is followed.")
        else:
            node.candidates_since = None
            self._follow(node, candidates, Naming.NOTHING, confirmed=False)

    def _history_names_parents(self, node: ChainNode) -> Flow[bool]:
        """Return True if an earlier run of a task names the task, or the run, that has started it."""
        parent_run_ids: set[str] = set()
        for id in node.task.parents:
            parent_runs = yield from recent_runs(TASK, id, BEGINNING)
            parent_run_ids.update(run.id for run in parent_runs)
        runs = yield from recent_runs(TASK, node.task.id, BEGINNING)
        kinds = (naming(run, parent_run_ids, node.task.parents, None) for run in runs)
        return any(kind in {Naming.RUN, Naming.TASK} for kind in kinds)


def _competes(run: Run, own: Run) -> bool:
    """Return True if a run began at about the same time as another one."""
    return run.moment is None or own.moment is None or abs(run.moment - own.moment) <= COMPETING_WINDOW
