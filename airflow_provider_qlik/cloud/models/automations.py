"""The shapes of the Automations family. https://qlik.dev/apis/rest/automations/"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr

from airflow_provider_qlik.cloud.models.members import PERHAPS_EMPTY, Id, Needed, Number, ReadOnly, one_of
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.reading import KeptAsJson
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.masking import masked


class AutomationRunBlockMetrics(Shape):
    """Bytes and API calls of one block of an automation."""

    type: str | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    api_calls: int | None = None
    snippet_id: str | None = None
    endpoint_id: str | None = None
    connector_id: str | None = None


class AutomationRunNetwork(Shape):
    """Bytes that a run received and sent in all."""

    rx_bytes: int | None = None
    tx_bytes: int | None = None


class AutomationRunMetrics(Shape):
    """Bytes and API calls of a run."""

    blocks: list[AutomationRunBlockMetrics] | None = None
    network: Annotated[AutomationRunNetwork | None, PERHAPS_EMPTY] = None
    total_api_calls: int | None = None


class AutomationRun(Shape):
    """One run of an automation. In lists it has a `duration` (seconds), alone it has `metrics`."""

    id: Id
    status: str
    error: Any = None
    title: str | None = None
    context: str | None = None
    owner_id: str | None = None
    space_id: str | None = None
    test_run: bool | None = None
    archived: bool | None = None
    stop_time: Moment = None
    created_at: Moment = None
    is_test_run: bool | None = None
    start_time: Moment = None
    updated_at: Moment = None
    is_archived: bool | None = None
    executed_by_id: str | None = None
    scheduled_start_time: Moment = None
    metrics: Annotated[AutomationRunMetrics | None, PERHAPS_EMPTY] = None
    duration: Number = None

    @property
    def error_text(self) -> str | None:
        """Return the errors as one line, whether Qlik Cloud sends objects, texts or a single object."""
        errors = self.error if isinstance(self.error, list) else [self.error]
        return "; ".join(filter(None, map(_message, errors))) or None


def _message(error: Any) -> str | None:
    if isinstance(error, dict):
        for name in ("message", "detail", "title", "error"):
            if isinstance(error.get(name), str) and error[name].strip():
                return str(error[name]).strip()
        return json.dumps(masked(error)) if error else None
    return str(error).strip() if error else None


class AutomationSchedule(Shape):
    """When an automation runs by itself: `interval` in seconds, `start_at` and `stop_at` local to `timezone`."""

    id: Annotated[str | None, ReadOnly()] = None
    stop_at: str | None = None
    start_at: str | None = None
    interval: int | None = None
    timezone: str | None = None
    last_started_at: Annotated[Moment, ReadOnly()] = None


class Automation(Shape):
    """An automation. In lists it has a `duration` (seconds), alone `schedules`. The execution token is a secret."""

    id: str | None = None
    name: str | None = None
    state: str | None = None
    last_run: Annotated[AutomationRun | None, PERHAPS_EMPTY] = None
    owner_id: str | None = None
    run_mode: str | None = None
    space_id: str | None = None
    created_at: Moment = None
    last_run_at: Moment = None
    updated_at: Moment = None
    workspace: Annotated[dict[str, Any] | None, PERHAPS_EMPTY] = None
    snippet_ids: list[str] | None = None
    description: str | None = None
    endpoint_ids: list[str] | None = None
    connector_ids: list[str] | None = None
    last_run_status: str | None = None
    execution_token: SecretStr | None = None
    max_concurrent_runs: int | None = None
    schedules: list[AutomationSchedule] | None = None
    duration: Number = None


class LastAutomationRun(Shape):
    """An automation, of which little but the last run is kept, so that polls of the bulk list parse less."""

    model_config = ConfigDict(extra="ignore")

    id: str
    name: str | None = None
    space_id: str | None = None
    last_run_json: Annotated[Any, KeptAsJson(AutomationRun)] = Field(default=None, alias="lastRun")

    @property
    def last_run(self) -> AutomationRun | None:
        """Return the last run; None if there is none. Raises InvalidResponseError for a run without id or status."""
        return None if self.last_run_json in (None, []) else AutomationRun.from_json(self.last_run_json)


class AutomationUpdate(Shape):
    """The body that replaces an automation."""

    name: str | None = None
    schedules: list[AutomationSchedule] | None = None
    workspace: Annotated[dict[str, Any] | None, PERHAPS_EMPTY] = None
    description: str | None = None
    max_concurrent_runs: int | None = None


class AutomationCreate(AutomationUpdate):
    """A new automation."""

    name: Annotated[str | None, Needed()] = None
    space_id: str | None = None


class AutomationRunCreate(Shape):
    """The body that starts a run, with the context from which it is started."""

    context: Annotated[str, one_of("api")] = "api"


class AutomationOwnerChange(Shape):
    """The new owner (user id)."""

    user_id: Annotated[str | None, Needed()] = None


class AutomationSpaceChange(Shape):
    """The new space."""

    space_id: Annotated[str | None, Needed()] = None


class AutomationCopy(Shape):
    """The name of a copy."""

    name: Annotated[str | None, Needed()] = None


class AutomationCopied(Shape):
    """The id of the copy."""

    id: str | None = None


class AutomationRunExport(Shape):
    """The URL of the debug log of a run."""

    url: str | None = None


class AutomationSettings(Shape):
    """The settings of the tenant for all automations."""

    max_concurrent_runs_per_automation: int | None = None


class AutomationUsageAutomation(Shape):
    """The automation of a usage metric."""

    guid: str | None = None
    name: str | None = None
    owner_id: str | None = None


class AutomationUsageMetric(Shape):
    """The value of one metric on one date."""

    date: str
    name: str
    value: Annotated[float, Field(allow_inf_nan=False)]
    automation: AutomationUsageAutomation | None = None


class AutomationList(Page[Automation]):
    """A page of automations."""


class LastAutomationRunList(Page[LastAutomationRun]):
    """A page of automations, each with its last run only."""


class AutomationRunList(Page[AutomationRun]):
    """A page of automation runs."""


class AutomationUsageList(Page[AutomationUsageMetric]):
    """Usage metrics. Further pages are not documented; a link to one is followed all the same."""
