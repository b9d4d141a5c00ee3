"""The end of a run as its task shows it: the outcome, with the run's log in the task's log, and the return value."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json

if TYPE_CHECKING:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import Outcome, Run


def explain(hook: QlikCloudHook, run: Run, log: Any) -> Outcome:
    """Return the outcome of an ended run, and write its log into the task's log. Raises QlikCloudError."""
    from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
    from airflow_provider_qlik.runs import ADAPTERS, outcome

    flow = outcome(ADAPTERS[run.kind], run, hook.get_conn().tenant.url, log_callback(log))
    return hook.run_flow(flow, RetryPolicy(max_attempts=3, max_total_wait=30.0))


def log_success(outcome: Outcome, log: Any) -> None:
    """Log the outcome of a run that does not fail its task."""
    write(log, logging.INFO, f"{outcome.message}. {outcome.link}")


def return_value(hook: QlikCloudHook, outcome: Outcome) -> dict[str, Any]:
    """Return the JSON of a run that does not fail its task, with the name and space of its resource where they show.

    They are read once, without retries: a name is a convenience and must not delay the task.
    """
    from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
    from airflow_provider_qlik.runs import ADAPTERS

    run = hook.run_flow(ADAPTERS[outcome.run.kind].described(outcome.run), ONE_ATTEMPT)
    value: dict[str, Any] = storable_json(replace(outcome, run=run).to_json(), MESSAGE_LENGTH)
    return value
