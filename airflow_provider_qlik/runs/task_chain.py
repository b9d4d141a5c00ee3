"""Waiting for a chain of tasks: what Qlik Cloud starts, in turn, after the end of a task's run.

Qlik Cloud shows which tasks follow from which (`task_graph`), and the runs of each task, but not which run has started
which. So after each end of a run, the lists of the tasks that wait for it are read until their runs show up
(`chain_search`). These runs are followed as any other (`RunWait`), and after their ends come the next tasks.

A task of the chain is settled when nothing more is to be expected of it:

- All its parents are settled, for each of their ends that starts it there is a run, and all its runs have ended.
- Or its condition was not met, it is disabled, or no run of it showed up in `match_timeout` seconds: so the wait ends
  although Qlik Cloud starts nothing, and although this user may not see the task.

The state of a wait can be made again from the run of the first task alone: a triggerer that is restarted, and an
attempt that resumes, find the same runs in the same lists.

What does not work: to read the graph only before the start. A chain may be changed while its first task runs for hours.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, pause, send
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.runs.adapter import LogCallback
from airflow_provider_qlik.runs.chain_links import ChainLink, LinkState, TaskChain
from airflow_provider_qlik.runs.chain_matching import Naming
from airflow_provider_qlik.runs.chain_nodes import TASK, ChainNode, Clock, FollowedRun
from airflow_provider_qlik.runs.chain_search import ChainSearch
from airflow_provider_qlik.runs.errors import WaitTimeoutError
from airflow_provider_qlik.runs.matching import MatchTimeouts
from airflow_provider_qlik.runs.run import Run
from airflow_provider_qlik.runs.task_graph import ChainedTask, chained_tasks
from airflow_provider_qlik.runs.waiting import GROWTH, utc_now

MIN_PAUSE = 0.1
"""Seconds between two rounds of polls, at least."""


def read_chain(task_id: str) -> Flow[list[ChainedTask]]:
    """Return the tasks of a chain, the first task first.

    Raises InvalidArgumentError where there is only Tasks v1, and QlikCloudError. https://qlik.dev/apis/rest/tasks/
    """
    try:
        graph = yield from send(tasks.descendants(task_id, level=tasks.DEEPEST_LEVEL, with_task=True))
    except InvalidArgumentError as error:
        if error.argument != "tasks_api":
            raise
        raise InvalidArgumentError(
            "wait_for_chain",
            None,
            "only the Scheduling API shows the chain of a task, and this connection uses Tasks v1. Leave wait_for_chain"
            " out, or set tasks_api of the connection to 'auto' if the tenant has /api/scheduling/tasks. Task"
            f" {task_id}; {error}",
        ) from None
    return chained_tasks(graph, task_id)


class ChainWait:
    """A wait for the end of a chain of tasks.

    :param root: the run of the first task, as it has ended.
    :param timeouts: how long a run is searched for, and must be the only candidate.
    :param write_log: writes the lines for the task log.
    :param poll_interval: seconds between two polls of a run.
    :param max_poll_interval: seconds up to which the interval grows with the age of the run.
    :param deadline: the moment (UTC) at which the wait ends, None for no limit.
    :param clock: returns the current time.
    """

    def __init__(
        self,
        root: Run,
        timeouts: MatchTimeouts,
        write_log: LogCallback,
        *,
        poll_interval: float = 15.0,
        max_poll_interval: float = 60.0,
        deadline: datetime | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.root = root
        self._nodes: dict[str, ChainNode] = {}
        self._timeouts = timeouts
        self._write_log = write_log
        self._intervals = poll_interval, max(poll_interval, max_poll_interval)
        self._deadline = deadline
        self._clock = clock
        self._search = ChainSearch(root, self._nodes, timeouts, write_log, clock)

    # Result

    @property
    def chain(self) -> TaskChain:
        """Return the links as they are known by now."""
        links = [link for node in self._nodes.values() for link in node.links()]
        return TaskChain(tuple(links or [ChainLink.of_run(self.root, None)]))

    @property
    def settled(self) -> bool:
        """Return True if nothing more is to be expected of the chain."""
        return bool(self._nodes) and all(node.settled for node in self._nodes.values())

    def active_runs(self, *, confirmed: bool = True) -> list[Run]:
        """Return the active runs that are certainly of this chain, or those of which only their time says so."""
        followed = (followed for node in self._nodes.values() for followed in node.runs)
        return [run.run for run in followed if run.active and run.confirmed is confirmed]

    def expected_tasks(self) -> list[ChainedTask]:
        """Return the tasks of which Qlik Cloud may start a run that has not shown up yet."""
        nodes = (node for node in self._nodes.values() if not node.settled and node.causes and not node.active)
        return [node.task for node in nodes]

    def timed_out(self) -> WaitTimeoutError:
        """Return the error of a wait whose deadline has passed."""
        active = [str(link.name or link.task_id) for link in self.chain.links if link.state is LinkState.ACTIVE]
        expected = [str(task) for task in self.expected_tasks()]
        what = f"active: {', '.join(active)}" if active else f"not seen yet: {', '.join(expected) or 'its graph'}"
        return WaitTimeoutError(
            f"The wait timed out: the run has ended, and its chain has not ({what}). Set a longer timeout if it needs"
            f" more time. (chain of {self.root})"
        )

    # Flows

    def until_end(self) -> Flow[TaskChain]:
        """Follow the chain until it has ended, and return its links.

        Raises WaitTimeoutError after the deadline, and the error of Qlik Cloud if it refuses to show the chain for
        good. A link that has failed, or that Qlik Cloud does not show, raises nothing.
        """
        while True:
            yield from self.round()
            if self.settled:
                yield from self._read_reasons()
                return self.chain
            remaining = None if self._deadline is None else (self._deadline - self._clock()).total_seconds()
            if remaining is not None and remaining <= 0:
                raise self.timed_out()
            seconds = max(MIN_PAUSE, self._seconds_until_due())
            yield from pause(seconds if remaining is None else min(seconds, remaining))

    def round(self) -> Flow[None]:
        """Poll what is due: the graph, then the runs of each task, parents before their children."""
        if not self._nodes:
            yield from self._read_graph()
        for node in self._nodes.values():
            if node.settled:
                continue
            yield from self._poll_runs(node)
            ended = {
                id: [followed.run for followed in self._nodes[id].runs if followed.run.ended]
                for id in node.task.parents
            }
            node.set_causes(ended, self._timeouts.initial_backoff)
            if node.causes and (node.due is None or node.due <= self._clock()):
                yield from self._search.look(node)
            self._settle(node)

    def _read_graph(self) -> Flow[None]:
        """Read the tasks of the chain. Repeats what may pass; raises a refusal once it has lasted for two minutes."""
        began, failures = self._clock(), 0
        while True:
            try:
                found = yield from read_chain(self.root.resource_id)
                break
            except QlikCloudError as error:
                failures += 1
                lasts = self._clock() - began >= visibility.NOT_VISIBLE_TIMEOUT
                if not error.transient and (lasts or not visibility.is_not_visible(error)):
                    raise
                if self._deadline is not None and self._clock() >= self._deadline:
                    raise self.timed_out() from None
                if failures == 1:
                    text = f"The chain of {self.root} could not be read, trying again: {error}"
                    self._write_log(logging.WARNING, text)
                yield from pause(min(self._timeouts.max_backoff, self._timeouts.initial_backoff * failures))
        self._nodes.update({task.id: ChainNode(task) for task in found})
        first = self._nodes[self.root.resource_id]
        first.runs, first.settled = [FollowedRun(self.root, Naming.NOTHING, True, None, self._clock())], True
        self._write_log(logging.INFO, f"Further tasks in the chain of this task: {len(found) - 1}.")
        for task in found:
            for id in task.cut_parents:
                text = (
                    f"{task} is started again by {self._nodes[id].task}: a cycle, whose further runs are not followed"
                )
                self._write_log(logging.WARNING, f"{text}.")

    def _poll_runs(self, node: ChainNode) -> Flow[None]:
        for followed in node.runs:
            if followed.wait is None or followed.due > self._clock():
                continue
            try:
                ended = yield from followed.wait.poll()
            except QlikCloudError as error:
                followed.wait, followed.lost = None, str(error)
                self._write_log(logging.ERROR, f"It is not known how {followed.run} ended: {error}")
                continue
            followed.run = ended or followed.wait.run or followed.run
            if ended is not None:
                followed.wait = None
                # The list is read once more: another run may have begun meanwhile.
                node.due = None
            else:
                age = (self._clock() - (followed.run.moment or self._clock())).total_seconds()
                seconds = min(max(self._intervals[0], age * GROWTH), self._intervals[1])
                followed.due = self._clock() + timedelta(seconds=seconds)

    def _settle(self, node: ChainNode) -> None:
        """Note that nothing more is to be expected of a task, if that is so."""
        parents = [self._nodes[id] for id in node.task.parents]
        if node.active or not all(parent.settled for parent in parents):
            return
        if node.runs or node.state is LinkState.AMBIGUOUS:
            node.settled = node.state is LinkState.AMBIGUOUS or self._search.is_complete(node)
            return
        if not parents:
            node.state, node.note = LinkState.NOT_VISIBLE, "Qlik Cloud does not show what starts it"
        elif not node.causes:
            node.state, node.note = LinkState.NOT_STARTED, "the condition for its start was not met"
        elif node.task.enabled is False:
            node.state, node.note = LinkState.DISABLED, "it is disabled"
        elif self._search.is_over(node):
            self._search.give_up(node)
        else:
            return
        node.settled = True
        level = logging.WARNING if node.state in {LinkState.MISSING, LinkState.NOT_VISIBLE} else logging.INFO
        self._write_log(level, f"No run of {node.task} is followed: {node.note}.")

    def _seconds_until_due(self) -> float:
        nodes = [node for node in self._nodes.values() if not node.settled]
        due = [node.due for node in nodes if node.causes and node.due is not None]
        due += [followed.due for node in nodes for followed in node.runs if followed.active]
        return (min(due) - self._clock()).total_seconds() if due else self._timeouts.initial_backoff

    def _read_reasons(self) -> Flow[None]:
        """Read why links have failed. The reason of the first run is read with its outcome."""
        for node in list(self._nodes.values())[1:]:
            for followed in node.runs:
                if ChainLink.of_run(followed.run, None).has_failed and not followed.lost:
                    reason = yield from TASK.reason(followed.run)
                    followed.run = replace(followed.run, reason=reason)
