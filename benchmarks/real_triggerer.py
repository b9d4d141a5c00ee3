"""1000 waits on a real triggerer of Airflow, with the connection in the database: this package, then dbt Cloud's.

The tasks are put into the database as deferred, so that nothing but the triggerer is measured. It runs alone: what it
hands back is not taken up by any worker.
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
from benchmarks.noting_trigger import NOTES
from benchmarks.report import Finding, Row
from benchmarks.servers import sandbox, serving
from benchmarks.tenant import POLL_INTERVAL, add_waits, requests
from chaos import guard, postgres
from chaos.airflow import Airflow

DAGS = Path(__file__).parent / "dags"
PREPARATION = 45.0
"""Seconds until the triggerer is started, about."""
MEASURED = 180.0
"""Seconds from the start of the triggerer for which its CPU is counted."""
LONGEST = 300.0
"""Seconds for all waits to notice the end of their runs."""
ADAPTERS = (("automation", "automations", None), ("task", "tasks", Tier.TASKS), ("sharing_task", "reports", Tier.ONE))
"""What is waited for, and the limit that its polls are under, where they cannot be merged."""
BLOCKED = re.compile(r"^(\S+) .*async thread was blocked for (\S+) seconds", re.MULTILINE)
"""Airflow's warning, with its moment and for how long the loop stood still."""


@dataclass(slots=True)
class Seen:
    """What came of the waits on one triggerer. Moments are seconds since it was started."""

    first_asked: Mapping[str, Sequence[float]] = field(default_factory=dict)
    cpu: float = 0.0
    noticed: float | None = None
    waiting_count: int = 0
    blocked: Sequence[tuple[float, float]] = ()
    """For each warning, its moment and for how many seconds the loop stood still."""
    requests: int = 0
    rate_limited: int = 0
    began: float = 0.0


@dataclass(slots=True)
class Place:
    """An Airflow of its own, of which nothing runs yet but its database."""

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

    def watch(self, trigger: str, waits: Sequence[Mapping[str, Any]], end_at: float) -> Seen:
        """Measure a triggerer with these waits, until all have ended."""
        arguments = {"dag_id": "waits", "trigger": trigger, "waits": list(waits)}
        self.service.do("chaos.deferred", stdin=json.dumps(arguments))
        seen = Seen(began=time.time(), waiting_count=len(waits))
        self.service.start_triggerer("triggerer")
        while seen.waiting_count and time.time() < end_at + LONGEST:
            time.sleep(1.0)
            if time.time() <= seen.began + MEASURED:
                seen.cpu = self.service.cpu_seconds("triggerer")
            seen.waiting_count = self.waiting() if time.time() >= end_at else seen.waiting_count
        seen.noticed = None if seen.waiting_count else time.time() - end_at
        seen.blocked = blocked(self.service.log("triggerer"), seen.began)
        return seen

    def first_answers(self, began: float) -> dict[str, list[float]]:
        """Return the time of the first response to each wait, by kind."""
        answers: dict[str, list[float]] = defaultdict(list)
        for line in (self.service.home / NOTES).read_text().splitlines():
            kind, moment = line.split()
            answers[kind].append(float(moment) - began)
        return answers


def blocked(log: str, began: float) -> list[tuple[float, float]]:
    """Return Airflow's warnings of a blocked loop: seconds since then, and the seconds that it was blocked."""
    return [
        (datetime.fromisoformat(moment).timestamp() - began, float(seconds)) for moment, seconds in BLOCKED.findall(log)
    ]


def warnings(seen: Seen) -> str:
    """Return how many warnings there were, and when."""
    when = ", ".join(f"{seconds:.1f} s at {moment:.0f}" for moment, seconds in seen.blocked)
    return f"{len(seen.blocked)}" + (f" ({when})" if when else "")


@contextmanager
def a_place() -> Iterator[Place]:
    """Provide an Airflow that leaves nothing behind."""
    home = Path(tempfile.mkdtemp(prefix="qlik-bench-", dir="/tmp"))
    # PostgreSQL runs as another user, who has to pass through.
    home.chmod(0o711)
    with guard.guarded(home, keep=False), postgres.cluster(home) as database:
        service = Airflow(home, database, DAGS)
        try:
            service.set_up()
            service.do("airflow", "dags", "reserialize")
            yield Place(service, database)
        finally:
            service.stop()


def ours(count: int, seconds: float) -> Seen:
    """Measure the trigger of this package."""
    with sandbox() as tenant, a_place() as place:
        place.connect("qlik_cloud_default", "qlik_cloud", host=tenant.url, password=tenant.api_key)
        end_at = time.time() + PREPARATION + seconds
        waits = add_waits(tenant, count, end_at)
        tenant.clear_request_log()
        seen = place.watch("benchmarks.noting_trigger.Noting", waits, end_at)
        by_operation, _, seen.rate_limited = requests(tenant)
        seen.requests = sum(by_operation.values())
        seen.first_asked = place.first_answers(seen.began)
    return seen


