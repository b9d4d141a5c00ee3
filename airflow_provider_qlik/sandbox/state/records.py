"""What a tenant holds: users, spaces, apps, tasks, automations, sharing tasks, and their runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from airflow_provider_qlik.sandbox.state.files import File
from airflow_provider_qlik.sandbox.state.script import Life

Via = Literal["api", "execute", "retry", "rival", "added", "schedule", "reload"]
"""How a run came about: `reload` is a sharing task that an app reload set off."""
ReloadType = Literal["external", "choreographer", "chronos", "hub"]
"""What initiated a reload: the API, a task, a reload task, or somebody in the hub."""


@dataclass(slots=True)
class User:
    """Somebody who may ask."""

    id: str
    name: str
    email: str
    subject: str
    roles: frozenset[str] | None = None
    """The roles in the tenant; None: nobody asks what this user may do."""


@dataclass(slots=True)
class Task:
    """A task; `members` is what the API shows of it."""

    id: str
    members: dict[str, Any]
    worker: str
    created: datetime
    updated: datetime
    updated_by: str = ""

    @property
    def resource_id(self) -> str:
        """The app or automation it works on."""
        return str(self.members.get("resourceId", ""))

    @property
    def is_enabled(self) -> bool:
        """Whether it may be started."""
        return bool(self.members.get("enabled"))


@dataclass(slots=True)
class Automation:
    """An automation; `members` is what the API shows of it, apart from what follows from its runs."""

    id: str
    members: dict[str, Any]
    created: datetime
    updated: datetime

    @property
    def is_disabled(self) -> bool:
        """Whether it may not run."""
        return str(self.members["state"]) != "available"


@dataclass(slots=True)
class Space:
    """A space, in which apps and automations are."""

    id: str
    name: str
    type: str
    owner_id: str
    created: datetime
    roles: dict[str, list[str]] = field(default_factory=dict)
    """The roles in the space, by the id of the user."""


@dataclass(slots=True)
class App:
    """An app; `space_id` is None in its owner's personal space."""

    id: str
    name: str
    space_id: str | None
    owner_id: str
    created: datetime
    datasets: tuple[str, ...] = ()
    """Those that pipelines write and the app reads."""


@dataclass(slots=True)
class Reload:
    """One reload of an app."""

    id: str
    app_id: str
    user_id: str
    life: Life
    type: ReloadType
    via: Via
    visible_from: datetime
    partial: bool = False
    weight: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    resource_id: str | None = None
    """The task or reload task behind it, or what its caller said."""
    resource_type: str | None = None
    """What its caller said."""


@dataclass(slots=True)
class ReloadTask:
    """A schedule for the reloads of an app; `members` is what the API shows of it, apart from its last execution."""

    id: str
    members: dict[str, Any]
    last_execution: datetime | None = None

    @property
    def app_id(self) -> str:
        """The app that it reloads."""
        return str(self.members["appId"])


@dataclass(slots=True)
class SharingTask:
    """A sharing task; `members` is what the API shows of it, apart from what follows from its executions."""

    id: str
    members: dict[str, Any]
    created: datetime
    updated: datetime
    status_code: str = "VALID"
    """What it shows as while it is not at work."""
    last_viewed: datetime | None = None

    @property
    def app_id(self) -> str | None:
        """The app that its reports are made from."""
        app_id = self.members.get("appId")
        return app_id and str(app_id)

    @property
    def recipients(self) -> list[Recipient]:
        """Everybody who gets a report of their own, in the order given."""
        stored = self.members.get("recipients", {})
        return [
            Recipient(kind, str(recipient["value"]))
            for kind, name in (("userId", "userIds"), ("groupId", "groupIds"), ("email", "emailAddresses"))
            for recipient in stored.get(name, [])
        ]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who gets a report: `kind` is `userId`, `groupId` or `email`."""

    kind: str
    value: str


@dataclass(slots=True)
class Execution:
    """One execution of a sharing task: the report for one recipient."""

    id: str
    task_id: str
    app_id: str | None
    owner_id: str
    workflow_id: str
    life: Life
    recipient: Recipient
    files: tuple[File, ...]
    delivery: float
    by: User
    via: Via
    visible_from: datetime
    asked_at: datetime
    """When its workflow was set off."""
    reload_id: str | None = None


@dataclass(slots=True)
class AutomationRun:
    """One run of an automation."""

    id: str
    automation_id: str
    life: Life
    context: str
    owner_id: str
    by: User
    via: Via
    visible_from: datetime
    inputs: Any = None
    space_id: str | None = None
    scheduled: bool = False


@dataclass(slots=True)
class TaskRun:
    """One run of a task, and the worker that does its work."""

    id: str
    task: Task
    life: Life
    action_id: str
    meta: dict[str, Any]
    worker_type: str
    worker_id: str
    triggered_by: str
    source: str | None
    by: User
    via: Via
    visible_from: datetime
