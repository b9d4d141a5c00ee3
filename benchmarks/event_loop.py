"""Many waits in one event loop, in a process of their own: `python -m benchmarks.event_loop KIND`.

The parent process writes a line of JSON (the waits, and for how many seconds), reads "ready", writes a line, reads
"done" when no wait is active, and then a line of JSON with the measurements. Memory and connections are measured from
outside, from "ready" to "done", since sorting ten minutes of lags takes more memory than a hundred waits.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from benchmarks.report import quantile

PROBE = 0.01
"""Seconds that the probe of the loop's lag sleeps."""
MAX_LAGS = 120_000
"""Enough for twenty minutes."""
BLOCKS_EVERY = 100
"""Probes between two counts of memory blocks, about a second: counting takes longer the more blocks there are."""

Wait = Callable[[dict[str, Any]], Awaitable[Any]]


async def first_event(events: AsyncIterator[Any]) -> Any:
    """Return the payload of the only event of a trigger."""
    async for event in events:
        return event.payload
    return None


async def qlik(wait: dict[str, Any]) -> Any:
    """Wait with the trigger of this package, as its operators do."""
    from airflow_provider_qlik.triggers.run import QlikRunTrigger

    event = await first_event(QlikRunTrigger(**wait).run())
    return (event["run"] or {}).get("state", event.get("error"))


async def dbt_cloud(wait: dict[str, Any]) -> Any:
    """Wait with dbt Cloud's trigger, over plain HTTP as this package's sandbox: TLS would cost more."""
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    def over_http(tenant: str, endpoint: str, *_: Any, **__: Any) -> tuple[str, dict[str, Any]]:
        return f"http://{tenant}/api/v2/accounts/{endpoint}", {}

    DbtCloudHook.get_request_url_params = staticmethod(over_http)
    trigger = DbtCloudRunJobTrigger(conn_id="dbt_cloud_default", end_time=time.time() + 86400, account_id=1, **wait)
    return (await first_event(trigger.run()))["status"]


async def bare(wait: dict[str, Any]) -> Any:
    """Wait with a coroutine that knows the end beforehand: the lower bound for any wait."""
    await asyncio.sleep(wait["seconds"])


WAITS_BY_METHOD: dict[str, Wait] = {"qlik": qlik, "dbt_cloud": dbt_cloud, "bare": bare}


class Probe:
    """Records the lag of the event loop, and the blocks of memory that Python's objects take.

    The arrays are allocated beforehand, so that they do not count as memory of the waits.
    """

    def __init__(self) -> None:
        self._lags = array("d", [0.0]) * MAX_LAGS
        self._blocks = array("q", [0]) * (MAX_LAGS // BLOCKS_EVERY)
        self._count = 0
        self._before = sys.getallocatedblocks()

    async def record(self) -> None:
        """Record one lag after the other, until cancelled."""
        while self._count < MAX_LAGS:
            began = time.perf_counter()
            await asyncio.sleep(PROBE)
            self._lags[self._count] = time.perf_counter() - began - PROBE
            if self._count % BLOCKS_EVERY == 0:
                self._blocks[self._count // BLOCKS_EVERY] = sys.getallocatedblocks() - self._before
            self._count += 1

    def sorted(self) -> list[float]:
        """Return the recorded lags, sorted."""
        return sorted(self._lags[: self._count])

    @property
    def blocks(self) -> float:
        """Return the growth in memory blocks: the median of the second half of the time."""
        count = self._count // BLOCKS_EVERY
        return quantile(sorted(self._blocks[count // 2 : count]), 0.5)


async def run_waits(
    method: Wait, warm_up: list[dict[str, Any]], waits: list[dict[str, Any]], seconds: float | None
) -> Any:
    """Start all waits at once and return the measurements; cancel those unfinished after so many seconds."""
    await asyncio.gather(*map(method, warm_up))
    gc.collect()
    probe = Probe()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ended: list[tuple[int, float, Any]] = []

    async def one(number: int, wait: dict[str, Any]) -> None:
        outcome = await method(wait)
        ended.append((number, time.time(), outcome))

    probing = asyncio.create_task(probe.record())
    cpu, began = time.process_time(), time.perf_counter()
    tasks = [asyncio.create_task(one(number, wait)) for number, wait in enumerate(waits)]
    await asyncio.wait(tasks, timeout=seconds)
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    probing.cancel()
    unfinished = [task for task in tasks if not task.done()]
    for task in unfinished:
        task.cancel()
    failed = [repr(error) for error in await asyncio.gather(*tasks, return_exceptions=True) if error is not None]
    print("done", flush=True)
    lags = probe.sorted()
    return {
        "ended": ended,
        "unfinished": len(unfinished),
        "failed": [error for error in failed if not error.startswith("CancelledError")],
        "cpu": cpu,
        "seconds": took,
        "lag_p50": quantile(lags, 0.5),
        "lag_p99": quantile(lags, 0.99),
        "lag_max": lags[-1],
        "blocks": probe.blocks,
    }


def main() -> None:
    """Run the protocol that the module describes."""
    arguments = json.loads(sys.stdin.readline())
    print(
        json.dumps(
            asyncio.run(
                run_waits(WAITS_BY_METHOD[sys.argv[1]], arguments["warm_up"], arguments["waits"], arguments["seconds"])
            )
        )
    )


if __name__ == "__main__":
    main()
