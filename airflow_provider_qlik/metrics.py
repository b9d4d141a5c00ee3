"""Counters and gauges of a process, for Airflow's statistics."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_qlik.cloud.metrics import harmless

PREFIX = "qlik_cloud"

_waits = 0


def count(name: str, number: float) -> None:
    """Add *number* to a counter, or record a duration in seconds.

    The counters are `requests`, `polls` (results of polls), `merged` (results that took no request of their own),
    `rate_limited`, `errors` and `deprecated` (responses that announce that their operation is deprecated, also on a
    worker); `turn_seconds` is a timer.
    """
    if name == "turn_seconds":
        Stats.timing(f"{PREFIX}.turn", timedelta(seconds=number))
    elif number:
        Stats.incr(f"{PREFIX}.{name}", round(number))


def waiting(more: int) -> None:
    """Add *more* to the number of active waits in this process."""
    global _waits
    _waits += more
    _gauge("waits", _waits)


@harmless
def _gauge(name: str, number: float) -> None:
    Stats.gauge(f"{PREFIX}.{name}", number)
