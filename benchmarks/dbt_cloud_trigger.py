"""dbt Cloud's trigger over plain HTTP, as its fake speaks it: TLS would cost it more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger
from airflow.triggers.base import TriggerEvent


def over_http(tenant: str, endpoint: str, *_: Any, **__: Any) -> tuple[str, dict[str, Any]]:
    """Return the address of a call, and no parameters."""
    return f"http://{tenant}/api/v2/accounts/{endpoint}", {}


class OverHttp(DbtCloudRunJobTrigger):  # type: ignore[misc,unused-ignore]
    """The same, but for the scheme of its addresses."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait as the trigger always does."""
        DbtCloudHook.get_request_url_params = staticmethod(over_http)
        async for event in super().run():
            yield event
