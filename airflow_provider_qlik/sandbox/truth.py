"""How it really stands with every run, whatever the API shows of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.records import AutomationRun, Execution, Reload, TaskRun
from airflow_provider_qlik.sandbox.script import Life
from airflow_provider_qlik.sandbox.statuses import (
    automation_run_status,
    execution_status,
    reload_status,
    task_run_status,
)
from airflow_provider_qlik.sandbox.world import World


def task_run(world: World, run: TaskRun) -> dict[str, Any]:
    """A task run, hidden or not, with who started it and how."""
    now = world.now
    return {
        "kind": "task_run",
        "id": run.id,
        "task_id": run.task.id,
        "status": task_run_status(run.life, world.switches, now),
        "hidden": not world.is_visible(run),
        "started_by": run.by.id,
        "via": run.via,
        "source": run.source,
        "triggered_by": run.triggered_by,
        "worker_type": run.worker_type,
        "worker_id": run.worker_id,
        **_life(run.life, now),
    }


def automation_run(world: World, run: AutomationRun) -> dict[str, Any]:
    """An automation run, hidden or not, with who started it, how, and with which inputs."""
    now = world.now
    return {
        "kind": "automation_run",
        "id": run.id,
        "automation_id": run.automation_id,
        "status": automation_run_status(run.life, now),
        "hidden": not world.is_visible(run),
        "started_by": run.by.id,
        "via": run.via,
        "context": run.context,
        "inputs": run.inputs,
        **_life(run.life, now),
    }


def reload(world: World, reload: Reload) -> dict[str, Any]:
    """A reload, hidden or not, with what it was asked to do."""
    now = world.now
    return {
        "kind": "reload",
        "id": reload.id,
        "app_id": reload.app_id,
        "status": reload_status(reload.life, now),
        "hidden": not world.apps.is_visible(reload),
        "started_by": reload.user_id,
        "via": reload.via,
        "type": reload.type,
        "partial": reload.partial,
        "weight": reload.weight,
        "variables": reload.variables,
        "resource_id": reload.resource_id,
        **_life(reload.life, now),
    }


def execution(world: World, execution: Execution) -> dict[str, Any]:
    """An execution of a sharing task, hidden or not, with who started it and for whom."""
    now = world.now
    return {
        "kind": "execution",
        "id": execution.id,
        "sharing_task_id": execution.task_id,
        "status": execution_status(execution, now),
        "hidden": not world.sharing.is_visible(execution),
        "started_by": execution.by.id,
        "via": execution.via,
        "workflow_id": execution.workflow_id,
        "recipient": execution.recipient.value,
        "reload_id": execution.reload_id,
        **_life(execution.life, now),
    }


def of_resource(world: World, resource_id: str) -> Iterator[dict[str, Any]]:
    """Every run of a task, automation, app or sharing task."""
    yield from (task_run(world, run) for run in world.task_runs.get(resource_id, ()))
    yield from (automation_run(world, run) for run in world.automation_runs.get(resource_id, ()))
    yield from (reload(world, one) for one in world.apps.reloads_of(resource_id))
    yield from (execution(world, one) for one in world.sharing.executions.get(resource_id, ()))


def of_everything(world: World) -> Iterator[dict[str, Any]]:
    """Every run of every kind."""
    yield from (task_run(world, run) for runs in world.task_runs.values() for run in runs)
    yield from (automation_run(world, run) for runs in world.automation_runs.values() for run in runs)
    yield from (reload(world, one) for one in world.apps.reloads.values())
    yield from (execution(world, one) for ones in world.sharing.executions.values() for one in ones)


def _life(life: Life, now: datetime) -> dict[str, Any]:
    is_active = life.is_active(now)
    return {
        "active": is_active,
        "phase": life.phase(now).value,
        "created_at": life.created.isoformat(),
        "ended_at": None if is_active or life.finish is None else life.finish.isoformat(),
        "stop_asked_at": life.stop_asked and life.stop_asked.isoformat(),
    }
