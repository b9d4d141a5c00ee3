"""The Automations family, apart from runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, no_content, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, filter_items, page, sort_items
from airflow_provider_qlik.sandbox.permissions import sees
from airflow_provider_qlik.sandbox.state.records import Automation, AutomationRun
from airflow_provider_qlik.sandbox.state.state import TenantState
from airflow_provider_qlik.sandbox.state.statuses import automation_run_status

PATH = "/api/workflows/automations"

_PAGING = Paging("cursor", default=100, max_limit=200)
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
    """Return the automation that the path names. Raises ApiError (404)."""
    automation = request.tenant_state.automations.get(request.params["id"])
    if automation is None:
        raise ApiError(404, "Not found", f"there is no automation {request.params['id']}")
    return automation


def list_automations(request: ApiRequest) -> Response:
    """`GET /automations`."""
    tenant_state = request.tenant_state

    def member(name: str) -> Callable[[Automation], Any]:
        return lambda automation: _serialize(tenant_state, automation).get(name)

    fields: Fields[Automation] = {name: member(name) for name in _SORTED}
    fields |= {"createdAt": lambda one: one.created, "updatedAt": lambda one: one.updated}
    visible = [
        automation
        for automation in tenant_state.automations.values()
        if sees(tenant_state, request.caller.user, automation)
    ]
    found = filter_items(request, visible, {name: member(name) for name in _FILTERED})
    found = sort_items(request, found, fields, "id", is_signed=False)
    return page(request, _PAGING, found, lambda automation: _serialize_listed(tenant_state, automation))


def create_automation(request: ApiRequest) -> Response:
    """`POST /automations`."""
    members = _writable_members(request, "spaceId")
    return ok(_serialize(request.tenant_state, request.tenant_state.add_automation(members, request.caller.user)), 201)


def get_automation(request: ApiRequest) -> Response:
    """`GET /automations/{id}`."""
    return ok(_serialize(request.tenant_state, automation_of(request)))


def update_automation(request: ApiRequest) -> Response:
    """`PUT /automations/{id}`."""
    automation = automation_of(request)
    _change(request, automation, **_writable_members(request))
    return ok(_serialize(request.tenant_state, automation))


def delete_automation(request: ApiRequest) -> Response:
    """`DELETE /automations/{id}`."""
    del request.tenant_state.automations[automation_of(request).id]
    return no_content()


def change_automation_owner(request: ApiRequest) -> Response:
    """`POST …/actions/change-owner` and `…/actions/move`: the history of runs is lost."""
    tenant_state, automation, user_id = request.tenant_state, automation_of(request), request.body["userId"]
    if user_id not in tenant_state.users:
        raise ApiError(400, "Bad request", f"there is no user {user_id}")
    _change(request, automation, ownerId=user_id)
    runs = tenant_state.automation_runs[automation.id]
    runs[:] = [run for run in runs if run.progress.is_active(tenant_state.now)]
    return no_content()


def change_automation_space(request: ApiRequest) -> Response:
    """`POST …/actions/change-space`; without a body, to the owner's personal space."""
    automation = automation_of(request)
    _change(request, automation, spaceId=request.body["spaceId"] if request.body else None)
    return no_content()


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
    return no_content()


def enable_automation(request: ApiRequest) -> Response:
    """`POST …/actions/enable`."""
    _change(request, automation_of(request), state="available")
    return no_content()


def get_automation_settings(request: ApiRequest) -> Response:
    """`GET /automations/settings`."""
    return ok({"maxConcurrentRunsPerAutomation": request.tenant_state.max_concurrent_runs})


def update_automation_settings(request: ApiRequest) -> Response:
    """`PUT /automations/settings`."""
    max_runs = request.body.get("maxConcurrentRunsPerAutomation", request.tenant_state.max_concurrent_runs)
    if max_runs < 1:
        raise ApiError(400, "Bad request", "body.maxConcurrentRunsPerAutomation must be at least 1")
    request.tenant_state.max_concurrent_runs = max_runs
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
        detail = f"filter must name metrics ({', '.join(_METRICS)}) and may name dates, but is {text}"
        raise ApiError(400, "Bad request", detail)
    split = request.parameter("breakdownBy") is not None
    counts: Counter[tuple[str, str, str]] = Counter()
    for automation in request.tenant_state.automations.values():
        for run in request.tenant_state.automation_runs[automation.id]:
            day = f"{run.progress.created:%Y-%m-%d}"
            if days and not days[0] <= day <= days[-1]:
                continue
            for metric in metrics:
                key = (day, metric, automation.id if split else "")
                counts[key] += _measure(request.tenant_state, automation, run, metric)
    return ok({"data": [_usage(request.tenant_state, *key, value) for key, value in sorted(counts.items())]})


