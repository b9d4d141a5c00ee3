"""Start a Dag when a reload of an app has ended, whoever has started it. For Airflow 3.0 and later.

Required permissions: to see the app, which any role in its shared space gives.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_qlik.compat import watches_assets
from airflow_provider_qlik.triggers.run_event import QlikRunEventTrigger

if watches_assets():
    from airflow.sdk import Asset, AssetWatcher

    reloaded = Asset(
        "qlik_demo_app_reloaded",
        watchers=[AssetWatcher(name="reloads", trigger=QlikRunEventTrigger(kind="reload", resource_id="demo-app"))],
    )

    with DAG(dag_id="qlik_start_when_done", schedule=[reloaded], tags=["qlik"]) as dag:

        @task
        def report(triggering_asset_events: Any = None) -> list[str]:
            """Return the ids of the reloads: of all events, since those that come together start one Dag run."""
            run_ids: list[str] = []
            for event in triggering_asset_events[reloaded]:
                for run in event.extra["payload"]["runs"]:
                    print(f"{run['name']}: {run['status']} at {run['ended_at']}, see {run['link']}")
                    run_ids.append(run["run_id"])
            return run_ids

        report()
