"""Wait for a scheduled run of a task, and list the tasks of the app by the name of the operation.

Required permissions: the privilege `app:reload` on the app, which "Can edit" in its shared space gives.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

with DAG(
    dag_id="qlik_wait_for_schedule",
    schedule=None,
    params={"task_id": "demo-nightly", "app_id": "demo-app"},
    tags=["qlik"],
) as dag:
    nightly = QlikTaskRunSensor(
        task_id="nightly",
        qlik_task_id="{{ params.task_id }}",
        started_after="{{ (dag_run.start_date - macros.timedelta(hours=12)).isoformat() }}",
        poke_interval=1,
        timeout=3600,
    )
    schedules = QlikCallOperator(
        task_id="schedules",
        operation="tasks.list",
        arguments={"resource_id": "{{ params.app_id }}"},
    )
    nightly >> schedules
