"""Waits that users clear and mark."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from chaos.bulk import operator
from chaos.plan import CLEARED, MANY_AUTOMATIONS, MANY_TASKS, MARKED_FAILED, MARKED_SUCCESS, SUCCEEDED

for name in ("chaos_users", "chaos_users_oauth"):
    with DAG(name, schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as dag:
        for task in [*SUCCEEDED, *MARKED_FAILED, *MARKED_SUCCESS, *CLEARED]:
            operator(task, qlik_conn_id=name, deferrable=True, poll_interval=5, settle_time=3, queue="users")
    globals()[name] = dag

with DAG("chaos_many", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as many:
    common = {"qlik_conn_id": "chaos_many", "deferrable": True, "poll_interval": 60, "queue": "users"}
    QlikRunTaskOperator.partial(task_id="tasks", **common).expand(qlik_task_id=[task.name for task in MANY_TASKS])
    QlikRunAutomationOperator.partial(task_id="automations", **common).expand(
        automation_id=[task.name for task in MANY_AUTOMATIONS]
    )
