"""Waits for runs whose texts PostgreSQL refuses, and for others beside them."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator, sensor
from chaos.plan import HEALTHY, NEXT, ODD_FAILING, ODD_NAMED, ODD_WATCHED

common = {"qlik_conn_id": "chaos_texts", "deferrable": True, "queue": "texts"}

with DAG("chaos_texts", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as texts:
    for task in [*ODD_FAILING, *ODD_NAMED, *HEALTHY]:
        operator(task, poll_interval=5, settle_time=3, **common)
    for task in ODD_WATCHED:
        sensor(task, poke_interval=5, **common)

with DAG("chaos_texts_next", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as afterwards:
    for task in NEXT:
        operator(task, poll_interval=5, settle_time=3, **common)
