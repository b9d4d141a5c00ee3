"""Differences between Airflow versions, detected by feature, and requests from a trigger to Airflow.

No other module does either. In a triggerer of Airflow 3 all requests to Airflow go through one pipe to its supervisor,
which the main event loop reads. Two rules follow, and breaking either ends the runner of *all* triggers up to Airflow
3.1 ("Response read out of order"), while the triggerer still looks healthy:

- A synchronous function of Airflow runs in a thread of ``sync_to_async``, from where it gets back to the main event
  loop. In any other thread it would read the pipe in a loop of its own, and take a reply that is not its own.
- A request is awaited to its end, even if its caller is cancelled or times out: a reply that nobody awaits any more is
  taken for the reply to the next request. See `_finished`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Connection
    from airflow.triggers.base import BaseEventTrigger

    EventTrigger = BaseEventTrigger
else:
    try:
        from airflow.triggers.base import BaseEventTrigger as EventTrigger
    except ImportError:
        # Airflow 2 has no event-driven scheduling. A class that is derived from this says so when it is used.
        EventTrigger = BaseTrigger

T = TypeVar("T")


def watches_assets() -> bool:
    """Return True if a trigger can be the watcher of an asset (Airflow 3.0 and later)."""
    return EventTrigger is not BaseTrigger


def hashes_alias_extras() -> bool:
    """Return True if Airflow puts the extra of an alias's event into a set (before 3.1), which lists cannot be in."""
    from importlib.metadata import version

    major, minor = (int(part) for part in version("apache-airflow").split(".")[:2])
    return (major, minor) < (3, 1)


def kills_deferred_tasks() -> bool:
    """Return True if Airflow calls `on_kill` of a trigger whose task a user has ended (3.3 and later)."""
    return hasattr(BaseTrigger, "on_kill")


def renders_in_triggerer() -> bool:
    """Return True if Airflow can start a task in the triggerer, with a context of its own there (3.3 and later)."""
    return hasattr(BaseTrigger, "render_template_fields")


def deferral_failures() -> tuple[type[BaseException], ...]:
    """Return the exceptions that a task is resumed with when its deferral has failed or timed out."""
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
    """Return True if Airflow's deferral time-out has ended a deferral, and not a failure of the trigger."""
    # Airflow 2.11 has one class for both, with different texts.
    return type(failure).__name__ == "TaskDeferralTimeout" or "timeout" in str(failure).lower()


def connection_outside_a_task(connection_id: str) -> tuple[Any, list[Exception]]:
    """Return a connection from Airflow's secrets backends or its database; None, and what has failed, if none has it.

    A command is no task and has no supervisor: from Airflow 3.1 on, `BaseHook.get_connection` reads nothing but
    environment variables there. `Connection.get_connection_from_secrets` hides why a backend has failed, and warns of
    each connection type with an underscore.
    """
    from airflow.configuration import ensure_secrets_loaded
    from airflow.providers.common.compat.sdk import mask_secret

    failures: list[Exception] = []
    for backend in ensure_secrets_loaded():
        try:
            connection = backend.get_connection(conn_id=connection_id)
        except Exception as error:
            failures.append(error)
            if type(error).__name__ == "AirflowSecretsBackendAccessDenied":  # 3.2 and later
                # A backend that may refuse has the last word: no other one is looked into.
                break
            continue
        if connection is not None:
            if connection.password:
                mask_secret(connection.password)
            return connection, failures
    return None, failures


def rescheduled(end: BaseException) -> bool:
    """Return True if a sensor ends for now, and pokes again in another process."""
    from airflow.exceptions import AirflowRescheduleException

    return isinstance(end, AirflowRescheduleException)


def new_asset(uri: str, *, group: str | None = None, **arguments: Any) -> Asset:
    """Return an asset whose name is its URI; on Airflow 2 a dataset, which has neither a name nor a group."""
    from airflow.providers.common.compat.sdk import Asset

    asset_class: Any = Asset
    if hasattr(asset_class, "name"):
        arguments["name"] = uri
        if group is not None:
            arguments["group"] = group
    asset: Asset = asset_class(uri=uri, **arguments)
    return asset


def trigger_event() -> Any:
    """Return the event with which the task of this process is resumed, None if it has not been deferred.

    Nothing is requested from Airflow: the event came with the task. Airflow 2 does not show it before the task runs.
    """
    from airflow.providers.common.compat.sdk import get_current_context

    try:
        from_server = getattr(get_current_context()["ti"], "_ti_context_from_server", None)
    except Exception:  # Airflow 2 and 3 raise different ones if no task is running
        return None
    stored = getattr(from_server, "next_kwargs", None)
    try:
        from airflow.sdk.serde import deserialize

        arguments = deserialize(stored)
    except (ImportError, KeyError, AttributeError, TypeError):
        # Airflow before 3.2, or a task that an earlier Airflow has deferred.
        from airflow.serialization.serialized_objects import BaseSerialization

        arguments = BaseSerialization.deserialize(stored)
    return arguments.get("event") if isinstance(arguments, dict) else None


