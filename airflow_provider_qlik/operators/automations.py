"""Runs of Qlik Cloud's automations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.waiting import check_literal


class QlikRunAutomationOperator(QlikRunOperator):
    """Runs an automation of Qlik Cloud.

    :param automation_id: the id of the automation.

    All other parameters are those of `QlikRunOperator`. Beyond its limit of concurrent runs Qlik queues a run, for up
    to 14 days: mind `timeout`.
    """

    kind: ClassVar[str] = "automation"
    resource_argument: ClassVar[str] = "automation_id"
    template_fields: Sequence[str] = ("automation_id", *QlikRunOperator.template_fields)

    def __init__(self, *, automation_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_literal("automation_id", automation_id)
        self.automation_id = automation_id
