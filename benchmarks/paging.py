"""50,000 tasks in pages of 100 through `Client.iterate`, against a loop of bare httpx and `json.loads`.

The pages are made beforehand and served by a process of their own; the two ways take turns. Each runs in a process of
its own, which tells its processor time as well: `python -m benchmarks.paging WAY URL`.
"""

from __future__ import annotations

import itertools
import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.report import Finding, Row
from benchmarks.servers import serving

TASKS, PAGE = 50_000, 100
ROUNDS = 5
SPEED_GOAL = 0.6
FLAT_MB = 2.0
"""Memory may grow by so much between the first tenth of the pages and the last."""


def task(number: int) -> dict[str, Any]:
    """Return a task in the form of `GET /tasks`, with a schedule and an app to reload."""
    moment = "2026-01-02T03:04:05.678Z"
    return {
        "id": f"{number:024x}",
        "name": f"Reload of app {number}",
        "start": {"stateName": "reload"},
        "states": [
            {
                "end": True,
                "name": "reload",
                "type": "EVENT",
                "onEvents": [
                    {
                        "actions": [{"name": "reload", "functionRef": {"refName": "reload", "arguments": {}}}],
                        "eventRefs": ["schedule"],
                        "actionMode": "SEQUENTIAL",
                    }
                ],
            }
        ],
        "events": [{"name": "schedule", "type": "com.qlik.v1.task.run.finished", "source": "system-events.task"}],
        "enabled": number % 7 != 0,
        "version": "1.0",
        "specVersion": "0.8",
        "resourceId": f"app-{number}",
        "description": "Made for a benchmark",
        "metadata": {
            "usage": "ANALYTICS",
            "ownerId": "owner",
            "tenantId": "tenant",
            "createdAt": moment,
            "createdBy": "owner",
            "updatedAt": moment,
        },
    }


def serve() -> None:
    """Serve all pages, built beforehand, until terminated."""
    import uvicorn
    from starlette.types import Receive, Scope, Send

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    pages: list[bytes] = []
    for first in range(0, TASKS, PAGE):
        links = {"next": {"href": f"{url}/api/v1/tasks?limit={PAGE}&page={first // PAGE + 1}"}}
        items = [task(number) for number in range(first, first + PAGE)]
        pages.append(json.dumps({"data": items, "links": links if first + PAGE < TASKS else {}}).encode())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        body = pages[int(query.rpartition("page=")[2]) if "page=" in query else 0]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    print(f"url {url}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")).run([listener])


def read_with_client(url: str, each: Callable[[], None]) -> int:
    """Return how many tasks `Client.iterate` yields."""
    from airflow_provider_qlik.cloud import ApiKey, Client, Tenant
    from airflow_provider_qlik.cloud.api import tasks

    with Client(Tenant.at(url), ApiKey("key")) as client:
        count = 0
        for _ in client.iterate(tasks.list(limit=PAGE)):
            count += 1
            each()
    return count


def read_with_httpx(url: str, each: Callable[[], None]) -> int:
    """Return how many tasks a loop without this package yields."""
    import httpx

    with httpx.Client(headers={"authorization": "Bearer key"}) as client:
        count, address = 0, f"{url}/api/v1/tasks?limit={PAGE}"
        while address:
            page = json.loads(client.get(address).content)
            for _ in page["data"]:
                count += 1
                each()
            address = page["links"].get("next", {}).get("href")
    return count


METHODS = {"client": read_with_client, "bare": read_with_httpx}


def measure(method: str, url: str) -> dict[str, float]:
    """Return seconds, CPU seconds, and the MB by which the peak of memory grew after the first tenth."""
    early: list[int] = []
    position = itertools.count(1)

    def each() -> None:
        if next(position) == TASKS // 10:
            early.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    METHODS[method](url, lambda: None)  # modules are loaded and connections warm after this
    began, cpu = time.perf_counter(), time.process_time()
    count = METHODS[method](url, each)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert count == TASKS, count
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early[0]) / 1024
    return {"seconds": seconds, "cpu": cpu, "grown": grown}


def measured(method: str, url: str) -> dict[str, float]:
    """Return the figures that a fresh process prints."""
    command = [sys.executable, "-m", "benchmarks.paging", method, url]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def run(short: bool = False) -> dict[str, Finding]:
    """Return the section that this benchmark writes."""
    figures: dict[str, list[dict[str, float]]] = {"client": [], "bare": []}
    with serving("benchmarks.paging", "serve") as url:
        for _ in range(1 if short else ROUNDS):
            for method, found in figures.items():
                found.append(measured(method, url))
    speed = {method: TASKS / statistics.median(each["seconds"] for each in found) for method, found in figures.items()}
    cpu = {method: statistics.median(each["cpu"] for each in found) for method, found in figures.items()}
    grown = max(each["grown"] for each in figures["client"])
    ratio = speed["client"] / speed["bare"]
    finding = Finding(about=f"Median of {len(figures['client'])} rounds of {TASKS:,} tasks.")
    finding.rows += [
        Row(
            "tasks a second",
            f"≥ {SPEED_GOAL} of bare",
            f"{speed['client']:,.0f}; bare {speed['bare']:,.0f}",
            f"{ratio:.2f}",
            ratio >= SPEED_GOAL,
        ),
        Row(
            "processor seconds",
            "",
            f"{cpu['client']:.2f}; bare {cpu['bare']:.2f}",
            f"{cpu['bare'] / cpu['client']:.2f}",
        ),
        Row("memory grown after the first tenth, MB", f"≤ {FLAT_MB}", f"{grown:.1f}", "", grown <= FLAT_MB),
    ]
    return {"paging": finding}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(measure(*sys.argv[1:])))
