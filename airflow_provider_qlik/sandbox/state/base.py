"""What every part of a tenant stands on: its time, its switches and its users."""

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
    """Scripts that wait for the runs they are meant for."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[T]] = defaultdict(deque)
        self._standing: dict[str, T] = {}

    def add(self, resource_id: str, scripts: Iterable[T]) -> None:
        """Queue scripts for the next runs; the last one stays for all further ones."""
        self._waiting[resource_id].extend(scripts)

    def next(self, *resource_ids: str) -> T | None:
        """The script for a new run of the first of these that has any."""
        for resource_id in resource_ids:
            if self._waiting[resource_id]:
                self._standing[resource_id] = self._waiting[resource_id].popleft()
            if resource_id in self._standing:
                return self._standing[resource_id]
        return None


class StateBase:
    """The tenant's time, switches, users, and the scripts for runs to come."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.switches = Switches()
        self.users = {user.id: user for user in (USER, CLIENT, OTHER)}
        self.scripts: Scripts[Script] = Scripts()

    @property
    def now(self) -> datetime:
        """The tenant's time."""
        return self.clock.now()

    def rival_moments(self) -> tuple[list[datetime], list[datetime]]:
        """When competing runs of a run that starts now begin: just before it and just after it, a microsecond apart."""
        now, competing_runs, is_before = (
            self.now,
            self.switches.competing_runs,
            self.switches.competing_moment == "before",
        )
        step = timedelta(microseconds=-1 if is_before else 1)
        moments = [now + step * (place + 1) for place in range(competing_runs)]
        return (moments, []) if is_before else ([], moments)

    def shown_from(self, created: datetime, after: float) -> datetime:
        """When a run shows that was made then and shows up so many seconds late."""
        return created + timedelta(seconds=after) if after else min(created, self.now)
