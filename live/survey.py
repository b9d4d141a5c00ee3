"""Calls that only read: one of each operation, for the first few items of each list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from airflow_provider_qlik.cloud import Call, InvalidArgumentError, InvalidResponseError, QlikCloudError, StatusError
from airflow_provider_qlik.cloud.api import (
    apps,
    automations,
    catalog,
    reload_tasks,
    reloads,
    sharing_tasks,
    tasks,
    users,
)
from airflow_provider_qlik.cloud.call import TASKS_ROOT
from airflow_provider_qlik.cloud.errors import IntermediaryResponseError
from airflow_provider_qlik.cloud.models.automations import Automation
from airflow_provider_qlik.cloud.models.tasks import Task
from airflow_provider_qlik.tasks_api import SCHEDULING_TASKS, V1_TASKS
from live.comparison import described_by
from live.recording import RecordingClient

T = TypeVar("T")

FEW = 3
"""Resources of each kind whose details are read."""
PAGE = 20
"""Items of each list that are read."""

_CODE = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)+", re.ASCII)


def at(call: Call[T], root: str) -> Call[T]:
    """Return a call of the Tasks family as it is on one of its two paths."""
    return replace(call, path=call.path.replace(TASKS_ROOT, root, 1))


@dataclass(slots=True)
class Survey:
    """Read from a tenant. A call that fails does not end that; *write_log* takes a line for it.

    `failures` holds the same lines: operation and status, and nothing else of the response than Qlik's code.
    """

    client: RecordingClient
    write_log: Callable[[str], object]
    failures: list[str] = field(default_factory=list)

    def poll(self, call: Call[T]) -> T | None:
        """Return the response of a call, None where it failed."""
        try:
            return self.client.call(call)
        except (QlikCloudError, InvalidArgumentError) as error:
            self.note(call, error)
            return None

    def note(self, call: Call[object], error: Exception) -> None:
        """Note that a call failed, each kind of failure once."""
        described = described_by(call.method, call.path)
        line = f"{described.id if described else call.operation}: {failure(error)}"
        if line not in self.failures:
            self.failures.append(line)
            self.write_log(line)

    def read_all(self, named: Mapping[str, str]) -> None:
        """Read from all families of the API. *named* are ids of an app, task or automation that are read in any case.

        Raises QlikCloudError if the first call shows that the tenant cannot be reached or refuses the credentials.
        """
        try:
            self.client.call(users.me())
        except StatusError as error:
            if error.credentials_refused:
                raise
            self.note(users.me(), error)
        self.poll(catalog.spaces(limit=PAGE))
        found = self.poll(catalog.items(resource_type="app", limit=PAGE))
        app_ids = few([named.get("app"), *(item.resource_id for item in found.items)] if found else [named.get("app")])
        for root in (SCHEDULING_TASKS, V1_TASKS):
            self.tasks(root, app_ids, named.get("task"))
        self.automations(named.get("automation"))
        self.reloads(app_ids)
        self.reload_tasks()
        self.sharing_tasks()

    def tasks(self, root: str, app_ids: list[str], named: str | None) -> None:
        """Read tasks, their runs and graphs on one path."""
        page = self.poll(at(tasks.list(limit=PAGE), root))
        if app_ids:
            of_app = self.poll(at(tasks.list(resource_id=app_ids[0], limit=PAGE), root))
            page = page or of_app
        if page is None and named is None:
            return
        found: list[Task] = page.items if page else []
        for task_id in few([named, *(task.id for task in found)]):
            task = self.poll(at(tasks.get(task_id), root))
            runs = self.poll(at(tasks.runs(task_id, sort="-startedAt", limit=PAGE), root))
            self.poll(at(tasks.last_run(task_id), root))
            if runs and runs.items:
                self.poll(at(tasks.run_log(task_id, runs.items[0].id), root))
            if task and task.resource_id:
                self.poll(at(tasks.resource_runs(task.resource_id, limit=PAGE), root))
        if root == SCHEDULING_TASKS and page is not None:
            self.poll(at(tasks.list(filter="enabled eq true", sort="-lastEndedAt", limit=PAGE), root))
            for task_id in few([named, *(task.id for task in found)])[:1]:
                for graph in (tasks.ancestors, tasks.descendants, tasks.subgraph):
                    self.poll(at(graph(task_id, level=2, with_task=True), root))
                self.poll(at(tasks.parents(task_id, limit=PAGE), root))
                self.poll(at(tasks.children(task_id, limit=PAGE), root))

    def automations(self, named: str | None) -> None:
        """Read automations and their runs."""
        page = self.poll(automations.list(limit=PAGE))
        found: list[Automation] = page.items if page else []
        for automation_id in few([named, *(automation.id for automation in found)]):
            self.poll(automations.get(automation_id))
            runs = self.poll(automations.runs(automation_id, sort="-startTime", limit=PAGE))
            if runs and runs.items:
                self.poll(automations.get_run(automation_id, runs.items[0].id))
                self.poll(automations.run_debug(automation_id, runs.items[0].id))
        self.poll(automations.settings())

    def reloads(self, app_ids: list[str]) -> None:
        """Read reloads of some apps and, as tenant administrators may, of all."""
        self.poll(reloads.list(limit=PAGE))
        for app_id in app_ids:
            page = self.poll(reloads.list(app_id, sort="-creationTime", log=True, limit=PAGE))
            self.poll(apps.reload_logs(app_id))
            if page and page.items:
                self.poll(reloads.get(page.items[0].id))
                self.poll(apps.reload_log(app_id, page.items[0].id))

    def reload_tasks(self) -> None:
        """Read reload tasks, which Qlik has deprecated."""
        page = self.poll(reload_tasks.list(limit=PAGE))
        for reload_task in page.items[:1] if page else ():
            self.poll(reload_tasks.get(reload_task.id))

    def sharing_tasks(self) -> None:
        """Read sharing tasks and their executions."""
        page = self.poll(sharing_tasks.list(limit=PAGE))
        for task_id in few(task.id for task in page.items) if page else ():
            self.poll(sharing_tasks.get(task_id))
            executions = self.poll(sharing_tasks.executions(task_id, sort="-starttime", limit=PAGE))
            if executions and executions.items:
                self.poll(sharing_tasks.execution(task_id, executions.items[0].id))
        self.poll(sharing_tasks.settings())


def few(ids: Iterable[str | None]) -> list[str]:
    """Return the first few of some ids, each once."""
    return list(dict.fromkeys(filter(None, ids)))[:FEW]


def failure(error: Exception) -> str:
    """Return the reason of a failure, with nothing else of the response than status and code."""
    if isinstance(error, StatusError):
        code = f", code {error.code}" if _CODE.fullmatch(error.code or "") else ""
        return f"refused with HTTP {error.status}{code}"
    if isinstance(error, IntermediaryResponseError):
        return f"something between here and Qlik Cloud answered with HTTP {error.status}"
    if isinstance(error, InvalidResponseError):
        return "the response could not be read"
    if isinstance(error, InvalidArgumentError):
        return f"not sent, since {error.argument} is not valid"
    return f"no response ({type(error).__name__})"
