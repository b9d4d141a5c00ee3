"""Waits for what Qlik Cloud itself schedules by a reload task, and changes the schedule by name of the operation."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.sensors.reload_tasks import QlikReloadTaskSensor

with DAG(
    dag_id="qlik_wait_for_schedule",
    schedule=None,
    params={"reload_task_id": "demo-schedule"},
    tags=["qlik"],
) as dag:
    nightly = QlikReloadTaskSensor(
        task_id="nightly",
        reload_task_id="{{ params.reload_task_id }}",
        started_after="{{ (dag_run.start_date - macros.timedelta(hours=12)).isoformat() }}",
        poke_interval=1,
        timeout=3600,
    )
    pause = QlikCallOperator(
        task_id="pause",
        operation="reload_tasks.update",
        arguments={"reload_task_id": "{{ params.reload_task_id }}", "reload_task": {"state": "Disabled"}},
    )
    nightly >> pause
