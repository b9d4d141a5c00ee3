"""Waits that Airflow itself ends, since their time has run out."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.lifecycle import deferral as waiting
from chaos.bulk import operator
from chaos.plan import AIRFLOWS_LIMIT, NO_TRIGGERER

# Airflow's own time-out comes five minutes after the trigger's deadline. Here, in the process of these tasks alone, it
# comes long before it: so that it is Airflow that ends the deferral.
waiting.DEFERRAL_TIMEOUT_MARGIN = timedelta(seconds=30 - 3600)

with DAG("chaos_airflows_timeout", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    for queue, group in (("timeouts", AIRFLOWS_LIMIT), ("nobody", NO_TRIGGERER)):
        for task in group:
            operator(
                task,
                qlik_conn_id="chaos_timeouts",
                deferrable=True,
                timeout=3600,
                poll_interval=5,
                settle_time=3,
                queue=queue,
            )
