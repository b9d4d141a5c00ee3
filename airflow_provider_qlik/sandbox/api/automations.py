"""The Automations family, apart from runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas as shapes
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, nothing, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, filtered, in_order, page
from airflow_provider_qlik.sandbox.permissions import sees
from airflow_provider_qlik.sandbox.state.records import Automation, AutomationRun
from airflow_provider_qlik.sandbox.state.state import TenantState
from airflow_provider_qlik.sandbox.state.statuses import automation_run_status

PATH = "/api/workflows/automations"

_PAGING = Paging("cursor", default=100, most=200)
_SORTED = ("id", "name", "runMode", "state", "lastRunAt", "lastRunStatus", "maxConcurrentRuns")
_FILTERED = ("name", "runMode", "lastRunStatus", "ownerId", "spaceId")
_METRICS = {
    "runs": "runs",
    "scheduledRuns": "scheduledRun",
    "triggeredRuns": "triggeredRun",
    "webhookRuns": "webhookRuns",
    "duration": "duration",
    "bandwidthIn": "bandwidthIn",
    "bandwidthOut": "bandwidthOut",
}
_RUN_MODE_OF_METRIC = {"scheduledRuns": "scheduled", "triggeredRuns": "triggered", "webhookRuns": "webhook"}


def automation_of(request: ApiRequest) -> Automation:
    """The automation that the path names, or 404."""
    automation = request.tenant_state.automations.get(request.params["id"])
    if automation is None:
        raise ApiError(404, "Not found", f"there is no automation {asked.params['id']}")
    return automation


def list_automations(request: ApiRequest) -> Response:
    """`GET /automations`."""
    tenant_state = request.tenant_state

    def member(name: str) -> Callable[[Automation], Any]:
        return lambda automation: _shown(tenant_state, automation).get(name)

    fields: Fields[Automation] = {name: member(name) for name in _SORTED}
    fields |= {"createdAt": lambda one: one.created, "updatedAt": lambda one: one.updated}
    seen = [
        automation
        for automation in tenant_state.automations.values()
        if sees(tenant_state, request.caller.user, automation)
    ]
    found = filtered(request, seen, {name: member(name) for name in _FILTERED})
    found = in_order(request, found, fields, "id", is_signed=False)
    return page(request, _PAGING, found, lambda automation: _listed(tenant_state, automation))


def create_automation(request: ApiRequest) -> Response:
    """`POST /automations`."""
    members = _written(request, "spaceId")
    return ok(_shown(request.tenant_state, request.tenant_state.add_automation(members, request.caller.user)), 201)


def get_automation(request: ApiRequest) -> Response:
    """`GET /automations/{id}`."""
    return ok(_shown(request.tenant_state, automation_of(request)))


def update_automation(request: ApiRequest) -> Response:
    """`PUT /automations/{id}`."""
    automation = automation_of(request)
    _change(request, automation, **_written(request))
    return ok(_shown(request.tenant_state, automation))


def delete_automation(request: ApiRequest) -> Response:
    """`DELETE /automations/{id}`."""
    del request.tenant_state.automations[automation_of(request).id]
    return nothing()


def change_automation_owner(request: ApiRequest) -> Response:
    """`POST …/actions/change-owner` and `…/actions/move`: the history is lost."""
    tenant_state, automation, user_id = request.tenant_state, automation_of(request), request.body["userId"]
    if user_id not in tenant_state.users:
        raise ApiError(400, "Bad request", f"there is no user {user_id}")
    _change(request, automation, ownerId=user_id)
    runs = tenant_state.automation_runs[automation.id]
    runs[:] = [run for run in runs if run.life.is_active(tenant_state.now)]
    return nothing()


def change_automation_space(request: ApiRequest) -> Response:
    """`POST …/actions/change-space`; without a body, back to the owner's own space."""
    automation = automation_of(request)
    _change(request, automation, spaceId=request.body["spaceId"] if request.body else None)
    return nothing()


def copy_automation(request: ApiRequest) -> Response:
    """`POST …/actions/copy`."""
    automation = automation_of(request)
    members = {
        name: value
        for name, value in automation.members.items()
        if name not in ("id", "executionToken", "ownerId", "state")
    }
    copy = request.tenant_state.add_automation(members | {"name": request.body["name"]}, request.caller.user)
    return ok({"id": copy.id}, 201)


def disable_automation(request: ApiRequest) -> Response:
    """`POST …/actions/disable`."""
    _change(request, automation_of(request), state="disabled")
    return nothing()


def enable_automation(request: ApiRequest) -> Response:
    """`POST …/actions/enable`."""
    _change(request, automation_of(request), state="available")
    return nothing()


def get_automation_settings(request: ApiRequest) -> Response:
    """`GET /automations/settings`."""
    return ok({"maxConcurrentRunsPerAutomation": request.tenant_state.most_concurrent_runs})


def update_automation_settings(request: ApiRequest) -> Response:
    """`PUT /automations/settings`."""
    most = request.body.get("maxConcurrentRunsPerAutomation", request.tenant_state.most_concurrent_runs)
    if most < 1:
        raise ApiError(400, "Bad request", "body.maxConcurrentRunsPerAutomation must be at least 1")
    request.tenant_state.most_concurrent_runs = most
    for automation in request.tenant_state.automations.values():
        request.tenant_state.admit_runs(automation)
    return get_automation_settings(request)


