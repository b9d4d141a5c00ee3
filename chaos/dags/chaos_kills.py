"""A thousand waits that are ended at once. The Dag is paused: its tasks are deferred without workers."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from chaos.plan import THOUSAND

with DAG("chaos_thousand", schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=True) as dag:
    QlikRunAutomationOperator.partial(
        task_id="automations", qlik_conn_id="chaos_thousand", deferrable=True, queue="kills"
    ).expand(automation_id=[task.name for task in THOUSAND])
