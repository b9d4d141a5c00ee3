"""The base of both clients: it turns a call into a request, and the response into a value or an error.

How credentials change while a client is in use is decided in `credential_rotation`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from airflow_provider_qlik import __version__
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import InvalidResponseError, QlikCloudError
from airflow_provider_qlik.cloud.flow import RefreshCredentials
from airflow_provider_qlik.cloud.metrics import harmless
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.transport.bounds import KEPT_END, MAX_BODY, Bounds, bounded, bounds_of
from airflow_provider_qlik.cloud.transport.credential_rotation import CredentialRotation
from airflow_provider_qlik.cloud.transport.credentials import Credentials
from airflow_provider_qlik.cloud.transport.decoding import ACCEPT_ENCODING
from airflow_provider_qlik.cloud.transport.deprecations import log_once, read_deprecation
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.cloud.transport.responses import read
from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.cloud.transport.tenant import Tenant, trust
from airflow_provider_qlik.cloud.transport.transports import location_of
from airflow_provider_qlik.text import REASON_LENGTH, storable
from airflow_provider_qlik.validation import InvalidArgumentError

_log = logging.getLogger(__name__)

T = TypeVar("T")

ConnectionSettings: TypeAlias = tuple[Tenant, Credentials]
"""The tenant and the credentials that an Airflow connection holds."""

API_VERSION = "2026-11"
"""The release of Qlik Cloud's APIs that this package knows. It selects no format, only the deprecations that Qlik
announces.

