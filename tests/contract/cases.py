"""Every operation of both contracts, with all that can be handed to its function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_qlik.cloud import Call
from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from tests.contract.openapi import example

TASK, RUN, AUTOMATION, RESOURCE = "task id", "run:1", "automation 1", "app;1"
RELOAD_TASK, SHARING_TASK, EXECUTION, FILE = "reload task:1", "sharing;1", "execution 1", "small image.png"
"""Ids with something in them to encode."""


@dataclass(frozen=True)
class Case:
    """How to call one operation: with what it needs, and with all it takes.

    `body` is the least that can be sent where the function takes a whole body, `member` the one member of the body
    that the function takes as an argument. `instead` takes the place of what it excludes.
    """

    function: Callable[..., Call[Any]]
    needed: tuple[str, ...] = ()
    optional: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | list[dict[str, Any]] | None = None
    member: str | None = None
    instead: dict[str, Any] = field(default_factory=dict)

    def bare(self) -> Call[Any]:
        """The call with nothing that may be left out."""
        return self.with_body(self.body if self.body is not None else {self.member: "given"})

    def full(self, operation: str) -> Call[Any]:
        """The call with everything; the body is the documented one."""
        takes_body = self.body is not None or self.member
        return self.with_body(example(f"{operation}.request") if takes_body else None, **self.optional)

    def other(self) -> Call[Any]:
        """The call with what excludes something in the full one."""
        return self.with_body(self.body if self.body is not None else {self.member: "given"}, **self.instead)

    def with_body(self, body: Any, **optional: Any) -> Call[Any]:
        """The call with that body."""
        if self.body is not None:
            return self.function(*self.needed, body, **optional)
        return self.function(*self.needed, *([body[self.member]] if self.member else []), **optional)


_TASK_PAGE: dict[str, Any] = {"limit": 100, "page": "cursor+/="}
_AUTOMATION_PAGE: dict[str, Any] = {"filter": 'name eq "A + B & C"', "limit": 200, "cursor": "cursor+/="}
_MIN_TASK = {"name": "A task", "specVersion": "1.0"}
_MIN_SHARING_TASK = {"name": "A report", "type": "template-sharing", "state": {}, "templates": []}
_SHARING_TASKS_PAGE: dict[str, Any] = {
    "app_id": RESOURCE,
    "exclude_deleting": True,
    "owner": "a user",
    "owner_name": "A + B",
    "role": ["owner", "recipient"],
    "sort": ["-datecreated", "+name"],
    "template_id": ["a", "b c"],
    "type": ["chart-sharing", "sheet-sharing"],
    "limit": 100,
    "offset": 0,
    "page": "cursor+/=",
}

CASES = {
    "list_tasks": Case(tasks.list, (), {**_TASK_PAGE, "resource_id": RESOURCE, "sort": "+createdAt"}),
    "create_task": Case(tasks.create, (), {"migrate_from": "reload task"}, body=_MIN_TASK),
    "get_task": Case(tasks.get, (TASK,)),
    "update_task": Case(tasks.update, (TASK,), body=_MIN_TASK),
    "delete_task": Case(tasks.delete, (TASK,)),
    "start_task": Case(tasks.start, (TASK,), {"source": "airflow: dag/task+1 ä"}),
    "list_task_runs": Case(tasks.runs, (TASK,), {**_TASK_PAGE, "sort": "+startedAt"}),
    "get_task_run_log": Case(tasks.run_log, (TASK, RUN)),
    "get_last_task_run": Case(tasks.last_run, (TASK,)),
    "list_resource_task_runs": Case(tasks.resource_runs, (RESOURCE,), {**_TASK_PAGE, "sort": "-actionId"}),
    "list_reload_tasks": Case(
        reload_tasks.list,
        (),
        {"app_id": RESOURCE, "partial": False, "limit": 100, "next": "cursor+/="},
        instead={"prev": "cursor+/="},
    ),
    "create_reload_task": Case(reload_tasks.create, (), body={"appId": "app", "timeZone": "UTC"}),
    "get_reload_task": Case(reload_tasks.get, (RELOAD_TASK,)),
    "update_reload_task": Case(reload_tasks.update, (RELOAD_TASK,), body={}),
    "delete_reload_task": Case(reload_tasks.delete, (RELOAD_TASK,)),
    "list_automations": Case(automations.list, (), {**_AUTOMATION_PAGE, "list_all": True, "sort": "+name"}),
    "create_automation": Case(automations.create, (), body={"name": "An automation"}),
    "get_automation": Case(automations.get, (AUTOMATION,)),
    "update_automation": Case(automations.update, (AUTOMATION,), body={}),
    "delete_automation": Case(automations.delete, (AUTOMATION,)),
    "change_automation_owner": Case(automations.change_owner, (AUTOMATION,), member="userId"),
    "change_automation_space": Case(automations.change_space, (AUTOMATION,), member="spaceId"),
    "copy_automation": Case(automations.copy, (AUTOMATION,), member="name"),
    "disable_automation": Case(automations.disable, (AUTOMATION,)),
    "enable_automation": Case(automations.enable, (AUTOMATION,)),
    "move_automation": Case(automations.move, (AUTOMATION,), member="userId"),
    "list_automation_runs": Case(automations.runs, (AUTOMATION,), {**_AUTOMATION_PAGE, "sort": "-startTime"}),
    "create_automation_run": Case(automations.create_run, (AUTOMATION,)),
    "get_automation_run": Case(automations.get_run, (AUTOMATION, RUN)),
    "export_automation_run": Case(automations.export_run, (AUTOMATION, RUN)),
    "retry_automation_run": Case(automations.retry_run, (AUTOMATION, RUN)),
    "stop_automation_run": Case(automations.stop_run, (AUTOMATION, RUN)),
    "get_automation_run_debug": Case(automations.run_debug, (AUTOMATION, RUN)),
    "get_automation_settings": Case(automations.settings),
    "update_automation_settings": Case(automations.update_settings, (), body={}),
    "list_automation_usage": Case(automations.usage, ('name eq "runs"',), {"breakdown_by": "automations"}),
    "list_sharing_tasks": Case(
        sharing_tasks.list, (), {**_SHARING_TASKS_PAGE, "next": "cursor+/="}, instead={"prev": "cursor+/="}
    ),
    "create_sharing_task": Case(sharing_tasks.create, (), body=_MIN_SHARING_TASK),
    "get_sharing_task": Case(sharing_tasks.get, (SHARING_TASK,), {"is_view_chart": True}),
    "patch_sharing_task": Case(sharing_tasks.patch, (SHARING_TASK,), body=[]),
    "delete_sharing_task": Case(sharing_tasks.delete, (SHARING_TASK,)),
    "cancel_sharing_task": Case(sharing_tasks.cancel, (SHARING_TASK,)),
    "list_sharing_task_executions": Case(
        sharing_tasks.executions,
        (SHARING_TASK,),
        {"sort": "-starttime", "status": "failed", "limit": 200, "offset": 1, "next": "cursor+/="},
        instead={"prev": "cursor+/="},
    ),
    "get_sharing_task_execution": Case(sharing_tasks.execution, (SHARING_TASK, EXECUTION), {"status": "cancelled"}),
    "get_sharing_task_execution_file": Case(
        sharing_tasks.execution_file, (SHARING_TASK, EXECUTION, FILE), {"status": "successful"}
    ),
    "execute_sharing_task": Case(sharing_tasks.execute, (), member="sharingTaskID"),
    "get_sharing_settings": Case(sharing_tasks.settings),
    "patch_sharing_settings": Case(sharing_tasks.patch_settings, (), body=[]),
    "update_sharing_settings": Case(sharing_tasks.update_settings, (), body={"enable-sharing": True}),
}
"""The contract of early 2026."""

_SCHEDULED: dict[str, Any] = {**_TASK_PAGE, "filter": 'lastStatus eq "FAILED" and name co "A + B & C"'}
_GRAPH: dict[str, Any] = {"level": 100, "with_task": True}

SCHEDULING_CASES = {
    "list_scheduling_tasks": Case(tasks.list, (), {**_SCHEDULED, "resource_id": RESOURCE, "sort": "+lastTriggeredBy"}),
    "create_scheduling_task": Case(tasks.create, (), body=_MIN_TASK),
    "get_scheduling_task": CASES["get_task"],
    "update_scheduling_task": CASES["update_task"],
    "patch_scheduling_task": Case(tasks.patch, (TASK,), body=[]),
    "delete_scheduling_task": CASES["delete_task"],
    "start_scheduling_task": CASES["start_task"],
    "list_scheduling_task_runs": CASES["list_task_runs"],
    "get_last_scheduling_task_run": CASES["get_last_task_run"],
    "get_scheduling_task_run_log": CASES["get_task_run_log"],
    "list_scheduling_resource_runs": CASES["list_resource_task_runs"],
    "get_task_ancestors": Case(tasks.ancestors, (TASK,), _GRAPH),
    "get_task_descendants": Case(tasks.descendants, (TASK,), _GRAPH),
    "get_task_subgraph": Case(tasks.subgraph, (TASK,), _GRAPH),
    "list_task_parents": Case(tasks.parents, (TASK,), {**_SCHEDULED, "sort": "-updatedBy"}),
    "list_task_children": Case(tasks.children, (TASK,), {**_SCHEDULED, "sort": "+name"}),
    "create_time_schedule_reload_task": Case(
        tasks.create_reload_on_schedule, (RESOURCE,), body={"recurrence": "RRULE:FREQ=DAILY"}
    ),
    "create_task_event_reload_task": Case(tasks.create_reload_after_task, (RESOURCE,), body={"onTaskId": TASK}),
    "create_dataset_updated_reload_task": Case(tasks.create_reload_on_dataset_update, (RESOURCE,), body={}),
}
"""The Scheduling API of November 2026; the operations that Tasks v1 has, too, are the same functions."""

KNOWN_AS = {
    "list_scheduling_tasks": "list_tasks",
    "create_scheduling_task": "create_task",
    "get_scheduling_task": "get_task",
    "update_scheduling_task": "update_task",
    "delete_scheduling_task": "delete_task",
    "start_scheduling_task": "start_task",
    "list_scheduling_task_runs": "list_task_runs",
    "get_last_scheduling_task_run": "get_last_task_run",
    "get_scheduling_task_run_log": "get_task_run_log",
    "list_scheduling_resource_runs": "list_resource_task_runs",
}
"""The names under which calls, limits and logs know what both paths have: those of Tasks v1."""

ALL_CASES = {**CASES, **SCHEDULING_CASES}


def arguments_of(function: Callable[..., Any]) -> set[str]:
    """Return the optional arguments of a function that some case gives."""
    return {
        name for case in ALL_CASES.values() if case.function is function for name in (*case.optional, *case.instead)
    }
