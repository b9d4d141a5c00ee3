"""Reload an app and save the complete log of the reload, also if it fails.

Required permissions: "Can edit" in the shared space of the app.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator

with DAG(
    dag_id="qlik_save_reload_log",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"folder": "~/qlik-logs"},
    tags=["qlik"],
) as dag:
    QlikReloadAppOperator(
        task_id="sales",
        app_id="demo-app",
        poll_interval=1,
        # Or an address such as s3://connection@bucket/logs.
        log_to="{{ params.folder }}/{{ ds | default('manual') }}",
    )
