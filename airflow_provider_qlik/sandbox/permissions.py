"""Permissions: tenant roles, roles in spaces, ownership.

The first users of a tenant (`Tenant.user_id` and the OAuth client) may do everything. Only users added with
`Tenant.add_user` are checked, by the rules of Qlik's documents as far as these say anything:

- Automations [documented]: a run is created, read and stopped by the owner, or by `producer` or `operator` of the
  shared space that the automation is in; TenantAdmin reads all runs, and runs are **listed** by the owner, TenantAdmin
  and AnalyticsAdmin. The automation itself is read by its owner and TenantAdmin, enabled, disabled and deleted also by
  AnalyticsAdmin. Everybody lists their own automations and those of their shared spaces; administrators list
  all [assumed].
- Apps: reloading one and all that has to do with its tasks takes the privilege `app:reload` [documented]. Its owner
  has that, in a shared space `facilitator`, `producer` and `codeveloper`, in a managed one `facilitator` and `operator`
  [assumed: written down for data flows]. Reading it takes any role in its space. TenantAdmin lists and deletes tasks,
  and lists the reloads of all apps [documented].
- Sharing tasks: the owner does everything; recipients and administrators read [assumed].

Listing tasks without an app is for TenantAdmin here; what others get is not documented.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.state.records import App, Automation, SharingTask, User

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.operations import ApiRequest, Operation
    from airflow_provider_qlik.sandbox.state.state import TenantState

SPACE_ROLES = (
    "consumer",
    "contributor",
    "dataconsumer",
    "facilitator",
    "operator",
    "producer",
    "publisher",
    "codeveloper",
    "basicconsumer",
    "datapreview",
)
"""The roles in a space, as the API calls them."""
TENANT_ROLES = ("TenantAdmin", "AnalyticsAdmin", "AutomationCreator")
_RELOAD_ROLES = {
    "shared": frozenset({"facilitator", "producer", "codeveloper"}),
    "managed": frozenset({"facilitator", "operator"}),
}
_AUTOMATION_RUN_ROLES = frozenset({"producer", "operator"})

_ADMIN_OPERATIONS = frozenset(
    {
        "change_automation_owner",
        "move_automation",
        "list_automation_usage",
        "get_automation_settings",
        "update_automation_settings",
    }
)
_AUTOMATION_LISTS = frozenset({"list_automations"})
_OWNER_OR_ADMIN_OPERATIONS = frozenset(
    {"delete_automation", "enable_automation", "disable_automation", "list_automation_runs"}
)
_APP_READS = frozenset({"list_reloads", "get_reload"})


def check_permissions(operation: Operation, request: ApiRequest) -> None:
    """Raise ApiError (403) unless the user may do this."""
    user = request.caller.user
    if user.roles is not None and not _may(operation, request, user):
        raise ApiError(403, "Forbidden", f"{user.name} may not do this ({operation.name})")


def sees(tenant_state: TenantState, user: User, resource: App | Automation) -> bool:
    """Return True if the user sees an app or automation in lists."""
    if user.roles is None or _is_admin(user):
        return True
    if isinstance(resource, App):
        return resource.owner_id == user.id or bool(_roles(tenant_state, user, resource.space_id))
    members = resource.members
    return bool(members["ownerId"] == user.id or _roles(tenant_state, user, members.get("spaceId")))


def sees_space(tenant_state: TenantState, user: User, space_id: str) -> bool:
    """Return True if the user sees a space in lists."""
    return user.roles is None or _is_admin(user) or bool(_roles(tenant_state, user, space_id))


def sees_sharing_task(user: User, task: SharingTask) -> bool:
    """Return True if the user sees a sharing task in lists: owner, recipients and administrators do."""
    if user.roles is None or _is_admin(user) or task.members["owner"] == user.id:
        return True
    return any(recipient.value in {user.id, user.email} for recipient in task.recipients)


def _is_admin(user: User) -> bool:
    return bool({"TenantAdmin", "AnalyticsAdmin"} & (user.roles or frozenset()))


def _roles(tenant_state: TenantState, user: User, space_id: str | None) -> frozenset[str]:
    space = tenant_state.apps.spaces.get(space_id or "")
    if space is None:
        return frozenset()
    if space.owner_id == user.id:
        return frozenset(SPACE_ROLES)
    return frozenset(space.roles.get(user.id, ()))


def _may(operation: Operation, request: ApiRequest, user: User) -> bool:
    match operation.family:
        case "tasks" | "reload-tasks":
            return _may_task(operation, request, user)
        case "reloads":
            return _may_reload(operation, request, user)
        case "automations":
            return _may_automation(operation, request, user)
        case "sharing-tasks":
            return _may_sharing_task(operation, request, user)
        case "users":
            return request.params.get("id") in (None, user.id) or _is_admin(user)
    return True


def _may_task(operation: Operation, request: ApiRequest, user: User) -> bool:
    tenant_state, admin = request.tenant_state, "TenantAdmin" in (user.roles or ())
    if "/actions/reload/" in operation.paths[0]:
        # The creators refuse with error codes of their own.
        return True
    lists_or_deletes = operation.method == "DELETE" or operation.name in {"list_tasks", "list_reload_tasks"}
    if admin and lists_or_deletes:
        return True
    path_id = request.params.get("id") or request.params.get("taskId") or ""
    if path_id in tenant_state.tasks:
        resource_id = tenant_state.tasks[path_id].resource_id
    elif path_id in tenant_state.apps.reload_tasks:
        resource_id = tenant_state.apps.reload_tasks[path_id].app_id
    elif path_id:
        resource_id = path_id
    else:
        body = request.body if isinstance(request.body, dict) else {}
        resource_id = request.parameter("resourceId") or request.parameter("appId") or str(body.get("appId", ""))
        if not resource_id and operation.method != "GET":
            # The body of a new task names its resource, which the handler checks.
            return True
    return may_run(tenant_state, user, resource_id)


def may_run(tenant_state: TenantState, user: User, resource_id: str) -> bool:
    """Return True if the user may run the resource of a task. An unknown resource is left to the handler."""
    if user.roles is None:
        return True
    if resource_id in tenant_state.automations:
        return _may_run_automation(tenant_state, user, tenant_state.automations[resource_id])
    app = tenant_state.apps.apps.get(resource_id)
    if app is None:
        return bool(resource_id)
    return _may_reload_app(tenant_state, user, app)


def _may_reload_app(tenant_state: TenantState, user: User, app: App) -> bool:
    space = tenant_state.apps.spaces.get(app.space_id or "")
    roles = _roles(tenant_state, user, app.space_id)
    return app.owner_id == user.id or bool(space and roles & _RELOAD_ROLES.get(space.type, frozenset()))


def _may_reload(operation: Operation, request: ApiRequest, user: User) -> bool:
    apps = request.tenant_state.apps
    reload = apps.reloads.get(request.params.get("id", ""))
    body = request.body if isinstance(request.body, dict) else {}
    app_id = request.params.get("appId") or (
        reload.app_id if reload else body.get("appId") or request.parameter("appId")
    )
    if operation.name == "list_reloads" and not app_id:
        return "TenantAdmin" in (user.roles or ())
    app = apps.apps.get(str(app_id or ""))
    if app is None:
        return True
    if operation.name in _APP_READS:
        return sees(request.tenant_state, user, app)
    return _may_reload_app(request.tenant_state, user, app)


def _may_run_automation(tenant_state: TenantState, user: User, automation: Automation) -> bool:
    members = automation.members
    space = tenant_state.apps.spaces.get(members.get("spaceId") or "")
    roles = _roles(tenant_state, user, space.id) if space is not None and space.type == "shared" else frozenset()
    return bool(members["ownerId"] == user.id or roles & _AUTOMATION_RUN_ROLES)


def _may_automation(operation: Operation, request: ApiRequest, user: User) -> bool:
    if operation.name in _AUTOMATION_LISTS:
        return True
    roles = user.roles or frozenset()
    if operation.name in _ADMIN_OPERATIONS:
        return _is_admin(user)
    automation = request.tenant_state.automations.get(request.params.get("id", ""))
    if automation is None:
        return operation.name != "create_automation" or "AutomationCreator" in roles
    owner = bool(automation.members["ownerId"] == user.id)
    if operation.name in _OWNER_OR_ADMIN_OPERATIONS:
        return owner or _is_admin(user)
    if operation.name == "get_automation":
        return owner or "TenantAdmin" in roles
    if "/runs" in operation.paths[0]:
        if operation.method == "GET" and "TenantAdmin" in roles:
            return True
        return _may_run_automation(request.tenant_state, user, automation)
    return owner


def _may_sharing_task(operation: Operation, request: ApiRequest, user: User) -> bool:
    body = request.body if isinstance(request.body, dict) else {}
    task = request.tenant_state.sharing.tasks.get(request.params.get("taskId") or str(body.get("sharingTaskID", "")))
    if task is None:
        return "settings" not in operation.name or operation.method == "GET" or "TenantAdmin" in (user.roles or ())
    if operation.method == "GET" and "files" not in operation.paths[0]:
        return sees_sharing_task(user, task)
    return bool(task.members["owner"] == user.id)
