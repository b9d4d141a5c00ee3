"""The sensor that waits for reloads of apps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_qlik.lifecycle.resources import AppArguments
from airflow_provider_qlik.sensors.run import QlikRunSensor
from airflow_provider_qlik.validation import checked_flag


class QlikReloadSensor(AppArguments, QlikRunSensor):
    """Wait for a reload of an app: a given one (`run_id` is its id), the first after a moment, or the last.

    :param app_id: the id of the app.
    :param app_name: its name instead.
    :param space_name: the space of the app, beside its name.
    :param fail_on_warnings: fail the task if the reload succeeded with warnings: Qlik names an error
        nevertheless, or its log has warnings or counts forced errors. A log that cannot be read does not fail the task.

    All other parameters are those of `QlikRunSensor`.
    """

    template_fields: Sequence[str] = (*AppArguments.arguments(), *QlikRunSensor.template_fields)

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        fail_on_warnings: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.fail_on_warnings = checked_flag("fail_on_warnings", fail_on_warnings)
        self.check_resource()
