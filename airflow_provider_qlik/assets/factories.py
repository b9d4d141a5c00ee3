"""Make the asset of an app, automation, task or sharing task.

The name of such an asset is its URI. `Asset(uri=…)` alone keeps the name as it was written, so that two spellings of a
URI would be two assets with one URI, of which Airflow's scheduler refuses to activate the second.

Imports nothing of Airflow until an asset is made: `airflow_provider_qlik.assets.uri` is in this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.assets.uri import asset_uri
from airflow_provider_qlik.validation import InvalidArgumentError, checked_word

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset

_ARGUMENTS = {"app": "app_id", "automation": "automation_id", "task": "qlik_task_id", "sharing_task": "sharing_task_id"}
_COLLECTIONS = {"app": "apps", "automation": "automations", "task": "tasks", "sharing_task": "sharing-tasks"}


def qlik_app(host: str, app_id: str, **arguments: Any) -> Asset:
    """Return the asset of an app, such as ``qlik_app("acme.eu.qlikcloud.com", "116dbfae-…")``.

    :param host: the host of the tenant, or its address as in the connection.
    :param app_id: the id of the app; no template.
    :param arguments: further arguments of Airflow's `Asset`, such as ``extra``, ``group`` and ``watchers``. Airflow 2
        has no groups: ``group`` is ignored there.

    Raises InvalidArgumentError.
    """
    return _asset(host, "app", app_id, arguments)


def qlik_automation(host: str, automation_id: str, **arguments: Any) -> Asset:
    """Return the asset of an automation. For its arguments see `qlik_app`."""
    return _asset(host, "automation", automation_id, arguments)


def qlik_task(host: str, qlik_task_id: str, **arguments: Any) -> Asset:
    """Return the asset of a task of Qlik Cloud. For its arguments see `qlik_app`."""
    return _asset(host, "task", qlik_task_id, arguments)


def qlik_sharing_task(host: str, sharing_task_id: str, **arguments: Any) -> Asset:
    """Return the asset of a sharing task. For its arguments see `qlik_app`."""
    return _asset(host, "sharing_task", sharing_task_id, arguments)


def create_asset(*, host: str, kind: str, resource_id: str, extra: Mapping[str, Any] | None = None) -> Asset:
    """Return an asset for Airflow's collector of hook lineage, which makes assets by their scheme.

    :param host: the host of the tenant.
    :param kind: ``app``, ``automation``, ``task`` or ``sharing_task``.
    :param resource_id: the id of the resource.
    :param extra: the extra of the asset.
    """
    return _asset(host, checked_word("kind", kind, tuple(_ARGUMENTS)), resource_id, {"extra": extra})


def _asset(host: str, kind: str, resource_id: str, arguments: Mapping[str, Any]) -> Asset:
    from airflow_provider_qlik.compat import new_asset

    for argument in ("name", "uri"):
        if argument in arguments:
            allowed = "cannot be given: the name and the URI of the asset follow from the host and the id"
            raise InvalidArgumentError(argument, arguments[argument], allowed)
    return new_asset(asset_uri(host, _COLLECTIONS[kind], _ARGUMENTS[kind], resource_id), **arguments)
