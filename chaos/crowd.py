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
"""Seconds within which whoever waits has asked once."""


class One(NamedTuple):
    """A task of a Dag and what it runs in the tenant: both have the same name."""

    kind: str
    name: str


def crowd(prefix: str, each: int = 0, **counts: int) -> list[One]:
    """So many of every kind, or of each kind that is named."""
    selector = counts or dict.fromkeys(ADAPTERS, each)
    return [One(kind, f"{prefix}_{kind}_{number:02}") for kind, count in selector.items() for number in range(count)]


def operator(one: One, **arguments: Any) -> QlikRunOperator:
    """The operator of a Dag that runs it."""
    from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
    from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
    from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
    from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator

    if one.kind == "task":
        return QlikRunTaskOperator(task_id=one.name, qlik_task_id=one.name, **arguments)
    if one.kind == "automation":
        return QlikRunAutomationOperator(task_id=one.name, automation_id=one.name, **arguments)
    if one.kind == "reload":
        return QlikReloadAppOperator(task_id=one.name, app_id=one.name, **arguments)
    return QlikRunSharingTaskOperator(task_id=one.name, sharing_task_id=one.name, **arguments)


def sensor(one: One, **arguments: Any) -> QlikRunSensor:
    """The sensor of a Dag that waits for its last run."""
    from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
    from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

    if one.kind == "task":
        return QlikTaskRunSensor(task_id=one.name, qlik_task_id=one.name, **arguments)
    return QlikAutomationRunSensor(task_id=one.name, automation_id=one.name, **arguments)


def fill(tenant: Tenant, ones: Sequence[One], *scripts: Script, name: str | None = None) -> None:
    """The tenant has what they run, and it will do what the scripts say. *name*: shown in place of their own."""
    for one in ones:
        shown = name or one.name
        if one.kind == "task":
            tenant.add_task(shown, id=one.name)
        elif one.kind == "automation":
            tenant.add_automation(shown, id=one.name)
        elif one.kind == "reload":
            tenant.add_app(shown, id=one.name)
        else:
            tenant.add_sharing_task(shown, id=one.name)
        if scripts:
            tenant.script(one.name, *scripts)


def runs_of(tenant: Tenant, ones: Sequence[One]) -> list[list[dict[str, Any]]]:
    """For each, its runs as they really stand."""
    return [tenant.runs(one.name) for one in ones]


def log_texts(tenant: Tenant, ones: Sequence[One]) -> Counter[str]:
    """How often the tenant has told about each (by name) or its first run, since its journal was cleared."""
    told: Counter[str] = Counter()
    asked = [f"{entry.path}?{entry.raw_query}" for entry in tenant.request_log(method="GET") if entry.status == 200]
    # The list of all automations tells about the last run of each.
    whole = sum(request.partition("?")[0].endswith("/automations") for request in asked)
    for one in ones:
        run_id = tenant.runs(one.name)[0]["id"]
        count = sum(one.name in request or run_id in request for request in asked)
        count += whole if one.kind == "automation" else 0
        told += Counter({one.name: count})
    return told


def asked_to_stop(runs: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    """How many of the runs were asked to stop."""
    return sum(run["stop_asked_at"] is not None for each in runs for run in each)


def counted(runs: Iterable[Sequence[object]]) -> str:
    """How many have how many runs, such as "20 with 1"."""
    return tally(f"with {len(each)}" for each in runs)
