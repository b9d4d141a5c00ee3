"""Where a tenant is and how it is reached."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from airflow_provider_qlik.arguments import InvalidArgument, checked_seconds, checked_word
from airflow_provider_qlik.cloud.call import TASKS_ROOT, Call

TASKS_PATHS = ("/api/v1/tasks", "/api/scheduling/tasks")
_SAME_AS_NO_PATH = {"", "/", "/api", "/api/", "/api/v1", "/api/v1/"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of Qlik Cloud: its address, where its Tasks API lives, how to trust it, and time-outs in seconds.

    `connect_timeout` and `read_timeout` bound single steps of a request, `request_timeout` the whole of it.
    `rate_limit_share` is the part of its rate limits that one event loop may use.
    """

    url: str
    tasks_path: str = TASKS_PATHS[0]
    ca_bundle: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    request_timeout: float = 120.0
    rate_limit_share: float = 1.0

    def __post_init__(self) -> None:
        # Whichever way it was made: a token goes to the address that stands here.
        if origin(self.url) != self.url:
            raise InvalidArgument("host", None, "is not in its usual form: make the tenant with Tenant.at()")

    @classmethod
    def at(
        cls,
        host: str | None,
        *,
        port: int | None = None,
        tasks_path: str | None = None,
        ca_bundle: str | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        request_timeout: float = 120.0,
        rate_limit_share: float = 1.0,
    ) -> Self:
        """The tenant at a host name or address, as users paste it.

        Raises InvalidArgument when there is no host, when it has a path, a query or a user in it, when it is not https
        (http is for loopback addresses alone), when the CA bundle is not a file, or a number is impossible.
        """
        if ca_bundle and not Path(ca_bundle).is_file():
            raise InvalidArgument("ca_bundle", ca_bundle, "must be the path of a file with certificates (PEM)")
        for name, given in (
            ("connect_timeout", connect_timeout),
            ("read_timeout", read_timeout),
            ("request_timeout", request_timeout),
        ):
            checked_seconds(name, given, least=0.001)
        if isinstance(rate_limit_share, bool) or not 0 < rate_limit_share <= 1:
            raise InvalidArgument("rate_limit_share", rate_limit_share, "must be a number above 0 and at most 1")
        return cls(
            url=origin(host, port),
            tasks_path=checked_word("tasks_api", tasks_path or TASKS_PATHS[0], TASKS_PATHS),
            ca_bundle=ca_bundle or None,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            request_timeout=request_timeout,
            rate_limit_share=rate_limit_share,
        )

    @property
    def loopback(self) -> bool:
        """Whether the tenant is on this machine, as the sandbox is."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    def path_of(self, call: Call[Any]) -> str:
        """The call's path on this tenant."""
        return call.path.replace(TASKS_ROOT, self.tasks_path, 1) if call.path.startswith(TASKS_ROOT) else call.path

    def address_of(self, call: Call[Any]) -> str:
        """The full address of a call; it is always on this tenant's own host."""
        return f"{self.url}{self.path_of(call)}" + (f"?{call.query_text}" if call.query else "")

    def http_options(self) -> dict[str, Any]:
        """What an httpx client needs to know to talk to this tenant; the environment's proxies are not for loopback."""
        return {
            "verify": trust(self.ca_bundle),
            "timeout": httpx.Timeout(self.read_timeout, connect=self.connect_timeout),
            "follow_redirects": False,
            "trust_env": not self.loopback,
        }


@lru_cache(maxsize=8)
def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """The TLS settings for a CA bundle (None: the usual authorities); made once, since reading certificates is slow."""
    if ca_bundle is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument("ca_bundle", ca_bundle, f"must hold certificates in PEM form ({error})") from None


def origin(host: str | None, port: int | None = None) -> str:
    """The scheme, host and port of what a user gave as the tenant's address."""
    given = (host or "").strip()
    if not given:
        raise InvalidArgument("host", None, "give the tenant's address, such as https://acme.eu.qlikcloud.com")
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
    except ValueError:
        raise InvalidArgument(
            "host", given.rpartition("@")[2], "give the tenant's address, such as https://acme.eu.qlikcloud.com"
        ) from None
    if parts.username or parts.password:
        raise InvalidArgument("host", None, "must not hold a user or password: they have fields of their own")
    try:
        name, own_port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidArgument("host", _shown(parts), "has no valid port") from None
    if not _is_host_name(name):
        raise InvalidArgument("host", _shown(parts), "give the tenant's address, such as https://acme.eu.qlikcloud.com")
    if parts.path not in _SAME_AS_NO_PATH or parts.query or parts.fragment:
        raise InvalidArgument(
            "host", given, "must be a tenant's address without a path, such as https://acme.eu.qlikcloud.com"
        )
    loopback = _is_loopback(name)
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise InvalidArgument("host", given, "must be https (plain http is for loopback addresses alone)")
    shown = f"[{name}]" if ":" in name else name
    port = own_port or port
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port and port != usual else "")


def _is_host_name(name: str) -> bool:
    if ":" in name:
        return _is_address(name)
    labels = name.removesuffix(".").split(".")
    return all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _shown(parts: Any) -> str:
    return str(parts.netloc.rpartition("@")[2])


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
