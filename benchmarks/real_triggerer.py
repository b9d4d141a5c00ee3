"""1000 waits on a real triggerer of Airflow, with the connection in the database: this package, then dbt Cloud's.

The tasks are put into the database as deferred, so that only the triggerer is measured. It runs alone: no worker
resumes the tasks whose triggers have fired.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg2

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.rate_limiter import BURST_SECONDS, REQUESTS_PER_MINUTE, SUSTAINED_SHARE
from benchmarks.recording_trigger import RECORDS
from benchmarks.report import Finding, Row
from benchmarks.servers import sandbox, serving
from benchmarks.tenant import POLL_INTERVAL, add_waits, requests
from chaos import guard, postgres
from chaos.airflow import Airflow

DAGS = Path(__file__).parent / "dags"
PREPARATION = 45.0
"""Seconds until the triggerer is started, approximately."""
CPU_PERIOD = 180.0
"""Seconds from the start of the triggerer for which its CPU is counted."""
MAX_DELAY = 300.0
"""Seconds for all waits to notice the end of their runs."""
ADAPTERS = (("automation", "automations", None), ("task", "tasks", Tier.TASKS), ("sharing_task", "reports", Tier.ONE))
"""The kinds of run, their names, and the rate limit of their polls if these cannot be merged."""
BLOCKED = re.compile(r"^(\S+) .*async thread was blocked for (\S+) seconds", re.MULTILINE)
"""Airflow's warning, with its time and the seconds for which the loop was blocked."""


@dataclass(slots=True)
class Measurement:
    """The measurements of one triggerer. Times are seconds since it was started."""

    first_polled: Mapping[str, Sequence[float]] = field(default_factory=dict)
    cpu: float = 0.0
    last_delay: float | None = None
    waiting_count: int = 0
    blocked: Sequence[tuple[float, float]] = ()
    """For each warning, its time and the seconds for which the loop was blocked."""
    requests: int = 0
    rate_limited: int = 0
    began: float = 0.0


@dataclass(slots=True)
class BenchmarkAirflow:
    """An Airflow of its own, of which only the database runs at first."""

    service: Airflow
    database: str

    def waiting(self) -> int:
        """Return how many tasks are deferred."""
        with psycopg2.connect(f"postgresql{self.database}") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM task_instance WHERE state = 'deferred'")
            (count,) = cursor.fetchone() or (0,)
        connection.close()
        return int(count)

    def connect(self, connection_id: str, kind: str, **members: str) -> None:
        """Add a connection to the database."""
        options = [part for name, value in members.items() for part in (f"--conn-{name}", value)]
        self.service.do("airflow", "connections", "add", connection_id, "--conn-type", kind, *options)

    def watch(self, trigger: str, waits: Sequence[Mapping[str, Any]], end_at: float) -> Measurement:
        """Measure a triggerer with these waits, until all have ended."""
        arguments = {"dag_id": "waits", "trigger": trigger, "waits": list(waits)}
        self.service.do("chaos.deferred", stdin=json.dumps(arguments))
        measurement = Measurement(began=time.time(), waiting_count=len(waits))
        self.service.start_triggerer("triggerer")
        while measurement.waiting_count and time.time() < end_at + MAX_DELAY:
            time.sleep(1.0)
            if time.time() <= measurement.began + CPU_PERIOD:
                measurement.cpu = self.service.cpu_seconds("triggerer")
            measurement.waiting_count = self.waiting() if time.time() >= end_at else measurement.waiting_count
        measurement.last_delay = None if measurement.waiting_count else time.time() - end_at
        measurement.blocked = blocked(self.service.log("triggerer"), measurement.began)
        return measurement

    def first_responses(self, began: float) -> dict[str, list[float]]:
        """Return the time of the first response to each wait, by kind."""
        responses: dict[str, list[float]] = defaultdict(list)
        for line in (self.service.home / RECORDS).read_text().splitlines():
            kind, moment = line.split()
            responses[kind].append(float(moment) - began)
        return responses


def blocked(log: str, began: float) -> list[tuple[float, float]]:
    """Return Airflow's warnings of a blocked loop: seconds since then, and the seconds that it was blocked."""
    return [
        (datetime.fromisoformat(moment).timestamp() - began, float(seconds)) for moment, seconds in BLOCKED.findall(log)
    ]


def warnings(measurement: Measurement) -> str:
    """Return how many warnings there were, and when."""
    when = ", ".join(f"{seconds:.1f} s at {moment:.0f}" for moment, seconds in measurement.blocked)
    return f"{len(measurement.blocked)}" + (f" ({when})" if when else "")


@contextmanager
def benchmark_airflow(queues: bool = True) -> Iterator[BenchmarkAirflow]:
    """Run an Airflow, with or without queues of triggerers, and remove all that belongs to it."""
    home = Path(tempfile.mkdtemp(prefix="qlik-bench-", dir="/tmp"))
    # PostgreSQL runs as another user, which needs to traverse the folder.
    home.chmod(0o711)
    with guard.guarded(home, keep=False), postgres.cluster(home) as database:
        service = Airflow(home, database, DAGS, queues=queues)
        try:
            service.set_up()
            service.do("airflow", "dags", "reserialize")
            yield BenchmarkAirflow(service, database)
        finally:
            service.stop()


def measure_qlik(count: int, seconds: float) -> Measurement:
    """Measure the trigger of this package."""
    with sandbox() as tenant, benchmark_airflow() as airflow:
        airflow.connect("qlik_cloud_default", "qlik_cloud", host=tenant.url, password=tenant.api_key)
        end_at = time.time() + PREPARATION + seconds
        waits = add_waits(tenant, count, end_at)
        tenant.clear_request_log()
        measurement = airflow.watch("benchmarks.recording_trigger.RecordingTrigger", waits, end_at)
        by_operation, _, measurement.rate_limited = requests(tenant)
        measurement.requests = sum(by_operation.values())
        measurement.first_polled = airflow.first_responses(measurement.began)
    return measurement


