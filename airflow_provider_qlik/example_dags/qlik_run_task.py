"""Run a task of Qlik Cloud, then check the last run of another one.

Required permissions: the privilege `app:reload` on the app, which "Can edit" in its shared space gives.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

with DAG(
    dag_id="qlik_run_task",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"task_id": "demo-task", "app_id": "demo-app", "task_name": "Nightly load"},
    tags=["qlik"],
) as dag:
    refresh = QlikRunTaskOperator(task_id="refresh", qlik_task_id="{{ params.task_id }}", poll_interval=1)
    last = QlikTaskRunSensor(
        task_id="last",
        qlik_task_name="{{ params.task_name }}",
        app_id="{{ params.app_id }}",
        poke_interval=1,
        timeout=3600,
    )
    refresh >> last
