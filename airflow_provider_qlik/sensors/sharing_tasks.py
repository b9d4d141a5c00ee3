"""The sensor that waits for runs of sharing tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.resources import SharingTaskArguments
from airflow_provider_qlik.operators.sharing_tasks import FAIL_ON, why_failed
from airflow_provider_qlik.sensors.run import QlikRunSensor
from airflow_provider_qlik.validation import checked_word

if TYPE_CHECKING:
    from airflow_provider_qlik.runs import Outcome


class QlikSharingTaskSensor(SharingTaskArguments, QlikRunSensor):
    """Wait for a run of a sharing task: by its id, the first after a moment, or the last, whatever started it.

    :param sharing_task_id: the id of the sharing task. A run's id is that of its workflow.
    :param sharing_task_name: its name instead.
    :param app_id: the app of the sharing task, beside its name.
    :param app_name: the name of that app instead.
    :param space_name: the space of that app, beside its name.
    :param fail_on: fail if ``any`` execution failed or was cancelled, only if ``all`` did, or ``never``.

    All other parameters are those of `QlikRunSensor`.
    """

    template_fields: Sequence[str] = (*SharingTaskArguments.arguments(), *QlikRunSensor.template_fields)

    def __init__(
        self,
        *,
        sharing_task_id: str | None = None,
        sharing_task_name: str | None = None,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        fail_on: str = "any",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sharing_task_id = sharing_task_id
        self.sharing_task_name = sharing_task_name
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.fail_on = checked_word("fail_on", fail_on, FAIL_ON)
        self.check_resource()

    def verdict(self, outcome: Outcome) -> str | None:
        """Return why the run fails the task according to `fail_on`, or None."""
        return why_failed(outcome, self.fail_on)
