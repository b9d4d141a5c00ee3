"""Tasks in the form of `/api/scheduling/tasks`: metadata, dependencies, and the fields of lists.

Documented: the members of the metadata, that `lastRun` is the newest run, the 14 fields. Assumed: how stale `lastRun`
is (the switch `last_run_lag`), and how the type of a trigger follows from a task.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from airflow_provider_qlik.sandbox.serializers.base import without_none
from airflow_provider_qlik.sandbox.serializers.runs import RunSerializer
from airflow_provider_qlik.sandbox.state.chains import TASK_ENDED
from airflow_provider_qlik.sandbox.state.records import Task

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.state.state import TenantState

FIELDS = (
    *("createdAt", "updatedAt", "updatedBy", "enabled", "name", "ownerId", "resourceId", "spaceId", "triggerType"),
    *("lastStatus", "lastTriggeredBy", "lastStartedAt", "lastEndedAt", "lastExecutedAs"),
)
"""The fields that `filter` and `sort` accept."""

DATASET_UPDATED = "com.qlik/active-analytics-orch"
_TRIGGERS = ("TIME_SCHEDULE", "SINGLE_EVENT", "MULTI_EVENT", "MIXED", "AAO_DATA_UPDATED")
_MINIBUS = 3
_LAST_RUN = ("id", "status", "startedAt", "endedAt", "executedAs", "triggeredBy", "workerId", "workerType")


def serialize_task(tenant_state: TenantState, task: Task) -> dict[str, Any]:
    """Return a task in full, in the form of the scheduling path."""
    members = tenant_state.serializer.task(task)
    return {**members, "metadata": _metadata(tenant_state, task, members["metadata"])}


def upstream_ids(task: Task) -> list[str]:
    """Return the ids of the tasks whose end triggers a task."""
    return [
        correlation["contextAttributeValue"]
        for event in task.members.get("events", ())
        if event.get("type", TASK_ENDED) == TASK_ENDED
        for correlation in event.get("correlation", ())
        if correlation.get("contextAttributeName") == "id" and "contextAttributeValue" in correlation
    ]


def parents(tenant_state: TenantState, task: Task) -> list[Task]:
    """Return the existing tasks that trigger a task directly."""
    return [tenant_state.tasks[id] for id in dict.fromkeys(upstream_ids(task)) if id in tenant_state.tasks]


def children(tenant_state: TenantState, task: Task) -> list[Task]:
    """Return the tasks that a task triggers directly."""
    return [other for other in tenant_state.tasks.values() if task.id in upstream_ids(other)]


def topology(tenant_state: TenantState, task: Task) -> dict[str, bool]:
    """Return the flags `isChild` (another task triggers it) and `isParent` (it triggers others)."""
    return {"isChild": bool(parents(tenant_state, task)), "isParent": bool(children(tenant_state, task))}


def last_run(tenant_state: TenantState, task: Task) -> dict[str, Any] | None:
    """Return a summary of a task's newest run, as of `last_run_lag` seconds ago; None if there was none."""
    at = tenant_state.clock.later(-tenant_state.switches.last_run_lag)
    runs = [run for run in tenant_state.task_runs[task.id] if tenant_state.is_visible(run, at)]
    if not runs:
        return None
    run = RunSerializer(tenant_state.switches, at).task_run(max(reversed(runs), key=lambda run: run.progress.created))
    return {name: run[name] for name in _LAST_RUN if name in run}


def field_of(tenant_state: TenantState, task: Task, name: str) -> Any:
    """Return the value that a filter or sort compares; for a trigger type both its number and its name."""
    if name in ("name", "enabled", "resourceId"):
        return task.members.get(name)
    if name in ("createdAt", "updatedAt"):
        return task.created if name == "createdAt" else task.updated
    if name == "updatedBy":
        return task.updated_by
    if name == "triggerType":
        number = _trigger_type(task)
        return None if number is None else (number, _TRIGGERS[number])
    if name.startswith("last"):
        run = last_run(tenant_state, task) or {}
        member = name.removeprefix("last")
        value = run.get(member[0].lower() + member[1:])
        return datetime.fromisoformat(value) if value and name.endswith("At") else value
    return _metadata(tenant_state, task, task.members["metadata"]).get(name)


def _metadata(tenant_state: TenantState, task: Task, stored: dict[str, Any]) -> dict[str, Any]:
    resource = tenant_state.automations.get(task.resource_id) or tenant_state.apps.apps.get(task.resource_id)
    kind = "automation" if task.resource_id in tenant_state.automations else "app" if resource else None
    name = None
    space_id = stored.get("spaceId")
    if resource is not None:
        name = resource.name if hasattr(resource, "name") else resource.members["name"]
        own = resource.space_id if hasattr(resource, "space_id") else resource.members.get("spaceId")
        space_id = space_id or own
    space = tenant_state.apps.spaces.get(space_id or "")
    space_type = space.type if space else None if space_id else "personal"
    shown = {
        **stored,
        "spaceId": space_id or "",
        "spaceType": space_type if space_type in ("personal", "shared", "managed") else None,
        "scriptOwnerId": stored.get("ownerId"),
        "resourceName": name,
        "resourceType": kind,
        "topology": topology(tenant_state, task),
        "orchestration": _orchestration(tenant_state, task, stored.get("orchestration", {})),
    }
    number = _trigger_type(task)
    if number is not None and "trigger" not in stored:
        shown["trigger"] = {"id": _id_of("trigger", task), "type": number}
    return without_none(shown)


def _orchestration(tenant_state: TenantState, task: Task, stored: dict[str, Any]) -> dict[str, Any]:
    run = last_run(tenant_state, task)
    shown = {"id": _id_of("orchestration", task), "type": _MINIBUS, **stored}
    if run is None:
        return shown
    texts = {f"last_run_{name}": run[name] for name in ("status", "startedAt", "endedAt") if name in run}
    attrs = {**stored.get("attrs", {}), **texts, "last_run_worker_type": run["workerType"]}
    return {**shown, "attrs": attrs, "lastRun": run}


def _trigger_type(task: Task) -> int | None:
    stored = task.members["metadata"].get("trigger", {}).get("type")
    if stored is not None:
        return int(stored)
    events = task.members.get("events", [])
    is_scheduled = bool(task.members.get("start"))
    if any(event.get("type") == DATASET_UPDATED for event in events):
        return 4
    if events:
        return 3 if is_scheduled else 1 if len(events) == 1 else 2
    return 0 if is_scheduled else None


def _id_of(kind: str, task: Task) -> str:
    """Return the stable id of an object that the scheduler keeps for a task."""
    return str(uuid5(NAMESPACE_URL, f"{kind}/{task.id}"))
