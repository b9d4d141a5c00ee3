"""A thousand waits that are ended at once."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from chaos.plan import THOUSAND

with DAG("chaos_thousand", schedule=None, max_active_tasks=8) as dag:
    QlikRunAutomationOperator.partial(
        task_id="automations",
        qlik_conn_id="chaos_thousand",
        deferrable=True,
        poll_interval=120,
        queue="kills",
    ).expand(automation_id=[one.name for one in THOUSAND])
