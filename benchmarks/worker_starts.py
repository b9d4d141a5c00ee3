"""How many worker processes a real Airflow starts for deferrable sensors: to start them, and in all.

Airflow writes a row into its table `log` whenever a worker has started a task instance, so these rows are counted. The
sensors of a first Dag start in the triggerer, those of a second one are started by workers.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field

import psycopg2

from airflow_provider_qlik.sandbox import Script, Tenant
from benchmarks.real_triggerer import BenchmarkAirflow, benchmark_airflow, blocked
from benchmarks.report import Finding, Row
from benchmarks.servers import sandbox

MAX_WAIT = 900.0
"""Seconds for all sensors to be deferred, and then to end."""
TRIGGERER_START = 30.0
"""Seconds until a triggerer is idle after its start, on a busy machine."""
RUN = 86_400.0
"""Seconds of the runs in the tenant, whose clock is advanced when they are to end."""
STARTS = "SELECT count(*) FROM log WHERE event = 'running' AND dag_id = %s"
STATES = "SELECT state, count(*) FROM task_instance WHERE dag_id = %s GROUP BY state"


@dataclass(slots=True)
class Measurement:
    """The measurements of one Dag."""

    to_start: int = 0
    in_all: int = 0
    deferred_after: float = 0.0
    states: Counter[str] = field(default_factory=Counter)


def count(airflow: BenchmarkAirflow, query: str, dag_id: str) -> list[tuple[str, int]]:
    """Return the rows that a query about a Dag gives."""
    with psycopg2.connect(f"postgresql{airflow.database}") as connection, connection.cursor() as cursor:
        cursor.execute(query, (dag_id,))
        rows: list[tuple[str, int]] = [(str(row[0]), int(row[-1])) for row in cursor.fetchall()]
    connection.close()
    return rows


def states(airflow: BenchmarkAirflow, dag_id: str) -> Counter[str]:
    """Return how many tasks of a Dag are in which state."""
    return Counter(dict(count(airflow, STATES, dag_id)))


def starts(airflow: BenchmarkAirflow, dag_id: str) -> int:
    """Return how often a worker has started a task of a Dag."""
    return count(airflow, STARTS, dag_id)[0][1]


def measure(airflow: BenchmarkAirflow, tenant: Tenant, dag_id: str, sensors: int) -> Measurement:
    """Run a Dag: its sensors are deferred, then the runs that they wait for end."""
    for number in range(sensors):
        tenant.add_run(f"automation-{number}", started_ago=1, script=Script(run=RUN))
    measurement, began = Measurement(), time.monotonic()
    airflow.service.run(dag_id)
    while states(airflow, dag_id)["deferred"] < sensors and time.monotonic() < began + MAX_WAIT:
        time.sleep(0.5)
    measurement.deferred_after = time.monotonic() - began
    time.sleep(20.0)  # Each has been polled.
    measurement.to_start = starts(airflow, dag_id)
    tenant.advance(RUN)
    until = time.monotonic() + MAX_WAIT
    while states(airflow, dag_id)["success"] < sensors and time.monotonic() < until:
        time.sleep(1.0)
    measurement.states, measurement.in_all = states(airflow, dag_id), starts(airflow, dag_id)
    return measurement


def run(short: bool) -> dict[str, Finding]:
    """Return the section of the document."""
    sensors = 20 if short else 100
    os.environ["BENCHMARK_SENSORS"] = str(sensors)
    with sandbox() as tenant, benchmark_airflow(queues=False) as airflow:
        for number in range(sensors):
            tenant.add_automation(f"Automation {number}", id=f"automation-{number}")
        airflow.service.start()
        airflow.service.connect("qlik_cloud_default", host=tenant.url, password=tenant.api_key)
        airflow.service.start_triggerer("triggerer")
        time.sleep(TRIGGERER_START)
        # First, so that loading the modules of the first wait counts for these.
        workers = measure(airflow, tenant, "sensors_from_workers", sensors)
        began = time.time()
        triggerer = measure(airflow, tenant, "sensors_from_triggerer", sensors)
        warned = len(blocked(airflow.service.log("triggerer"), began))
    rows = [
        Row(
            f"workers that start {sensors} deferrable sensors",
            "0",
            f"{triggerer.to_start}; started by workers: {workers.to_start}",
            "",
            triggerer.to_start == 0,
        ),
        Row(
            "workers in all",
            f"at most {sensors}",
            f"{triggerer.in_all}; started by workers: {workers.in_all}",
            f"{triggerer.in_all / max(workers.in_all, 1):.2f}",
            triggerer.in_all <= sensors,
        ),
        Row(
            "sensors that succeeded",
            "all",
            f"{triggerer.states['success']}; started by workers: {workers.states['success']}",
            "",
            triggerer.states["success"] == workers.states["success"] == sensors,
        ),
        Row(
            "all deferred after",
            "",
            f"{triggerer.deferred_after:.1f} s; started by workers: {workers.deferred_after:.1f} s",
        ),
        Row("warnings of a blocked loop", "", str(warned)),
    ]
    about = (
        f"A whole Airflow with PostgreSQL and the LocalExecutor runs two Dags of {sensors} deferrable sensors with"
        " literal ids. Airflow writes a row into its table `log` whenever a worker has started a task instance; these"
        " rows are counted when all sensors are deferred and have polled, and again when all have ended."
    )
    return {"worker_starts": Finding(rows, about)}
