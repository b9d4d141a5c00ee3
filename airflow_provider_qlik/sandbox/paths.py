"""The paths that Qlik is moving: which exist, their rate limits, and their deprecation headers."""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from airflow_provider_qlik.sandbox.operations import tier_of
from airflow_provider_qlik.sandbox.rate_limits import Tier
from airflow_provider_qlik.sandbox.state.switches import Switches
from airflow_provider_qlik.sandbox.state.times import http_date

SCHEDULING, V1 = "/api/scheduling/tasks", "/api/v1/tasks"

_SWITCHED_PATHS: Final = (
    # switch, its value besides "both" with which the path exists, pattern of the path
    ("tasks_paths", "v1", V1),
    ("tasks_paths", "v1", f"{V1}/*"),
    ("tasks_paths", "scheduling", SCHEDULING),
    ("tasks_paths", "scheduling", f"{SCHEDULING}/*"),
    ("execute_paths", "v1", "/api/v1/automations/*/actions/execute"),
    ("execute_paths", "workflows", "/api/workflows/automations/*/actions/execute"),
)


def has_path(switches: Switches, path: str) -> bool:
    """Return False if the switches remove this path."""
    return not any(
        fnmatchcase(path, pattern) and getattr(switches, switch) not in {"both", position}
        for switch, position, pattern in _SWITCHED_PATHS
    )


def proxy_not_found(switches: Switches) -> Response:
    """Return the 404 of a proxy or gateway in front of Qlik's services, which differs from theirs."""
    if switches.no_route == "page":
        return HTMLResponse("<!DOCTYPE html><html><title>404 Not Found</title><h1>404 Not Found</h1></html>", 404)
    return PlainTextResponse("404 page not found\n", 404)


def tier_on(path: str, method: str, tier: Tier) -> Tier:
    """Return the rate limit tier of a request; on the scheduling path tasks have no tier of their own."""
    return tier_of(method) if tier == "tasks" and path.startswith(SCHEDULING) else tier


def deprecation_headers(switches: Switches, path: str) -> dict[str, str]:
    """Return the headers that mark a response on a deprecated path."""
    if not switches.deprecated_paths or not fnmatchcase(path, switches.deprecated_paths):
        return {}
    headers = {"deprecation": "true", "link": '<https://qlik.dev/changelog/>; rel="deprecation"'}
    return headers | ({"sunset": _sunset_header(switches)} if switches.sunset else {})


def _sunset_header(switches: Switches) -> str:
    moment = datetime.fromisoformat(switches.sunset).replace(tzinfo=UTC)
    forms = {
        "http_date": http_date(moment),
        "iso_date": moment.date().isoformat(),
        "iso_time": moment.isoformat().replace("+00:00", "Z"),
        "epoch": f"@{moment.timestamp():.0f}",
    }
    return forms.get(switches.sunset_form, "when it is ready")
