"""The Automations family: runs, and the execution of triggered automations."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import schemas
from airflow_provider_qlik.sandbox.api.automations import PATH, automation_of, automation_operation
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, Text, no_content, ok
from airflow_provider_qlik.sandbox.paging import Fields, Paging, filter_items, page, sort_items
from airflow_provider_qlik.sandbox.state.records import Automation, AutomationRun
from airflow_provider_qlik.sandbox.state.shared import USER
from airflow_provider_qlik.sandbox.state.statuses import automation_run_status

_PAGING = Paging("cursor", default=10, max_limit=200)
_FILTERED = ("status", "context", "startTime", "title", "spaceId", "ownerId", "executedById", "billable")


def list_automation_runs(request: ApiRequest) -> Response:
    """`GET /automations/{id}/runs`; by default sorted by `id`, which is not chronological."""
    tenant_state, now = request.tenant_state, request.tenant_state.now
    filters: Fields[AutomationRun] = {
        name: lambda run, name=name: tenant_state.serializer.automation_run(run).get(name)  # type: ignore[misc]
        for name in _FILTERED
    }
    fields: Fields[AutomationRun] = {
        "id": lambda run: run.id,
        "status": lambda run: automation_run_status(run.progress, now),
        "startTime": lambda run: run.progress.created if _shows_created(request) else run.progress.started_at(now),
    }
    visible = [run for run in tenant_state.automation_runs[automation_of(request).id] if tenant_state.is_visible(run)]
    found = sort_items(request, filter_items(request, visible, filters), fields, "id", is_signed=False)
    return page(request, _PAGING, found, tenant_state.serializer.listed_automation_run)


def _shows_created(request: ApiRequest) -> bool:
    return request.tenant_state.switches.automation_start_time == "created"


def create_automation_run(request: ApiRequest) -> Response:
    """`POST /automations/{id}/runs`: the only start whose response contains the run."""
    tenant_state, automation = request.tenant_state, automation_of(request)
    _refuse_disabled(request, automation)
    inputs, form = request.body.get("inputs"), tenant_state.switches.run_inputs
    if inputs is not None and form == "refused":
        raise ApiError(400, "Bad request", "body.inputs is unknown")
    run = tenant_state.start_automation(
        automation,
        request.caller.user,
        tenant_state.switches.api_context,
        "api",
        inputs=inputs if form == "recorded" else None,
        is_visible_at_once=True,
    )
    return ok(tenant_state.serializer.automation_run(run), 201)


def get_automation_run(request: ApiRequest) -> Response:
    """`GET /automations/{id}/runs/{runId}`."""
    return ok(request.tenant_state.serializer.automation_run(_run(request)))


def export_automation_run(request: ApiRequest) -> Response:
    """`POST …/runs/{runId}/actions/export`."""
    run = _run(request)
    return ok({"url": f"{request.base_url}{PATH}/{run.automation_id}/runs/{run.id}/debug"})


def retry_automation_run(request: ApiRequest) -> Response:
    """`POST …/runs/{runId}/actions/retry`: a new run, which the response does not name."""
    run, automation = _run(request), automation_of(request)
    _refuse_disabled(request, automation)
    request.tenant_state.start_automation(automation, request.caller.user, run.context, "retry", inputs=run.inputs)
    return no_content()


def stop_automation_run(request: ApiRequest) -> Response:
    """`POST …/runs/{runId}/actions/stop`."""
    run = _run(request)
    if not request.tenant_state.cancel_worker(run) and request.tenant_state.switches.stop_ended == "refused":
        raise ApiError(400, "Bad request", f"run {run.id} has ended")
    return no_content()


def get_automation_run_debug(request: ApiRequest) -> Response:
    """`GET …/runs/{runId}/debug`."""
    return Text("\n".join(_run(request).progress.log(request.tenant_state.now)))


def execute_automation(request: ApiRequest) -> Response:
    """`POST /api/v1/automations/{id}/actions/execute`: the automation's own token is the only credential."""
    automation = automation_of(request)
    if automation.members["runMode"] != "triggered":
        raise ApiError(400, "Bad request", f"automation {automation.id} is not in run mode triggered")
    token = request.headers.get("x-execution-token")
    if not token:
        raise ApiError(401, "Unauthorized", "the header X-Execution-Token is missing")
    if not secrets.compare_digest(token.encode(), str(automation.members["executionToken"]).encode()):
        raise ApiError(403, "Forbidden", "the execution token is not the automation's")
    request.credential = "execution_token"
    _refuse_disabled(request, automation)
    owner = request.tenant_state.users.get(automation.members["ownerId"], USER)
    request.tenant_state.start_automation(automation, owner, "api_async", "execute", inputs=request.body)
    if request.tenant_state.switches.execute_response == "empty":
        return no_content(200)
    return ok({"message": "Automation started"})


def _run(request: ApiRequest) -> AutomationRun:
    automation, run_id = automation_of(request), request.params["runId"]
    for run in request.tenant_state.automation_runs[automation.id]:
        if run.id == run_id and request.tenant_state.is_visible(run):
            return run
    raise ApiError(404, "Not found", f"automation {automation.id} has no run {run_id}")


def _refuse_disabled(request: ApiRequest, automation: Automation) -> None:
    if automation.is_disabled and request.tenant_state.switches.disabled_start != "accepted":
        raise ApiError(400, "Bad request", f"automation {automation.id} is {automation.members['state']}")


def _operation(name: str, method: str, path: str, handler: Handler, **more: Any) -> Operation:
    return automation_operation(name, method, f"/{{id}}/runs{path}", handler, **more)


OPERATIONS = (
    _operation("list_automation_runs", "GET", "", list_automation_runs),
    _operation("create_automation_run", "POST", "", create_automation_run, body=schemas.AUTOMATION_RUN_CREATE),
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
