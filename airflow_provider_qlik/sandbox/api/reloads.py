"""The Reloads family, and the logs of an app's reloads."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Operation, Text, no_content, ok
from airflow_provider_qlik.sandbox.paging import Fields, Paging, filter_items, page, sort_items
from airflow_provider_qlik.sandbox.state.records import App, Reload
from airflow_provider_qlik.sandbox.state.statuses import reload_status

MAX_VARIABLES = 20
MAX_VARIABLE = 256

_PAGING = Paging("next", default=10, max_limit=100, previous_cursor="prev", has_self=True)


def app_named(request: ApiRequest, app_id: str) -> App:
    """Return the app with that id. Raises ApiError (404)."""
    app = request.tenant_state.apps.apps.get(app_id)
    if app is None:
        raise ApiError(404, "Not found", f"there is no app {app_id}")
    return app


def list_reloads(request: ApiRequest) -> Response:
    """`GET /reloads`; without `appId` those of all apps, which is for administrators."""
    apps, now, app_id, is_partial = (
        request.tenant_state.apps,
        request.tenant_state.now,
        request.parameter("appId"),
        request.flag("partial"),
    )
    serializer, with_log = apps.serializer, request.flag("log") or False
    fields: Fields[Reload] = {
        "creationTime": lambda reload: reload.progress.created,
        "status": lambda reload: reload_status(reload.progress, now),
        "startTime": lambda reload: reload.progress.started_at(now),
        "endTime": lambda reload: reload.progress.ended_at(now),
    }
    filters: Fields[Reload] = {
        "status": fields["status"],
        "partial": lambda reload: reload.partial,
        "type": lambda reload: reload.type,
    }
    found = [
        reload
        for reload in apps.reloads.values()
        if app_id in (None, reload.app_id) and is_partial in (None, reload.partial) and apps.is_visible(reload)
    ]
    found = sort_items(request, filter_items(request, found, filters), fields, "-creationTime", is_signed=False)
    return page(request, _PAGING, found, lambda reload: serializer.reload(reload, with_log=with_log))


def create_reload(request: ApiRequest) -> Response:
    """`POST /reloads`: the response contains the reload."""
    apps, body = request.tenant_state.apps, request.body
    variables = _variables(body.get("variables", {}))
    app = app_named(request, body["appId"])
    if request.tenant_state.switches.reload_marker == "refused" and {"resourceType", "resourceId"} & body.keys():
        raise ApiError(400, "Bad request", "body.resourceId is unknown")
    if apps.is_pending(app.id) and request.tenant_state.switches.pending_reload == "refused":
        detail = f"a pending reload request already exists for app {app.id}"
        raise ApiError(429, "Too many requests", detail, code="RELOADS-007")
    reload = apps.start_reload(
        app,
        request.caller.user,
        partial=body.get("partial", False),
        weight=body.get("weight", 1),
        variables=variables,
        resource_type=body.get("resourceType"),
        resource_id=body.get("resourceId"),
    )
    return ok(apps.serializer.reload(reload), 201)


def _variables(variables: dict[str, Any]) -> dict[str, str]:
    if len(variables) > MAX_VARIABLES:
        raise ApiError(400, "Bad request", f"body.variables has more than {MAX_VARIABLES} members")
    for name, value in variables.items():
        if not isinstance(value, str):
            raise ApiError(400, "Bad request", f"body.variables.{name} must be of type string")
        if max(len(name), len(value)) > MAX_VARIABLE:
            raise ApiError(400, "Bad request", f"body.variables.{name} is longer than {MAX_VARIABLE} characters")
    return variables


def get_reload(request: ApiRequest) -> Response:
    """`GET /reloads/{id}`."""
    return ok(request.tenant_state.apps.serializer.reload(_reload(request)))


def cancel_reload(request: ApiRequest) -> Response:
    """`POST /reloads/{id}/actions/cancel`."""
    if not request.tenant_state.cancel_worker(_reload(request)):
        raise ApiError(409, "Conflict", f"reload {request.params['id']} has ended")
    return no_content(request.tenant_state.switches.cancel_response)


def list_reload_logs(request: ApiRequest) -> Response:
    """`GET /apps/{appId}/reloads/logs`: the reloads of the app that have ended, newest first, on one page."""
    apps, now = request.tenant_state.apps, request.tenant_state.now
    app = app_named(request, request.params["appId"])
    ended = [one for one in apps.reloads_of(app.id) if apps.is_visible(one) and not one.progress.is_active(now)]
    ended.sort(key=lambda reload: reload.progress.created, reverse=True)
    return ok({"data": [apps.serializer.reload_log(reload) for reload in ended]})


def get_reload_log(request: ApiRequest) -> Response:
    """`GET /apps/{appId}/reloads/logs/{id}`."""
    reload = _reload(request)
    if reload.app_id != request.params["appId"]:
        raise ApiError(404, "Not found", f"app {request.params['appId']} has no reload {reload.id}")
    return Text("\n".join(reload.progress.log(request.tenant_state.now)))


def _reload(request: ApiRequest) -> Reload:
    reload = request.tenant_state.apps.reloads.get(request.params["id"])
    if reload is None or not request.tenant_state.apps.is_visible(reload):
        raise ApiError(404, "Not found", f"there is no reload {request.params['id']}")
    return reload


_PATH = "/api/v1/reloads"
_LOGS = "/api/v1/apps/{appId}/reloads/logs"

OPERATIONS = (
    Operation("list_reloads", "GET", (_PATH,), "reloads", "tier_1", list_reloads),
    Operation("create_reload", "POST", (_PATH,), "reloads", "reloads", create_reload, body=schemas.RELOAD_CREATE),
    Operation("get_reload", "GET", (f"{_PATH}/{{id}}",), "reloads", "tier_1", get_reload),
    Operation("cancel_reload", "POST", (f"{_PATH}/{{id}}/actions/cancel",), "reloads", "reloads", cancel_reload),
    Operation("list_reload_logs", "GET", (_LOGS,), "reloads", "tier_1", list_reload_logs),
    Operation("get_reload_log", "GET", (f"{_LOGS}/{{id}}",), "reloads", "tier_1", get_reload_log),
)
