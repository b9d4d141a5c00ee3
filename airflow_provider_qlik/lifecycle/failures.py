"""Failing and skipping an Airflow task: the exception says if Airflow retries the task, and its text why it failed.

An expected error is one exception in the task's log and not a chain of them, so all functions raise "from None".
"""

from __future__ import annotations

from typing import Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_qlik.text import MESSAGE_LENGTH, printable, shortened
from airflow_provider_qlik.validation import InvalidArgumentError


def message(error: object) -> str:
    """Return the text of an error, with its notes, as Airflow can store it and a terminal can show it.

    Its lines stay lines, other control characters become escapes; it has `MESSAGE_LENGTH` characters at most.
    """
    text = " ".join([str(error), *map(str, getattr(error, "__notes__", ()))]).replace("\r\n", "\n")
    return "\n".join(printable(line, len(line)) for line in shortened(text, MESSAGE_LENGTH).split("\n"))


def with_advice(error: Exception, advice: str) -> str:
    """Return the text of an error with the advice after it, which is not cut off with a long error."""
    return f"{message(error).rstrip('.')}. {message(advice)}" if advice else message(error)


def fail_with(reason: str) -> NoReturn:
    """Fail the task so that Airflow retries it, with a new run."""
    raise AirflowException(message(reason)) from None


def fail_for_good(reason: object) -> NoReturn:
    """Fail the task so that Airflow does not retry it."""
    raise AirflowFailException(message(reason)) from None


def skip(reason: object) -> NoReturn:
    """Skip the task."""
    raise AirflowSkipException(message(reason)) from None


def time_out(reason: object) -> NoReturn:
    """Fail a sensor that has reached its time-out."""
    raise AirflowSensorTimeout(message(reason)) from None


def fail(error: Exception, advice: str = "") -> NoReturn:
    """Fail the task for an error of this package, without retries if the error is permanent.

    *advice* follows the text of the error. A run that may have been started and was not found is never started again
    by a retry.
    """
    from airflow_provider_qlik.cloud import QlikCloudError
    from airflow_provider_qlik.runs import WaitTimeoutError

    may_pass = isinstance(error, WaitTimeoutError) or (isinstance(error, QlikCloudError) and error.transient)
    permanent = isinstance(error, InvalidArgumentError) or not may_pass
    failure: Any = (AirflowFailException if permanent else AirflowException)(with_advice(error, advice))
    if (seconds := getattr(error, "retry_after", None)) is not None:
        # For `QlikRetryPolicy`, also in a process that gets the failure without its cause.
        failure.retry_after = seconds
    raise failure from None
