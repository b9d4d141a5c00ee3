"""Create the reports of a sharing task, one for each recipient, and download their files.

Required permissions: to own the sharing task.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.sensors.sharing_tasks import QlikSharingTaskSensor

with DAG(
    dag_id="qlik_reports",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"sharing_task_id": "demo-report", "folder": "/tmp/qlik-reports"},
    tags=["qlik"],
) as dag:
    weekly = QlikRunSharingTaskOperator(
        task_id="weekly",
        sharing_task_id="{{ params.sharing_task_id }}",
        # Or an address such as s3://connection@bucket/reports.
        download_to="{{ params.folder }}",
        file_name="{task}-{recipient}.{type}",
        fail_on="all",
        settle_time=2,
        poll_interval=1,
    )
    last = QlikSharingTaskSensor(
        task_id="last", sharing_task_id="{{ params.sharing_task_id }}", poke_interval=1, timeout=3600
    )
    weekly >> last
