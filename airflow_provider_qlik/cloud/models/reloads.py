"""The shapes of the Reloads family: the work behind most task runs."""

from __future__ import annotations

from airflow_provider_qlik.cloud.models.shape import Moment, Shape


class Reload(Shape):
    """One reload of an app.

    https://qlik.dev/apis/rest/reloads/
    """

    id: str
    status: str
    app_id: str | None = None
    type: str | None = None
    creation_time: Moment = None
    start_time: Moment = None
    end_time: Moment = None
    error_code: str | None = None
    error_message: str | None = None
    log: str | None = None
