"""Run an automation with inputs, and one without inputs by its name.

Required permissions: "Can edit" in the shared space of the automation without inputs, and to own the one with
inputs.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor

with DAG(
    dag_id="qlik_run_automation",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"mail_id": "demo-mail", "export_name": "Export data", "month": "11"},
    tags=["qlik"],
) as dag:
    export = QlikRunAutomationOperator(
        task_id="export", automation_name="{{ params.export_name }}", wait_for_completion=False
    )
    exported = QlikAutomationRunSensor(
        task_id="exported",
        automation_name="{{ params.export_name }}",
        run_id="{{ ti.xcom_pull(task_ids='export', key='run_id') }}",
        poke_interval=1,
        timeout=3600,
    )
    # An automation in run mode "triggered".
    mail = QlikRunAutomationOperator(
        task_id="mail",
        automation_id="{{ params.mail_id }}",
        inputs={"month": "{{ params.month }}"},
        settle_time=2,
        poll_interval=1,
    )
    export >> exported >> mail
