"""The state that all parts of a tenant share: clock, switches, users and scripts."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from airflow_provider_qlik.sandbox.state.clock import Clock
from airflow_provider_qlik.sandbox.state.records import User
from airflow_provider_qlik.sandbox.state.script import Script
from airflow_provider_qlik.sandbox.state.switches import Switches

USER = User("user-sandbox", "Sandbox User", "user@sandbox.example", "auth0|sandbox-user")
CLIENT = User("user-client", "Sandbox OAuth Client", "client@sandbox.example", "qlikbot|sandbox-client")
OTHER = User("user-other", "Somebody Else", "other@sandbox.example", "auth0|somebody-else")

T = TypeVar("T")


class Scripts(Generic[T]):
    """Queued scripts for the next runs, by the id of the resource."""

    def __init__(self) -> None:
        self._queued: defaultdict[str, deque[T]] = defaultdict(deque)
        self._current: dict[str, T] = {}

    def add(self, resource_id: str, scripts: Iterable[T]) -> None:
        """Queue scripts for the next runs; the last one applies to all further runs."""
        self._queued[resource_id].extend(scripts)

    def next(self, *resource_ids: str) -> T | None:
        """Return the script for a new run of the first of these resources that has any."""
        for resource_id in resource_ids:
            if self._queued[resource_id]:
                self._current[resource_id] = self._queued[resource_id].popleft()
            if resource_id in self._current:
                return self._current[resource_id]
        return None


class SharedState:
    """The tenant's clock, switches and users, and the scripts for future runs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.switches = Switches()
        self.users = {user.id: user for user in (USER, CLIENT, OTHER)}
        self.scripts: Scripts[Script] = Scripts()

    @property
    def now(self) -> datetime:
        """Return the tenant's time."""
        return self.clock.now()

    def competing_times(self) -> tuple[list[datetime], list[datetime]]:
        """Return the times at which competing runs start, just before and just after now, a microsecond apart."""
        now, competing_runs, is_before = (
            self.now,
            self.switches.competing_runs,
            self.switches.competing_moment == "before",
        )
        step = timedelta(microseconds=-1 if is_before else 1)
        moments = [now + step * (number + 1) for number in range(competing_runs)]
        return (moments, []) if is_before else ([], moments)

    def visible_from(self, created: datetime, delay: float) -> datetime:
        """Return the time from which a run is visible that shows up `delay` seconds after its creation."""
        return created + timedelta(seconds=delay) if delay else min(created, self.now)
