"""Reload an app, and start another Dag when that has succeeded: the app is the asset that connects them.

The second Dag reads from the asset's event which reload it was. It sends no request to Qlik Cloud.

Required permissions: "Can edit" in the shared space of the app.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AssetAlias, task

from airflow_provider_qlik.assets import qlik_app
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator

# The host of the tenant, as in the connection, and the id of an app.
sales = qlik_app("acme.eu.qlikcloud.com", "demo-app")

with DAG(
    dag_id="qlik_update_asset",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"app_id": "demo-app"},
    tags=["qlik"],
) as dag:
    QlikReloadAppOperator(task_id="reload", app_id="demo-app", outlets=[sales], poll_interval=1) >> (
        # The asset of a templated id is known when the app has been reloaded: an alias stands for it.
        QlikReloadAppOperator(
            task_id="reload_any",
            app_id="{{ params.app_id }}",
            outlets=[AssetAlias("any-reloaded-app")],
            poll_interval=1,
        )
    )

with DAG(dag_id="qlik_use_updated_asset", schedule=[sales], start_date=datetime(2026, 1, 1), tags=["qlik"]) as consumer:

    @task
    def report(**context: Any) -> list[str]:
        """Return the ids of the reloads. Events that come together start one Dag run, so it reads all of them."""
        # The second name is that of Airflow 2.
        events = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
        run_ids: list[str] = []
        for event in (event for events_of_asset in events.values() for event in events_of_asset):
            print(f"Reload {event.extra['run_id']} ended at {event.extra['ended_at']}: {event.extra['link']}")
            run_ids.append(event.extra["run_id"])
        return run_ids

    report()
