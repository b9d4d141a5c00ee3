from __future__ import annotations

import time

import pytest

from airflow_provider_qlik.sandbox import SandboxError, Tenant
from airflow_provider_qlik.sandbox.state.clock import Clock


def test_a_clock_without_speed_stands_still_until_it_is_advanced() -> None:
    clock = Clock(0)
    before = clock.now()
    assert clock.now() == before
    clock.advance(90)
    assert (clock.now() - before).total_seconds() == 90


def test_a_fast_clock_runs_ahead_of_the_wall_clock() -> None:
    clock, wall = Clock(1000), time.monotonic()
    before = clock.now()
    time.sleep(0.01)
    passed = (clock.now() - before).total_seconds()
    assert 10 <= passed <= (time.monotonic() - wall) * 1000


def test_a_change_of_speed_keeps_the_current_time() -> None:
    clock = Clock(0)
    clock.advance(60)
    before = clock.now()
    clock.set_speed(1)
    assert 0 <= (clock.now() - before).total_seconds() < 10


def test_the_handle_controls_the_clock(tenant: Tenant) -> None:
    before = tenant.now()
    assert (tenant.advance(3600) - before).total_seconds() == 3600
    tenant.set_speed(10**6)
    time.sleep(0.001)
    assert (tenant.now() - before).total_seconds() > 3600 + 1000


def test_a_negative_advance_or_speed_is_refused(tenant: Tenant) -> None:
    with pytest.raises(SandboxError, match="-1"):
        tenant.advance(-1)
    with pytest.raises(SandboxError, match="speed"):
        tenant.set_speed(-1)
