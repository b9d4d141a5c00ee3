"""The operations of the Apps family that reloads need. https://qlik.dev/apis/rest/apps/

Errors of each: QlikCloudError.
"""

from __future__ import annotations

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.apps import ReloadLogList

_FAMILY = Family("/api/v1/apps", reading=Tier.ONE, writing=Tier.TWO)


def reload_logs(app_id: str) -> Call[ReloadLogList]:
    """List the reloads of an app that have a log."""
    return _FAMILY.call("list_reload_logs", "GET", "/{app_id}/reloads/logs", ReloadLogList, ids={"app_id": app_id})


def reload_log(app_id: str, reload_id: str) -> Call[str]:
    """Get the log of a reload, as text."""
    ids = {"app_id": app_id, "reload_id": reload_id}
    template = "/{app_id}/reloads/logs/{reload_id}"
    return _FAMILY.call("get_reload_log", "GET", template, str, ids=ids, accept="text/plain")
