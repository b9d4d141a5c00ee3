"""Run the example Dag against a sandbox tenant: `make demo`. The exit status is 0 if all its tasks succeeded."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EXAMPLE_DAGS = Path(__file__).resolve().parents[1] / "airflow_provider_qlik/example_dags"
TASKS = ("night_load", "prepare_data", "data_ready", "refresh_app")


def main() -> int:
    """Start a tenant, run the Dag in this process, print its results, and return the exit status."""
    with tempfile.TemporaryDirectory(prefix="qlik-demo-") as home:
        # Airflow reads its settings when it is first imported.
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE_DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Of Airflow's own lines only warnings and errors; all lines of the tasks.
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": (
                "airflow=WARNING airflow.task=INFO airflow_provider_qlik=INFO airflow.utils.db=WARNING"
                " alembic.runtime.migration=WARNING airflow.models.crypto=ERROR py.warnings=ERROR"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        }
        from airflow_provider_qlik import sandbox

        with sandbox.serve() as tenant:
            fill(tenant)
            connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key}
            os.environ["AIRFLOW_CONN_QLIK_CLOUD_DEFAULT"] = json.dumps(connection)
            print(f"A Qlik Cloud tenant runs at {tenant.url}. Setting up Airflow's database ...", flush=True)
            began = time.monotonic()
            dag_run, results = run_dag()
            show(dag_run, results, time.monotonic() - began)
            active_runs = tenant.active()
            print(f"Left running in the tenant: {len(active_runs)}")
            succeeded = str(dag_run.state) == "success" and len(results) == len(TASKS) and not active_runs
            return 0 if succeeded else 1


def fill(tenant: Any) -> None:
    """Add the tasks and automations that the example Dag expects."""
    from airflow_provider_qlik.sandbox import Script

    load = tenant.add_task("Night load", "demo-night-load", "demo-warehouse-app")
    tenant.add_run(load, started_ago=1800, script=Script(run=1803, log=("Loading orders", "1,204,331 rows")))
    prepare = tenant.add_automation("Prepare data", "demo-prepare-data")
    tenant.script(prepare, Script(wait=1, run=2, end="finished", log=("Fetched exchange rates", "Wrote 31 rates")))
    refresh = tenant.add_task("Refresh sales app", "demo-refresh-app", "demo-sales-app")
    tenant.add_run(refresh, started_ago=86_400)
    tenant.script(refresh, Script(wait=1, run=3, log=("Reload started", "Fields found: 12", "Reload finished")))
    tenant.switch(show_after=2.0)


def run_dag() -> tuple[Any, dict[str, dict[str, Any]]]:
    """Run the Dag by `dag.test()`, and return the Dag run and the return value of each task."""
    from airflow.utils.db import initdb

    initdb()
    logging.getLogger("airflow.task").setLevel(logging.INFO)
    from airflow_provider_qlik.example_dags.qlik_morning_refresh import dag

    dag_run = dag.test()
    results = {}
    for instance in dag_run.get_task_instances():
        result = instance.xcom_pull(task_ids=instance.task_id)
        if isinstance(result, dict):
            results[instance.task_id] = result
    return dag_run, results


def show(dag_run: Any, results: dict[str, dict[str, Any]], seconds: float) -> None:
    """Print a table with a row for each run in Qlik Cloud and the Airflow tasks that it belongs to."""
    runs: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for name in TASKS:
        if result := results.get(name):
            names, _ = runs.get(result["run_id"], ([], {}))
            runs[result["run_id"]] = ([*names, name], result)
    rows = [("run", "kind", "id", "status", "seconds", "link")]
    for run_id, (names, result) in runs.items():
        ran = "-" if result["seconds"] is None else f"{result['seconds']:.1f}"
        rows.append((" + ".join(names), result["kind"], run_id, result["status"], ran, result["link"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nDag run: {dag_run.state}, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
