"""What a tenant holds: users, tasks, automations, and their runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_provider_qlik.sandbox.script import Life

Via = Literal["api", "execute", "retry", "rival", "added"]


@dataclass(slots=True)
class User:
    """Somebody who may ask."""

    id: str
    name: str
    email: str
    subject: str


@dataclass(slots=True)
class Task:
    """A task; `members` is what the API shows of it."""

    id: str
    members: dict[str, Any]
    worker: str
    created: datetime
    updated: datetime

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
class Reload:
    """One reload of an app."""

    id: str
    app_id: str
    user_id: str
    life: Life


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
