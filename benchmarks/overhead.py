"""The time from the end of a run to the end of the operator that waited for it on a worker.

The operators of each kind run in a process of their own, one after the other:
`python -m benchmarks.overhead KIND URL RUNS`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_provider_qlik.sandbox import Script, Tenant
from benchmarks import tenant as tenants
from benchmarks.report import Finding, Row
from benchmarks.servers import sandbox

POLL_INTERVAL = 2.0
EXTRA_GOAL = 0.3
RUNS = 8
SHORTEST = {"tasks": 6.0, "automations": 6.0, "reports": 26.0}
"""Seconds of the shortest run. A report's run is recognised after 20 seconds, and must end after that."""


def waiting_for(kind: str, tenant: Tenant) -> tuple[str, Any]:
    """Add a resource, and return its id and an operator that runs it and waits."""
    from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
    from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
    from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator

    common: dict[str, Any] = {"task_id": "wait", "poll_interval": POLL_INTERVAL, "durable": False}
    if kind == "tasks":
        return (it := tenant.add_task("Task")), QlikRunTaskOperator(qlik_task_id=it, **common)
    if kind == "automations":
        return (it := tenant.add_automation("Automation")), QlikRunAutomationOperator(automation_id=it, **common)
    return (it := tenant.add_sharing_task("Report")), QlikRunSharingTaskOperator(sharing_task_id=it, **common)


def context() -> Any:
    """Return the task context of an Airflow that stores nothing between tries."""
    identity = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "map_index": -1, "try_number": 1, "max_tries": 0}
    return {"ti": SimpleNamespace(**identity, xcom_push=lambda **_: None, xcom_pull=lambda **_: None)}


def delay(kind: str, tenant: Tenant, seconds: float) -> float:
    """Return the seconds between the end of a run of so many seconds and the end of the operator."""
    resource_id, operator = waiting_for(kind, tenant)
    tenant.script(resource_id, Script(run=seconds))
    operator.execute(context())
    ended = datetime.now(UTC)
    (run,) = tenant.runs(resource_id)
    return (ended - datetime.fromisoformat(run["ended_at"])).total_seconds()


def delays(kind: str, url: str, number: int) -> list[float]:
    """Return the delays of so many runs whose ends are spread over the poll interval."""
    tenant = Tenant(url)
    os.environ |= tenants.environment(tenant)
    return [delay(kind, tenant, SHORTEST[kind] + POLL_INTERVAL * part / number) for part in range(number)]


def measured(kind: str, url: str, number: int) -> list[float]:
    """Return the figures that a process prints, sorted, without its log."""
    command = [sys.executable, "-m", "benchmarks.overhead", kind, url, str(number)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[float] = json.loads(output.splitlines()[-1])
    return sorted(found)


def run(short: bool = False) -> dict[str, Finding]:
    """Return the section that this benchmark writes."""
    number = 2 if short else RUNS
    goal = POLL_INTERVAL + EXTRA_GOAL
    about = f"{number} runs of each kind, whose ends are spread over the poll interval of {POLL_INTERVAL:.0f} s."
    finding = Finding(about=about)
    with sandbox() as tenant, ThreadPoolExecutor() as threads:
        found = {kind: threads.submit(measured, kind, tenant.url, number) for kind in SHORTEST}
        for kind, future in found.items():
            sorted_delays = future.result()
            text = f"{sorted_delays[0]:.2f} to {sorted_delays[-1]:.2f}, mean {sum(sorted_delays) / number:.2f}"
            finding.rows.append(
                Row(
                    f"{kind}: seconds",
                    f"≤ {goal:.1f}",
                    text,
                    f"{sorted_delays[-1] / goal:.2f}",
                    sorted_delays[-1] <= goal,
                )
            )
    return {"overhead": finding}


if __name__ == "__main__":
    print(json.dumps(delays(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
