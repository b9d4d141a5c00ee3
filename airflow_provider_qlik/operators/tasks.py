"""The operator that runs tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_qlik.lifecycle.resources import TaskArguments
from airflow_provider_qlik.operators.logged_run import QlikLoggedRunOperator


class QlikRunTaskOperator(TaskArguments, QlikLoggedRunOperator):
    """Run a task of Qlik Cloud, such as one that reloads an app.

    :param qlik_task_id: the id of the task in Qlik Cloud (`task_id` is Airflow's own).
    :param qlik_task_name: its name instead, with its app.
    :param app_id: the app of the task, beside its name.
    :param app_name: the name of that app instead.
    :param space_name: the space of that app, beside its name.

    All other parameters are those of `QlikLoggedRunOperator` (`log_to`) and `QlikRunOperator`. The response to a start
    does not name its run: the run is recognised by the marker that the start carries.
    """

    template_fields: Sequence[str] = (*TaskArguments.arguments(), *QlikLoggedRunOperator.template_fields)

    def __init__(
        self,
        *,
        qlik_task_id: str | None = None,
        qlik_task_name: str | None = None,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.qlik_task_id = qlik_task_id
        self.qlik_task_name = qlik_task_name
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.check_resource()
