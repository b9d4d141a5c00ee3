"""The proxy of the environment that serves a tenant. Nothing is sent.

httpx can read the environment as well, but it makes a URL of each entry of NO_PROXY, and raises InvalidURL for many
that curl, requests and urllib accept (``[::1]``, IPv6 networks); it also opens every proxy that is configured, so a
SOCKS proxy for other hosts ends in ImportError. Here only the proxy that serves the tenant is read, and an error is an
InvalidArgumentError that names its variable. A proxy's address may hold a password, so the functions that raise get
the variable's name alone, never its value: tracebacks show local variables.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

from airflow_provider_qlik.cloud.transport.hosts import address_of, checked_host
from airflow_provider_qlik.validation import InvalidArgumentError

SCHEMES = ("http", "https", "socks5", "socks5h")
PORTS = {"http": 80, "https": 443}
"""The port of a URL that names none, by scheme."""

_ENTRY = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: the variable that names it, its URL without user and password, and these two."""

    variable: str
    url: str
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def by_tls(self) -> bool:
        """True if the connection to the proxy itself is encrypted."""
        return self.url.startswith("https:")


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL, or None if it is reached directly.

    Raise InvalidArgumentError that names the variable if the proxy's address cannot be used.
    """
    target = urlsplit(url)
    kind = next((kind for kind in (target.scheme, "all") if getproxies().get(kind)), None)
    if kind is None or _bypassed(target):
        return None
    variable = _variable(kind)
    proxy = _read(variable, kind)
    if isinstance(proxy, str):
        raise InvalidArgumentError(variable, None, proxy)
    if proxy.url.startswith("socks") and find_spec("socksio") is None:
        raise InvalidArgumentError(
            variable,
            None,
            "names a SOCKS proxy, and the package for these is not installed: run pip install 'httpx[socks]', "
            "or add the tenant's host to NO_PROXY",
        )
    return proxy


def _variable(kind: str) -> str:
    """Return the name of the environment variable that getproxies has a proxy from, as it is written there."""
    name = f"{kind}_proxy"
    if os.environ.get(name):
        return name
    return next((variable for variable in os.environ if variable.lower() == name), name.upper())


def _read(variable: str, kind: str) -> Proxy | str:
    """Return the proxy of that kind, or what is wrong with its address, without repeating it."""
    text = getproxies()[kind].strip()
    try:
        text.encode()
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no valid URL of a proxy, such as http://proxy.example.com:3128"
    if parts.scheme not in SCHEMES:
        return f"must be the URL of a proxy that begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
    if "@" in parts.path + parts.query + parts.fragment:
        return "has a '/', '?' or '#' in its user or password: write it as %2F, %3F or %23"
    try:
        host = checked_host(host)
    except ValueError:
        return "names no valid host: give the URL of a proxy, such as http://proxy.example.com:3128"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    shown = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    return Proxy(variable, url, (user, password) if user or password else None)


def _bypassed(target: SplitResult) -> bool:
    return any(_covers(entry, target) for entry in re.split(r"[\s,;]+", getproxies().get("no", "")) if entry)


def _covers(entry: str, target: SplitResult) -> bool:
    """Return True if an entry of NO_PROXY means the target.

    An entry is ``*``, a host name (which includes all names below it, with or without a dot before it), a name with
    ``*`` in it, an address with or without brackets, or a network; a scheme before it or a port behind it narrow it.
    Any other entry means no host.
    """
    scheme, _, entry = entry.rpartition("://")
    if scheme.lower() not in ("", "all", target.scheme):
        return False
    host = (target.hostname or "").removesuffix(".")
    address = address_of(host)
    if "/" in entry and not scheme:
        return address is not None and _in_network(address, entry)
    entry = entry.partition("/")[0]
    parts = _ENTRY.fullmatch(entry)
    if parts is None:
        return address is not None and address == address_of(entry)
    if parts["port"] and int(parts["port"]) != (target.port or PORTS.get(target.scheme)):
        return False
    name = (parts["bracketed"] or parts["name"] or "").lower().removesuffix(".")
    if "*" in name:
        return fnmatchcase(host, name)
    if address is not None or parts["bracketed"]:
        return address is not None and address == address_of(name)
    name = _looked_up(name.lstrip("."))
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False


def _looked_up(name: str) -> str:
    try:
        return checked_host(name)
    except ValueError:
        return ""
