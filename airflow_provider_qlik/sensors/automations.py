"""Waiting for runs of Qlik Cloud's automations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_qlik.sensors.run import QlikRunSensor
from airflow_provider_qlik.waiting import check_literal


class QlikAutomationRunSensor(QlikRunSensor):
    """Waits for a run of an automation: a given one, the first after a moment, or the last.

    :param automation_id: the id of the automation.

    All other parameters are those of `QlikRunSensor`.
    """

    kind: ClassVar[str] = "automation"
    resource_argument: ClassVar[str] = "automation_id"
    template_fields: Sequence[str] = ("automation_id", *QlikRunSensor.template_fields)

    def __init__(self, *, automation_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_literal("automation_id", automation_id)
        self.automation_id = automation_id
