"""What all waits of a process do together, told to Airflow's own statistics."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_qlik.cloud.metrics import harmless

PREFIX = "qlik_cloud"

_waits = 0


def count(name: str, number: float) -> None:
    """Adds to the counters `requests`, `polls` (answers that waits asked for), `merged` (those of them that cost no
    request), `rate_limited`, `errors` and `deprecated` (responses that say that their operation is deprecated, also to
    tasks on a worker); `turn_seconds` is a timer."""
    if name == "turn_seconds":
        Stats.timing(f"{PREFIX}.turn", timedelta(seconds=number))
    elif number:
        Stats.incr(f"{PREFIX}.{name}", round(number))


def waiting(more: int) -> None:
    """So many more waits go on in this process."""
    global _waits
    _waits += more
    _gauge("waits", _waits)


@harmless
def _gauge(name: str, number: float) -> None:
    Stats.gauge(f"{PREFIX}.{name}", number)
