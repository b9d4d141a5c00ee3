"""Host names and addresses: check their form and recognise this machine. Nothing is sent."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

import httpx

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

LABEL_LENGTH = 63
"""Characters between two dots of a host name, at most (RFC 1035)."""
NAME_LENGTH = 253
"""Characters of a whole host name, at most (RFC 1035)."""
EXAMPLE = "https://acme.eu.qlikcloud.com"


def checked_host(name: str) -> str:
    """Return the host name in the form in which it is looked up: ASCII, international names in Punycode.

    Raise ValueError with the reason if no resolver can take it. The HTTP library leaves that to the resolver, which
    raises UnicodeError: a name that can never work would look like an outage.
    """
    address = address_of(name)
    if address is not None:
        return name
    labels = name.removesuffix(".").split(".")
    if not all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels):
        raise ValueError(f"give the tenant's address, such as {EXAMPLE}")
    encoded = _encoded(name)
    if encoded is None:
        raise ValueError("is not a valid host name")
    if len(encoded.removesuffix(".")) > NAME_LENGTH:
        raise ValueError(f"has more than the {NAME_LENGTH} characters that a host name may have")
    if any(len(label) > LABEL_LENGTH for label in encoded.split(".")):
        raise ValueError(f"has more than the {LABEL_LENGTH} characters that a host name may have between two dots")
    return encoded


def _encoded(name: str) -> str | None:
    try:
        url = httpx.URL(scheme="https", host=name)
        # What is Punycode already is decoded whenever httpx shows it, and may fail there.
        return url.raw_host.decode("ascii") if url.host else None
    except (httpx.InvalidURL, UnicodeError):
        return None


def address_of(name: str) -> Address | None:
    """Return the IP address that a text is, without brackets, or None; an IPv4 address inside IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(name: str) -> bool:
    """Return True if a host name or address is this machine."""
    address = address_of(name)
    return name == "localhost" if address is None else address.is_loopback
