"""Run a task of Qlik Cloud, and wait for the tasks that Qlik Cloud starts after it.

The chain is made in Qlik Cloud, by tasks that start on the event of another one. The last Airflow task prints it.

Required permissions: the privilege `app:reload` on the app of each task in the chain, which "Can edit" in its shared
space gives. A task of the chain that the user may not see is not waited for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator

try:
    from airflow.sdk import task
except ImportError:  # Airflow 2
    from airflow.decorators import task  # type: ignore[no-redef,attr-defined]

with DAG(
    dag_id="qlik_run_task_chain",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"task_id": "demo-task"},
    tags=["qlik"],
) as dag:
    refresh = QlikRunTaskOperator(
        task_id="refresh",
        qlik_task_id="{{ params.task_id }}",
        wait_for_chain=True,
        fail_on_chain="any",
        timeout=6 * 60 * 60,
        poll_interval=1,
    )

    @task
    def report(result: dict[str, Any]) -> list[str]:
        """Return a line for each link of the chain."""
        return [f"{link['name']}: {link['status'] or link['state']}" for link in result["chain"]]

    report(refresh.output)  # type: ignore[arg-type]  # the result, once there is one
