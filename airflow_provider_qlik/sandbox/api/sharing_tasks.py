"""The Sharing tasks family, apart from executions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox import sharing_shapes as shapes
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Handler, Operation, nothing, ok, tier_of
from airflow_provider_qlik.sandbox.paging import Fields, Paging, in_order, page
from airflow_provider_qlik.sandbox.records import SharingTask, User
from airflow_provider_qlik.sandbox.rights import sees_sharing_task
from airflow_provider_qlik.sandbox.shapes import check
from airflow_provider_qlik.sandbox.sharing import MOST_RECIPIENTS, stored_recipients
from airflow_provider_qlik.sandbox.times import stamp
from airflow_provider_qlik.sandbox.viewpoint import TENANT_ID

_PAGING = Paging(
    "page", default=20, most=100, older=("next", "prev"), items="sharingTasks", has_self=True, is_counted=True
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


def list_sharing_tasks(asked: Asked) -> Response:
    """`GET /sharing-tasks`."""
    sharing, excludes_deleting = asked.world.sharing, asked.flag("excludeDeleting")
    types, roles = _words(asked, "type", shapes.TYPES), _words(asked, "role", shapes.ROLES)
    templates = asked.parameters("templateId")
    found = [
        (task, shown)
        for task in sharing.tasks.values()
        if sees_sharing_task(asked.caller.user, task)
        and (shown := sharing.shown(task))
        and all(
            asked.parameter(name) in (None, shown.get(member))
            for name, member in (("appid", "appId"), ("owner", "owner"), ("ownername", "ownerName"))
        )
        and not (excludes_deleting and shown["statusCode"] == "DELETING")
        and (not types or shown.get("type") in types)
        and (not roles or any(_has_role(task, asked.caller.user, role) for role in roles))
        and (not templates or any(one.get("templateId") in templates for one in shown.get("templates", [])))
    ]
    fields: Fields[tuple[SharingTask, dict[str, Any]]] = {
        name: lambda pair, member=member: pair[1].get(member)  # type: ignore[misc]
        for name, member in _SORTED.items()
    }
    fields["datecreated"] = lambda pair: pair[0].created
    ordered = in_order(asked, found, fields, "-datecreated", is_signed=False)
    return page(asked, _PAGING, ordered, lambda pair: pair[1])


def _words(asked: Asked, name: str, allowed: Collection[str]) -> list[str]:
    words = asked.parameters(name)
    if unknown := [word for word in words if word not in allowed]:
        raise Refused(400, "Bad request", f"{name} must be one of {', '.join(allowed)}, and not {unknown[0]!r}")
    return words


def _has_role(task: SharingTask, user: User, role: str) -> bool:
    if role == "owner":
        return bool(task.members["owner"] == user.id)
    return any(recipient.value == user.id for recipient in task.recipients)


def create_sharing_task(asked: Asked) -> Response:
    """`POST /sharing-tasks`."""
    world, body = asked.world, asked.body
    members = {name: value for name, value in body.items() if name in shapes.SHARING_TASK}
    app_id = next(filter(None, (_app_of(template) for template in body["templates"])), None)
    if app_id:
        members["appId"] = app_id
    recipients = body.get("recipients", {})
    count = len(recipients.get("userIds", [])) + len(recipients.get("emailAddresses", []))
    if count > MOST_RECIPIENTS:
        raise Refused(400, "Bad request", f"body.recipients has more than {MOST_RECIPIENTS} recipients")
    task = world.sharing.add_task(members, asked.caller.user)
    if body.get("executeOnCreation"):
        world.sharing.execute(task, asked.caller.user)
    return ok(world.sharing.shown(task), 201)


def _app_of(template: dict[str, Any]) -> str | None:
    """The app that a template is made from, wherever that stands."""
    parts = [template.get(name) or {} for name in ("chartData", "sheetData", "storyData")]
    return next((part["appId"] for part in (*parts, *template.get("multiSheetData", [])) if "appId" in part), None)


def get_sharing_task(asked: Asked) -> Response:
    """`GET /sharing-tasks/{taskId}`."""
    task = sharing_task_of(asked)
    if asked.flag("isViewChart"):
        task.last_viewed = asked.world.now
    return ok(asked.world.sharing.shown(task))


def patch_sharing_task(asked: Asked) -> Response:
    """`PATCH /sharing-tasks/{taskId}`: all of the operations, or none."""
    task = sharing_task_of(asked)
    members = dict(task.members)
    for place, operation in enumerate(asked.body):
        name = operation["path"].removeprefix("/")
        if operation["op"] == "remove":
            members.pop(name, None)
            continue
        where = f"body[{place}]"
        if "value" not in operation:
            raise Refused(400, "Bad request", f"{where}.value is missing")
        check(operation["value"], shapes.VALUES_BY_PATH[operation["path"]], f"{where}.value")
        members |= _changed(asked, name, operation["value"])
    task.members = {"name": task.members["name"], "enabled": True} | members
    task.updated = asked.world.now
    return nothing()


def _changed(asked: Asked, name: str, value: Any) -> dict[str, Any]:
    if name == "ownerId":
        owner = asked.world.users.get(value)
        return {"owner": value, "ownerName": owner.name if owner else value}
    if name == "tags":
        return {"tags": [value] if isinstance(value, str) else value}
    if name == "recipients":
        return {"recipients": stored_recipients(value)}
    return {name: value} if name in shapes.SHARING_TASK else {}


def delete_sharing_task(asked: Asked) -> Response:
    """`DELETE /sharing-tasks/{taskId}`."""
    del asked.world.sharing.tasks[sharing_task_of(asked).id]
    return nothing()


def get_sharing_settings(asked: Asked) -> Response:
    """`GET /sharing-tasks/settings`."""
    sharing = asked.world.sharing
    return ok(
        {
            "tenantId": TENANT_ID,
            "maxRecipients": MOST_RECIPIENTS,
            "reportSubscriptionStatus": "none",
            "maxSubscriptionRecipients": MOST_RECIPIENTS,
            "reporting-service-license-status": "enabled",
            "reportSubscriptionStatusChangeTime": stamp(sharing.settings_changed, 0),
            **sharing.settings,
        }
    )


def patch_sharing_settings(asked: Asked) -> Response:
    """`PATCH /sharing-tasks/settings`."""
    return _set(asked, {operation["path"].removeprefix("/"): operation["value"] for operation in asked.body})


def update_sharing_settings(asked: Asked) -> Response:
    """`PUT /sharing-tasks/settings`."""
    return _set(asked, {"enable-sharing": asked.body["enable-sharing"]})


def _set(asked: Asked, switches: dict[str, bool]) -> Response:
    sharing = asked.world.sharing
    if (
        switches.get("enable-report-subscription", sharing.settings["enable-report-subscription"])
        != (sharing.settings["enable-report-subscription"])
    ):
        sharing.settings_changed = asked.world.now
    sharing.settings |= switches
    return nothing()


def sharing_task_of(asked: Asked) -> SharingTask:
    """The sharing task that the path names, or 404."""
    return sharing_task_named(asked, asked.params["taskId"])


def sharing_task_named(asked: Asked, task_id: str) -> SharingTask:
    """The sharing task of that id, or 404."""
    task = asked.world.sharing.tasks.get(task_id)
    if task is None:
        raise Refused(404, "Not found", f"there is no sharing task {task_id}")
    return task


def _while_enabled(handler: Handler) -> Handler:
    def answer(asked: Asked) -> Response:
        if not asked.world.sharing.settings["enable-sharing"]:
            raise Refused(403, "Forbidden", "sharing is switched off for the tenant")
        return handler(asked)

    return answer


def sharing_operation(
    name: str, method: str, path: str, handler: Handler, *, needs_sharing: bool = True, **more: Any
) -> Operation:
    """An operation of the Sharing tasks family; most answer only while the tenant has sharing switched on."""
    handler = _while_enabled(handler) if needs_sharing else handler
    paths = (f"/api/v1/sharing-tasks{path}",)
    return Operation(name, method, paths, "sharing-tasks", tier_of(method), handler, **more)


_operation = sharing_operation


def _settings(name: str, method: str, handler: Handler, **more: Any) -> Operation:
    return sharing_operation(name, method, "/settings", handler, needs_sharing=False, **more)


OPERATIONS = (
    _settings("get_sharing_settings", "GET", get_sharing_settings),
    _settings("patch_sharing_settings", "PATCH", patch_sharing_settings, body=shapes.SETTINGS_PATCH),
    _settings("update_sharing_settings", "PUT", update_sharing_settings, body=shapes.SETTINGS_UPDATE),
    _operation("list_sharing_tasks", "GET", "", list_sharing_tasks),
    _operation("create_sharing_task", "POST", "", create_sharing_task, body=shapes.CREATE),
    _operation("get_sharing_task", "GET", "/{taskId}", get_sharing_task),
    _operation("patch_sharing_task", "PATCH", "/{taskId}", patch_sharing_task, body=shapes.PATCH),
    _operation("delete_sharing_task", "DELETE", "/{taskId}", delete_sharing_task),
)
