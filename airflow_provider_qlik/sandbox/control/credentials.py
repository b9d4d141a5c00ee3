"""Commands: who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_qlik.sandbox.control.command import command, slow_command
from airflow_provider_qlik.sandbox.ground import USER

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


@command
def credentials(app: TenantApp) -> dict[str, str]:
    """What the tenant takes as credentials now."""
    access = app.access
    return {
        "api_key": access.api_key,
        "client_id": access.client_id,
        "client_secret": access.client_secret,
        "user_id": USER.id,
        "user_subject": USER.subject,
    }


@slow_command
def key_pair(app: TenantApp, kind: str) -> dict[str, str]:
    """A private key of the OAuth client and its `kid`."""
    pair = app.access.key_pair(kind)
    return {"key_id": pair.key_id, "private_key": pair.private_pem}


@command
def rotate(app: TenantApp, what: str) -> str:
    """A new API key or client secret."""
    return app.access.rotate(what)


@command
def revoke_tokens(app: TenantApp) -> None:
    """Let no token hold that was given out so far."""
    app.access.revoke_tokens()


@command
def set_token_lifetime(app: TenantApp, seconds: float) -> None:
    """How long further tokens hold."""
    app.access.token_lifetime = float(seconds)
