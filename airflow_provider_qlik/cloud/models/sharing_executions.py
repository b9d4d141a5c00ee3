"""The shapes of executions of sharing tasks. https://qlik.dev/apis/rest/sharing-tasks/"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from airflow_provider_qlik.cloud.models.members import Id
from airflow_provider_qlik.cloud.models.moments import moment_in
from airflow_provider_qlik.cloud.models.paging import SelfLinks
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.models.sharing_pages import SharingPage


class SharingExecutionFile(Shape):
    """A file that an execution made. It is fetched by its alias; `type` is such as ``pdf``."""

    type: str | None = None
    file_id: Annotated[str | None, Field(alias="fileID")] = None
    user_id: str | None = None
    file_alias: str | None = None
    template_id: str | None = None
    temp_contents_location: str | None = None


class SharingExecutionError(Shape):
    """An error of an execution."""

    code: str | None = None
    title: str | None = None
    detail: str | None = None

    def __str__(self) -> str:
        message = ": ".join(filter(None, (self.title, self.detail)))
        return f"{message} ({self.code})" if message and self.code else message or self.code or ""


class SharingTargetUser(Shape):
    """The recipient of an execution: `value` is an address or an id, as `type` says."""

    type: str | None = None
    value: str | None = None
    timezone: str | None = None
    filter_name: str | None = None
    filter_names: list[str] | None = None


class SharingTaskExecution(Shape):
    """One execution of a sharing task, for one recipient. All of one workflow have the same `workflow_id`.

    The times are texts in an undocumented format; `started_at` and `ended_at` read them. If there is a `reload_id`,
    a reload of the app has started it.
    """

    id: Id
    app_id: str | None = None
    files: list[SharingExecutionFile] | None = None
    errors: list[SharingExecutionError] | None = None
    status: str
    end_time: str | None = None
    event_id: Annotated[str | None, Field(alias="eventID")] = None
    owner_id: str | None = None
    reload_id: str | None = None
    tenant_id: str | None = None
    event_time: str | None = None
    start_time: str | None = None
    bookmark_id: str | None = None
    failed_time: str | None = None
    reload_time: str | None = None
    target_user: SharingTargetUser | None = None
    total_count: int | None = None
    workflow_id: Annotated[str | None, Field(alias="workflowID")] = None
    bookmark_ids: list[str] | None = None
    failed_count: int | None = None
    success_count: int | None = None
    cancelled_time: str | None = None
    sharing_task_id: Annotated[str | None, Field(alias="sharingTaskID")] = None
    cancelled_count: int | None = None
    total_upload_count: int | None = None
    failed_upload_count: int | None = None
    success_upload_count: int | None = None
    links: SelfLinks | None = None
    file_locations: list[str] | None = None

    @property
    def started_at(self) -> datetime | None:
        """Return the start, in UTC."""
        return moment_in(self.start_time)

    @property
    def ended_at(self) -> datetime | None:
        """Return the end, whether it succeeded, failed or was cancelled, in UTC."""
        ends = (self.end_time, self.failed_time, self.cancelled_time)
        return next((moment for moment in map(moment_in, ends) if moment), None)

    @property
    def error_text(self) -> str | None:
        """Return the errors as one line, each with Qlik's code for it."""
        return "; ".join(filter(None, map(str, self.errors or ()))) or None


class SharingTaskExecutionList(SharingPage[SharingTaskExecution]):
    """A page of executions."""

    data: Annotated[list[SharingTaskExecution], Field(alias="executions", default_factory=list)]
