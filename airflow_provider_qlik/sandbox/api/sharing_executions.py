"""The Sharing tasks family: executing, cancelling, executions and their files."""

from __future__ import annotations

from starlette.responses import Response

from airflow_provider_qlik.sandbox import sharing_schemas as schemas
from airflow_provider_qlik.sandbox.api.sharing_tasks import sharing_operation as _operation
from airflow_provider_qlik.sandbox.api.sharing_tasks import sharing_task_named, sharing_task_of
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Streamed, no_content, ok
from airflow_provider_qlik.sandbox.paging import Fields, Paging, page, sort_items
from airflow_provider_qlik.sandbox.state.files import MEDIA_TYPES
from airflow_provider_qlik.sandbox.state.records import Execution
from airflow_provider_qlik.sandbox.state.statuses import execution_status

_PAGING = Paging(
    "next", default=20, max_limit=200, previous_cursor="prev", items="executions", has_self=True, is_counted=True
)
_LISTED = ("successful", "failed")
_LATEST = (*_LISTED, "cancelled")
_OCTETS = "application/octet-stream"


def execute_sharing_task(request: ApiRequest) -> Response:
    """`POST /sharing-tasks/actions/execute`: the response does not name the executions."""
    tenant_state = request.tenant_state
    task = sharing_task_named(request, request.body["sharingTaskID"])
    why_disabled = None if task.members["enabled"] else "the sharing task is disabled"
    if request.starts(
        why_disabled, "the sharing task is already running" if tenant_state.sharing.is_active(task) else None
    ):
        tenant_state.sharing.execute(task, request.caller.user)
    return no_content()


def cancel_sharing_task(request: ApiRequest) -> Response:
    """`POST /sharing-tasks/{taskId}/actions/cancel`: all executions that have not ended."""
    task = sharing_task_of(request)
    if not request.tenant_state.sharing.cancel(task):
        raise ApiError(404, "Not found", f"sharing task {task.id} has nothing to cancel")
    return no_content()


def list_sharing_task_executions(request: ApiRequest) -> Response:
    """`GET /sharing-tasks/{taskId}/executions`; by default oldest first."""
    sharing = request.tenant_state.sharing
    serializer, found = (
        sharing.serializer,
        _filter_by_status(request, sharing.visible(sharing_task_of(request)), _LISTED),
    )
    fields: Fields[Execution] = {"starttime": serializer.started_at}
    return page(
        request, _PAGING, sort_items(request, found, fields, "starttime", is_signed=False), serializer.execution
    )


def get_sharing_task_execution(request: ApiRequest) -> Response:
    """`GET /sharing-tasks/{taskId}/executions/{executionId}`."""
    return ok(request.tenant_state.sharing.serializer.execution(_execution(request)))


def get_sharing_task_execution_file(request: ApiRequest) -> Response:
    """`GET …/executions/{executionId}/files/{fileAlias}`: generated while it is sent."""
    switches, execution, alias = request.tenant_state.switches, _execution(request), request.params["fileAlias"]
    for file in request.tenant_state.sharing.serializer.files(execution):
        if file.alias == alias:
            own = MEDIA_TYPES.get(file.type, _OCTETS)
            media_type = {"specific": own, "octet-stream": _OCTETS, "absent": None}[switches.file_type]
            chunks = file.chunks(execution.id)
            return Streamed(chunks, file.size, media_type, has_length=switches.file_length == "present")
    raise ApiError(404, "Not found", f"execution {execution.id} has no file {alias}")


def _execution(request: ApiRequest) -> Execution:
    """Return the execution that the path names; `latest` is the one created last. Raises ApiError (404)."""
    sharing, task, execution_id = request.tenant_state.sharing, sharing_task_of(request), request.params["executionId"]
    visible = sharing.visible(task)
    if execution_id == "latest":
        found = _filter_by_status(request, visible, _LATEST)
        found = [max(reversed(found), key=lambda one: one.progress.created)] if found else []
    else:
        found = [execution for execution in visible if execution.id == execution_id]
    if not found:
        raise ApiError(404, "Not found", f"sharing task {task.id} has no execution {execution_id}")
    return found[0]


def _filter_by_status(request: ApiRequest, executions: list[Execution], words: tuple[str, ...]) -> list[Execution]:
    status, now = request.parameter("status"), request.tenant_state.now
    if status not in (None, *words):
        raise ApiError(400, "Bad request", f"status must be one of {', '.join(words)}, not {status!r}")
    return [execution for execution in executions if status in (None, execution_status(execution, now))]


_EXECUTIONS = "/{taskId}/executions"
_FILE = _EXECUTIONS + "/{executionId}/files/{fileAlias}"

OPERATIONS = (
    _operation("execute_sharing_task", "POST", "/actions/execute", execute_sharing_task, body=schemas.EXECUTE),
    _operation("cancel_sharing_task", "POST", "/{taskId}/actions/cancel", cancel_sharing_task),
    _operation("list_sharing_task_executions", "GET", _EXECUTIONS, list_sharing_task_executions),
    _operation("get_sharing_task_execution", "GET", _EXECUTIONS + "/{executionId}", get_sharing_task_execution),
    _operation("get_sharing_task_execution_file", "GET", _FILE, get_sharing_task_execution_file),
)
