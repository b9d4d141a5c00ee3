"""The operator that runs automations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_qlik.lifecycle.resources import AutomationArguments
from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.validation import InvalidArgumentError, checked_flag, checked_json


class QlikRunAutomationOperator(AutomationArguments, QlikRunOperator):
    """Run an automation.

    :param automation_id: the id of the automation.
    :param automation_name: its name instead.
    :param space_name: the space of the automation, beside its name.
    :param inputs: the values of its input blocks. They need an automation in run mode "triggered", which is started by
        its execution token; without inputs any automation can be run.
    :param fail_on_warnings: fail the task if the run has the status "finished with warnings".

    All other parameters are those of `QlikRunOperator`. Beyond its limit of concurrent runs Qlik queues a run for up to
    14 days: set `timeout` accordingly.
    """

    template_fields: Sequence[str] = (*AutomationArguments.arguments(), "inputs", *QlikRunOperator.template_fields)
    template_fields_renderers = {"inputs": "json"}  # noqa: RUF012 (as Airflow declares it)

    def __init__(
        self,
        *,
        automation_id: str | None = None,
        automation_name: str | None = None,
        space_name: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        fail_on_warnings: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.automation_id = automation_id
        self.automation_name = automation_name
        self.space_name = space_name
        self.inputs = inputs
        self.fail_on_warnings = checked_flag("fail_on_warnings", fail_on_warnings)
        self.check_resource()

    def parameters(self) -> Mapping[str, Any]:
        """Return the inputs, if any. Raises InvalidArgumentError for what is no mapping or no JSON."""
        if self.inputs is None:
            return {}
        if not isinstance(self.inputs, Mapping):
            raise InvalidArgumentError("inputs", self.inputs, "a mapping of names to values")
        return {"inputs": checked_json("inputs", dict(self.inputs))}
