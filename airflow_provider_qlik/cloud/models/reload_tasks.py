"""The shapes of the Reload tasks family. https://qlik.dev/apis/rest/reload-tasks/"""

from __future__ import annotations

from typing import Annotated

from airflow_provider_qlik.cloud.models.members import Needed, one_of
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import Page, SelfLinks
from airflow_provider_qlik.cloud.models.shape import Shape


class ReloadSchedule(Shape):
    """The members of all shapes of a reload task: the app and the times at which it is reloaded.

    `recurrence` holds RFC 5545 lines; the times are local to `time_zone`, or have an offset.
    """

    app_id: str | None = None
    partial: bool | None = None
    time_zone: str | None = None
    auto_reload: bool | None = None
    recurrence: list[str] | None = None
    end_date_time: str | None = None
    start_date_time: str | None = None
    auto_reload_partial: bool | None = None


class ReloadTaskCreate(ReloadSchedule):
    """A new reload task."""

    app_id: Annotated[str | None, Needed()] = None
    time_zone: Annotated[str | None, Needed()] = None
    type: Annotated[str, one_of("scheduled_reload")] | None = None


class ReloadTaskUpdate(ReloadSchedule):
    """The body that updates a reload task; `state` enables and disables it."""

    state: Annotated[str, one_of("Enabled", "Disabled", "Completed")] | None = None


class ReloadTask(ReloadSchedule):
    """A reload task. `state` is that of its schedule, not of a run; `disabled_code` and `log` explain it."""

    id: str
    log: str | None = None
    links: SelfLinks | None = None
    state: str | None = None
    user_id: str | None = None
    space_id: str | None = None
    migrated: bool | None = None
    tenant_id: str | None = None
    fortress_id: str | None = None
    disabled_code: str | None = None
    last_execution_time: Moment = None
    next_execution_time: Moment = None


class ReloadTaskList(Page[ReloadTask]):
    """A page of reload tasks."""
