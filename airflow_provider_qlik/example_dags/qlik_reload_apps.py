"""Reload one app by its name, then several apps in parallel, each labelled in the grid by its app.

Required permissions: "Can edit" in the shared spaces of the apps.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.sensors.reloads import QlikReloadSensor

with DAG(
    dag_id="qlik_reload_apps",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"app_name": "Sales", "space_name": "Finance"},
    tags=["qlik"],
) as dag:
    sales = QlikReloadAppOperator(
        task_id="sales",
        app_name="{{ params.app_name }}",
        space_name="{{ params.space_name }}",
        variables={"vToday": "{{ ds | default('today') }}"},
        if_pending="wait",
        poll_interval=1,
    )
    regions = QlikReloadAppOperator.partial(task_id="regions", poll_interval=1).expand(
        app_id=["demo-north", "demo-south"]
    )
    last_reloads = QlikReloadSensor.partial(task_id="last_reloads", poke_interval=1, timeout=3600).expand(
        app_id=["demo-north", "demo-south"]
    )
    sales >> regions >> last_reloads
