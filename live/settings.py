"""The tenant and the credentials, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, Credentials, Tenant

TENANT, API_KEY, CLIENT_ID, CLIENT_SECRET = "QLIK_TENANT", "QLIK_API_KEY", "QLIK_CLIENT_ID", "QLIK_CLIENT_SECRET"

USAGE = (
    f"Nothing was sent: set {TENANT} (such as https://your-tenant.eu.qlikcloud.com) and {API_KEY}, or {CLIENT_ID} and"
    f" {CLIENT_SECRET} for OAuth.",
    "Then this reads a few things of every kind from that tenant and reports where the responses differ from what this"
    " package expects: names and types of members, never their values.",
    "It changes and starts nothing, unless --app ID, --task ID or --automation ID asks for one real run of each.",
)
"""The lines that are printed if nothing is configured."""


class NotConfiguredError(Exception):
    """The environment does not name a tenant and credentials."""


def tenant_and_credentials(environment: Mapping[str, str]) -> tuple[Tenant, Credentials]:
    """Return the tenant and the credentials that the environment names.

    Raises NotConfiguredError if a variable is missing or two authentication methods are set, and InvalidArgumentError
    for an invalid value. Neither shows a secret.
    """
    values = {name: environment.get(name, "").strip() for name in (TENANT, API_KEY, CLIENT_ID, CLIENT_SECRET)}
    oauth = bool(values[CLIENT_ID] or values[CLIENT_SECRET])
    if values[API_KEY] and oauth:
        raise NotConfiguredError(
            f"Two authentication methods are set: unset {API_KEY}, or {CLIENT_ID} and {CLIENT_SECRET}."
        )
    needed = (TENANT, CLIENT_ID, CLIENT_SECRET) if oauth else (TENANT, API_KEY)
    missing = [name for name in needed if not values[name]]
    if missing and any(values.values()):
        raise NotConfiguredError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.")
    if missing:
        raise NotConfiguredError("")
    tenant = Tenant.at(values[TENANT])
    if oauth:
        return tenant, ClientCredentials(values[CLIENT_ID], values[CLIENT_SECRET])
    return tenant, ApiKey(values[API_KEY])
