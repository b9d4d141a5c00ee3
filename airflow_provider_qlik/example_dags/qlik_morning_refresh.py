"""Morning refresh: wait for the nightly load, prepare the data, and reload the app.

`make demo` runs it against the sandbox. With a tenant of your own, trigger it with your own ids as parameters.
Required permissions: "Can edit" in the shared spaces of the app and the automation.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

with DAG(
    dag_id="qlik_morning_refresh",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={
        "load_task_id": "demo-night-load",
        "automation_id": "demo-prepare-data",
        "refresh_task_id": "demo-refresh-app",
    },
    tags=["qlik"],
) as dag:
    # Qlik schedules this task itself: wait for its first run in the last hour.
    night_load = QlikTaskRunSensor(
        task_id="night_load",
        qlik_task_id="{{ params.load_task_id }}",
        started_after="{{ (dag_run.start_date - macros.timedelta(hours=1)).isoformat() }}",
        poke_interval=1,
        timeout=timedelta(hours=1),
        deferrable=True,
    )
    # Started without waiting; the sensor below waits for it.
    prepare_data = QlikRunAutomationOperator(
        task_id="prepare_data",
        automation_id="{{ params.automation_id }}",
        wait_for_completion=False,
    )
    data_ready = QlikAutomationRunSensor(
        task_id="data_ready",
        automation_id="{{ params.automation_id }}",
        run_id="{{ ti.xcom_pull(task_ids='prepare_data', key='run_id') }}",
        poke_interval=1,
        deferrable=True,
    )
    refresh_app = QlikRunTaskOperator(
        task_id="refresh_app",
        qlik_task_id="{{ params.refresh_task_id }}",
        poll_interval=1,
        timeout=timedelta(hours=2),
        deferrable=True,
    )
    night_load >> prepare_data >> data_ready >> refresh_app
