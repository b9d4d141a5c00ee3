"""The Automations family, apart from runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from starlette.responses import Response

from airflow_provider_qlik.sandbox import shapes
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Handler, Operation, nothing, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, filtered, in_order, page
from airflow_provider_qlik.sandbox.records import Automation, AutomationRun
from airflow_provider_qlik.sandbox.rights import sees
from airflow_provider_qlik.sandbox.statuses import automation_run_status
from airflow_provider_qlik.sandbox.world import World

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


def automation_of(asked: Asked) -> Automation:
    """The automation that the path names, or 404."""
    automation = asked.world.automations.get(asked.params["id"])
    if automation is None:
        raise Refused(404, "Not found", f"there is no automation {asked.params['id']}")
    return automation


def list_automations(asked: Asked) -> Response:
    """`GET /automations`."""
    world = asked.world

    def member(name: str) -> Callable[[Automation], Any]:
        return lambda automation: _shown(world, automation).get(name)

    fields: Fields[Automation] = {name: member(name) for name in _SORTED}
    fields |= {"createdAt": lambda one: one.created, "updatedAt": lambda one: one.updated}
    seen = [automation for automation in world.automations.values() if sees(world, asked.caller.user, automation)]
    found = filtered(asked, seen, {name: member(name) for name in _FILTERED})
    found = in_order(asked, found, fields, "id", is_signed=False)
    return page(asked, _PAGING, found, lambda automation: _listed(world, automation))


def create_automation(asked: Asked) -> Response:
    """`POST /automations`."""
    members = _written(asked, "spaceId")
    return ok(_shown(asked.world, asked.world.add_automation(members, asked.caller.user)), 201)


def get_automation(asked: Asked) -> Response:
    """`GET /automations/{id}`."""
    return ok(_shown(asked.world, automation_of(asked)))


def update_automation(asked: Asked) -> Response:
    """`PUT /automations/{id}`."""
    automation = automation_of(asked)
    _change(asked, automation, **_written(asked))
    return ok(_shown(asked.world, automation))


def delete_automation(asked: Asked) -> Response:
    """`DELETE /automations/{id}`."""
    del asked.world.automations[automation_of(asked).id]
    return nothing()


def change_automation_owner(asked: Asked) -> Response:
    """`POST …/actions/change-owner` and `…/actions/move`: the history is lost."""
    world, automation, user_id = asked.world, automation_of(asked), asked.body["userId"]
    if user_id not in world.users:
        raise Refused(400, "Bad request", f"there is no user {user_id}")
    _change(asked, automation, ownerId=user_id)
    runs = world.automation_runs[automation.id]
    runs[:] = [run for run in runs if run.life.is_active(world.now)]
    return nothing()


def change_automation_space(asked: Asked) -> Response:
    """`POST …/actions/change-space`; without a body, back to the owner's own space."""
    automation = automation_of(asked)
    _change(asked, automation, spaceId=asked.body["spaceId"] if asked.body else None)
    return nothing()


def copy_automation(asked: Asked) -> Response:
    """`POST …/actions/copy`."""
    automation = automation_of(asked)
    members = {
        name: value
        for name, value in automation.members.items()
        if name not in ("id", "executionToken", "ownerId", "state")
    }
    copy = asked.world.add_automation(members | {"name": asked.body["name"]}, asked.caller.user)
    return ok({"id": copy.id}, 201)


def disable_automation(asked: Asked) -> Response:
    """`POST …/actions/disable`."""
    _change(asked, automation_of(asked), state="disabled")
    return nothing()


def enable_automation(asked: Asked) -> Response:
    """`POST …/actions/enable`."""
    _change(asked, automation_of(asked), state="available")
    return nothing()


def get_automation_settings(asked: Asked) -> Response:
    """`GET /automations/settings`."""
    return ok({"maxConcurrentRunsPerAutomation": asked.world.most_concurrent_runs})


