"""Waits whose own time runs out."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator
from chaos.plan import OWN_LIMIT

with DAG("chaos_own_timeout", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    for task in OWN_LIMIT:
        operator(
            task,
            qlik_conn_id="chaos_timeouts",
            deferrable=True,
            timeout=20,
            poll_interval=5,
            settle_time=3,
            queue="timeouts",
        )
