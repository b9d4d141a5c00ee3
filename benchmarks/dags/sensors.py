"""Deferrable sensors for the benchmark: those that start in the triggerer, and the same started by workers."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor

COUNT = int(os.environ.get("BENCHMARK_SENSORS", "100"))

for name, start_from_trigger in (("sensors_from_triggerer", True), ("sensors_from_workers", False)):
    with DAG(name, schedule=None, max_active_tasks=2 * COUNT) as dag:
        for number in range(COUNT):
            QlikAutomationRunSensor(
                task_id=f"wait_{number}",
                automation_id=f"automation-{number}",
                deferrable=True,
                start_from_trigger=start_from_trigger,
                poke_interval=5,
                timeout=3600,
            )
    globals()[name] = dag
