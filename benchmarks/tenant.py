"""A sandbox tenant full of runs that somebody waits for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from airflow_provider_qlik.sandbox import Script, Tenant

POLL_INTERVAL = 15.0
MAX_POLL_INTERVAL = 60.0
"""The defaults of the operators."""
ADAPTERS = ("task", "automation", "sharing_task")
RUNNING = {"task": "RUNNING", "automation": "running", "sharing_task": "in-progress"}
"""The status of an active run in Qlik Cloud; the operator has seen and logged it before it defers."""
FAMILIES = {"tasks": "task", "automations": "automation", "sharing-tasks": "sharing_task"}
SECONDS_EACH = 0.008
"""More than it takes to put one run into the sandbox."""


def environment(tenant: Tenant) -> dict[str, str]:
    """Return the environment in which a process finds the tenant by the default connection."""
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key}
    # The figures that are published are of the tier that Tasks v1 has for itself.
    connection["extra"] = json.dumps({"tasks_api": "/api/v1/tasks"})
    return {"AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection)}


def wait_for(kind: str, resource_id: str, run_id: str) -> dict[str, Any]:
    """Return the arguments of a trigger that waits for a run."""
    return {
        "kind": kind,
        "resource_id": resource_id,
        "run_id": run_id,
        "status": RUNNING[kind],
        "poll_interval": POLL_INTERVAL,
        "max_poll_interval": MAX_POLL_INTERVAL,
    }


def add_wait(tenant: Tenant, kind: str, seconds: float | None) -> dict[str, Any]:
    """Add a resource and a run that ends after so many seconds (None: never), and return the wait for it.

    The run is begun by hand and not by the API, so that nothing of its limits is used up.
    """
    script = Script(end=None) if seconds is None else Script(run=seconds)
    if kind == "sharing_task":
        resource_id, run_id = tenant.add_sharing_task("Report"), str(uuid4())
        tenant.add_execution(resource_id, started_ago=0, script=script, workflow_id=run_id)
    else:
        resource_id = tenant.add_task("Task") if kind == "task" else tenant.add_automation("Automation")
        run_id = tenant.add_run(resource_id, started_ago=0, script=script)
    return wait_for(kind, resource_id, run_id)


def add_waits(tenant: Tenant, number: int, end_at: float | None) -> list[dict[str, Any]]:
    """Add so many waits, each kind in turn, for runs that begin now and end together."""
    return [
        add_wait(tenant, ADAPTERS[count % len(ADAPTERS)], None if end_at is None else end_at - time.time())
        for count in range(number)
    ]


def warm_up(tenant: Tenant) -> list[dict[str, Any]]:
    """Return waits that end at once, more than there are connections, so that one-time costs are not measured."""
    return [add_wait(tenant, kind, 0.0) for kind in ADAPTERS for _ in range(10)]


def requests(tenant: Tenant) -> tuple[Mapping[str, int], Mapping[str, int], int]:
    """Count the logged requests by operation and by kind of run, and those that met a rate limit."""
    request_log = tenant.request_log()
    by_operation = Counter(entry.operation or entry.path for entry in request_log)
    by_kind = Counter(
        next((kind for part, kind in FAMILIES.items() if f"/{part}" in entry.path), "other") for entry in request_log
    )
    return by_operation, by_kind, sum(entry.status == 429 for entry in request_log)
