"""The Reloads family: reloads of apps. https://qlik.dev/apis/rest/reloads/

Every call can raise QlikCloudError.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.reloads import Reload, ReloadCreate, ReloadList
from airflow_provider_qlik.cloud.models.writing import body_of
from airflow_provider_qlik.cloud.parameters import both_ways, only_one_cursor, page_size, word
from airflow_provider_qlik.validation import InvalidArgumentError, checked_count, checked_id, checked_variables

RELOAD_SORTS = both_ways("creationTime", "status", "startTime", "endTime")

_FAMILY = Family("/api/v1/reloads", reading=Tier.ONE, writing=Tier.RELOADS)


def list(
    app_id: str | None = None,
    *,
    filter: str | None = None,
    sort: str | None = None,
    partial: bool | None = None,
    log: bool | None = None,
    limit: int | None = None,
    next: str | None = None,
    prev: str | None = None,
) -> Call[ReloadList]:
    """List the reloads of an app; *limit* is the page size, 10 by default, at most 100.

    Without *app_id*, tenant administrators get the reloads of all apps. *filter* is such as ``status eq "FAILED"``, on
    status, partial and type; *sort* is such as ``-creationTime``, for the newest first; *partial* keeps partial
    reloads, or full ones; *log* lets each reload have its short log. *next* and *prev* exclude each other.
    """
    only_one_cursor(next, prev)
    parameters = {
        "appId": None if app_id is None else checked_id("app_id", app_id),
        "filter": filter,
        "limit": page_size(limit, 100),
        "log": log,
        "next": next,
        "partial": partial,
        "prev": prev,
        "sort": word("sort", sort, RELOAD_SORTS),
    }
    about = {} if app_id is None else {"app_id": app_id}
    return _FAMILY.call("list_reloads", "GET", "", ReloadList, parameters=parameters, items_about=about)


def start(
    app_id: str,
    *,
    partial: bool | None = None,
    weight: int | None = None,
    variables: Mapping[str, str] | None = None,
    resource_type: str | None = None,
    resource_id: str | None = None,
) -> Call[Reload]:
    """Start a reload of an app; the response is the reload, which is queued.

    *variables* are set in the load script: at most 20, with names and values of at most 256 characters. A reload of
    an app with one pending is a 429 with a code ``RELOADS-…``, which is no rate limit. *resource_type* (``api``,
    ``tasks``, ``reload-tasks``, ``automate``) and *resource_id* (any text) say who has started it.
    """
    reload = {
        "appId": checked_id("app_id", app_id),
        "partial": partial,
        "weight": None if weight is None else checked_count("weight", weight),
        "variables": None if variables is None else _variables(variables),
        "resourceType": resource_type,
        "resourceId": resource_id,
    }
    body = body_of(ReloadCreate, "reload", reload)
    return _FAMILY.call("create_reload", "POST", "", Reload, body=body, about={"app_id": app_id})


def get(reload_id: str) -> Call[Reload]:
    """Get a reload, with its error if it has failed."""
    return _FAMILY.call(
        "get_reload", "GET", "/{reload_id}", Reload, ids={"reload_id": reload_id}, about={"id": reload_id}
    )


def cancel(reload_id: str) -> Call[None]:
    """Cancel a reload. The response is a 409 if it has ended already."""
    return _FAMILY.call("cancel_reload", "POST", "/{reload_id}/actions/cancel", NoneType, ids={"reload_id": reload_id})


def _variables(variables: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(variables, Mapping) or not all(
        isinstance(text, str) for pair in variables.items() for text in pair
    ):
        raise InvalidArgumentError("variables", variables, "must be a mapping of names to texts")
    return checked_variables(variables)