It is sent with every request to an API of the tenant, and not with the request for a token, which is none of them.
"""
MAX_LOCATION = 2000
"""Characters of an address that a redirect is followed to."""

RereadT = TypeVar("RereadT")
HttpT = TypeVar("HttpT", httpx.Client, httpx.AsyncClient)

_process = 0
"""Changes in a child process, whose copies of sockets and locks belong to the parent."""


def _in_child() -> None:
    global _process
    _process += 1


os.register_at_fork(after_in_child=_in_child)


class BaseClient(Generic[RereadT, HttpT]):
    """The base of both clients.

    `outdated` is True if the connection has been changed to another tenant or other settings: new users of the
    connection need another client.

    :param reread: reads tenant and credentials from the connection again, when Qlik Cloud has refused these.
    :param fallback: credentials that were accepted for the same tenant before this client was made.
    :param connection: the id of the Airflow connection, for messages.
    :param count: gets the name of a metric and a number; here `deprecated`, the responses of deprecated operations.
    """

    def __init__(
        self,
        tenant: Tenant,
        credentials: Credentials,
        *,
        retry_policy: RetryPolicy = RetryPolicy(),  # noqa: B008 (frozen)
        on_secret: Callable[[str], object] | None = None,
        reread: RereadT | None = None,
        fallback: Credentials | None = None,
        connection: str | None = None,
        count: Callable[[str, float], object] = lambda _name, _number: None,
    ) -> None:
        self._count = harmless(count)
        self.tenant = tenant
        self.retry_policy = retry_policy
        self.connection = connection
        self._on_secret = on_secret
        self._reread = reread
        self.outdated = False
        self._rotation = CredentialRotation(
            tenant, credentials, fallback=fallback, connection=connection, on_secret=on_secret
        )
        self._replaced_clients: list[HttpT] = []
        self._trust = trust(tenant.ca_bundle)
        self._process = _process
        self._http: HttpT = self._open_http()

    @property
    def settings(self) -> tuple[Tenant, Credentials, Credentials | None]:
        """The tenant, the credentials in use, and the fallback that is kept until these are accepted."""
        return self.tenant, self._rotation.credentials, self._rotation.fallback

    @property
    def _auth(self) -> httpx.Auth:
        return self._rotation.auth

    def _apply_reread(self, settings: ConnectionSettings, *, refused: bool) -> None:
        """Use the tenant and credentials that were read again, after those in use were *refused* or at an interval.

        The settings of another tenant are not applied: runs that were started on this one are unknown there.
        """
        tenant, credentials = settings
        self._rotation.record_reread()
        self.outdated = tenant != self.tenant
        if tenant.url == self.tenant.url:
            self._trust_anew(tenant)
            self._rotation.use_reread(credentials, refused=refused)

    def _trust_anew(self, tenant: Tenant) -> None:
        """Use the certificates as they are now, from the next connection on, if their file was replaced."""
        try:
            trusted = trust(tenant.ca_bundle)
        except InvalidArgumentError as error:
            self._record_reread_failure(error)
            return
        if trusted is not self._trust:
            self._trust, self.tenant = trusted, replace(self.tenant, ca_bundle=tenant.ca_bundle)
            # Requests that are under way go on: the old one is closed with this client.
            self._replaced_clients.append(self._http)
            self._http = self._open_http()

    @contextmanager
    def _tolerating_failure(self, step: RefreshCredentials) -> Iterator[None]:
        """Note a failure to read the connection in the block, and go on with the credentials in use."""
        try:
            yield
        except (QlikCloudError, InvalidArgumentError) as error:
            self._record_reread_failure(error, step.error)

    def _switch_credentials(self, step: RefreshCredentials, settings: ConnectionSettings | None) -> None:
        """Use other credentials than those that were refused: those that were read again, or else the fallback."""
        if step.fallback_refused:
            self._rotation.record_revoked()
        if settings is None:
            self._rotation.use_fallback()
        else:
            self._apply_reread(settings, refused=True)

    def _record_reread_failure(self, problem: Exception, refusal: QlikCloudError | None = None) -> None:
        """Note that the connection cannot be read again, on the refusal that made it necessary or in the log."""
        self._rotation.record_reread()
        notes = " ".join(getattr(problem, "__notes__", ()))
        why = f"{problem} {notes}".strip().rstrip(".")
        if refusal is not None:
            refusal.add_note(f"The connection was read again, without success: {why}.")
        _log.warning("%s. The credentials that are in use are kept.", why)

    def _open_http(self) -> HttpT:
        raise NotImplementedError

    def _open_in_child(self) -> None:
        """Open anew in a child process: two processes on one connection get each other's responses.

        Nothing is closed here: the sockets are the parent's. The shared token is another one, too: the lock of the old
        one may have been held when the process was forked.
        """
        if self._process != _process:
            self._process = _process
            self._replaced_clients.clear()
            self._rotation.use(self._rotation.credentials)
            self._http = self._open_http()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tenant.url!r})"

    def _http_options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the options of an httpx client and those of its transport."""
        options = self.tenant.http_options() | {"verify": self._trust}
        transport = {name: options.pop(name) for name in ("verify", "proxy")}
        return options, transport | {"trust_env": False}

    def _request(self, call: Call[Any]) -> httpx.Request:
        """Return the request of a call. Raises QlikCloudError for one whose address cannot be sent."""
        # Made by hand and not by the client: nothing of httpx's joining of addresses may move a call to another path.
        headers = {
            "accept": call.accept,
            "accept-encoding": ACCEPT_ENCODING,
            "user-agent": f"airflow-provider-qlik/{__version__}",
            "qlik-api-version": API_VERSION,
            **dict(call.headers),
        }
        download = call.response_type is Download
        bounds = Bounds(
            total=None if download else self.tenant.request_timeout,
            headers=self.tenant.request_timeout,
            limit=None if download else MAX_BODY,
            keep_end=KEPT_END if call.response_type is str or getattr(call.response_type, "keep_end", False) else None,
        )
        return httpx.Request(
            call.method,
            self._address(call),
            headers=headers,
            **({} if call.body is None else {"json": call.body}),
            extensions=bounded(self.tenant, bounds),
        )

    def _address(self, call: Call[Any]) -> httpx.URL:
        try:
            return httpx.URL(self.tenant.address_of(call))
        except httpx.InvalidURL as error:
            # The filter of a user, or the cursor of a page, is too long or malformed: no other attempt helps.
            request = storable(f"{call.method} {self.tenant.path_of(call)}", REASON_LENGTH)
            raise QlikCloudError(
                f"The address of the request cannot be sent ({error}): shorten it ({request})"
            ) from None

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        # httpx ties a response to its stream and that to the response: all of it would stay until the garbage collector
        # looks at what is old, which it hardly ever does in a process as large as a triggerer.
        response.stream = httpx.ByteStream(b"")
        headers = {name.lower(): given for name, given in response.headers.items()}
        left_out = bounds_of(response.request).left_out
        reply = Reply(response.status_code, headers, response.content, left_out)
        self._note_deprecation(call, headers)
        value = read(call, self.tenant.path_of(call), reply)
        if self._on_secret and isinstance(value, Shape):
            for secret in value.secrets:
                self._on_secret(secret)
        return value

    def _note_deprecation(self, call: Call[Any], headers: Mapping[str, str]) -> None:
        deprecation = read_deprecation(headers)
        if deprecation is not None:
            self._count("deprecated", 1)
            log_once(call.operation, f"{call.method} {self.tenant.path_of(call)}", deprecation)

    def _check_open(self) -> None:
        """Raise RuntimeError once the client is closed: a mistake in the program, which no retry mends."""
        if self._http.is_closed:
            raise RuntimeError(f"{self!r} is closed")

    def _redirected(self, call: Call[T], response: httpx.Response) -> Call[T] | None:
        """Return the call to which the documented redirect leads, if this call allows it; only on the tenant's host."""
        if not call.follows_redirect or response.status_code not in (301, 302, 307, 308):
            return None
        location = location_of(response)
        own, request = urlsplit(self.tenant.url), f"HTTP {response.status_code} for {call}"
        try:
            target = urlsplit(urljoin(self.tenant.address_of(call), location))
            there = (target.scheme, target.netloc)
        except ValueError:
            raise InvalidResponseError(f"The response redirects to no address ({request})", location) from None
        if len(location) > MAX_LOCATION:
            raise InvalidResponseError(f"The response redirects to an address that is too long ({request})", location)
        if there != (own.scheme, own.netloc) or not location:
            raise InvalidResponseError(
                f"The response redirects to another host and was not followed ({request})", location
            )
        return replace(call, path=target.path, follows_redirect=False)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Add the id of the connection to errors of this package in the block."""
        try:
            yield
        except QlikCloudError as error:
            error.connection = self.connection
            raise
