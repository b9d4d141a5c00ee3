"""Waits whose triggerers are killed or stopped."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from chaos.bulk import operator, sensor
from chaos.plan import ALONE, PAIR, WATCHED

with DAG("chaos_one_triggerer", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as one_triggerer:
    for task in ALONE:
        operator(task, qlik_conn_id="chaos_one", deferrable=True, poll_interval=5, settle_time=3, queue="alone")
    for task in WATCHED:
        sensor(task, qlik_conn_id="chaos_one", deferrable=True, poke_interval=5, queue="alone")

with DAG("chaos_two_triggerers", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=8) as two_triggerers:
    for task in PAIR:
        operator(task, qlik_conn_id="chaos_two", deferrable=True, poll_interval=5, settle_time=3, queue="pair")
