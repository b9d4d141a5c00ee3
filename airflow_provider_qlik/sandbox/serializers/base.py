"""Where the tenant is looked at from: what all views of it share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_provider_qlik.sandbox.state.switches import Switches
from airflow_provider_qlik.sandbox.state.times import FINENESS, Fineness, stamp

TENANT_ID = "sandbox-tenant"


class Serializer:
    """A moment, and the switches that hold then."""

    def __init__(self, switches: Switches, now: datetime) -> None:
        self.switches = switches
        self.now = now

    def run_time(self, moment: datetime | None, fineness: Fineness) -> str | None:
        """A time of a run, by a clock that may be ahead."""
        return None if moment is None else stamp(self.skewed(moment), FINENESS[fineness])

    def skewed(self, moment: datetime) -> datetime:
        """A moment by the clock of runs, which may be ahead."""
        return moment + timedelta(seconds=self.switches.run_clock_skew)


def without_nothing(members: dict[str, Any]) -> dict[str, Any]:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value is not None}
