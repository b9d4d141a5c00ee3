"""A hundred, a thousand and three thousand waits of ten minutes in one event loop, and when they notice the end.

A third each waits for tasks, automations and reports; every run is of a resource of its own. All runs end at the same
moment, so the rate limits decide how soon all ends can be noticed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from urllib.request import Request, urlopen

from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.polling.rate_limiter import REQUESTS_PER_MINUTE
from airflow_provider_qlik.runs.automations import MAX_PAGE_SIZE
from airflow_provider_qlik.runs.waiting import GROWTH
from benchmarks import tenant as tenants
from benchmarks.process import BulkResult, watch
from benchmarks.report import Finding, Row, quantile, table
from benchmarks.servers import port_of, sandbox, serving

SIZES = (100, 1000, 3000)
SECONDS = 600.0
DBT_CLOUD_SECONDS = 60.0
LAG_GOAL = 0.02
CONNECTIONS_GOAL = 20
BYTES_GOAL = 20 * 1024
NAMES = {"task": "tasks", "automation": "automations", "sharing_task": "reports"}
REQUESTS_AT_THE_END = {"task": 1, "automation": 1, "sharing_task": 3}
"""Requests that it takes to know that one run has ended; a report takes a read of the sharing task and another one."""


@dataclass(frozen=True, slots=True)
class QlikMeasurement:
    """Waits of this package at a tenant, and when they noticed the ends."""

    seconds: float
    result: BulkResult
    by_operation: Mapping[str, int]
    by_kind: Mapping[str, int]
    refused: int
    delays: Mapping[str, list[float]]
    """Seconds from the runs' end to the event, sorted, by kind."""


@dataclass(frozen=True, slots=True)
class DbtCloudMeasurement:
    """As many waits of dbt Cloud's trigger."""

    result: BulkResult
    requests: int
    connections: int
    """The number of connections that were opened."""


def measure_qlik(number: int, seconds: float) -> QlikMeasurement:
    """Measure so many waits of so many seconds."""
    with sandbox() as tenant:
        end_at = time.time() + number * tenants.SECONDS_EACH + 5 + seconds
        waits = tenants.add_waits(tenant, number, end_at)

        def begin() -> None:
            tenant.clear_request_log()
            time.sleep(max(0.0, end_at - seconds - time.time()))

        result = watch(
            "qlik",
            waits,
            environment=tenants.environment(tenant),
            port=port_of(tenant.url),
            warm_up=tenants.warm_up(tenant),
            before=begin,
        )
        by_operation, by_kind, refused = tenants.requests(tenant)
    delays = {
        kind: sorted(moment - end_at for count, moment, _ in result.ended if waits[count]["kind"] == kind)
        for kind in tenants.ADAPTERS
    }
    return QlikMeasurement(seconds, result, by_operation, by_kind, refused, delays)


