"""The shapes of the Apps family that are needed here: the logs of reloads. https://qlik.dev/apis/rest/apps/"""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik.cloud.models.members import Number
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape


class ReloadLog(Shape):
    """An entry for the log of a reload. `duration` is in milliseconds."""

    reload_id: str | None = None
    success: bool | None = None
    end_time: Moment = None
    duration: Number = None
    links: dict[str, Any] | None = None


class ReloadLogList(Page[ReloadLog]):
    """The logs of an app's reloads. Further pages are not documented; a link to one is followed all the same."""
