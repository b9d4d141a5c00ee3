"""The Tasks family: runs and their logs, at `/api/v1/tasks` and `/api/scheduling/tasks`."""

from __future__ import annotations

from starlette.responses import Response

from airflow_provider_qlik.sandbox.api.tasks import PAGING, operations, task_of
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Text, ok
from airflow_provider_qlik.sandbox.paging import Fields, page, sort_items
from airflow_provider_qlik.sandbox.state.records import TaskRun
from airflow_provider_qlik.sandbox.state.statuses import task_run_status


def list_task_runs(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/runs`."""
    return _run_page(request, request.tenant_state.task_runs[task_of(request).id])


def list_resource_task_runs(request: ApiRequest) -> Response:
    """`GET /tasks/resources/{id}/runs`."""
    return _run_page(request, list(request.tenant_state.resource_task_runs(request.params["id"])))


def _run_page(request: ApiRequest, runs: list[TaskRun]) -> Response:
    tenant_state, now = request.tenant_state, request.tenant_state.now
    fields: Fields[TaskRun] = {
        "startedAt": lambda run: run.progress.created,
        "endedAt": lambda run: run.progress.ended_at(now),
        "status": lambda run: task_run_status(run.progress, tenant_state.switches, now),
        "taskId": lambda run: run.task.id,
        "actionId": lambda run: run.action_id,
    }
    visible = [run for run in runs if tenant_state.is_visible(run)]
    return page(
        request,
        PAGING,
        sort_items(request, visible, fields, "-startedAt", is_signed=True),
        tenant_state.serializer.task_run,
    )


def get_last_task_run(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/runs/last`."""
    runs = [run for run in request.tenant_state.task_runs[task_of(request).id] if request.tenant_state.is_visible(run)]
    if not runs:
        raise ApiError(404, "Not found", "the task has no run")
    return ok(request.tenant_state.serializer.task_run(max(reversed(runs), key=lambda run: run.progress.created)))


def get_task_run_log(request: ApiRequest) -> Response:
    """`GET /tasks/{id}/runs/{runId}/log`."""
    tenant_state, run_id = request.tenant_state, request.params["runId"]
    found = [
        run for run in tenant_state.task_runs[task_of(request).id] if run.id == run_id and tenant_state.is_visible(run)
    ]
    if not found:
        raise ApiError(404, "Not found", f"the task has no run {run_id}")
    progress = found[0].progress
    if tenant_state.switches.running_log == "missing" and progress.is_active(tenant_state.now):
        raise ApiError(404, "Not found", f"run {run_id} has no log yet")
    log = "\n".join(progress.log(tenant_state.now))
    form = tenant_state.switches.log_form
    accept = request.headers.get("accept", "*/*")
    if form == "text" or (form == "accept" and "text/plain" in accept and "json" not in accept):
        return Text(log)
    response = ok({"logContent": log})
    if form == "text_json":
        response.headers["content-type"] = "text/plain; charset=utf-8"
    return response


OPERATIONS = (
    *operations("list_resource_task_runs", "GET", "/resources/{id}/runs", list_resource_task_runs),
    *operations("list_task_runs", "GET", "/{id}/runs", list_task_runs),
    *operations("get_last_task_run", "GET", "/{id}/runs/last", get_last_task_run),
    *operations("get_task_run_log", "GET", "/{id}/runs/{runId}/log", get_task_run_log),
)
