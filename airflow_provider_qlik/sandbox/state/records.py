"""The records of a tenant: users, spaces, apps, tasks, automations, sharing tasks, and their runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from airflow_provider_qlik.sandbox.state.files import File
from airflow_provider_qlik.sandbox.state.script import Progress

Via = Literal["api", "execute", "retry", "competing", "added", "schedule", "reload", "chain"]
"""How a run was started; `reload`: by a reload of the sharing task's app; `chain`: by the end of another task."""
ReloadType = Literal["external", "choreographer", "chronos", "hub"]
"""The origin of a reload: the API, a task, a reload task, or a user in the hub."""


@dataclass(slots=True)
class User:
    """A user of the tenant."""

    id: str
    name: str
    email: str
    subject: str
    roles: frozenset[str] | None = None
    """The roles in the tenant; None: permissions are not checked."""


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
        """Return the id of the app or automation that the task works on."""
        return str(self.members.get("resourceId", ""))

    @property
    def is_enabled(self) -> bool:
        """Return True if the task may be started."""
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
        """Return True if the automation may not run."""
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
    """The ids of the datasets of pipelines that the app reads."""


@dataclass(slots=True)
class Reload:
    """One reload of an app."""

    id: str
    app_id: str
    user_id: str
    progress: Progress
    type: ReloadType
    via: Via
    visible_from: datetime
    partial: bool = False
    weight: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    resource_id: str | None = None
    """The task or reload task that started it, or the `resourceId` of the request."""
    resource_type: str | None = None
    """The `resourceType` of the request."""


@dataclass(slots=True)
class ReloadTask:
    """A schedule for the reloads of an app; `members` is what the API shows of it, apart from its last execution."""

    id: str
    members: dict[str, Any]
    last_execution: datetime | None = None

    @property
    def app_id(self) -> str:
        """Return the id of the app."""
        return str(self.members["appId"])


@dataclass(slots=True)
class SharingTask:
    """A sharing task; `members` is what the API shows of it, apart from what follows from its executions."""

    id: str
    members: dict[str, Any]
    created: datetime
    updated: datetime
    status_code: str = "VALID"
    """The `statusCode` while no execution is active."""
    last_viewed: datetime | None = None

    @property
    def app_id(self) -> str | None:
        """Return the id of the app."""
        app_id = self.members.get("appId")
        return app_id and str(app_id)

    @property
    def recipients(self) -> list[Recipient]:
        """Return everybody who gets a report of their own, in the order of the members."""
        stored = self.members.get("recipients", {})
        return [
            Recipient(kind, str(recipient["value"]))
            for kind, name in (("userId", "userIds"), ("groupId", "groupIds"), ("email", "emailAddresses"))
            for recipient in stored.get(name, [])
        ]


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of a report: `kind` is `userId`, `groupId` or `email`."""

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
    progress: Progress
    recipient: Recipient
    files: tuple[File, ...]
    delivery: float
    by: User
    via: Via
    visible_from: datetime
    requested_at: datetime
    """The time at which its workflow was requested."""
    reload_id: str | None = None


@dataclass(slots=True)
class AutomationRun:
    """One run of an automation."""

    id: str
    automation_id: str
    progress: Progress
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
    progress: Progress
    action_id: str
    meta: dict[str, Any]
    worker_type: str
    worker_id: str
    triggered_by: str | None
    source: str | None
    by: User
    via: Via
    visible_from: datetime
