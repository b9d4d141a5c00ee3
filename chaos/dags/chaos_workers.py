"""Runs whose workers are killed."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import UNANSWERED, UNSTORED, WAITING

with DAG("chaos_workers", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=16) as dag:
    for connection, group in (("unanswered", UNANSWERED), ("unstored", UNSTORED), ("waiting", WAITING)):
        for task in group:
            operator(
                task,
                qlik_conn_id=f"chaos_{connection}",
                deferrable=group is not WAITING,
                poll_interval=2,
                settle_time=3,
                retries=5,
                retry_delay=timedelta(seconds=1),
                queue="workers",
            )
