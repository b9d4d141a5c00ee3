"""Wait for scheduled runs without a worker: on Airflow 3.3 and later, sensors with literal ids start in the triggerer.

Required permissions: the privilege `app:reload` on the apps, which "Can edit" in their shared spaces gives.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.sensors.tasks import QlikTaskRunSensor

with DAG(
    dag_id="qlik_wait_in_triggerer",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"deferrable": True, "poke_interval": 1, "timeout": 3600},
    tags=["qlik"],
) as dag:
    sales = QlikTaskRunSensor(task_id="sales", qlik_task_id="demo-nightly-sales")
    stock = QlikTaskRunSensor(task_id="stock", qlik_task_id="demo-nightly-stock")
