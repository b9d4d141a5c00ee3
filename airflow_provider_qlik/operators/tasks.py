"""Runs of Qlik Cloud's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.waiting import check_literal


class QlikRunTaskOperator(QlikRunOperator):
    """Runs a task of Qlik Cloud, such as one that reloads an app.

    :param qlik_task_id: the id of the task in Qlik Cloud (`task_id` is Airflow's own).

    All other parameters are those of `QlikRunOperator`. Qlik does not say which run a start made: it is found by the
    marker that the start carries, and only that run is followed.
    """

    kind: ClassVar[str] = "task"
    resource_argument: ClassVar[str] = "qlik_task_id"
    template_fields: Sequence[str] = ("qlik_task_id", *QlikRunOperator.template_fields)

    def __init__(self, *, qlik_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_literal("qlik_task_id", qlik_task_id)
        self.qlik_task_id = qlik_task_id
