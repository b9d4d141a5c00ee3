"""The state of apps, spaces, reloads and reload tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox.serializers.apps import AppSerializer
from airflow_provider_qlik.sandbox.state.admission import admit
from airflow_provider_qlik.sandbox.state.records import App, Reload, ReloadTask, ReloadType, Space, User, Via
from airflow_provider_qlik.sandbox.state.script import Progress, Script
from airflow_provider_qlik.sandbox.state.shared import OTHER, SharedState


class Apps:
    """All apps, spaces, reloads and reload tasks, and the transitions between their states."""

    def __init__(self, base: SharedState) -> None:
        self._shared = base
        self.apps: dict[str, App] = {}
        self.spaces: dict[str, Space] = {}
        self.reloads: dict[str, Reload] = {}
        self.reload_tasks: dict[str, ReloadTask] = {}

    @property
    def serializer(self) -> AppSerializer:
        """Return a serializer for the current time and switches."""
        return AppSerializer(self._shared.switches, self._shared.now)

    def add_app(
        self,
        name: str,
        owner: User,
        *,
        id: str | None = None,
        space_id: str | None = None,
        datasets: tuple[str, ...] = (),
    ) -> App:
        """Add an app."""
        app = App(id or str(uuid4()), name, space_id, owner.id, self._shared.now, datasets)
        self.apps[app.id] = app
        return app

    def add_space(self, name: str, type: str, owner: User, *, id: str | None = None) -> Space:
        """Add a space."""
        space = Space(id or str(uuid4()), name, type, owner.id, self._shared.now)
        self.spaces[space.id] = space
        return space

    # Reloads

    def reloads_of(self, app_id: str) -> Iterator[Reload]:
        """Return all reloads of the app, oldest first."""
        return (reload for reload in self.reloads.values() if reload.app_id == app_id)

    def is_visible(self, reload: Reload) -> bool:
        """Return True if the API shows the reload by now."""
        return reload.visible_from <= self._shared.now

    def is_pending(self, app_id: str) -> bool:
        """Return True if a reload of the app has not ended."""
        return any(reload.progress.is_active(self._shared.now) for reload in self.reloads_of(app_id))

    def start_reload(
        self,
        app: App,
        by: User,
        *,
        partial: bool = False,
        weight: int = 1,
        variables: dict[str, str] | None = None,
        resource_type: str | None = None,
        resource_id: str | None = None,
    ) -> Reload:
        """Start a reload through the API; it is queued while another reload of the app is pending."""
        now = self._shared.now
        reload = self.add_reload(app.id, by, "external", created=now, via="api")
        reload.partial, reload.weight, reload.variables = partial, weight, variables or {}
        reload.resource_type, reload.resource_id = resource_type, resource_id
        reload.progress.begin = None
        self.admit_reloads(app.id)
        return reload

    def add_reload(
        self,
        app_id: str,
        by: User,
        type: ReloadType,
        *,
        created: datetime,
        via: Via,
        script: Script | None = None,
        id: str | None = None,
        resource_id: str | None = None,
    ) -> Reload:
        """Add a reload of the app that was created at that time."""
        script = script or self._shared.scripts.next(app_id) or Script()
        is_started_by_api = via == "api"
        reload = Reload(
            id=id or str(uuid4()),
            app_id=app_id,
            user_id=by.id,
            progress=Progress(script, created, created),
            type=type,
            via=via,
            visible_from=self._shared.visible_from(
                created, self._shared.switches.reload_show_after if is_started_by_api else 0.0
            ),
            resource_id=resource_id,
        )
        self.reloads[reload.id] = reload
        return reload

    def admit_reloads(self, app_id: str) -> None:
        """Set the start time of every queued reload of the app: one runs at a time."""
        admit((reload.progress for reload in self.reloads_of(app_id)), 1, self._shared.now)

    # Reload tasks

    def add_reload_task(self, app: App, members: dict[str, Any], owner: User, *, id: str | None = None) -> ReloadTask:
        """Add a reload task with these members, and set those that belong to the service."""
        task = ReloadTask(id or uuid4().hex[:24], {})
        task.members = {
            "partial": False,
            "autoReload": False,
            "recurrence": [],
            "autoReloadPartial": False,
            "state": "Enabled",
            "userId": owner.id,
            "migrated": False,
            **({"spaceId": app.space_id} if app.space_id else {}),
            **members,
            "appId": app.id,
            "id": task.id,
        }
        self.reload_tasks[task.id] = task
        return task

    def execute_reload_task(self, task: ReloadTask, started_ago: float) -> Reload:
        """Add the reload that the schedule started `started_ago` seconds ago."""
        moment = self._shared.now - timedelta(seconds=started_ago)
        task.last_execution = moment
        reload = self.add_reload(task.app_id, OTHER, "chronos", created=moment, via="schedule", resource_id=task.id)
        reload.partial = bool(task.members.get("partial"))
        return reload
