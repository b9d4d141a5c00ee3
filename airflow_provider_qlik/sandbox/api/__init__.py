"""The operations of the tenant, one module for each family."""

from __future__ import annotations

from airflow_provider_qlik.sandbox.api import (
    automation_runs,
    automations,
    items,
    oauth,
    reload_tasks,
    reloads,
    scheduling_tasks,
    sharing_executions,
    sharing_tasks,
    task_runs,
    tasks,
    users,
)
from airflow_provider_qlik.sandbox.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *oauth.OPERATIONS,
    *users.OPERATIONS,
    *tasks.OPERATIONS,
    *task_runs.OPERATIONS,
    *scheduling_tasks.OPERATIONS,
    *reloads.OPERATIONS,
    *reload_tasks.OPERATIONS,
    *items.OPERATIONS,
    *sharing_tasks.OPERATIONS,
    *sharing_executions.OPERATIONS,
    *automations.OPERATIONS,
    *automation_runs.OPERATIONS,
)
"""Every operation; if two match a path, the first one is used."""
