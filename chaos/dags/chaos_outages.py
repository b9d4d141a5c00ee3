"""Waits through an outage of the tenant."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import EARLY_DEFERRED, EARLY_ON_WORKERS, LATE_DEFERRED, LATE_ON_WORKERS

with DAG("chaos_outages", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=16) as dag:
    for deferrable, group in (
        (False, [*EARLY_ON_WORKERS, *LATE_ON_WORKERS]),
        (True, [*EARLY_DEFERRED, *LATE_DEFERRED]),
    ):
        for task in group:
            operator(
                task,
                qlik_conn_id="chaos_outages",
                deferrable=deferrable,
                poll_interval=5,
                settle_time=3,
                queue="outages",
            )
