"""Requests of a trigger to Airflow, for its connection or the state of its task: repeated on failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_qlik.validation import InvalidArgumentError

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.triggers.task_log import TaskLogWriter

T = TypeVar("T")

MAX_ATTEMPTS = 60
"""Attempts of a request to Airflow before its failure is raised."""
RETRY_PAUSE = 10.0
"""Seconds between two of these attempts."""


class AirflowUnavailableError(Exception):
    """A request to Airflow has failed for a reason that may pass."""

    def __init__(self, failure: str, cause: Exception) -> None:
        super().__init__(f"{failure}: {reason(cause)}")


def reason(error: Exception) -> str:
    """Return the text of an error, or its type if it has none."""
    return str(error) or type(error).__name__


async def connect(hook: QlikCloudHook) -> None:
    """Open the hook's client.

    Raises AirflowUnavailableError if the connection cannot be read, and InvalidArgumentError or
    AirflowNotFoundException if it is invalid or missing.
    """
    try:
        await hook.get_async_conn()
    except (InvalidArgumentError, AirflowNotFoundException):
        raise
    except Exception as error:  # whatever the way to Airflow's database or secrets raises
        raise AirflowUnavailableError("The connection could not be read", error) from error


async def repeat_while_unavailable(
    request: Callable[[], Awaitable[T]], log: TaskLogWriter, deadline: str | None = None, note: str = ""
) -> T:
    """Return the result of a request to Airflow, repeated while it raises AirflowUnavailableError.

    Raises that error after `MAX_ATTEMPTS`, or at the *deadline* (ISO 8601). Failures are logged at intervals, followed
    by *note*.
    """
    from airflow_provider_qlik.runs.waiting import HEARTBEAT_INTERVAL

    clock = asyncio.get_running_loop().time
    attempts, log_due_at = 0, clock()
    while True:
        try:
            return await request()
        except AirflowUnavailableError as error:
            attempts += 1
            expired = deadline is not None and datetime.now(UTC) >= datetime.fromisoformat(deadline)
            if expired or attempts >= MAX_ATTEMPTS:
                raise
            if clock() >= log_due_at:
                log_due_at = clock() + HEARTBEAT_INTERVAL.total_seconds()
                log.write(logging.WARNING, f"{error}. Trying again{note}")
        await asyncio.sleep(RETRY_PAUSE)
