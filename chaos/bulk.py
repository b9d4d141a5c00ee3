"""Many runs of all kinds, described once: for the Dag that starts them and for the tenant that it meets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chaos.report import tally

if TYPE_CHECKING:
    from airflow_provider_qlik.operators.run import QlikRunOperator
    from airflow_provider_qlik.sandbox import Script, Tenant
    from airflow_provider_qlik.sensors.run import QlikRunSensor

ADAPTERS = ("task", "automation", "reload", "sharing_task")
POLLED_WITHIN = 60.0
"""Seconds within which each waiting task has polled once."""


class PlannedTask(NamedTuple):
    """A task of a Dag and what it runs in the tenant: both have the same name."""

    kind: str
    name: str


def bulk(prefix: str, each: int = 0, **counts: int) -> list[PlannedTask]:
    """Return `each` planned tasks of every kind, or the numbers in *counts* by kind."""
    counts_by_kind = counts or dict.fromkeys(ADAPTERS, each)
    return [
        PlannedTask(kind, f"{prefix}_{kind}_{number:02}")
        for kind, count in counts_by_kind.items()
        for number in range(count)
    ]


def operator(task: PlannedTask, **arguments: Any) -> QlikRunOperator:
    """Return the operator that runs a planned task."""
    from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
    from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
    from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
    from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator

    if task.kind == "task":
        return QlikRunTaskOperator(task_id=task.name, qlik_task_id=task.name, **arguments)
    if task.kind == "automation":
        return QlikRunAutomationOperator(task_id=task.name, automation_id=task.name, **arguments)
    if task.kind == "reload":
        return QlikReloadAppOperator(task_id=task.name, app_id=task.name, **arguments)
    return QlikRunSharingTaskOperator(task_id=task.name, sharing_task_id=task.name, **arguments)


def sensor(task: PlannedTask, **arguments: Any) -> QlikRunSensor:
    """Return the sensor that waits for the last run of a planned task's resource."""
    from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
    from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

    if task.kind == "task":
        return QlikTaskRunSensor(task_id=task.name, qlik_task_id=task.name, **arguments)
    return QlikAutomationRunSensor(task_id=task.name, automation_id=task.name, **arguments)


def add_to_tenant(tenant: Tenant, tasks: Sequence[PlannedTask], *scripts: Script, name: str | None = None) -> None:
    """Add the resources of the tasks to the tenant, with scripts for their runs. *name*: a name for all."""
    for task in tasks:
        display_name = name or task.name
        if task.kind == "task":
            tenant.add_task(display_name, id=task.name)
        elif task.kind == "automation":
            tenant.add_automation(display_name, id=task.name)
        elif task.kind == "reload":
            tenant.add_app(display_name, id=task.name)
        else:
            tenant.add_sharing_task(display_name, id=task.name)
        if scripts:
            tenant.script(task.name, *scripts)


def runs_of(tenant: Tenant, tasks: Sequence[PlannedTask]) -> list[list[dict[str, Any]]]:
    """Return snapshots of the runs of each task."""
    return [tenant.runs(task.name) for task in tasks]


def count_reads(tenant: Tenant, tasks: Sequence[PlannedTask]) -> Counter[str]:
    """Count the reads of each resource (by name) or of its first run since the request log was cleared."""
    reads: Counter[str] = Counter()
    requests = [f"{entry.path}?{entry.raw_query}" for entry in tenant.request_log(method="GET") if entry.status == 200]
    # The list of all automations contains the last run of each.
    list_reads = sum(request.partition("?")[0].endswith("/automations") for request in requests)
    for task in tasks:
        run_id = tenant.runs(task.name)[0]["id"]
        count = sum(task.name in request or run_id in request for request in requests)
        count += list_reads if task.kind == "automation" else 0
        reads += Counter({task.name: count})
    return reads


def count_cancelled(runs: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    """Return how many of the runs were cancelled."""
    return sum(run["cancel_requested_at"] is not None for each in runs for run in each)


def tally_run_counts(runs: Iterable[Sequence[object]]) -> str:
    """Return how many tasks have how many runs, such as "20 with 1"."""
    return tally(f"with {len(each)}" for each in runs)
