"""The Automations family: runs, and the execution of triggered automations."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import shapes
from airflow_provider_qlik.sandbox.api.automations import PATH, automation_of, automation_operation
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.ground import USER
from airflow_provider_qlik.sandbox.operations import Asked, Handler, Operation, Text, nothing, ok
from airflow_provider_qlik.sandbox.paging import Fields, Paging, filtered, in_order, page
from airflow_provider_qlik.sandbox.records import Automation, AutomationRun
from airflow_provider_qlik.sandbox.statuses import automation_run_status

_PAGING = Paging("cursor", default=10, most=200)
_FILTERED = ("status", "context", "startTime", "title", "spaceId", "ownerId", "executedById", "billable")


def list_automation_runs(asked: Asked) -> Response:
    """`GET /automations/{id}/runs`; sorted by `id`, which is no order in time, unless asked."""
    world, now = asked.world, asked.world.now
    filters: Fields[AutomationRun] = {
        name: lambda run, name=name: world.view.automation_run(run).get(name)  # type: ignore[misc]
        for name in _FILTERED
    }
    fields: Fields[AutomationRun] = {
        "id": lambda run: run.id,
        "status": lambda run: automation_run_status(run.life, now),
        "startTime": lambda run: run.life.created if _shows_created(asked) else run.life.started_at(now),
    }
    visible = [run for run in world.automation_runs[automation_of(asked).id] if world.is_visible(run)]
    found = in_order(asked, filtered(asked, visible, filters), fields, "id", is_signed=False)
    return page(asked, _PAGING, found, world.view.listed_automation_run)


def _shows_created(asked: Asked) -> bool:
    return asked.world.switches.automation_start_time == "created"


def create_automation_run(asked: Asked) -> Response:
    """`POST /automations/{id}/runs`: the one start that answers the run."""
    world, automation = asked.world, automation_of(asked)
    _refuse_disabled(asked, automation)
    inputs, form = asked.body.get("inputs"), world.switches.run_inputs
    if inputs is not None and form == "refused":
        raise Refused(400, "Bad request", "body.inputs is not known")
    run = world.start_automation(
        automation,
        asked.caller.user,
        world.switches.api_context,
        "api",
        inputs=inputs if form == "recorded" else None,
        is_told=True,
    )
    return ok(world.view.automation_run(run), 201)


def get_automation_run(asked: Asked) -> Response:
    """`GET /automations/{id}/runs/{runId}`."""
    return ok(asked.world.view.automation_run(_run(asked)))


def export_automation_run(asked: Asked) -> Response:
    """`POST …/runs/{runId}/actions/export`."""
    run = _run(asked)
    return ok({"url": f"{asked.base_url}{PATH}/{run.automation_id}/runs/{run.id}/debug"})


def retry_automation_run(asked: Asked) -> Response:
    """`POST …/runs/{runId}/actions/retry`: a fresh run, which the answer does not name."""
    run, automation = _run(asked), automation_of(asked)
    _refuse_disabled(asked, automation)
    asked.world.start_automation(automation, asked.caller.user, run.context, "retry", inputs=run.inputs)
    return nothing()


def stop_automation_run(asked: Asked) -> Response:
    """`POST …/runs/{runId}/actions/stop`."""
    run = _run(asked)
    if not asked.world.stop_worker(run) and asked.world.switches.stop_ended == "refused":
        raise Refused(400, "Bad request", f"run {run.id} has ended")
    return nothing()


def get_automation_run_debug(asked: Asked) -> Response:
    """`GET …/runs/{runId}/debug`."""
    return Text("\n".join(_run(asked).life.log(asked.world.now)))


def execute_automation(asked: Asked) -> Response:
    """`POST /api/v1/automations/{id}/actions/execute`: the automation's own token is the only credential."""
    automation = automation_of(asked)
    if automation.members["runMode"] != "triggered":
        raise Refused(400, "Bad request", f"automation {automation.id} is not in run mode triggered")
    token = asked.headers.get("x-execution-token")
    if not token:
        raise Refused(401, "Unauthorized", "the header X-Execution-Token is missing")
    if not secrets.compare_digest(token.encode(), str(automation.members["executionToken"]).encode()):
        raise Refused(403, "Forbidden", "the execution token is not the automation's")
    asked.credential = "execution_token"
    _refuse_disabled(asked, automation)
    owner = asked.world.users.get(automation.members["ownerId"], USER)
    asked.world.start_automation(automation, owner, "api_async", "execute", inputs=asked.body)
    if asked.world.switches.execute_reply == "empty":
        return nothing(200)
    return ok({"message": "Automation started"})


def _run(asked: Asked) -> AutomationRun:
    automation, run_id = automation_of(asked), asked.params["runId"]
    for run in asked.world.automation_runs[automation.id]:
        if run.id == run_id and asked.world.is_visible(run):
            return run
    raise Refused(404, "Not found", f"automation {automation.id} has no run {run_id}")


def _refuse_disabled(asked: Asked, automation: Automation) -> None:
    if automation.is_disabled and asked.world.switches.disabled_start != "accepted":
        raise Refused(400, "Bad request", f"automation {automation.id} is {automation.members['state']}")


def _operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    return automation_operation(name, method, f"/{{id}}/runs{path}", handler, **more)


OPERATIONS = (
    _operation("list_automation_runs", "GET", "", list_automation_runs),
    _operation("create_automation_run", "POST", "", create_automation_run, body=shapes.AUTOMATION_RUN_CREATE),
    _operation("get_automation_run", "GET", "/{runId}", get_automation_run),
    _operation("export_automation_run", "POST", "/{runId}/actions/export", export_automation_run),
    _operation("retry_automation_run", "POST", "/{runId}/actions/retry", retry_automation_run),
    _operation("stop_automation_run", "POST", "/{runId}/actions/stop", stop_automation_run),
    _operation("get_automation_run_debug", "GET", "/{runId}/debug", get_automation_run_debug),
    Operation(
        "execute_automation",
        "POST",
        ("/api/v1/automations/{id}/actions/execute", "/api/workflows/automations/{id}/actions/execute"),
        "automations",
        "tier_2",
        execute_automation,
        needs_credentials=False,
    ),
)
