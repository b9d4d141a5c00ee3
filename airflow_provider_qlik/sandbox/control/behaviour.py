"""Commands for switches, faults, rate limits, the request log and the clock."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.sandbox.control.command import command

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


@command
def switch(app: TenantApp, switches: dict[str, Any]) -> dict[str, Any]:
    """Change switches, and return all of them."""
    app.tenant_state.switches = app.tenant_state.switches.set(switches)
    return asdict(app.tenant_state.switches)


@command
def fault(app: TenantApp, members: dict[str, Any]) -> int:
    """Add a fault, and return its number."""
    return app.faults.add(**members)


@command
def clear_faults(app: TenantApp) -> None:
    """Remove all faults."""
    app.faults.clear()


@command
def set_limits(app: TenantApp, limits: dict[str, Any]) -> dict[str, Any]:
    """Change rate limits, and return all of them."""
    app.rate_limiter.limits = app.rate_limiter.limits.set(limits)
    return asdict(app.rate_limiter.limits)


@command
def request_log(app: TenantApp, operation: str | None, method: str | None, path: str | None) -> list[dict[str, Any]]:
    """Return the logged requests that match."""
    return [entry.to_json() for entry in app.request_log.select(operation, method, path)]


@command
def clear_request_log(app: TenantApp) -> None:
    """Clear the request log."""
    app.request_log.entries.clear()


@command
def now(app: TenantApp) -> str:
    """Return the tenant's time as ISO text."""
    return app.tenant_state.now.isoformat()


@command
def advance(app: TenantApp, seconds: float) -> str:
    """Advance the tenant's clock, and return its new time."""
    app.tenant_state.clock.advance(seconds)
    return now(app)


@command
def set_speed(app: TenantApp, speed: float) -> None:
    """Set the speed of the tenant's clock."""
    app.tenant_state.clock.set_speed(speed)


@command
def reset(app: TenantApp) -> None:
    """Restore the initial state."""
    app.reset()
