"""One task of a chain during a wait: the ends that start it, its runs, and the search for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.runs.chain_links import ChainLink, LinkState
from airflow_provider_qlik.runs.chain_matching import Cause, Naming
from airflow_provider_qlik.runs.run import Run
from airflow_provider_qlik.runs.task_graph import ChainedTask, Expectation
from airflow_provider_qlik.runs.tasks import TaskRunAdapter
from airflow_provider_qlik.runs.waiting import RunWait

Clock: TypeAlias = Callable[[], datetime]
TASK = TaskRunAdapter()


@dataclass(slots=True)
class FollowedRun:
    """A run of a task of the chain.

    :param named: what its `triggeredBy` names.
    :param confirmed: False if only its time identifies it as part of the chain.
    :param wait: the wait for its end, None once that is over.
    :param due: the moment of its next poll.
    :param lost: why nothing is known of its end.
    """

    run: Run
    named: Naming
    confirmed: bool
    wait: RunWait | None
    due: datetime
    lost: str | None = None

    @property
    def active(self) -> bool:
        """Return True as long as its end is waited for."""
        return self.wait is not None


@dataclass(slots=True)
class ChainNode:
    """A task of the chain.

    :param task: the task.
    :param runs: its runs in this chain.
    :param settled: nothing more is to be expected of it.
    :param state: why there is no run of it.
    :param note: the same in words.
    :param causes: the ends of runs that start it.
    :param searching_since: since when its list is read without interruption.
    :param candidates_since: since when there are candidates that only their time identifies.
    :param history_read: the whole list was read in search of runs that name what started them.
    :param names_parents: there are such runs.
    :param due: when its list is read again, None for at once.
    :param backoff: seconds from that to the next time.
    :param refusal: the error by which Qlik Cloud refuses to show its runs.
    """

    task: ChainedTask
    runs: list[FollowedRun] = field(default_factory=list)
    settled: bool = False
    state: LinkState = LinkState.WAITING
    note: str | None = None
    causes: list[Cause] = field(default_factory=list)
    searching_since: datetime | None = None
    candidates_since: datetime | None = None
    history_read: bool = False
    names_parents: bool = False
    due: datetime | None = None
    backoff: float = 1.0
    refusal: QlikCloudError | None = None

    @property
    def active(self) -> bool:
        """Return True if one of its runs is active."""
        return any(followed.active for followed in self.runs)

    @property
    def unconfirmed(self) -> list[FollowedRun]:
        """Return the runs that only their time identifies."""
        return [followed for followed in self.runs if not followed.confirmed]

    def set_causes(self, ended: dict[str, list[Run]], backoff: float) -> None:
        """Note the ended runs of its parents. If others start it now, the search for its run begins anew."""
        expectation = self.task.expectation({id: [run.state for run in runs] for id, runs in ended.items()})
        causes: list[Cause] = []
        for id, runs in ended.items() if expectation is not Expectation.DOES_NOT_START else ():
            triggers = [trigger for trigger in self.task.triggers if trigger.task_id == id]
            causes += [
                Cause(run, expectation is Expectation.STARTS)
                for run in runs
                if not triggers or any(trigger.met_by(run.state) is not False for trigger in triggers)
            ]
        if [cause.run.id for cause in causes] != [cause.run.id for cause in self.causes]:
            self.searching_since, self.due, self.backoff = None, None, backoff
        self.causes = causes

    def links(self) -> list[ChainLink]:
        """Return a link for each run; without a run, one that says why there is none."""
        if not self.runs or self.state is LinkState.AMBIGUOUS:
            return [ChainLink(task_id=self.task.id, name=self.task.name, state=self.state, note=self.note)]
        links = []
        for followed in self.runs:
            link = ChainLink.of_run(followed.run, self.task.name, confirmed=followed.confirmed, note=followed.lost)
            links.append(replace(link, state=LinkState.UNKNOWN) if followed.lost else link)
        return links