def update_automation_settings(asked: Asked) -> Response:
    """`PUT /automations/settings`."""
    most = asked.body.get("maxConcurrentRunsPerAutomation", asked.world.most_concurrent_runs)
    if most < 1:
        raise Refused(400, "Bad request", "body.maxConcurrentRunsPerAutomation must be at least 1")
    asked.world.most_concurrent_runs = most
    for automation in asked.world.automations.values():
        asked.world.admit_runs(automation)
    return get_automation_settings(asked)


def list_automation_usage(asked: Asked) -> Response:
    """`GET /automations/usage`: the metrics that the filter names, per day, in all or per automation."""
    text = asked.parameter("filter")
    if not text:
        raise Refused(400, "Bad request", "filter is missing")
    words = re.findall(r'"([^"]*)"', text)
    metrics = [word for word in words if word in _METRICS]
    days = sorted(word[:10] for word in words if word not in metrics)
    if not metrics or not all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days):
        detail = f"filter must name metrics ({', '.join(_METRICS)}) and may name dates, and not {text}"
        raise Refused(400, "Bad request", detail)
    split = asked.parameter("breakdownBy") is not None
    counts: Counter[tuple[str, str, str]] = Counter()
    for automation in asked.world.automations.values():
        for run in asked.world.automation_runs[automation.id]:
            day = f"{run.life.created:%Y-%m-%d}"
            if days and not days[0] <= day <= days[-1]:
                continue
            for metric in metrics:
                place = (day, metric, automation.id if split else "")
                counts[place] += _measure(asked.world, automation, run, metric)
    return ok({"data": [_usage(asked.world, *place, value) for place, value in sorted(counts.items())]})


def _measure(world: World, automation: Automation, run: AutomationRun, metric: str) -> int:
    if metric == "runs":
        return 1
    if metric in _RUN_MODE_OF_METRIC:
        return int(automation.members["runMode"] == _RUN_MODE_OF_METRIC[metric])
    return int(world.view.duration(run).get("duration", 0)) if metric == "duration" else 0


def _usage(world: World, day: str, metric: str, automation_id: str, value: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"date": day, "name": _METRICS[metric], "value": value}
    if automation_id:
        members = world.automations[automation_id].members
        usage["automation"] = {"guid": automation_id, "name": members["name"], "ownerId": members["ownerId"]}
    return usage


def _last_run(world: World, automation: Automation) -> AutomationRun | None:
    runs = [run for run in world.automation_runs[automation.id] if world.is_visible(run)]
    return max(reversed(runs), key=lambda run: run.life.created, default=None)


def _shown(world: World, automation: Automation) -> dict[str, Any]:
    view = world.view
    shown = automation.members | {
        "createdAt": view.automation_time(automation.created),
        "updatedAt": view.automation_time(automation.updated),
    }
    if run := _last_run(world, automation):
        status = automation_run_status(run.life, world.now)
        shown["lastRun"] = view.automation_run(run)
        # The word "queued" exists for runs alone.
        shown["lastRunStatus"] = "not started" if status == "queued" else status
        if ended := run.life.ended_at(world.now):
            shown["lastRunAt"] = view.automation_time(ended)
    return shown


def _listed(world: World, automation: Automation) -> dict[str, Any]:
    shown = _shown(world, automation) | world.view.duration(_last_run(world, automation))
    del shown["schedules"]
    return shown


def _written(asked: Asked, *more: str) -> dict[str, Any]:
    """What a caller may write of an automation."""
    names = ("name", "schedules", "workspace", "description", "maxConcurrentRuns", *more)
    members = {name: value for name, value in asked.body.items() if name in names}
    for schedule in members.get("schedules", []):
        schedule.setdefault("id", str(uuid4()))
    if "maxConcurrentRuns" in members:
        members["maxConcurrentRuns"] = min(members["maxConcurrentRuns"], asked.world.most_concurrent_runs)
    return members


def _change(asked: Asked, automation: Automation, **members: Any) -> None:
    changed = automation.members | members
    automation.members = {name: value for name, value in changed.items() if value is not None}
    automation.updated = asked.world.now
    asked.world.admit_runs(automation)


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
