"""Waits through a change of secrets."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import DEFERRED, ON_WORKERS

with DAG("chaos_secrets", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=16) as dag:
    for deferrable, group in ((False, ON_WORKERS), (True, DEFERRED)):
        for task in group:
            operator(
                task,
                qlik_conn_id="chaos_secrets",
                deferrable=deferrable,
                poll_interval=5,
                settle_time=3,
                queue="secrets",
            )
