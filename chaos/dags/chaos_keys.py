"""Waits through credentials in Airflow's connection that do not hold."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import MISTYPED_DEFERRED, MISTYPED_MARKED, MISTYPED_ON_WORKERS, ROTATED_DEFERRED, ROTATED_ON_WORKERS

common = {"poll_interval": 5, "settle_time": 3, "queue": "keys"}

with DAG("chaos_mistyped", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as mistyped:
    for deferrable, group in ((False, MISTYPED_ON_WORKERS), (True, [*MISTYPED_DEFERRED, *MISTYPED_MARKED])):
        for task in group:
            operator(task, qlik_conn_id="chaos_mistyped", deferrable=deferrable, **common)

with DAG("chaos_rotated", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as rotated:
    for deferrable, group in ((False, ROTATED_ON_WORKERS), (True, ROTATED_DEFERRED)):
        for task in group:
            operator(task, qlik_conn_id="chaos_rotated", deferrable=deferrable, **common)
