"""Commands: how the tenant behaves, what it was asked, and what time it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.sandbox.control.command import command

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


@command
def switch(app: TenantApp, switches: dict[str, Any]) -> dict[str, Any]:
    """All switches after a change."""
    app.tenant_state.switches = app.tenant_state.switches.set(switches)
    return asdict(app.tenant_state.switches)


@command
def fault(app: TenantApp, members: dict[str, Any]) -> int:
    """The number of a new fault."""
    return app.faults.add(**members)


@command
def clear_faults(app: TenantApp) -> None:
    """Let nothing more go wrong."""
    app.faults.clear()


@command
def set_limits(app: TenantApp, limits: dict[str, Any]) -> dict[str, Any]:
    """All limits after a change."""
    app.meter.limits = app.meter.limits.set(limits)
    return asdict(app.meter.limits)


@command
def request_log(app: TenantApp, operation: str | None, method: str | None, path: str | None) -> list[dict[str, Any]]:
    """The requests that fit."""
    return [entry.to_json() for entry in app.request_log.select(operation, method, path)]


@command
def clear_request_log(app: TenantApp) -> None:
    """Forget the requests so far."""
    app.request_log.entries.clear()


@command
def now(app: TenantApp) -> str:
    """The tenant's time as ISO text."""
    return app.tenant_state.now.isoformat()


@command
def advance(app: TenantApp, seconds: float) -> str:
    """The tenant's time after a jump."""
    app.tenant_state.clock.advance(seconds)
    return now(app)


@command
def set_speed(app: TenantApp, speed: float) -> None:
    """Let time pass at another speed."""
    app.tenant_state.clock.set_speed(speed)


@command
def reset(app: TenantApp) -> None:
    """Make everything as at the start."""
    app.reset()
