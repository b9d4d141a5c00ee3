"""Waiting for runs of Qlik Cloud's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_qlik.sensors.run import QlikRunSensor
from airflow_provider_qlik.waiting import check_literal


class QlikTaskRunSensor(QlikRunSensor):
    """Waits for a run of a task of Qlik Cloud: a given one, the first after a moment, or the last.

    :param qlik_task_id: the id of the task in Qlik Cloud (`task_id` is Airflow's own).

    All other parameters are those of `QlikRunSensor`.
    """

    kind: ClassVar[str] = "task"
    resource_argument: ClassVar[str] = "qlik_task_id"
    template_fields: Sequence[str] = ("qlik_task_id", *QlikRunSensor.template_fields)

    def __init__(self, *, qlik_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_literal("qlik_task_id", qlik_task_id)
        self.qlik_task_id = qlik_task_id
