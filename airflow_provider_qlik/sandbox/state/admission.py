"""Admission of queued runs under a concurrency limit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush

from airflow_provider_qlik.sandbox.state.script import Progress

_NEVER = datetime.max.replace(tzinfo=UTC)


def admit(runs: Iterable[Progress], limit: int, now: datetime) -> None:
    """Set the start time of every run that the limit holds back: now, or later as far as it is known."""
    runs = list(runs)
    held_back = [progress for progress in runs if progress.begin is None or progress.created < progress.begin > now]
    held_back = [
        progress for progress in held_back if not (progress.cancel_requested_at and progress.script.cancellable)
    ]
    held_ids = {id(progress) for progress in held_back}
    ends = [progress.finish or _NEVER for progress in runs if id(progress) not in held_ids]
    ends = [end for end in ends if end > now]
    heapify(ends)
    for progress in held_back:
        free = now
        while len(ends) >= max(1, limit):
            free = heappop(ends)
        progress.begin = None if free == _NEVER else max(free, progress.created)
        heappush(ends, progress.finish or _NEVER)
