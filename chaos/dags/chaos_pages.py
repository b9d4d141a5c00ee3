"""Waits and starts while a proxy responds in place of the tenant."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import PAGES_DEFERRED, PAGES_ON_WORKERS, PAGES_STARTED_DEFERRED, PAGES_STARTED_ON_WORKERS

common = {"qlik_conn_id": "chaos_pages", "poll_interval": 5, "settle_time": 3, "queue": "pages"}

with DAG("chaos_pages", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as waits:
    for deferrable, group in ((False, PAGES_ON_WORKERS), (True, PAGES_DEFERRED)):
        for task in group:
            operator(task, deferrable=deferrable, **common)

with DAG("chaos_pages_starts", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as starts:
    for deferrable, group in ((False, PAGES_STARTED_ON_WORKERS), (True, PAGES_STARTED_DEFERRED)):
        for task in group:
            operator(task, deferrable=deferrable, **common)