def measure_dbt_cloud(number: int, seconds: float) -> DbtCloudMeasurement:
    """Measure so many waits of dbt Cloud's trigger, for so many seconds, of runs that do not end meanwhile."""
    with serving("benchmarks.dbt_cloud") as url:
        host = url.removeprefix("http://")
        connection = {"conn_type": "dbt_cloud", "host": host, "login": "1", "password": "token"}

        def end(moment: float) -> None:
            urlopen(Request(f"{url}/control/end/{moment}", method="POST")).close()

        end(0.0)
        result = watch(
            "dbt_cloud",
            [{"run_id": count, "poll_interval": tenants.POLL_INTERVAL} for count in range(1, number + 1)],
            environment={"AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(connection)},
            port=port_of(url),
            warm_up=[{"run_id": 1, "poll_interval": tenants.POLL_INTERVAL}],
            seconds=seconds,
            before=lambda: end(time.time() + 10 * seconds),
        )
        with urlopen(f"{url}/control/count") as response:
            counts = json.load(response)
    return DbtCloudMeasurement(result, counts["requests"], counts["connections"])


def bare(number: int) -> BulkResult:
    """Measure so many coroutines that sleep."""
    return watch("bare", [{"seconds": 3.0}] * number, environment={}, port=0)


def per_second(tier: Tier) -> float:
    """Return the average requests per second that Qlik Cloud allows in that tier."""
    return REQUESTS_PER_MINUTE[tier] / 60


def best_mean(number: int, kind: str, seconds: float) -> float:
    """Return the least mean seconds from the end to the event that limits and poll interval allow.

    All runs have ended at the same moment. A client that polls each of them once, one after the other, at the rate that
    Qlik Cloud allows, notices all ends within requests / limit, and on average within half of that.
    """
    each = number / len(tenants.ADAPTERS)
    if kind == "task":
        needed, limit = each, per_second(Tier.TASKS)
    else:
        needed = REQUESTS_AT_THE_END["sharing_task"] * each + ceil(each / MAX_PAGE_SIZE)
        limit = per_second(Tier.ONE)
    return max(interval(seconds), needed / limit) / 2


def interval(seconds: float) -> float:
    """Return the poll interval in seconds of a run of that age."""
    return min(max(tenants.POLL_INTERVAL, seconds * GROWTH), tenants.MAX_POLL_INTERVAL)


def within_limits(number: int, kind: str, seconds: float) -> bool:
    """Return True if the limits allow every run of that kind a poll per interval, and a check of its end."""
    return 2 * best_mean(number, kind, seconds) <= interval(seconds)


def rows(qlik: QlikMeasurement, dbt_cloud: DbtCloudMeasurement, baseline: BulkResult) -> list[Row]:
    """Return the measurements beside their goals."""
    result, number = qlik.result, qlik.result.waits
    head = f"{number} waits"
    done = sum(state == "succeeded" for _, _, state in result.ended)
    polls = qlik.by_kind["automation"] / (number / len(tenants.ADAPTERS)) / result.seconds * 60
    dbt_cloud_polls = dbt_cloud.requests / number / dbt_cloud.result.seconds * 60
    return [
        Row(f"{head}: ended with the right status", str(number), str(done), "", done == number),
        Row(f"{head}: responses 429", "0", str(qlik.refused), "", qlik.refused == 0),
        Row(
            f"{head}: requests for automations, per wait and minute",
            "≤ 0.1 of dbt Cloud",
            f"{polls:.3f}; dbt Cloud {dbt_cloud_polls:.2f}",
            f"{polls / dbt_cloud_polls:.3f}",
            polls <= 0.1 * dbt_cloud_polls,
        ),
        Row(
            f"{head}: lag of the loop, p50 / p99 / max ms",
            "p99 < 20",
            f"{lags(result)}; dbt Cloud {lags(dbt_cloud.result)}",
            f"{result.lag_p99 / dbt_cloud.result.lag_p99:.2f}",
            result.lag_p99 < LAG_GOAL,
        ),
        Row(
            f"{head}: connections open at most",
            f"≤ {CONNECTIONS_GOAL}",
            f"{result.connections}; dbt Cloud opened {dbt_cloud.connections} in {dbt_cloud.result.seconds:.0f} s",
            f"{result.connections / dbt_cloud.connections:.4f}",
            result.connections <= CONNECTIONS_GOAL,
        ),
        Row(
            f"{head}: memory per wait, KB",
            "≤ 20",
            f"{result.bytes_each / 1024:.1f}; dbt Cloud {dbt_cloud.result.bytes_each / 1024:.1f}; bare coroutine "
            f"{baseline.bytes_each / 1024:.1f}",
            f"{result.bytes_each / dbt_cloud.result.bytes_each:.2f}",
            result.bytes_each <= BYTES_GOAL,
        ),
        Row(
            f"{head}: CPU, ms per wait and minute",
            "",
            f"{cpu(result):.1f}; dbt Cloud {cpu(dbt_cloud.result):.1f}",
            f"{cpu(result) / cpu(dbt_cloud.result):.2f}",
        ),
    ]


def lags(result: BulkResult) -> str:
    """Return the lag of the loop in milliseconds."""
    return " / ".join(f"{1000 * lag:.1f}" for lag in (result.lag_p50, result.lag_p99, result.lag_max))


def cpu(result: BulkResult) -> float:
    """Return the milliseconds of CPU time per wait and minute."""
    return 1000 * result.cpu / result.waits / result.seconds * 60


def latency_rows(qlik: QlikMeasurement) -> list[Row]:
    """Return the delays with which ends were noticed, beside the goals."""
    found: list[Row] = []
    for kind, delays in qlik.delays.items():
        number, age = qlik.result.waits, qlik.seconds
        mean, p99 = sum(delays) / max(1, len(delays)), quantile(delays, 0.99)
        observed = f"p50 {quantile(delays, 0.5):.1f}, p99 {p99:.1f}, mean {mean:.1f}"
        metric = f"{number} waits: {NAMES[kind]}, seconds from end to event"
        if within_limits(number, kind, age):
            limit = interval(age) + 1
            found.append(
                Row(metric, f"p99 ≤ {limit:.0f} (within limits)", observed, f"{p99 / limit:.2f}", p99 <= limit)
            )
        else:
            best = best_mean(number, kind, age)
            goal = f"mean ≤ 1.2 times {best:.1f} (beyond limits)"
            found.append(Row(metric, goal, observed, f"{mean / best:.2f}", mean <= 1.2 * best))
    return found


def best_figures(seconds: float) -> str:
    """Return the best figures that the limits allow."""
    lines = [
        [
            str(number),
            str(round(number / len(tenants.ADAPTERS))),
            f"{number / len(tenants.ADAPTERS) / per_second(Tier.TASKS):.1f}",
            str(round(number + number / len(tenants.ADAPTERS) / MAX_PAGE_SIZE)),
            f"{2 * best_mean(number, 'sharing_task', seconds):.1f}",
        ]
        for number in SIZES
    ]
    headings = ("Waits", "Task requests", "Seconds at 10 a second", "Tier 1 requests", "Seconds at 16.7 a second")
    return table(headings, lines)


def run(short: bool = False) -> dict[str, Finding]:
    """Return the sections that this benchmark writes."""
    seconds, sizes = (60.0, SIZES[:2]) if short else (SECONDS, SIZES)
    waiting, noticing = Finding(), Finding()
    operations: list[list[str]] = []
    for number in sizes:
        dbt_cloud = measure_dbt_cloud(number, DBT_CLOUD_SECONDS / (3 if short else 1))
        qlik = measure_qlik(number, seconds)
        print(f"{number} waits: {qlik.result.seconds:.0f} s, failed: {qlik.result.failed[:3]}", flush=True)
        waiting.rows += rows(qlik, dbt_cloud, bare(number))
        noticing.rows += latency_rows(qlik)
        operations += [
            [str(number), name, str(count), f"{count / qlik.result.seconds * 60:.0f}"]
            for name, count in sorted(qlik.by_operation.items())
        ]
        print(waiting.as_text(), noticing.as_text(), sep="\n", flush=True)
    waiting.about = table(("Waits", "Operation", "Requests", "A minute"), operations)
    noticing.about = best_figures(seconds)
    return {"waits": waiting, "noticing": noticing}
