"""Who may begin to work where a limit holds runs back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush

from airflow_provider_qlik.sandbox.state.script import Life

_NEVER = datetime.max.replace(tzinfo=UTC)


def admit(lives: Iterable[Life], most: int, now: datetime) -> None:
    """Give every run that is held back its moment to begin, now or later, as far as it can be foreseen."""
    lives = list(lives)
    held = [life for life in lives if life.begin is None or life.created < life.begin > now]
    held = [life for life in held if not (life.stop_asked and life.script.stops)]
    is_held = {id(life) for life in held}
    ends = [life.finish or _NEVER for life in lives if id(life) not in is_held]
    ends = [end for end in ends if end > now]
    heapify(ends)
    for life in held:
        free = now
        while len(ends) >= max(1, most):
            free = heappop(ends)
        life.begin = None if free == _NEVER else max(free, life.created)
        heappush(ends, life.finish or _NEVER)
