"""XComs of a run: pushed when it has started, and pulled when its task resumes after a deferral."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.text import MESSAGE_LENGTH, storable_json

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.lifecycle.deferral import Deferral
    from airflow_provider_qlik.runs import Run

RUN_KEY = "qlik_run"
"""The XCom that holds the run of an operator and what the two halves of its deferral share."""


def push(context: Context, key: str, value: Any) -> None:
    """Push an XCom that every database can store, with no text beyond `MESSAGE_LENGTH`."""
    context["ti"].xcom_push(key=key, value=storable_json(value, MESSAGE_LENGTH))


def pull(context: Context, key: str) -> Any:
    """Return an XCom that this task instance has pushed, or None."""
    task_instance = context["ti"]
    return task_instance.xcom_pull(task_ids=task_instance.task_id, key=key, map_indexes=task_instance.map_index)


def push_run(context: Context, run: Run, deferral: Deferral) -> None:
    """Push the run of this attempt and what `execute_complete` needs to know of the wait."""
    push(context, RUN_KEY, {**run.to_json(), **deferral.to_json()})


def pull_run(context: Context) -> Run | None:
    """Return the run of this attempt, as it was pushed at its start; None if there is none or it cannot be read."""
    from airflow_provider_qlik.runs import Run

    pushed = pull(context, RUN_KEY)
    try:
        return Run.from_json(pushed) if isinstance(pushed, Mapping) else None
    except (KeyError, TypeError, ValueError):
        return None
