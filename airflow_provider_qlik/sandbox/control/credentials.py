"""Commands for users, credentials and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_qlik.sandbox.control.command import command, slow_command
from airflow_provider_qlik.sandbox.permissions import SPACE_ROLES, TENANT_ROLES
from airflow_provider_qlik.sandbox.state.records import User
from airflow_provider_qlik.sandbox.state.shared import USER

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


@command
def credentials(app: TenantApp) -> dict[str, str]:
    """Return the current credentials."""
    access = app.access
    return {
        "api_key": access.api_key,
        "client_id": access.client_id,
        "client_secret": access.client_secret,
        "user_id": USER.id,
        "user_subject": USER.subject,
    }


@command
def add_user(app: TenantApp, name: str, id: str | None, roles: list[str]) -> dict[str, str]:
    """Add a user, and return its id and API key."""
    if unknown := [role for role in roles if role not in TENANT_ROLES]:
        raise ValueError(f"roles: {unknown[0]!r} is not one of {', '.join(TENANT_ROLES)}")
    user_id = id or f"user-{len(app.tenant_state.users) + 1}"
    if user_id in app.tenant_state.users:
        raise ValueError(f"id: there is a user {user_id} already")
    user = User(user_id, name, f"{user_id}@sandbox.example", f"auth0|{user_id}", frozenset(roles))
    app.tenant_state.users[user_id] = user
    return {"id": user_id, "api_key": app.access.add_key(user)}


@command
def grant_role(app: TenantApp, space_id: str, user_id: str, role: str) -> None:
    """Grant a user a role in a space."""
    if space_id not in app.tenant_state.apps.spaces:
        raise ValueError(f"space_id: there is no space {space_id}")
    if user_id not in app.tenant_state.users:
        raise ValueError(f"user_id: there is no user {user_id}")
    if role not in SPACE_ROLES:
        raise ValueError(f"role: {role!r} is not one of {', '.join(SPACE_ROLES)}")
    app.tenant_state.apps.spaces[space_id].roles.setdefault(user_id, []).append(role)


@slow_command
def key_pair(app: TenantApp, kind: str) -> dict[str, str]:
    """Return a private key of the OAuth client and its `kid`."""
    pair = app.access.key_pair(kind)
    return {"key_id": pair.key_id, "private_key": pair.private_pem}


@command
def rotate(app: TenantApp, credential: str) -> str:
    """Replace the API key or the client secret, and return the new one."""
    return app.access.rotate(credential)


@command
def revoke_tokens(app: TenantApp) -> None:
    """Revoke all tokens issued so far."""
    app.access.revoke_tokens()


@command
def set_token_lifetime(app: TenantApp, seconds: float) -> None:
    """Set the lifetime in seconds of the tokens issued from now on."""
    app.access.token_lifetime = float(seconds)
