"""Waits that begin when a scenario is through: its triggerer must still start new triggers."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import FRESH, QUEUES

for queue in QUEUES:
    with DAG(f"chaos_fresh_{queue}", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as dag:
        for task in FRESH:
            operator(
                task, qlik_conn_id=f"chaos_fresh_{queue}", deferrable=True, poll_interval=2, settle_time=1, queue=queue
            )
    globals()[dag.dag_id] = dag
