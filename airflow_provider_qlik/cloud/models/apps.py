"""The shapes of the Apps family that are needed here: the logs of reloads. https://qlik.dev/apis/rest/apps/"""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Moment, Number, Shape


class ReloadLog(Shape):
    """That there is the log of a reload. `duration` is in milliseconds."""

    reload_id: str | None = None
    success: bool | None = None
    end_time: Moment = None
    duration: Number = None
    links: dict[str, Any] | None = None


class ReloadLogList(Page[ReloadLog]):
    """The logs of an app's reloads; documented without further pages, which is believed until a link says otherwise."""