def _measure(tenant_state: TenantState, automation: Automation, run: AutomationRun, metric: str) -> int:
    if metric == "runs":
        return 1
    if metric in _RUN_MODE_OF_METRIC:
        return int(automation.members["runMode"] == _RUN_MODE_OF_METRIC[metric])
    return int(tenant_state.serializer.duration(run).get("duration", 0)) if metric == "duration" else 0


def _usage(tenant_state: TenantState, day: str, metric: str, automation_id: str, value: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"date": day, "name": _METRICS[metric], "value": value}
    if automation_id:
        members = tenant_state.automations[automation_id].members
        usage["automation"] = {"guid": automation_id, "name": members["name"], "ownerId": members["ownerId"]}
    return usage


def _last_run(tenant_state: TenantState, automation: Automation) -> AutomationRun | None:
    runs = [run for run in tenant_state.automation_runs[automation.id] if tenant_state.is_visible(run)]
    return max(reversed(runs), key=lambda run: run.progress.created, default=None)


def _serialize(tenant_state: TenantState, automation: Automation) -> dict[str, Any]:
    serializer = tenant_state.serializer
    members = automation.members | {
        "createdAt": serializer.automation_time(automation.created),
        "updatedAt": serializer.automation_time(automation.updated),
    }
    if run := _last_run(tenant_state, automation):
        status = automation_run_status(run.progress, tenant_state.now)
        members["lastRun"] = serializer.automation_run(run)
        # The status "queued" exists for runs only.
        members["lastRunStatus"] = "not started" if status == "queued" else status
        if ended := run.progress.ended_at(tenant_state.now):
            members["lastRunAt"] = serializer.automation_time(ended)
    return members


def _serialize_listed(tenant_state: TenantState, automation: Automation) -> dict[str, Any]:
    members = _serialize(tenant_state, automation) | tenant_state.serializer.duration(
        _last_run(tenant_state, automation)
    )
    del members["schedules"]
    return members


def _writable_members(request: ApiRequest, *more: str) -> dict[str, Any]:
    """Return the members of the body that a caller may write; `more` names further ones."""
    names = ("name", "schedules", "workspace", "description", "maxConcurrentRuns", *more)
    members = {name: value for name, value in request.body.items() if name in names}
    for schedule in members.get("schedules", []):
        schedule.setdefault("id", str(uuid4()))
    if "maxConcurrentRuns" in members:
        members["maxConcurrentRuns"] = min(members["maxConcurrentRuns"], request.tenant_state.max_concurrent_runs)
    return members


def _change(request: ApiRequest, automation: Automation, **members: Any) -> None:
    changed = automation.members | members
    automation.members = {name: value for name, value in changed.items() if value is not None}
    automation.updated = request.tenant_state.now
    request.tenant_state.admit_runs(automation)


def automation_operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    """Return an operation of the Automations family."""
    return Operation(name, method, (PATH + path,), "automations", tier_of(method), handler, **more)


_operation = automation_operation


def _action(name: str, word: str, handler: Handler, **more: Any) -> Operation:
    return _operation(name, "POST", f"/{{id}}/actions/{word}", handler, **more)


_SETTINGS = schemas.AUTOMATION_SETTINGS
_OWNER = schemas.AUTOMATION_OWNER_CHANGE
_SPACE = schemas.AUTOMATION_SPACE_CHANGE

OPERATIONS = (
    _operation("get_automation_settings", "GET", "/settings", get_automation_settings),
    _operation("update_automation_settings", "PUT", "/settings", update_automation_settings, body=_SETTINGS),
    _operation("list_automation_usage", "GET", "/usage", list_automation_usage),
    _operation("list_automations", "GET", "", list_automations),
    _operation("create_automation", "POST", "", create_automation, body=schemas.AUTOMATION_CREATE),
    _operation("get_automation", "GET", "/{id}", get_automation),
    _operation("update_automation", "PUT", "/{id}", update_automation, body=schemas.AUTOMATION_UPDATE),
    _operation("delete_automation", "DELETE", "/{id}", delete_automation),
    _action("change_automation_owner", "change-owner", change_automation_owner, body=_OWNER),
    _action(
        "change_automation_space",
        "change-space",
        change_automation_space,
        body=_SPACE,
        is_body_required=False,
    ),
    _action("copy_automation", "copy", copy_automation, body=schemas.AUTOMATION_COPY),
    _action("disable_automation", "disable", disable_automation),
    _action("enable_automation", "enable", enable_automation),
    _action("move_automation", "move", change_automation_owner, body=_OWNER),
)
