"""A hundred, a thousand and three thousand waits of ten minutes in one event loop, and when they notice the end.

A third each waits for tasks, automations and reports; every run is one of something of its own. All runs end at the
same moment: nobody can then be quicker than the limits let all of them ask.
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
from benchmarks.report import Finding, Row, quantile, table
from benchmarks.servers import port_of, sandbox, serving
from benchmarks.watched import Crowd, watch

SIZES = (100, 1000, 3000)
SECONDS = 600.0
RIVAL_SECONDS = 60.0
LAG_GOAL = 0.02
CONNECTIONS_GOAL = 20
BYTES_GOAL = 20 * 1024
NAMES = {"task": "tasks", "automation": "automations", "sharing_task": "reports"}
AT_THE_END = {"task": 1, "automation": 1, "sharing_task": 3}
"""Requests that it takes to know that one run is over; a report takes a look at the sharing task and another one."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A crowd of ours at a tenant, and when it heard of the ends."""

    seconds: float
    crowd: Crowd
    by_operation: Mapping[str, int]
    by_kind: Mapping[str, int]
    refused: int
    delays: Mapping[str, list[float]]
    """Seconds from the runs' end to the event, sorted, by kind."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A like crowd of dbt Cloud's."""

    crowd: Crowd
    requests: int
    connections: int
    """Opened in all."""


def measured(number: int, seconds: float) -> Measured:
    """So many waits of so many seconds."""
    with sandbox() as tenant:
        end_at = time.time() + number * tenants.SECONDS_EACH + 5 + seconds
        waits = tenants.add_waits(tenant, number, end_at)

        def begin() -> None:
            tenant.clear_request_log()
            time.sleep(max(0.0, end_at - seconds - time.time()))

        crowd = watch(
            "qlik",
            waits,
            environment=tenants.environment(tenant),
            port=port_of(tenant.url),
            warm_up=tenants.warm_up(tenant),
            before=begin,
        )
        by_operation, by_kind, refused = tenants.requests(tenant)
    delays = {
        kind: sorted(moment - end_at for count, moment, _ in crowd.ended if waits[count]["kind"] == kind)
        for kind in tenants.ADAPTERS
    }
    return Measured(seconds, crowd, by_operation, by_kind, refused, delays)


