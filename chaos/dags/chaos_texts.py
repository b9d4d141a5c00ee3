"""Waits for runs whose texts PostgreSQL refuses, and for others beside them."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.crowd import operator, sensor
from chaos.plan import HEALTHY, NEXT, ODD_FAILING, ODD_NAMED, ODD_WATCHED

common = {"qlik_conn_id": "chaos_texts", "deferrable": True, "queue": "texts"}

with DAG("chaos_texts", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as texts:
    for one in [*ODD_FAILING, *ODD_NAMED, *HEALTHY]:
        operator(one, poll_interval=5, settle_time=3, **common)
    for one in ODD_WATCHED:
        sensor(one, poke_interval=5, **common)

with DAG("chaos_texts_next", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as afterwards:
    for one in NEXT:
        operator(one, poll_interval=5, settle_time=3, **common)