def dbt_cloud(count: int, seconds: float) -> Seen:
    """Measure dbt Cloud's trigger, on a similar fake."""
    with serving("benchmarks.dbt_cloud") as url, a_place() as place:
        place.connect("dbt_cloud_default", "dbt_cloud", host=url.partition("://")[2], login="1", password="token")
        wait = {"conn_id": "dbt_cloud_default", "account_id": 1, "poll_interval": POLL_INTERVAL, "hook_params": {}}
        waits = [{**wait, "run_id": number, "end_time": time.time() + 86400} for number in range(count)]
        end_at = time.time() + PREPARATION + seconds
        httpx.post(f"{url}/control/end/{end_at}", trust_env=False).raise_for_status()
        seen = place.watch("benchmarks.dbt_cloud_trigger.OverHttp", waits, end_at)
        seen.requests = httpx.get(f"{url}/control/count", trust_env=False).json()["requests"]
        asked = httpx.get(f"{url}/control/asked", trust_env=False).json()
        seen.first_asked = {"automation": [moment - seen.began for moment in asked.values()]}
    return seen


def sleeping(count: int, seconds: float) -> Seen:
    """Measure Airflow itself, with as many triggers that only sleep."""
    with a_place() as place:
        end_at = time.time() + PREPARATION + seconds
        return place.watch("benchmarks.noting_trigger.Sleeping", [{"end_at": end_at}] * count, end_at)


def allowed(tier: Tier, count: int) -> float:
    """Return the seconds in which so many polls of a tier may be sent, at one request each."""
    a_second = REQUESTS_PER_MINUTE[tier] / 60 * SUSTAINED_SHARE[tier]
    return max(0.0, count / a_second - BURST_SECONDS)


def first_polls(mine: Seen, theirs: Seen, each: int) -> Iterator[Row]:
    """Return how soon after the start of the triggerer all waits of a kind have polled once."""
    their_last = max(theirs.first_asked["automation"], default=float("inf"))
    for kind, what, tier in ADAPTERS:
        goal, why = 20.0, "20 s"
        if tier is not None:
            goal = allowed(tier, each) + 10
            why = f"{goal:.0f} s ({goal - 10:.0f} that the limits allow, and 10)"
        times = mine.first_asked.get(kind, ())
        last = max(times, default=float("inf"))
        yield Row(
            f"{each} {what} all polled once after the triggerer's start",
            f"at most {why}",
            f"{last:.1f} s ({len(times)}); dbt Cloud: {their_last:.1f} s ({len(theirs.first_asked['automation'])})",
            f"{last / their_last:.2f}",
            last <= goal and len(times) == each,
        )


def ended(seen: Seen, count: int) -> str:
    """Return how many waits have ended, and the time of the last end."""
    when = f", the last {seen.noticed:.1f} s after its run" if seen.noticed else ""
    return f"{count - seen.waiting_count} of {count}{when}"


def run(short: bool) -> dict[str, Finding]:
    """Return the section of the document."""
    count, seconds = (90, 60.0) if short else (999, 240.0)
    mine, theirs, floor = ours(count, seconds), dbt_cloud(count, seconds), sleeping(count, seconds)
    share = mine.cpu / theirs.cpu if theirs.cpu else float("inf")
    rows = [
        *first_polls(mine, theirs, count // 3),
        Row(
            "waits that ended",
            "all",
            f"{ended(mine, count)}; dbt Cloud: {ended(theirs, count)}",
            "",
            mine.waiting_count == 0,
        ),
        Row(
            "warnings of a blocked loop",
            "0",
            f"{warnings(mine)}; dbt Cloud: {len(theirs.blocked)}; triggers that only sleep: {warnings(floor)}",
            "",
            not mine.blocked,
        ),
        Row("429", "0", str(mine.rate_limited), "", mine.rate_limited == 0),
        Row(
            f"CPU of triggerer and supervisor in {MEASURED:.0f} s",
            "at most 0.25 of dbt Cloud's",
            f"{mine.cpu:.1f} s; dbt Cloud: {theirs.cpu:.1f} s; triggers that only sleep: {floor.cpu:.1f} s",
            f"{share:.2f}",
            share <= 0.25,
        ),
        Row("requests", "", f"{mine.requests}; dbt Cloud: {theirs.requests}"),
    ]
    about = (
        f"{count} tasks, a third each of tasks, automations and reports, are deferred in Airflow's database"
        f" (PostgreSQL); then one triggerer is started. The runs end about {seconds:.0f} s later. The connection is in"
        " the database. dbt Cloud's trigger does the same with as many runs of a fake, and triggers that only sleep"
        " show what Airflow itself takes. Of a warning it is said for how long the loop stood still, and how many"
        " seconds after the triggerer was started."
    )
    return {"real_triggerer": Finding(rows, about)}
