"""The choice between the credentials that were read last and those that were accepted before. No I/O here.

Credentials change while waits go on for days. New credentials are tried, not trusted: a mistyped key that is saved in
the connection must not end the waits that a valid one keeps going. So the old ones are kept as a fallback until a
response has accepted the new ones. Whichever of the two is refused, the other is used. A 403 or 404 counts as a refusal
as long as the new ones have not been accepted: they may belong to another user.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import httpx

from airflow_provider_qlik.cloud.flow import RefreshCredentials
from airflow_provider_qlik.cloud.transport.auth import auth_for
from airflow_provider_qlik.cloud.transport.credentials import Credentials
from airflow_provider_qlik.cloud.transport.tenant import Tenant

_log = logging.getLogger(__name__)

_accepted_credentials: dict[tuple[str | None, str], Credentials] = {}
"""The credentials that were accepted last, by connection id and tenant: a later client may need them to cancel."""


class CredentialRotation:
    """The credentials of a client, with their fallback. Moments are of the monotonic clock.

    :param fallback: credentials that were accepted for the same tenant before; None for those that this process knows.
    :param connection: the id of the Airflow connection; without one there is no fallback.
    :param on_secret: gets each new token.
    """

    def __init__(
        self,
        tenant: Tenant,
        credentials: Credentials,
        *,
        fallback: Credentials | None = None,
        connection: str | None = None,
        on_secret: Callable[[str], object] | None = None,
    ) -> None:
        self._tenant = tenant
        self._connection = connection
        self._on_secret = on_secret
        fallback = fallback or _accepted_credentials.get((connection, tenant.url))
        self.fallback = fallback if connection and fallback != credentials else None
        self.reread_at = time.monotonic()
        self._refreshed_at = -math.inf
        self._refused: Credentials | None = None
        """The new credentials, while the old ones are used since these were refused."""
        self._logged: Credentials | None = None
        """The refused credentials that were logged last."""
        self._revoked: Credentials | None = None
        """The fallback, once it was refused with a 401 as well."""
        self.use(credentials)

    def use(self, credentials: Credentials) -> None:
        """Use credentials that no response has accepted yet."""
        self.credentials = credentials
        self.auth = auth_for(self._tenant, credentials, self._on_secret)
        self._accepted = False

    def use_reread(self, credentials: Credentials, *, refused: bool) -> None:
        """Use the credentials that were read again, after those in use were *refused* or at an interval.

        At an interval those that were refused before are not tried again: they have not been corrected yet.
        """
        if credentials != self._refused:
            self._refused = None
        if credentials == self.credentials:
            if refused:
                self.use_fallback()
        elif refused or self._refused is None:
            self.fallback, self._refreshed_at = self.credentials, self.reread_at
            self.use(credentials)

    def use_fallback(self) -> None:
        """Use the fallback in place of the credentials that were refused, if there is one."""
        if self.fallback is None:
            return
        self._refused, credentials = self.credentials, self.fallback
        self.fallback, self._refreshed_at = self._refused, time.monotonic()
        self.use(credentials)

    def record_reread(self) -> None:
        """Note that the connection was read again just now, or that it could not be."""
        self.reread_at = time.monotonic()

    def record_accepted(self, auth: httpx.Auth) -> None:
        """Note that a response has accepted these credentials: from now on there is no fallback."""
        if auth is not self.auth or self._accepted:
            return
        self._accepted, self.fallback, self._revoked = True, None, None
        if self._refused not in (None, self._logged, self.credentials):
            self._logged = self._refused
            _log.warning(
                "Qlik Cloud refuses the new credentials of %s; the old ones are used as long as they work. Correct"
                " the connection.",
                f"the connection {self._connection!r}" if self._connection else self._tenant.url,
            )
        if self._connection:
            _accepted_credentials[self._connection, self._tenant.url] = self.credentials

    def record_revoked(self) -> None:
        """Note that the credentials in use, which were the fallback, are refused as well."""
        self._revoked = self.credentials

    def should_refresh(self, step: RefreshCredentials) -> bool:
        """Return True if other credentials are needed, and none have been put in use since.

        After a 403 or 404 that is so for new credentials that were not accepted yet, if the old ones were not revoked.
        """
        has_fallback = not self._accepted and self.fallback is not None and self.fallback != self._revoked
        return (step.credentials_refused or has_fallback) and not self.refreshed_since(step)

    def should_reread(self, step: RefreshCredentials) -> bool:
        """Return True if the connection was not read since the credentials were used that are refused."""
        return step.credentials_refused and self.reread_at < step.since

    def refreshed_since(self, step: RefreshCredentials) -> bool:
        """Return True if other credentials have been put in use since the refused request was sent."""
        return self._refreshed_at >= step.since
