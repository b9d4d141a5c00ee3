"""The sensor that waits for runs of automations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_qlik.lifecycle.resources import AutomationArguments
from airflow_provider_qlik.sensors.run import QlikRunSensor
from airflow_provider_qlik.validation import checked_flag


class QlikAutomationRunSensor(AutomationArguments, QlikRunSensor):
    """Wait for a run of an automation: by its id, the first after a moment, or the last.

    :param automation_id: the id of the automation.
    :param automation_name: its name instead.
    :param space_name: the space of the automation, beside its name.
    :param fail_on_warnings: fail the task if the run has the status "finished with warnings".

    All other parameters are those of `QlikRunSensor`.
    """

    template_fields: Sequence[str] = (*AutomationArguments.arguments(), *QlikRunSensor.template_fields)

    def __init__(
        self,
        *,
        automation_id: str | None = None,
        automation_name: str | None = None,
        space_name: str | None = None,
        fail_on_warnings: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.automation_id = automation_id
        self.automation_name = automation_name
        self.space_name = space_name
        self.fail_on_warnings = checked_flag("fail_on_warnings", fail_on_warnings)
        self.check_resource()
