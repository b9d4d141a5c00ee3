"""The shapes of the Reloads family: reloads of apps, which are also the work behind most task runs.

https://qlik.dev/apis/rest/reloads/
"""

from __future__ import annotations

from typing import Annotated

from airflow_provider_qlik.cloud.models.members import Id, Needed
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape


class Reload(Shape):
    """One reload of an app. Lists have its `log` only on request.

    `engine_time` is the end as the engine reports it, in its own format.
    """

    id: Id
    status: str
    app_id: str | None = None
    tenant_id: str | None = None
    user_id: str | None = None
    type: str | None = None
    creation_time: Moment = None
    start_time: Moment = None
    end_time: Moment = None
    engine_time: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    partial: bool | None = None
    weight: int | None = None
    log: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None


class ReloadCreate(Shape):
    """The body that starts a reload.

    A higher `weight` has precedence among the reloads of the tenant; `variables` are set in the script.

    `resource_type` (a word of Qlik's) and `resource_id` (any text) say who starts it. It is not documented whether the
    reload shows them.
    """

    app_id: Annotated[str | None, Needed()] = None
    partial: bool | None = None
    weight: int | None = None
    variables: dict[str, str] | None = None
    resource_type: str | None = None
    resource_id: str | None = None


class ReloadList(Page[Reload]):
    """A page of reloads."""
