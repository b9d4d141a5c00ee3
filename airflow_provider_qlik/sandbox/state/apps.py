"""The tenant's apps and spaces, the reloads of its apps, and the schedules for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox.serializers.apps import AppSerializer
from airflow_provider_qlik.sandbox.state.admission import admit
from airflow_provider_qlik.sandbox.state.base import OTHER, StateBase
from airflow_provider_qlik.sandbox.state.records import App, Reload, ReloadTask, ReloadType, Space, User, Via
from airflow_provider_qlik.sandbox.state.script import Life, Script


class Apps:
    """All apps, spaces, reloads and reload tasks, and the rules by which they change."""

    def __init__(self, base: StateBase) -> None:
        self._ground = base
        self.apps: dict[str, App] = {}
        self.spaces: dict[str, Space] = {}
        self.reloads: dict[str, Reload] = {}
        self.reload_tasks: dict[str, ReloadTask] = {}

    @property
    def view(self) -> AppSerializer:
        """All of it as the API shows it now."""
        return AppSerializer(self._ground.switches, self._ground.now)

    def add_app(
        self,
        name: str,
        owner: User,
        *,
        id: str | None = None,
        space_id: str | None = None,
        datasets: tuple[str, ...] = (),
    ) -> App:
        """A new app."""
        app = App(id or str(uuid4()), name, space_id, owner.id, self._ground.now, datasets)
        self.apps[app.id] = app
        return app

    def add_space(self, name: str, type: str, owner: User, *, id: str | None = None) -> Space:
        """A new space."""
        space = Space(id or str(uuid4()), name, type, owner.id, self._ground.now)
        self.spaces[space.id] = space
        return space

    # Reloads

    def reloads_of(self, app_id: str) -> Iterator[Reload]:
        """All reloads of the app, in the order they were made."""
        return (reload for reload in self.reloads.values() if reload.app_id == app_id)

    def is_visible(self, reload: Reload) -> bool:
        """Whether the API shows the reload yet."""
        return reload.visible_from <= self._ground.now

    def is_pending(self, app_id: str) -> bool:
        """Whether a reload of the app has not ended."""
        return any(reload.life.is_active(self._ground.now) for reload in self.reloads_of(app_id))

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
        """The reload that a caller asked for; it is held back while another one of the app is pending."""
        now = self._ground.now
        reload = self.add_reload(app.id, by, "external", created=now, via="api")
        reload.partial, reload.weight, reload.variables = partial, weight, variables or {}
        reload.resource_type, reload.resource_id = resource_type, resource_id
        reload.life.begin = None
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
        """A reload of the app that was made at that moment."""
        script = script or self._ground.scripts.next(app_id) or Script()
        is_new = via == "api"
        reload = Reload(
            id=id or str(uuid4()),
            app_id=app_id,
            user_id=by.id,
            life=Life(script, created, created),
            type=type,
            via=via,
            visible_from=self._ground.shown_from(created, self._ground.switches.reload_show_after if is_new else 0.0),
            resource_id=resource_id,
        )
        self.reloads[reload.id] = reload
        return reload

    def admit_reloads(self, app_id: str) -> None:
        """Give every reload of the app that is held back its moment to begin: one at a time."""
        admit((reload.life for reload in self.reloads_of(app_id)), 1, self._ground.now)

    # Reload tasks

    def add_reload_task(self, app: App, members: dict[str, Any], owner: User, *, id: str | None = None) -> ReloadTask:
        """A new reload task with these members; what the service itself sets is set here."""
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

    def execute_reload_task(self, task: ReloadTask, ago: float) -> Reload:
        """The reload that the schedule set off so many seconds ago."""
        moment = self._ground.now - timedelta(seconds=ago)
        task.last_execution = moment
        reload = self.add_reload(task.app_id, OTHER, "chronos", created=moment, via="schedule", resource_id=task.id)
        reload.partial = bool(task.members.get("partial"))
        return reload
