"""Dags that start when runs of automations end.

Only where triggerers have queues: without, those of other scenarios would run these watchers.
"""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_qlik.triggers.run_event import QlikRunEventTrigger
from chaos import features
from chaos.plan import WATCH_INTERVAL, WATCHED_AUTOMATION, WATCHED_AUTOMATIONS

if features.QUEUES:
    from airflow.sdk import Asset, AssetWatcher

    def watched(automation_id: str) -> Asset:
        """Return an asset that is updated when a run of an automation ends."""
        trigger = QlikRunEventTrigger(
            kind="automation",
            resource_id=automation_id,
            poll_interval=WATCH_INTERVAL,
            qlik_conn_id="chaos_watchers",
        )
        return Asset(f"ended_{automation_id}", watchers=[AssetWatcher(name=automation_id, trigger=trigger)])

    one, many = watched(WATCHED_AUTOMATION), [watched(automation) for automation in WATCHED_AUTOMATIONS]

    with DAG("chaos_after_one", schedule=[one], start_date=datetime(2026, 1, 1)) as dag_of_one:

        @task
        def consume(triggering_asset_events: Any = None) -> list[str]:
            """Return the ids of the runs that have started this Dag."""
            return [run["run_id"] for event in triggering_asset_events[one] for run in event.extra["payload"]["runs"]]

        consume()

    with DAG("chaos_after_many", schedule=reduce(or_, many), start_date=datetime(2026, 1, 1)) as dag_of_many:

        @task
        def note() -> None:
            """Do nothing: what counts are the polls."""

        note()
