"""Snapshots of runs for tests: their true state, independent of what the API shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow_provider_qlik.sandbox.state.records import AutomationRun, Execution, Reload, TaskRun
from airflow_provider_qlik.sandbox.state.script import Progress
from airflow_provider_qlik.sandbox.state.state import TenantState
from airflow_provider_qlik.sandbox.state.statuses import (
    automation_run_status,
    execution_status,
    reload_status,
    task_run_status,
)


def task_run(tenant_state: TenantState, run: TaskRun) -> dict[str, Any]:
    """Return a task run, hidden or not, with who started it and how."""
    now = tenant_state.now
    return {
        "kind": "task_run",
        "id": run.id,
        "task_id": run.task.id,
        "status": task_run_status(run.progress, tenant_state.switches, now),
        "hidden": not tenant_state.is_visible(run),
        "started_by": run.by.id,
        "via": run.via,
        "source": run.source,
        "triggered_by": run.triggered_by,
        "worker_type": run.worker_type,
        "worker_id": run.worker_id,
        **_progress(run.progress, now),
    }


def automation_run(tenant_state: TenantState, run: AutomationRun) -> dict[str, Any]:
    """Return an automation run, hidden or not, with who started it, how, and with which inputs."""
    now = tenant_state.now
    return {
        "kind": "automation_run",
        "id": run.id,
        "automation_id": run.automation_id,
        "status": automation_run_status(run.progress, now),
        "hidden": not tenant_state.is_visible(run),
        "started_by": run.by.id,
        "via": run.via,
        "context": run.context,
        "inputs": run.inputs,
        **_progress(run.progress, now),
    }


def reload(tenant_state: TenantState, reload: Reload) -> dict[str, Any]:
    """Return a reload, hidden or not, with the arguments of its start."""
    now = tenant_state.now
    return {
        "kind": "reload",
        "id": reload.id,
        "app_id": reload.app_id,
        "status": reload_status(reload.progress, now),
        "hidden": not tenant_state.apps.is_visible(reload),
        "started_by": reload.user_id,
        "via": reload.via,
        "type": reload.type,
        "partial": reload.partial,
        "weight": reload.weight,
        "variables": reload.variables,
        "resource_id": reload.resource_id,
        **_progress(reload.progress, now),
    }


def execution(tenant_state: TenantState, execution: Execution) -> dict[str, Any]:
    """Return an execution of a sharing task, hidden or not, with who started it and its recipient."""
    now = tenant_state.now
    return {
        "kind": "execution",
        "id": execution.id,
        "sharing_task_id": execution.task_id,
        "status": execution_status(execution, now),
        "hidden": not tenant_state.sharing.is_visible(execution),
        "started_by": execution.by.id,
        "via": execution.via,
        "workflow_id": execution.workflow_id,
        "recipient": execution.recipient.value,
        "reload_id": execution.reload_id,
        **_progress(execution.progress, now),
    }


def of_resource(tenant_state: TenantState, resource_id: str) -> Iterator[dict[str, Any]]:
    """Yield every run of a task, automation, app or sharing task."""
    yield from (task_run(tenant_state, run) for run in tenant_state.task_runs.get(resource_id, ()))
    yield from (automation_run(tenant_state, run) for run in tenant_state.automation_runs.get(resource_id, ()))
    yield from (reload(tenant_state, one) for one in tenant_state.apps.reloads_of(resource_id))
    yield from (execution(tenant_state, one) for one in tenant_state.sharing.executions.get(resource_id, ()))


def of_all_resources(tenant_state: TenantState) -> Iterator[dict[str, Any]]:
    """Yield every run of every kind."""
    yield from (task_run(tenant_state, run) for runs in tenant_state.task_runs.values() for run in runs)
    yield from (automation_run(tenant_state, run) for runs in tenant_state.automation_runs.values() for run in runs)
    yield from (reload(tenant_state, one) for one in tenant_state.apps.reloads.values())
    yield from (execution(tenant_state, one) for ones in tenant_state.sharing.executions.values() for one in ones)


def _progress(progress: Progress, now: datetime) -> dict[str, Any]:
    is_active = progress.is_active(now)
    return {
        "active": is_active,
        "phase": progress.phase(now).value,
        "created_at": progress.created.isoformat(),
        "ended_at": None if is_active or progress.finish is None else progress.finish.isoformat(),
        "cancel_requested_at": progress.cancel_requested_at and progress.cancel_requested_at.isoformat(),
    }