def list_automation_usage(request: ApiRequest) -> Response:
    """`GET /automations/usage`: the metrics that the filter names, per day, in all or per automation."""
    text = request.parameter("filter")
    if not text:
        raise ApiError(400, "Bad request", "filter is missing")
    words = re.findall(r'"([^"]*)"', text)
    metrics = [word for word in words if word in _METRICS]
    days = sorted(word[:10] for word in words if word not in metrics)
    if not metrics or not all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days):
        detail = f"filter must name metrics ({', '.join(_METRICS)}) and may name dates, and not {text}"
        raise ApiError(400, "Bad request", detail)
    split = request.parameter("breakdownBy") is not None
    counts: Counter[tuple[str, str, str]] = Counter()
    for automation in request.tenant_state.automations.values():
        for run in request.tenant_state.automation_runs[automation.id]:
            day = f"{run.life.created:%Y-%m-%d}"
            if days and not days[0] <= day <= days[-1]:
                continue
            for metric in metrics:
                place = (day, metric, automation.id if split else "")
                counts[place] += _measure(request.tenant_state, automation, run, metric)
    return ok({"data": [_usage(request.tenant_state, *place, value) for place, value in sorted(counts.items())]})


def _measure(tenant_state: TenantState, automation: Automation, run: AutomationRun, metric: str) -> int:
    if metric == "runs":
        return 1
    if metric in _RUN_MODE_OF_METRIC:
        return int(automation.members["runMode"] == _RUN_MODE_OF_METRIC[metric])
    return int(tenant_state.view.duration(run).get("duration", 0)) if metric == "duration" else 0


def _usage(tenant_state: TenantState, day: str, metric: str, automation_id: str, value: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"date": day, "name": _METRICS[metric], "value": value}
    if automation_id:
        members = tenant_state.automations[automation_id].members
        usage["automation"] = {"guid": automation_id, "name": members["name"], "ownerId": members["ownerId"]}
    return usage


def _last_run(tenant_state: TenantState, automation: Automation) -> AutomationRun | None:
    runs = [run for run in tenant_state.automation_runs[automation.id] if tenant_state.is_visible(run)]
    return max(reversed(runs), key=lambda run: run.life.created, default=None)


def _shown(tenant_state: TenantState, automation: Automation) -> dict[str, Any]:
    view = tenant_state.view
    shown = automation.members | {
        "createdAt": view.automation_time(automation.created),
        "updatedAt": view.automation_time(automation.updated),
    }
    if run := _last_run(tenant_state, automation):
        status = automation_run_status(run.life, tenant_state.now)
        shown["lastRun"] = view.automation_run(run)
        # The word "queued" exists for runs alone.
        shown["lastRunStatus"] = "not started" if status == "queued" else status
        if ended := run.life.ended_at(tenant_state.now):
            shown["lastRunAt"] = view.automation_time(ended)
    return shown


def _listed(tenant_state: TenantState, automation: Automation) -> dict[str, Any]:
    shown = _shown(tenant_state, automation) | tenant_state.view.duration(_last_run(tenant_state, automation))
    del shown["schedules"]
    return shown


def _written(request: ApiRequest, *more: str) -> dict[str, Any]:
    """What a caller may write of an automation."""
    names = ("name", "schedules", "workspace", "description", "maxConcurrentRuns", *more)
    members = {name: value for name, value in request.body.items() if name in names}
    for schedule in members.get("schedules", []):
        schedule.setdefault("id", str(uuid4()))
    if "maxConcurrentRuns" in members:
        members["maxConcurrentRuns"] = min(members["maxConcurrentRuns"], request.tenant_state.most_concurrent_runs)
    return members


def _change(request: ApiRequest, automation: Automation, **members: Any) -> None:
    changed = automation.members | members
    automation.members = {name: value for name, value in changed.items() if value is not None}
    automation.updated = request.tenant_state.now
    request.tenant_state.admit_runs(automation)


def automation_operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    """An operation of the Automations family."""
    return Operation(name, method, (PATH + path,), "automations", tier_of(method), handler, **more)


_operation = automation_operation


def _action(name: str, word: str, handler: Handler, **more: Any) -> Operation:
    return _operation(name, "POST", f"/{{id}}/actions/{word}", handler, **more)


_SETTINGS = shapes.AUTOMATION_SETTINGS
_OWNER = shapes.AUTOMATION_OWNER_CHANGE
_SPACE = shapes.AUTOMATION_SPACE_CHANGE

OPERATIONS = (
    _operation("get_automation_settings", "GET", "/settings", get_automation_settings),
    _operation("update_automation_settings", "PUT", "/settings", update_automation_settings, body=_SETTINGS),
    _operation("list_automation_usage", "GET", "/usage", list_automation_usage),
    _operation("list_automations", "GET", "", list_automations),
    _operation("create_automation", "POST", "", create_automation, body=shapes.AUTOMATION_CREATE),
    _operation("get_automation", "GET", "/{id}", get_automation),
    _operation("update_automation", "PUT", "/{id}", update_automation, body=shapes.AUTOMATION_UPDATE),
    _operation("delete_automation", "DELETE", "/{id}", delete_automation),
    _action("change_automation_owner", "change-owner", change_automation_owner, body=_OWNER),
    _action(
        "change_automation_space",
        "change-space",
        change_automation_space,
        body=_SPACE,
        is_body_required=False,
    ),
    _action("copy_automation", "copy", copy_automation, body=shapes.AUTOMATION_COPY),
    _action("disable_automation", "disable", disable_automation),
    _action("enable_automation", "enable", enable_automation),
    _action("move_automation", "move", change_automation_owner, body=_OWNER),
)