def rival(number: int, seconds: float) -> Rival:
    """So many waits of dbt Cloud's trigger, for so many seconds, of runs that do not end meanwhile."""
    with serving("benchmarks.dbt_cloud") as url:
        host = url.removeprefix("http://")
        connection = {"conn_type": "dbt_cloud", "host": host, "login": "1", "password": "token"}

        def end(moment: float) -> None:
            urlopen(Request(f"{url}/control/end/{moment}", method="POST")).close()

        end(0.0)
        crowd = watch(
            "dbt_cloud",
            [{"run_id": count, "poll_interval": tenants.POLL_INTERVAL} for count in range(1, number + 1)],
            environment={"AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(connection)},
            port=port_of(url),
            warm_up=[{"run_id": 1, "poll_interval": tenants.POLL_INTERVAL}],
            seconds=seconds,
            before=lambda: end(time.time() + 10 * seconds),
        )
        with urlopen(f"{url}/control/count") as answer:
            counted = json.load(answer)
    return Rival(crowd, counted["requests"], counted["connections"])


def bare(number: int) -> Crowd:
    """So many coroutines that sleep."""
    return watch("bare", [{"seconds": 3.0}] * number, environment={}, port=0)


def a_second(tier: Tier) -> float:
    """The requests that Qlik Cloud takes of that tier, on average."""
    return REQUESTS_PER_MINUTE[tier] / 60


def best_mean(number: int, kind: str, seconds: float) -> float:
    """The mean seconds from the end to the event that the limits and the poll interval allow at best.

    All runs have ended at the same moment: whoever asks for each of them once, one after the other, as often as Qlik
    Cloud takes it, learns of them within requests / limit, in the mean in half of that.
    """
    each = number / len(tenants.ADAPTERS)
    if kind == "task":
        needed, limit = each, a_second(Tier.TASKS)
    else:
        needed = AT_THE_END["sharing_task"] * each + ceil(each / MAX_PAGE_SIZE)
        limit = a_second(Tier.ONE)
    return max(interval(seconds), needed / limit) / 2


def interval(seconds: float) -> float:
    """The seconds between two looks at a run of that age."""
    return min(max(tenants.POLL_INTERVAL, seconds * GROWTH), tenants.MAX_POLL_INTERVAL)


def within_limits(number: int, kind: str, seconds: float) -> bool:
    """Whether the limits let every run of that kind be looked at in every interval, and its end be made sure of."""
    return 2 * best_mean(number, kind, seconds) <= interval(seconds)


def rows(ours: Measured, theirs: Rival, yardstick: Crowd) -> list[Row]:
    """What a crowd went through, beside its goals."""
    crowd, number = ours.crowd, ours.crowd.waits
    head = f"{number} waits"
    done = sum(said == "succeeded" for _, _, said in crowd.ended)
    polls = ours.by_kind["automation"] / (number / len(tenants.ADAPTERS)) / crowd.seconds * 60
    their_polls = theirs.requests / number / theirs.crowd.seconds * 60
    return [
        Row(f"{head}: ended rightly", str(number), str(done), "", done == number),
        Row(f"{head}: answers 429", "0", str(ours.refused), "", ours.refused == 0),
        Row(
            f"{head}: requests for automations, per wait and minute",
            "≤ 0.1 of dbt Cloud",
            f"{polls:.3f}; dbt Cloud {their_polls:.2f}",
            f"{polls / their_polls:.3f}",
            polls <= 0.1 * their_polls,
        ),
        Row(
            f"{head}: lag of the loop, p50 / p99 / max ms",
            "p99 < 20",
            f"{lags(crowd)}; dbt Cloud {lags(theirs.crowd)}",
            f"{crowd.lag_p99 / theirs.crowd.lag_p99:.2f}",
            crowd.lag_p99 < LAG_GOAL,
        ),
        Row(
            f"{head}: connections open at most",
            f"≤ {CONNECTIONS_GOAL}",
            f"{crowd.connections}; dbt Cloud opened {theirs.connections} in {theirs.crowd.seconds:.0f} s",
            f"{crowd.connections / theirs.connections:.4f}",
            crowd.connections <= CONNECTIONS_GOAL,
        ),
        Row(
            f"{head}: memory per wait, KB",
            "≤ 20",
            f"{crowd.bytes_each / 1024:.1f}; dbt Cloud {theirs.crowd.bytes_each / 1024:.1f}; bare coroutine "
            f"{yardstick.bytes_each / 1024:.1f}",
            f"{crowd.bytes_each / theirs.crowd.bytes_each:.2f}",
            crowd.bytes_each <= BYTES_GOAL,
        ),
        Row(
            f"{head}: CPU, ms per wait and minute",
            "",
            f"{cpu(crowd):.1f}; dbt Cloud {cpu(theirs.crowd):.1f}",
            f"{cpu(crowd) / cpu(theirs.crowd):.2f}",
        ),
    ]


def lags(crowd: Crowd) -> str:
    """The lag of the loop in milliseconds."""
    return " / ".join(f"{1000 * lag:.1f}" for lag in (crowd.lag_p50, crowd.lag_p99, crowd.lag_max))


def cpu(crowd: Crowd) -> float:
    """Milliseconds of processor time per wait and minute."""
    return 1000 * crowd.cpu / crowd.waits / crowd.seconds * 60


def noticing_rows(ours: Measured) -> list[Row]:
    """When the ends were noticed, beside the goals."""
    found: list[Row] = []
    for kind, delays in ours.delays.items():
        number, age = ours.crowd.waits, ours.seconds
        mean, p99 = sum(delays) / max(1, len(delays)), quantile(delays, 0.99)
        seen = f"p50 {quantile(delays, 0.5):.1f}, p99 {p99:.1f}, mean {mean:.1f}"
        what = f"{number} waits: {NAMES[kind]}, seconds from end to event"
        if within_limits(number, kind, age):
            most = interval(age) + 1
            found.append(Row(what, f"p99 ≤ {most:.0f} (within limits)", seen, f"{p99 / most:.2f}", p99 <= most))
        else:
            best = best_mean(number, kind, age)
            goal = f"mean ≤ 1.2 times {best:.1f} (beyond limits)"
            found.append(Row(what, goal, seen, f"{mean / best:.2f}", mean <= 1.2 * best))
    return found


def arithmetic(seconds: float) -> str:
    """What the limits allow at best."""
    lines = [
        [
            str(number),
            str(round(number / len(tenants.ADAPTERS))),
            f"{number / len(tenants.ADAPTERS) / a_second(Tier.TASKS):.1f}",
            str(round(number + number / len(tenants.ADAPTERS) / MAX_PAGE_SIZE)),
            f"{2 * best_mean(number, 'sharing_task', seconds):.1f}",
        ]
        for number in SIZES
    ]
    headings = ("Waits", "Task requests", "Seconds at 10 a second", "Tier 1 requests", "Seconds at 16.7 a second")
    return table(headings, lines)


def run(short: bool = False) -> dict[str, Finding]:
    """The sections that this benchmark writes."""
    seconds, sizes = (60.0, SIZES[:2]) if short else (SECONDS, SIZES)
    waiting, noticing = Finding(), Finding()
    operations: list[list[str]] = []
    for number in sizes:
        theirs = rival(number, RIVAL_SECONDS / (3 if short else 1))
        ours = measured(number, seconds)
        print(f"{number} waits: {ours.crowd.seconds:.0f} s, failed: {ours.crowd.failed[:3]}", flush=True)
        waiting.rows += rows(ours, theirs, bare(number))
        noticing.rows += noticing_rows(ours)
        operations += [
            [str(number), name, str(count), f"{count / ours.crowd.seconds * 60:.0f}"]
            for name, count in sorted(ours.by_operation.items())
        ]
        print(waiting.as_text(), noticing.as_text(), sep="\n", flush=True)
    waiting.about = table(("Waits", "Operation", "Requests", "A minute"), operations)
    noticing.about = arithmetic(seconds)
    return {"waits": waiting, "noticing": noticing}