def measure_dbt_cloud(count: int, seconds: float) -> Measurement:
    """Measure dbt Cloud's trigger, on a similar fake."""
    with serving("benchmarks.dbt_cloud") as url, benchmark_airflow() as airflow:
        airflow.connect("dbt_cloud_default", "dbt_cloud", host=url.partition("://")[2], login="1", password="token")
        wait = {"conn_id": "dbt_cloud_default", "account_id": 1, "poll_interval": POLL_INTERVAL, "hook_params": {}}
        waits = [{**wait, "run_id": number, "end_time": time.time() + 86400} for number in range(count)]
        end_at = time.time() + PREPARATION + seconds
        httpx.post(f"{url}/control/end/{end_at}", trust_env=False).raise_for_status()
        measurement = airflow.watch("benchmarks.dbt_cloud_trigger.OverHttp", waits, end_at)
        measurement.requests = httpx.get(f"{url}/control/count", trust_env=False).json()["requests"]
        first_polls_of_runs = httpx.get(f"{url}/control/first-polls", trust_env=False).json()
        measurement.first_polled = {
            "automation": [moment - measurement.began for moment in first_polls_of_runs.values()]
        }
    return measurement


def measure_sleeping(count: int, seconds: float) -> Measurement:
    """Measure Airflow itself, with as many triggers that only sleep."""
    with benchmark_airflow() as airflow:
        end_at = time.time() + PREPARATION + seconds
        return airflow.watch("benchmarks.recording_trigger.SleepingTrigger", [{"end_at": end_at}] * count, end_at)


def allowed(tier: Tier, count: int) -> float:
    """Return the seconds in which so many polls of a tier may be sent, at one request each."""
    per_second = REQUESTS_PER_MINUTE[tier] / 60 * SUSTAINED_SHARE[tier]
    return max(0.0, count / per_second - BURST_SECONDS)


def first_polls(qlik: Measurement, dbt_cloud: Measurement, each: int) -> Iterator[Row]:
    """Return how soon after the start of the triggerer all waits of a kind have polled once."""
    last_of_dbt_cloud = max(dbt_cloud.first_polled["automation"], default=float("inf"))
    count_of_dbt_cloud = len(dbt_cloud.first_polled["automation"])
    for kind, what, tier in ADAPTERS:
        goal, why = 20.0, "20 s"
        if tier is not None:
            goal = allowed(tier, each) + 10
            why = f"{goal:.0f} s ({goal - 10:.0f} that the limits allow, and 10)"
        times = qlik.first_polled.get(kind, ())
        last = max(times, default=float("inf"))
        yield Row(
            f"{each} {what}: all polled once after the triggerer's start",
            f"at most {why}",
            f"{last:.1f} s ({len(times)}); dbt Cloud: {last_of_dbt_cloud:.1f} s ({count_of_dbt_cloud})",
            f"{last / last_of_dbt_cloud:.2f}",
            last <= goal and len(times) == each,
        )


def ended(measurement: Measurement, count: int) -> str:
    """Return how many waits have ended, and the time of the last end."""
    when = f", the last {measurement.last_delay:.1f} s after its run" if measurement.last_delay else ""
    return f"{count - measurement.waiting_count} of {count}{when}"


def run(short: bool) -> dict[str, Finding]:
    """Return the section of the document."""
    count, seconds = (90, 60.0) if short else (999, 240.0)
    qlik, dbt_cloud, sleeping = (
        measure_qlik(count, seconds),
        measure_dbt_cloud(count, seconds),
        measure_sleeping(count, seconds),
    )
    share = qlik.cpu / dbt_cloud.cpu if dbt_cloud.cpu else float("inf")
    rows = [
        *first_polls(qlik, dbt_cloud, count // 3),
        Row(
            "waits that ended",
            "all",
            f"{ended(qlik, count)}; dbt Cloud: {ended(dbt_cloud, count)}",
            "",
            qlik.waiting_count == 0,
        ),
        Row(
            "warnings of a blocked loop",
            "0",
            f"{warnings(qlik)}; dbt Cloud: {len(dbt_cloud.blocked)}; triggers that only sleep: {warnings(sleeping)}",
            "",
            not qlik.blocked,
        ),
        Row("429", "0", str(qlik.rate_limited), "", qlik.rate_limited == 0),
        Row(
            f"CPU of triggerer and supervisor in {CPU_PERIOD:.0f} s",
            "at most 0.25 of dbt Cloud's",
            f"{qlik.cpu:.1f} s; dbt Cloud: {dbt_cloud.cpu:.1f} s; triggers that only sleep: {sleeping.cpu:.1f} s",
            f"{share:.2f}",
            share <= 0.25,
        ),
        Row("requests", "", f"{qlik.requests}; dbt Cloud: {dbt_cloud.requests}"),
    ]
    about = (
        f"{count} tasks, a third each of tasks, automations and reports, are deferred in Airflow's database"
        f" (PostgreSQL); then one triggerer is started. The runs end about {seconds:.0f} s later. The connection is in"
        " the database. dbt Cloud's trigger does the same with as many runs of a fake, and triggers that only sleep"
        " show the costs of Airflow itself. Each warning is listed with the seconds for which the loop was blocked, and"
        " the seconds since the start of the triggerer."
    )
    return {"real_triggerer": Finding(rows, about)}
