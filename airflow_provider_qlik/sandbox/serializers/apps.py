"""Serializes apps, spaces, reloads and reload tasks as the API shows them at a time."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

from airflow_provider_qlik.sandbox.serializers.base import TENANT_ID, Serializer, without_none
from airflow_provider_qlik.sandbox.state.records import App, Automation, Reload, ReloadTask, Space
from airflow_provider_qlik.sandbox.state.statuses import reload_status
from airflow_provider_qlik.sandbox.state.times import stamp

_RESOURCE_TYPES = {"external": "api", "choreographer": "tasks", "chronos": "reload-tasks"}


class AppSerializer(Serializer):
    """Serializer of apps, spaces, reloads, reload tasks and items."""

    def reload(self, reload: Reload, *, with_log: bool = True) -> dict[str, Any]:
        """Return a reload; lists include its log only on request."""
        progress = reload.progress
        status = reload_status(progress, self.now)
        ended = progress.ended_at(self.now)
        has_ended = not progress.is_active(self.now)
        has_failed = has_ended and progress.script.error is not None
        shows_resource = reload.via != "api" or self.switches.reload_marker == "shown"
        return without_none(
            {
                "id": reload.id,
                "appId": reload.app_id,
                "tenantId": TENANT_ID,
                "userId": reload.user_id,
                "status": status,
                "type": reload.type,
                "creationTime": self._reload_time(progress.created),
                "startTime": self._reload_time(progress.started_at(self.now)),
                "endTime": self._reload_time(ended),
                "engineTime": self._reload_time(ended) if status == "SUCCEEDED" else None,
                "errorCode": "EngineReloadFailed" if has_failed else None,
                "errorMessage": progress.script.error if has_failed else None,
                "partial": reload.partial,
                "weight": reload.weight,
                "log": "\n".join(progress.log(self.now)) if with_log and has_ended else None,
                "resourceId": reload.resource_id if shows_resource else None,
                "resourceType": (shows_resource and reload.resource_type) or _RESOURCE_TYPES.get(reload.type),
                "links": {"self": {"href": f"/api/v1/reloads/{reload.id}"}},
            }
        )

    def reload_log(self, reload: Reload) -> dict[str, Any]:
        """Return the entry of a reload that has ended in the list of an app's logs."""
        started, ended = reload.progress.started_at(self.now), reload.progress.ended_at(self.now)
        return without_none(
            {
                "reloadId": reload.id,
                "success": reload_status(reload.progress, self.now) == "SUCCEEDED",
                "endTime": self._reload_time(ended),
                "duration": int((ended - started).total_seconds() * 1000) if started and ended else None,
                "links": {"log": {"href": f"/api/v1/apps/{reload.app_id}/reloads/logs/{reload.id}"}},
            }
        )

    def reload_task(self, task: ReloadTask) -> dict[str, Any]:
        """Return a reload task."""
        shown = {
            "links": {"self": {"href": f"/api/v1/reload-tasks/{task.id}"}},
            "tenantId": TENANT_ID,
            **task.members,
        }
        executed = self.run_time(task.last_execution, self.switches.reload_task_times)
        return shown | ({"lastExecutionTime": executed} if executed else {})

    def space(self, space: Space) -> dict[str, Any]:
        """Return a space."""
        created = stamp(space.created, 3)
        return {
            "id": space.id,
            "name": space.name,
            "type": space.type,
            "ownerId": space.owner_id,
            "tenantId": TENANT_ID,
            "description": "",
            "createdAt": created,
            "createdBy": space.owner_id,
            "updatedAt": created,
            "links": {"self": {"href": f"/api/v1/spaces/{space.id}"}},
        }

    def item(self, resource: App | Automation) -> dict[str, Any]:
        """Return an app or an automation as an item, which has an id of its own."""
        is_app = isinstance(resource, App)
        name, owner_id, space_id = (
            (resource.name, resource.owner_id, resource.space_id)
            if isinstance(resource, App)
            else (resource.members["name"], resource.members["ownerId"], resource.members.get("spaceId"))
        )
        created, item_id = stamp(resource.created, 3), sha256(resource.id.encode()).hexdigest()[:24]
        return without_none(
            {
                "id": item_id,
                "name": name,
                "resourceId": resource.id,
                "resourceType": "app" if is_app else "automation",
                "resourceAttributes": {},
                "resourceCustomAttributes": {},
                "resourceCreatedAt": created,
                "resourceUpdatedAt": created,
                "spaceId": space_id,
                "ownerId": owner_id,
                "creatorId": owner_id,
                "tenantId": TENANT_ID,
                "description": "",
                "actions": [],
                "collectionIds": [],
                "isFavorited": False,
                "meta": {"tags": [], "actions": [], "collections": [], "isFavorited": False},
                "createdAt": created,
                "updatedAt": created,
                "links": {"self": {"href": f"/api/v1/items/{item_id}"}},
            }
        )

    def _reload_time(self, moment: datetime | None) -> str | None:
        return self.run_time(moment, self.switches.task_times)
