"""Who may do what in the tenant: tenant roles, roles in spaces, ownership.

The first users of a tenant (`Tenant.user_id` and the OAuth client) may do everything. Only users added with
`Tenant.add_user` are checked, by the rules of Qlik's documents as far as these say anything:

- Automations [documented]: a run is created, read and stopped by the owner, or by `producer` or `operator` of the
  shared space that the automation is in; TenantAdmin reads all runs, and runs are **listed** by the owner, TenantAdmin
  and AnalyticsAdmin. The automation itself is read by its owner and TenantAdmin, enabled, disabled and deleted also by
  AnalyticsAdmin. Everybody lists the automations of their own and of their shared spaces; administrators all [assumed].
- Apps: reloading one and all that has to do with its tasks takes the privilege `app:reload` [documented]. Its owner
  has that, in a shared space `facilitator`, `producer` and `codeveloper`, in a managed one `facilitator` and `operator`
  [assumed: written down for data flows]. Reading it takes any role in its space. TenantAdmin lists and deletes tasks,
  and lists the reloads of all apps [documented].
- Sharing tasks: the owner does everything; recipients and administrators read [assumed].

Listing tasks without an app is for TenantAdmin here; what others get is nowhere written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.records import App, Automation, SharingTask, User

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.operations import Asked, Operation
    from airflow_provider_qlik.sandbox.world import World

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
_RELOADING = {
    "shared": frozenset({"facilitator", "producer", "codeveloper"}),
    "managed": frozenset({"facilitator", "operator"}),
}
_RUNNING_AUTOMATIONS = frozenset({"producer", "operator"})

_OF_ADMINS = frozenset(
    {
        "change_automation_owner",
        "move_automation",
        "list_automation_usage",
        "get_automation_settings",
        "update_automation_settings",
    }
)
_AUTOMATION_LISTS = frozenset({"list_automations"})
_BY_OWNER_OR_ADMIN = frozenset({"delete_automation", "enable_automation", "disable_automation", "list_automation_runs"})
_SEEING_APPS = frozenset({"list_reloads", "get_reload"})


def check_rights(operation: Operation, asked: Asked) -> None:
    """Refuse with 403 what the user may not do."""
    user = asked.caller.user
    if user.roles is not None and not _may(operation, asked, user):
        raise Refused(403, "Forbidden", f"{user.name} may not do this ({operation.name})")


def sees(world: World, user: User, resource: App | Automation) -> bool:
    """Return True if the user sees an app or automation in lists."""
    if user.roles is None or _is_admin(user):
        return True
    if isinstance(resource, App):
        return resource.owner_id == user.id or bool(_roles(world, user, resource.space_id))
    members = resource.members
    return bool(members["ownerId"] == user.id or _roles(world, user, members.get("spaceId")))


def sees_space(world: World, user: User, space_id: str) -> bool:
    """Return True if the user sees a space in lists."""
    return user.roles is None or _is_admin(user) or bool(_roles(world, user, space_id))


def sees_sharing_task(user: User, task: SharingTask) -> bool:
    """Return True if the user sees a sharing task in lists: their own, those they get, and for administrators all."""
    if user.roles is None or _is_admin(user) or task.members["owner"] == user.id:
        return True
    return any(recipient.value in {user.id, user.email} for recipient in task.recipients)


def _is_admin(user: User) -> bool:
    return bool({"TenantAdmin", "AnalyticsAdmin"} & (user.roles or frozenset()))


def _roles(world: World, user: User, space_id: str | None) -> frozenset[str]:
    space = world.apps.spaces.get(space_id or "")
    if space is None:
        return frozenset()
    if space.owner_id == user.id:
        return frozenset(SPACE_ROLES)
    return frozenset(space.roles.get(user.id, ()))


def _may(operation: Operation, asked: Asked, user: User) -> bool:
    match operation.family:
        case "tasks" | "reload-tasks":
            return _may_task(operation, asked, user)
        case "reloads":
            return _may_reload(operation, asked, user)
        case "automations":
            return _may_automation(operation, asked, user)
        case "sharing-tasks":
            return _may_sharing_task(operation, asked, user)
        case "users":
            return asked.params.get("id") in (None, user.id) or _is_admin(user)
    return True


def _may_task(operation: Operation, asked: Asked, user: User) -> bool:
    world, admin = asked.world, "TenantAdmin" in (user.roles or ())
    if "/actions/reload/" in operation.paths[0]:
        # The creators refuse with codes of their own.
        return True
    lists_or_deletes = operation.method == "DELETE" or operation.name in {"list_tasks", "list_reload_tasks"}
    if admin and lists_or_deletes:
        return True
    path_id = asked.params.get("id") or asked.params.get("taskId") or ""
    if path_id in world.tasks:
        resource_id = world.tasks[path_id].resource_id
    elif path_id in world.apps.reload_tasks:
        resource_id = world.apps.reload_tasks[path_id].app_id
    elif path_id:
        resource_id = path_id
    else:
        body = asked.body if isinstance(asked.body, dict) else {}
        resource_id = asked.parameter("resourceId") or asked.parameter("appId") or str(body.get("appId", ""))
        if not resource_id and operation.method != "GET":
            # What a new task works on stands in its body: its handler checks that.
            return True
    return may_run(world, user, resource_id)


def may_run(world: World, user: User, resource_id: str) -> bool:
    """Return True if the user may run what a task works on. What is not there is for the handler to refuse."""
    if user.roles is None:
        return True
    if resource_id in world.automations:
        return _may_run_automation(world, user, world.automations[resource_id])
    app = world.apps.apps.get(resource_id)
    if app is None:
        return bool(resource_id)
    return _may_reload_app(world, user, app)


def _may_reload_app(world: World, user: User, app: App) -> bool:
    space = world.apps.spaces.get(app.space_id or "")
    roles = _roles(world, user, app.space_id)
    return app.owner_id == user.id or bool(space and roles & _RELOADING.get(space.type, frozenset()))


def _may_reload(operation: Operation, asked: Asked, user: User) -> bool:
    apps = asked.world.apps
    reload = apps.reloads.get(asked.params.get("id", ""))
    body = asked.body if isinstance(asked.body, dict) else {}
    app_id = asked.params.get("appId") or (reload.app_id if reload else body.get("appId") or asked.parameter("appId"))
    if operation.name == "list_reloads" and not app_id:
        return "TenantAdmin" in (user.roles or ())
    app = apps.apps.get(str(app_id or ""))
    if app is None:
        return True
    if operation.name in _SEEING_APPS:
        return sees(asked.world, user, app)
    return _may_reload_app(asked.world, user, app)


def _may_run_automation(world: World, user: User, automation: Automation) -> bool:
    members = automation.members
    space = world.apps.spaces.get(members.get("spaceId") or "")
    roles = _roles(world, user, space.id) if space is not None and space.type == "shared" else frozenset()
    return bool(members["ownerId"] == user.id or roles & _RUNNING_AUTOMATIONS)


def _may_automation(operation: Operation, asked: Asked, user: User) -> bool:
    if operation.name in _AUTOMATION_LISTS:
        return True
    roles = user.roles or frozenset()
    if operation.name in _OF_ADMINS:
        return _is_admin(user)
    automation = asked.world.automations.get(asked.params.get("id", ""))
    if automation is None:
        return operation.name != "create_automation" or "AutomationCreator" in roles
    owner = bool(automation.members["ownerId"] == user.id)
    if operation.name in _BY_OWNER_OR_ADMIN:
        return owner or _is_admin(user)
    if operation.name == "get_automation":
        return owner or "TenantAdmin" in roles
    if "/runs" in operation.paths[0]:
        if operation.method == "GET" and "TenantAdmin" in roles:
            return True
        return _may_run_automation(asked.world, user, automation)
    return owner


def _may_sharing_task(operation: Operation, asked: Asked, user: User) -> bool:
    body = asked.body if isinstance(asked.body, dict) else {}
    task = asked.world.sharing.tasks.get(asked.params.get("taskId") or str(body.get("sharingTaskID", "")))
    if task is None:
        return "settings" not in operation.name or operation.method == "GET" or "TenantAdmin" in (user.roles or ())
    if operation.method == "GET" and "files" not in operation.paths[0]:
        return sees_sharing_task(user, task)
    return bool(task.members["owner"] == user.id)
