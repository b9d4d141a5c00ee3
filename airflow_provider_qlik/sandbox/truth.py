"""How it really stands with every run, whatever the API shows of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.records import AutomationRun, Reload, TaskRun
from airflow_provider_qlik.sandbox.script import Life
from airflow_provider_qlik.sandbox.views import automation_run_status, reload_status, task_run_status
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
    """A reload."""
    now = world.now
    return {
        "kind": "reload",
        "id": reload.id,
        "app_id": reload.app_id,
        "status": reload_status(reload.life, now),
        "started_by": reload.user_id,
        **_life(reload.life, now),
    }


def _life(life: Life, now: datetime) -> dict[str, Any]:
    is_active = life.is_active(now)
    return {
        "active": is_active,
        "phase": life.phase(now).value,
        "created_at": life.created.isoformat(),
        "ended_at": None if is_active or life.finish is None else life.finish.isoformat(),
        "stop_asked_at": life.stop_asked and life.stop_asked.isoformat(),
    }
