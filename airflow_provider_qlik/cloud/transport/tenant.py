"""The address of a tenant and the settings to reach it: certificates, proxy, time-outs."""

from __future__ import annotations

import math
import os
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

import httpx

from airflow_provider_qlik.cloud.call import EXECUTE_ROOT, TASKS_ROOT, Call
from airflow_provider_qlik.cloud.transport.hosts import EXAMPLE, checked_host, is_loopback
from airflow_provider_qlik.cloud.transport.proxies import PORTS, proxy_for
from airflow_provider_qlik.tasks_api import AUTO, SCHEDULING_TASKS, TASKS_PATHS
from airflow_provider_qlik.validation import MAX_TIMEOUT, InvalidArgumentError, checked_seconds, checked_word

V1_EXECUTE, WORKFLOWS_EXECUTE = "/api/v1/automations", "/api/workflows/automations"
_FIRST = {TASKS_ROOT: SCHEDULING_TASKS, EXECUTE_ROOT: V1_EXECUTE}
"""The path of a call as long as it is not known where the tenant has it."""
_SAME_AS_NO_PATH = {"", "/", "/api", "/api/", "/api/v1", "/api/v1/"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of Qlik Cloud: its address, where its Tasks API lives, how to trust it, and time-outs in seconds.

    `tasks_path` is one of `TASKS_PATHS`, or `AUTO`.
    `connect_timeout` and `read_timeout` bound single steps of a request, `request_timeout` the whole of it.
    `rate_limit_share` is the part of its rate limits that one event loop may use.
    """

    url: str
    tasks_path: str = AUTO
    ca_bundle: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    request_timeout: float = 120.0
    rate_limit_share: float = 1.0

    def __post_init__(self) -> None:
        # Whichever way it was made: a token goes to the address that stands here.
        if origin(self.url) != self.url:
            raise InvalidArgumentError("host", None, "is not normalised: create the tenant with Tenant.at()")

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
        """Return the tenant at a host name or address, as users paste it.

        Raises InvalidArgumentError when there is no host, when it has a path, a query or a user in it, when it is not
        https (http is for loopback addresses alone), when the CA bundle is not a file, or a number is impossible.
        """
        url = origin(host, port)
        for name, seconds in (
            ("connect_timeout", connect_timeout),
            ("read_timeout", read_timeout),
            ("request_timeout", request_timeout),
        ):
            if checked_seconds(name, seconds, least=0.001) > MAX_TIMEOUT:
                raise InvalidArgumentError(name, seconds, f"must be at most {MAX_TIMEOUT} seconds")
        if not _is_share(rate_limit_share):
            raise InvalidArgumentError("rate_limit_share", rate_limit_share, "must be a number above 0 and at most 1")
        return cls(
            url=url,
            tasks_path=checked_word("tasks_api", tasks_path or AUTO, (AUTO, *TASKS_PATHS)),
            ca_bundle=_existing_file("ca_bundle", ca_bundle) if ca_bundle else None,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            request_timeout=request_timeout,
            rate_limit_share=rate_limit_share,
        )

    @property
    def loopback(self) -> bool:
        """True if the tenant is on this machine, as the sandbox is."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def path_of(self, call: Call[Any]) -> str:
        """Return the call's path on this tenant; where that is not settled yet, the path that is tried first."""
        for root, first in _FIRST.items():
            if call.path.startswith(root):
                path = self.tasks_path if root == TASKS_ROOT and self.tasks_path != AUTO else first
                return call.path.replace(root, path, 1)
        return call.path

    def address_of(self, call: Call[Any]) -> str:
        """Return the full address of a call; it is always on this tenant's own host."""
        return f"{self.url}{self.path_of(call)}" + (f"?{call.query_text}" if call.query else "")

    def http_options(self) -> dict[str, Any]:
        """Return what an httpx client needs to know to talk to this tenant, proxy and certificates included.

        Raises InvalidArgumentError that names the field or the environment variable at fault. httpx itself reads
        nothing of the environment: a variable that it cannot read ends in errors of many other kinds.
        """
        return {
            "verify": trust(self.ca_bundle),
            "proxy": None if self.loopback else _proxy(self.url),
            "timeout": httpx.Timeout(self.read_timeout, connect=self.connect_timeout),
            "follow_redirects": False,
            "trust_env": False,
        }


def _proxy(url: str) -> httpx.Proxy | None:
    proxy = proxy_for(url)
    if proxy is None:
        return None
    return httpx.Proxy(proxy.url, auth=proxy.auth, ssl_context=trust(None) if proxy.by_tls else None)


class TrustVersion(NamedTuple):
    """The certificates that are trusted and their state: two that are equal give the same TLS settings."""

    setting: str
    """The field or environment variable that names the certificates, or "" for those that come with httpx."""
    path: str
    state: tuple[int, ...]
    """Inode, time of the last change in ns and bytes of the file; empty if there is none."""


def trust_version(ca_bundle: str | None) -> TrustVersion:
    """Return the present state of the certificates for a CA bundle (None: those of the environment, or the usual ones).

    Costs one look at the file system and raises nothing: whether the certificates can be used is for `trust` to say.
    """
    setting, path = "", ""
    if ca_bundle:
        setting, path = "ca_bundle", _expanded(ca_bundle) or ca_bundle
    else:
        for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            if not path:
                setting, path = variable, os.environ.get(variable, "")
    if not path:
        return TrustVersion("", "", ())
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return TrustVersion(setting, path, ())
    return TrustVersion(setting, path, (found.st_ino, found.st_mtime_ns, found.st_size))


def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Return the TLS settings for a CA bundle (None: certificates of the environment, or the usual ones).

    They are cached, since reading certificates is slow, and made anew when the file has changed. Raises
    InvalidArgumentError that names the field or the environment variable if the certificates cannot be read.
    """
    return _context(trust_version(ca_bundle))


@lru_cache(maxsize=8)
def _context(version: TrustVersion) -> ssl.SSLContext:
    key_log = os.environ.get("SSLKEYLOGFILE")
    if key_log:
        # Python opens it whenever it makes TLS settings.
        try:
            with open(key_log, "a"):
                pass
        except OSError as error:
            raise InvalidArgumentError(
                "SSLKEYLOGFILE", key_log, f"must be a file that can be written ({_reason(error)})"
            ) from None
    if not version.setting:
        return httpx.create_ssl_context(trust_env=False)
    try:
        if version.setting == "SSL_CERT_DIR":
            _check_directories(version.path)
            return ssl.create_default_context(capath=version.path)
        return ssl.create_default_context(cafile=version.path)
    except (OSError, ValueError) as error:
        what = "a directory" if version.setting == "SSL_CERT_DIR" else "a readable file"
        allowed = f"must be the path of {what} with certificates in PEM form ({_reason(error)})"
        raise InvalidArgumentError(version.setting, version.path, allowed) from None


def _check_directories(paths: str) -> None:
    """Raise OSError unless one of the directories can be listed: OpenSSL takes several and ignores missing ones."""
    errors: list[OSError] = []
    for path in filter(None, paths.split(os.pathsep)):
        try:
            os.scandir(path).close()
        except OSError as error:
            errors.append(error)
        else:
            return
    raise errors[0] if errors else FileNotFoundError("no directory is named")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _expanded(path: str) -> str | None:
    try:
        return os.fspath(Path(path).expanduser())
    except (RuntimeError, ValueError):
        return None


def _existing_file(argument: str, path: str) -> str:
    """Return the path with ``~`` replaced by the home directory. Raise InvalidArgumentError unless it is a file."""
    expanded = _expanded(path) if isinstance(path, str) else None
    try:
        is_file = expanded is not None and Path(expanded).is_file()
    except OSError:
        is_file = False
    if expanded is None or not is_file:
        raise InvalidArgumentError(argument, path, "must be the path of a file with certificates in PEM form")
    return expanded


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1 and math.isfinite(value)


def origin(host: str | None, port: int | None = None) -> str:
    """Return the scheme, host and port of a tenant's address, as a user writes it. Raises InvalidArgumentError."""
    if host is not None and not isinstance(host, str):
        raise InvalidArgumentError("host", host, "must be a text")
    address = (host or "").strip()
    if not address:
        raise InvalidArgumentError("host", None, f"give the tenant's address, such as {EXAMPLE}")
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
    except ValueError:
        raise InvalidArgumentError(
            "host", address.rpartition("@")[2], f"give the tenant's address, such as {EXAMPLE}"
        ) from None
    if parts.username or parts.password:
        raise InvalidArgumentError("host", None, "must not hold a user or password: they have fields of their own")
    try:
        name, own_port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidArgumentError("host", _shown(parts), "has no valid port") from None
    try:
        name = checked_host(name)
    except ValueError as error:
        raise InvalidArgumentError("host", _shown(parts), str(error)) from None
    if parts.path not in _SAME_AS_NO_PATH or parts.query or parts.fragment:
        raise InvalidArgumentError("host", address, f"must be a tenant's address without a path, such as {EXAMPLE}")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(name)):
        raise InvalidArgumentError("host", address, "must be https (plain http is for loopback addresses alone)")
    shown = f"[{name}]" if ":" in name else name
    port = own_port or _checked_port(port)
    return f"{parts.scheme}://{shown}" + (f":{port}" if port and port != PORTS[parts.scheme] else "")


def _checked_port(port: object) -> int | None:
    """Return the port, None for none. A form gives 0 for what was left out."""
    if port is None or (port == 0 and not isinstance(port, bool)):
        return None
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= 65535:
        raise InvalidArgumentError("port", port, "must be a whole number from 1 to 65535")
    return port


def _shown(parts: SplitResult) -> str:
    return str(parts.netloc.rpartition("@")[2])
