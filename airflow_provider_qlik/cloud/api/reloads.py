"""The Reloads family, as far as task runs need it. https://qlik.dev/apis/rest/reloads/"""

from __future__ import annotations

from types import NoneType

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.reloads import Reload

_FAMILY = Family("/api/v1/reloads", reading=Tier.ONE, writing=Tier.RELOADS)


def get(reload_id: str) -> Call[Reload]:
    """One reload, with what went wrong in it."""
    return _FAMILY.call("get_reload", "GET", "/{reload_id}", Reload, ids={"reload_id": reload_id})


def cancel(reload_id: str) -> Call[None]:
    """Nothing: the reload is asked to end. 409 when it has ended already."""
    return _FAMILY.call("cancel_reload", "POST", "/{reload_id}/actions/cancel", NoneType, ids={"reload_id": reload_id})
