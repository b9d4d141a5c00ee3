"""The URI of an asset: ``qlik://<tenant's host>/<apps|automations|tasks|sharing-tasks>/<id>``.

Airflow imports this module in each process that makes an asset with a URI, of whatever provider: standard library only.

A URI is normalised here and nowhere else, so that all spellings of one address give one asset: the host in lower case,
without the port 443; the id percent-encoded in one way; no query, fragment or trailing slash. Ids keep their case.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_qlik.validation import InvalidArgumentError, checked_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "qlik"
COLLECTIONS = ("apps", "automations", "tasks", "sharing-tasks")
"""The first part of a URI's path, by the kind of resource."""

_EXAMPLE = "acme.eu.qlikcloud.com"
_HTTPS_PORT = 443
_HOST_CHARACTERS = frozenset(string.ascii_lowercase + string.digits + ".-_:")
_TEMPLATE = (
    "must be literal: an asset is made when the Dag is parsed, before templates are rendered. For a templated id give"
    " the operator an AssetAlias in outlets"
)


def asset_uri(host: object, collection: str, argument: str, resource_id: object) -> str:
    """Return the normalised URI of a resource.

    :param host: the tenant, as a host name or as the address of the connection.
    :param collection: one of `COLLECTIONS`.
    :param argument: the name of the argument that holds the id, for errors.
    :param resource_id: the id of the resource.

    Raises InvalidArgumentError for a template, and for what is no host or no id.
    """
    if not isinstance(resource_id, str | int) or _is_template(resource_id):
        # A result of another task, or a template.
        raise InvalidArgumentError(argument, "None" if resource_id is None else resource_id, _TEMPLATE)
    return f"{SCHEME}://{normalised_host(host)}/{collection}/{quote(checked_id(argument, resource_id), safe='')}"


def normalised_host(host: object) -> str:
    """Return a tenant's host in lower case, with its port unless that is 443. Raises InvalidArgumentError.

    Accepts what the host field of a connection accepts: ``ACME.eu.qlikcloud.com``, ``https://acme.eu.qlikcloud.com/``.
    """
    text = host.strip() if isinstance(host, str) else ""
    if not text:
        raise InvalidArgumentError("host", host or None, f"give the tenant's host, such as {_EXAMPLE}")
    if _is_template(text):
        raise InvalidArgumentError("host", text, _TEMPLATE)
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        name, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        raise InvalidArgumentError("host", None, f"is no address: give the tenant's host, such as {_EXAMPLE}") from None
    if "@" in parts.netloc:
        # Without the value: it may be a password.
        raise InvalidArgumentError("host", None, "must not hold a user or password")
    more = parts.path.strip("/") or parts.query or parts.fragment
    if more or parts.scheme not in {"", "http", "https", SCHEME}:
        raise InvalidArgumentError("host", text, f"must be a host without scheme, path and query, such as {_EXAMPLE}")
    if not name or not _HOST_CHARACTERS.issuperset(name):
        raise InvalidArgumentError("host", text, f"must be a host name in ASCII, such as {_EXAMPLE}")
    shown = f"[{name}]" if ":" in name else name
    return shown if port in {None, _HTTPS_PORT} else f"{shown}:{port}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return a ``qlik://`` URI normalised. Airflow calls this for each asset of that scheme.

    Raises ValueError for a URI that names no app, automation, task or sharing task: a Dag that waits for such an asset
    would never start.
    """
    if _is_template(uri.netloc + uri.path):
        raise InvalidArgumentError("uri", uri.geturl(), _TEMPLATE)
    segments = [segment for segment in uri.path.split("/") if segment]
    if len(segments) != 2 or segments[0] not in COLLECTIONS:
        allowed = f"must be {SCHEME}://<host of the tenant>/<{'|'.join(COLLECTIONS)}>/<id>"
        raise InvalidArgumentError("uri", uri.geturl(), allowed)
    collection, resource_id = segments
    return urlsplit(asset_uri(uri.netloc, collection, "id in the uri", unquote(resource_id)))


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """Return the OpenLineage dataset of an asset: the tenant is its namespace, such as ``apps/<id>`` its name."""
    return openlineage_dataset(asset.uri)


def openlineage_dataset(uri: str) -> OpenLineageDataset:
    """Return the OpenLineage dataset of an asset's URI."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(uri)
    return Dataset(namespace=f"{SCHEME}://{parts.netloc}", name=parts.path.strip("/"))


def _is_template(value: object) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)
