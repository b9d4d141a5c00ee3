"""Cancelling a chain of tasks: the active runs that are certainly part of it."""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow, pause
from airflow_provider_qlik.runs.adapter import LogCallback
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.runs.chain_nodes import TASK, Clock
from airflow_provider_qlik.runs.matching import MatchTimeouts
from airflow_provider_qlik.runs.run import Run
from airflow_provider_qlik.runs.task_chain import ChainWait
from airflow_provider_qlik.runs.waiting import utc_now

PAUSE = 1.0
"""Seconds between two looks at a chain that is being cancelled."""


def cancel_chain(
    root: Run, timeouts: MatchTimeouts, write_log: LogCallback, seconds: float, clock: Clock = utc_now
) -> Flow[None]:
    """Cancel the active runs of a chain, also those that Qlik Cloud starts within so many seconds.

    :param root: the run of the first task, which was cancelled already if it was active.

    A run that only its time identifies is not cancelled: it may be that of somebody else. What was cancelled, and what
    may still become active, is logged. Raises nothing: the caller ends for a reason of its own.
    """
    try:
        yield from _cancel(root, timeouts, write_log, seconds, clock)
    except (QlikCloudError, InvalidArgumentError) as error:
        text = f"The chain of {root} could not be cancelled, and its runs may be active. Stop them in Qlik Cloud"
        write_log(logging.ERROR, f"{text}: {error}")


def _cancel(root: Run, timeouts: MatchTimeouts, write_log: LogCallback, seconds: float, clock: Clock) -> Flow[None]:
    end = clock() + timedelta(seconds=seconds)
    current = (yield from TASK.get(root.resource_id, root.id)) or root
    while not current.ended and clock() < end:
        yield from pause(PAUSE)
        current = (yield from TASK.get(root.resource_id, root.id)) or current
    if not current.ended:
        write_log(
            logging.WARNING,
            f"{root} has not ended yet. Tasks that Qlik Cloud starts because of its end are not cancelled.",
        )
        return
    wait = ChainWait(current, timeouts, lambda *_: None, poll_interval=PAUSE, max_poll_interval=PAUSE, clock=clock)
    cancelled: set[str] = set()
    while True:
        yield from wait.round()
        for run in wait.active_runs():
            if run.id not in cancelled:
                cancelled.add(run.id)
                yield from _cancel_link(run, write_log)
        if wait.settled or clock() >= end:
            break
        yield from pause(PAUSE)
    for run in wait.active_runs(confirmed=False):
        text = f"Only its time identifies the run as part of the chain, so it is not cancelled: {run}"
        write_log(logging.WARNING, f"{text}. Stop it in Qlik Cloud if it is.")
    for task in wait.expected_tasks():
        write_log(logging.WARNING, f"Qlik Cloud may still start {task}, which is not cancelled then.")


def _cancel_link(run: Run, write_log: LogCallback) -> Flow[None]:
    try:
        result = yield from cancel_polled(TASK, run)
    except QlikCloudError as error:
        write_log(logging.ERROR, f"{run} could not be cancelled and may still be active: {error}")
        return
    write_log(logging.INFO, f"{result}.")
