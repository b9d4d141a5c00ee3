"""The base of the serializers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_provider_qlik.sandbox.state.switches import Switches
from airflow_provider_qlik.sandbox.state.times import DIGITS_BY_PRECISION, TimePrecision, stamp

TENANT_ID = "sandbox-tenant"


class Serializer:
    """Turns records into the JSON of the API, at a time and with the switches of that time."""

    def __init__(self, switches: Switches, now: datetime) -> None:
        self.switches = switches
        self.now = now

    def run_time(self, moment: datetime | None, precision: TimePrecision) -> str | None:
        """Return a time of a run as text, by the clock of runs."""
        return None if moment is None else stamp(self.skewed(moment), DIGITS_BY_PRECISION[precision])

    def skewed(self, moment: datetime) -> datetime:
        """Return a time by the clock of runs, which may be ahead (`run_clock_skew`)."""
        return moment + timedelta(seconds=self.switches.run_clock_skew)


def without_none(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
