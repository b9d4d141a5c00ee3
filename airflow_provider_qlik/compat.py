"""Which Airflow this is, asked by feature: the only place that does."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

from airflow.triggers.base import BaseTrigger


def kills_deferred_tasks() -> bool:
    """Whether Airflow tells a trigger that a user has ended its task (3.3 and later)."""
    return hasattr(BaseTrigger, "on_kill")


def deferral_failures() -> tuple[type[BaseException], ...]:
    """What a task is resumed with when its deferral has failed or timed out."""
    from airflow import exceptions

    try:
        from airflow.sdk import exceptions as sdk_exceptions
    except ImportError:
        places: tuple[Any, ...] = (exceptions,)
    else:
        places = (sdk_exceptions, exceptions)
    found: dict[str, type[BaseException]] = {}
    for place in places:
        for name in ("TaskDeferralError", "TaskDeferralTimeout"):
            if name not in found and hasattr(place, name):
                found[name] = getattr(place, name)
    return tuple(found.values())


def deferral_timed_out(failure: BaseException) -> bool:
    """Return True if a task is resumed with Airflow's own time-out, and not with a trigger that has failed."""
    # Airflow 2.11 has one class for both, and tells them apart by what it says.
    return type(failure).__name__ == "TaskDeferralTimeout" or "timeout" in str(failure).lower()


def rescheduled(end: BaseException) -> bool:
    """Return True if a sensor ends for now, and goes on in another process."""
    from airflow.exceptions import AirflowRescheduleException

    return isinstance(end, AirflowRescheduleException)


def give_retry_policy(operator: Any) -> None:
    """Gives an operator this package's retry policy, unless it has one already (Airflow 3.3 and later)."""
    if getattr(operator, "retry_policy", "unheard of") is None:
        from airflow_provider_qlik.retry_policy import QlikRetryPolicy

        operator.retry_policy = QlikRetryPolicy()


DEFERRED = "deferred"
NO_TASK = "no task"
"""In place of a state: the trigger has no task instance. A triggerer always sets one, ``dag.test()`` does not."""
NEXT_TRY = frozenset({"None", "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule"})
"""States of a task that a user has cleared: another try is coming, or there already."""


@cache
def _asking() -> ThreadPoolExecutor:
    # Threads of our own: Airflow's log lines go through those of the event loop, and a line that has to wait there is
    # interrupted by the next sync, before Airflow comes to on_kill.
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="qlik-task-state")


# A thread does not live on in another process.
os.register_at_fork(after_in_child=_asking.cache_clear)


async def task_state(task_instance: Any) -> str:
    """The state of a trigger's task instance now; "deferred", so that nothing is cancelled, where it cannot be told."""
    if task_instance is None:
        return NO_TASK
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return DEFERRED
    mapped = task_instance.map_index is not None and task_instance.map_index >= 0
    # The call waits for Airflow's supervisor, which must not be done in the event loop.
    ask = partial(
        RuntimeTaskInstance.get_task_states,
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index if mapped else None,
    )
    states = await asyncio.get_running_loop().run_in_executor(_asking(), ask)
    of_run = states.get(task_instance.run_id, {})
    name = f"{task_instance.task_id}_{task_instance.map_index}" if mapped else task_instance.task_id
    return str(of_run.get(name, of_run.get(task_instance.task_id)))
