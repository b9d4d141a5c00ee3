"""The Sharing tasks family, apart from executions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import sharing_schemas as schemas
from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Handler, Operation, no_content, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, page, sort_items
from airflow_provider_qlik.sandbox.permissions import sees_sharing_task
from airflow_provider_qlik.sandbox.schemas import check
from airflow_provider_qlik.sandbox.serializers.base import TENANT_ID
from airflow_provider_qlik.sandbox.state.records import SharingTask, User
from airflow_provider_qlik.sandbox.state.sharing import MAX_RECIPIENTS, stored_recipients
from airflow_provider_qlik.sandbox.state.times import stamp

_PAGING = Paging(
    "page",
    default=20,
    max_limit=100,
    cursor_aliases=("next", "prev"),
    items="sharingTasks",
    has_self=True,
    is_counted=True,
)
_SORTED = {
    "name": "name",
    "ownername": "ownerName",
    "enabled": "enabled",
    "status": "statusCode",
    "type": "type",
    "sent": "lastRun",
    "scheduled": "nextScheduledRun",
    "appname": "appName",
    "appid": "appId",
}


def list_sharing_tasks(request: ApiRequest) -> Response:
    """`GET /sharing-tasks`."""
    sharing, excludes_deleting = request.tenant_state.sharing, request.flag("excludeDeleting")
    types, roles = _query_words(request, "type", schemas.TYPES), _query_words(request, "role", schemas.ROLES)
    templates = request.parameters("templateId")
    found = [
        (task, members)
        for task in sharing.tasks.values()
        if sees_sharing_task(request.caller.user, task)
        and (members := sharing.serialize(task))
        and all(
            request.parameter(name) in (None, members.get(member))
            for name, member in (("appid", "appId"), ("owner", "owner"), ("ownername", "ownerName"))
        )
        and not (excludes_deleting and members["statusCode"] == "DELETING")
        and (not types or members.get("type") in types)
        and (not roles or any(_has_role(task, request.caller.user, role) for role in roles))
        and (not templates or any(one.get("templateId") in templates for one in members.get("templates", [])))
    ]
    fields: Fields[tuple[SharingTask, dict[str, Any]]] = {
        name: lambda pair, member=member: pair[1].get(member)  # type: ignore[misc]
        for name, member in _SORTED.items()
    }
    fields["datecreated"] = lambda pair: pair[0].created
    ordered = sort_items(request, found, fields, "-datecreated", is_signed=False)
    return page(request, _PAGING, ordered, lambda pair: pair[1])


def _query_words(request: ApiRequest, name: str, allowed: Collection[str]) -> list[str]:
    words = request.parameters(name)
    if unknown := [word for word in words if word not in allowed]:
        raise ApiError(400, "Bad request", f"{name} must be one of {', '.join(allowed)}, not {unknown[0]!r}")
    return words


def _has_role(task: SharingTask, user: User, role: str) -> bool:
    if role == "owner":
        return bool(task.members["owner"] == user.id)
    return any(recipient.value == user.id for recipient in task.recipients)


def create_sharing_task(request: ApiRequest) -> Response:
    """`POST /sharing-tasks`."""
    tenant_state, body = request.tenant_state, request.body
    members = {name: value for name, value in body.items() if name in schemas.SHARING_TASK}
    app_id = next(filter(None, (_app_of(template) for template in body["templates"])), None)
    if app_id:
        members["appId"] = app_id
    recipients = body.get("recipients", {})
    count = len(recipients.get("userIds", [])) + len(recipients.get("emailAddresses", []))
    if count > MAX_RECIPIENTS:
        raise ApiError(400, "Bad request", f"body.recipients has more than {MAX_RECIPIENTS} recipients")
    task = tenant_state.sharing.add_task(members, request.caller.user)
    if body.get("executeOnCreation"):
        tenant_state.sharing.execute(task, request.caller.user)
    return ok(tenant_state.sharing.serialize(task), 201)


def _app_of(template: dict[str, Any]) -> str | None:
    """Return the id of the app that a template is made from, whichever member holds it."""
    parts = [template.get(name) or {} for name in ("chartData", "sheetData", "storyData")]
    return next((part["appId"] for part in (*parts, *template.get("multiSheetData", [])) if "appId" in part), None)


def get_sharing_task(request: ApiRequest) -> Response:
    """`GET /sharing-tasks/{taskId}`."""
    task = sharing_task_of(request)
    if request.flag("isViewChart"):
        task.last_viewed = request.tenant_state.now
    return ok(request.tenant_state.sharing.serialize(task))


def patch_sharing_task(request: ApiRequest) -> Response:
    """`PATCH /sharing-tasks/{taskId}`: all operations are applied, or none."""
    task = sharing_task_of(request)
    members = dict(task.members)
    for place, operation in enumerate(request.body):
        name = operation["path"].removeprefix("/")
        if operation["op"] == "remove":
            members.pop(name, None)
            continue
        where = f"body[{place}]"
        if "value" not in operation:
            raise ApiError(400, "Bad request", f"{where}.value is missing")
        check(operation["value"], schemas.VALUES_BY_PATH[operation["path"]], f"{where}.value")
        members |= _changed(request, name, operation["value"])
    task.members = {"name": task.members["name"], "enabled": True} | members
    task.updated = request.tenant_state.now
    return no_content()


def _changed(request: ApiRequest, name: str, value: Any) -> dict[str, Any]:
    if name == "ownerId":
        owner = request.tenant_state.users.get(value)
        return {"owner": value, "ownerName": owner.name if owner else value}
    if name == "tags":
        return {"tags": [value] if isinstance(value, str) else value}
    if name == "recipients":
        return {"recipients": stored_recipients(value)}
    return {name: value} if name in schemas.SHARING_TASK else {}


def delete_sharing_task(request: ApiRequest) -> Response:
    """`DELETE /sharing-tasks/{taskId}`."""
    del request.tenant_state.sharing.tasks[sharing_task_of(request).id]
    return no_content()


def get_sharing_settings(request: ApiRequest) -> Response:
    """`GET /sharing-tasks/settings`."""
    sharing = request.tenant_state.sharing
    return ok(
        {
            "tenantId": TENANT_ID,
            "maxRecipients": MAX_RECIPIENTS,
            "reportSubscriptionStatus": "none",
            "maxSubscriptionRecipients": MAX_RECIPIENTS,
            "reporting-service-license-status": "enabled",
            "reportSubscriptionStatusChangeTime": stamp(sharing.settings_changed, 0),
            **sharing.settings,
        }
    )


def patch_sharing_settings(request: ApiRequest) -> Response:
    """`PATCH /sharing-tasks/settings`."""
    return _set(request, {operation["path"].removeprefix("/"): operation["value"] for operation in request.body})


def update_sharing_settings(request: ApiRequest) -> Response:
    """`PUT /sharing-tasks/settings`."""
    return _set(request, {"enable-sharing": request.body["enable-sharing"]})


def _set(request: ApiRequest, switches: dict[str, bool]) -> Response:
    sharing = request.tenant_state.sharing
    if (
        switches.get("enable-report-subscription", sharing.settings["enable-report-subscription"])
        != (sharing.settings["enable-report-subscription"])
    ):
        sharing.settings_changed = request.tenant_state.now
    sharing.settings |= switches
    return no_content()


def sharing_task_of(request: ApiRequest) -> SharingTask:
    """Return the sharing task that the path names. Raises ApiError (404)."""
    return sharing_task_named(request, request.params["taskId"])


def sharing_task_named(request: ApiRequest, task_id: str) -> SharingTask:
    """Return the sharing task with that id. Raises ApiError (404)."""
    task = request.tenant_state.sharing.tasks.get(task_id)
    if task is None:
        raise ApiError(404, "Not found", f"there is no sharing task {task_id}")
    return task


def _require_sharing(handler: Handler) -> Handler:
    def wrapper(request: ApiRequest) -> Response:
        if not request.tenant_state.sharing.settings["enable-sharing"]:
            raise ApiError(403, "Forbidden", "sharing is disabled for the tenant")
        return handler(request)

    return wrapper


def sharing_operation(
    name: str, method: str, path: str, handler: Handler, *, needs_sharing: bool = True, **more: Any
) -> Operation:
    """Return an operation of the Sharing tasks family; most need sharing to be enabled for the tenant."""
    handler = _require_sharing(handler) if needs_sharing else handler
    paths = (f"/api/v1/sharing-tasks{path}",)
    return Operation(name, method, paths, "sharing-tasks", tier_of(method), handler, **more)


_operation = sharing_operation


def _settings(name: str, method: str, handler: Handler, **more: Any) -> Operation:
    return sharing_operation(name, method, "/settings", handler, needs_sharing=False, **more)


OPERATIONS = (
    _settings("get_sharing_settings", "GET", get_sharing_settings),
    _settings("patch_sharing_settings", "PATCH", patch_sharing_settings, body=schemas.SETTINGS_PATCH),
    _settings("update_sharing_settings", "PUT", update_sharing_settings, body=schemas.SETTINGS_UPDATE),
    _operation("list_sharing_tasks", "GET", "", list_sharing_tasks),
    _operation("create_sharing_task", "POST", "", create_sharing_task, body=schemas.CREATE),
    _operation("get_sharing_task", "GET", "/{taskId}", get_sharing_task),
    _operation("patch_sharing_task", "PATCH", "/{taskId}", patch_sharing_task, body=schemas.PATCH),
    _operation("delete_sharing_task", "DELETE", "/{taskId}", delete_sharing_task),
)
