"""The sensor that waits for reload tasks, the deprecated predecessor of tasks that reload an app."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.resources import ReloadTaskArguments
from airflow_provider_qlik.lifecycle.task_log import write
from airflow_provider_qlik.operations import RELOAD_TASKS_DEPRECATED
from airflow_provider_qlik.sensors.run import QlikRunSensor
from airflow_provider_qlik.validation import InvalidArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class QlikReloadTaskSensor(ReloadTaskArguments, QlikRunSensor):
    """Wait until a reload task has executed at or after a moment. **Deprecated**: use `QlikTaskRunSensor` for a task.

    Qlik has deprecated reload tasks since June 2026, and may remove them any day since 29 September 2026. The sensor
    fails at once, with the reason, if the reload task is disabled, migrated to a task, or gone.

    Qlik says when a reload task was last executed, and not with which outcome: to get that, wait for the reload itself
    with `QlikReloadSensor`.

    :param reload_task_id: the id of the reload task.
    :param started_after: the moment (a datetime, or ISO 8601 text; without a zone it is UTC).

    All other parameters are those of `QlikRunSensor`.
    """

    template_fields: Sequence[str] = (*ReloadTaskArguments.arguments(), *QlikRunSensor.template_fields)

    def __init__(
        self, *, reload_task_id: str | None = None, started_after: datetime | str | None = None, **kwargs: Any
    ) -> None:
        if started_after is None:
            raise InvalidArgumentError("started_after", None, "must be given: Qlik shows only the last execution")
        if kwargs.get("run_id") is not None:
            raise InvalidArgumentError("run_id", kwargs["run_id"], "a reload task has no runs: give started_after")
        super().__init__(started_after=started_after, **kwargs)
        self.reload_task_id = reload_task_id
        self.check_resource()

    def execute(self, context: Context) -> Any:
        """Log the deprecation, then wait as all sensors do."""
        write(self.log, logging.WARNING, RELOAD_TASKS_DEPRECATED)
        return super().execute(context)