# Requests to Airflow from the event loop of a triggerer

DEFERRED = "deferred"
NO_TASK = "no task"
"""The state of a trigger without a task instance. A triggerer always sets one, ``dag.test()`` does not."""
NEXT_TRY = frozenset({"None", "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule"})
"""States of a task that a user has cleared: a new attempt will start, or has started."""

_requests: set[asyncio.Future[Any]] = set()
"""Requests to Airflow that are under way: an event loop holds its tasks by weak references only."""


async def task_state(task_instance: Any) -> str:
    """Return the current state of a trigger's task instance, or `NO_TASK` if the trigger has none.

    Raises what the request to Airflow raises.
    """
    if task_instance is None:
        return NO_TASK
    mapped = task_instance.map_index is not None and task_instance.map_index >= 0
    selector = {
        "dag_id": task_instance.dag_id,
        "task_ids": [task_instance.task_id],
        "run_ids": [task_instance.run_id],
        "map_index": task_instance.map_index if mapped else None,
    }
    try:
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import GetTaskStates
    except ImportError:
        # Airflow 2, whose triggers may read the database.
        return await _finished(_in_thread(_state_in_database, task_instance))
    supervisor: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if hasattr(supervisor, "asend"):
        # The request of get_task_states(), without its thread: a thread that waits for a supervisor that is gone keeps
        # the triggerer from ending.
        states = (await _finished(supervisor.asend(GetTaskStates(**selector)))).task_states
    else:
        states = await _finished(_in_thread(task_runner.RuntimeTaskInstance.get_task_states, **selector))
    of_run = states.get(task_instance.run_id, {})
    name = f"{task_instance.task_id}_{task_instance.map_index}" if mapped else task_instance.task_id
    return str(of_run.get(name, of_run.get(task_instance.task_id)))


async def read_connection(connection_id: str) -> tuple[Connection, dict[str, Any]]:
    """Return a connection and its extra, without blocking the event loop. Raises what the request to Airflow raises."""
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    async def read() -> tuple[Connection, dict[str, Any]]:
        connection = await get_async_connection(connection_id)
        return connection, await get_async_extra_dejson(connection)

    return await _finished(read())


async def read_asset_state(store: Any, key: str) -> Any:
    """Return what an event trigger's asset state store (Airflow 3.3 and later) has under a key, None if nothing.

    Raises ValueError where several assets share the trigger, and else what the request to Airflow raises.
    """
    # 3.3.0 and 3.3.1 have the synchronous functions only.
    asynchronous = getattr(store, "aget", None)
    return await _finished(asynchronous(key) if asynchronous else _in_thread(store.get, key))


async def write_asset_state(store: Any, key: str, value: Any) -> None:
    """Store a value in an event trigger's asset state store. Raises as `read_asset_state`."""
    asynchronous = getattr(store, "aset", None)
    await _finished(asynchronous(key, value) if asynchronous else _in_thread(store.set, key, value))


def mask_soon(secret: str) -> None:
    """Have a secret masked in Airflow's logs soon, without waiting for that."""
    _begin(_mask(secret))


async def _mask(secret: str) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        from airflow.providers.common.compat.sdk import mask_secret

        await _in_thread(mask_secret, secret)
    else:
        await amask_secret(secret)


def _state_in_database(task_instance: Any) -> str:
    """Return the state of a task instance on Airflow 2."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        row = (
            session.query(TaskInstance.state)
            .filter(
                TaskInstance.dag_id == task_instance.dag_id,
                TaskInstance.task_id == task_instance.task_id,
                TaskInstance.run_id == task_instance.run_id,
                TaskInstance.map_index == task_instance.map_index,
            )
            .one_or_none()
        )
    return str(row and row.state)


async def _in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Return the result of a synchronous function of Airflow, which may send requests to its supervisor."""
    from asgiref.sync import sync_to_async

    return await sync_to_async(function, thread_sensitive=False)(*args, **kwargs)


async def _finished(request: Awaitable[T]) -> T:
    """Return the reply to a request to Airflow. It is awaited to its end, even if the caller is cancelled."""
    return await asyncio.shield(_begin(request))


def _begin(request: Awaitable[T]) -> asyncio.Future[T]:
    future = asyncio.ensure_future(request)
    _requests.add(future)
    future.add_done_callback(_end)
    return future


def _end(future: asyncio.Future[Any]) -> None:
    _requests.discard(future)
    if not future.cancelled():
        future.exception()  # Retrieved, since the caller may have been cancelled: asyncio logs what nobody retrieves.


def loop_is_closing() -> bool:
    """Return True if all tasks of the event loop are being cancelled, as in a triggerer that stops."""
    current = asyncio.current_task()
    others = (task for task in asyncio.all_tasks() if task is not current and task not in _requests)
    return all(task.cancelling() for task in others)
