"""The facts of a run in the asset events of its task.

When a task succeeds, Airflow creates an event for each asset in its `outlets`. A Dag that such an event starts reads
there which run has updated the asset, and when, and needs no request to Qlik Cloud for it.

An `AssetAlias` in `outlets` stands for an asset that is not known when the Dag is parsed, as with a templated id or a
name: the asset of the resource that was run is added to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.assets.uri import SCHEME
from airflow_provider_qlik.compat import hashes_alias_extras
from airflow_provider_qlik.lifecycle.failures import message
from airflow_provider_qlik.lifecycle.task_log import write

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context


def add_run_facts(context: Context, outlets: Iterable[Any], facts: Mapping[str, Any], log: Any) -> None:
    """Put the facts of a run that does not fail its task into the events of the task's outlets.

    Called when the run has ended and the task can only succeed: what goes wrong here is a warning, since a failed task
    would be retried, and start a run again that has succeeded.

    :param outlets: the outlets of the task; those that are no assets of Qlik Cloud are left alone.
    :param facts: the return value of the task: plain JSON without secrets.
    """
    events: Any = context.get("outlet_events")
    if events is None:
        return
    for outlet in outlets:
        try:
            _add(events, outlet, facts)
        except Exception as error:  # of Airflow, such as a reference to an asset that it does not know
            write(log, logging.WARNING, f"An asset event is without the facts of the run: {message(error)}. {outlet}")


def _add(events: Any, outlet: Any, facts: Mapping[str, Any]) -> None:
    from airflow.providers.common.compat.sdk import AssetAlias

    if isinstance(outlet, AssetAlias):
        asset = _asset_of(facts)
        if asset is not None:
            events[outlet].add(asset, extra=_alias_extra(facts))
    elif _address(outlet).startswith(f"{SCHEME}://"):
        event = events[outlet]
        event.extra = {**event.extra, **facts}


def _address(outlet: Any) -> str:
    """Return the URI of an asset, or what a reference to an asset refers to."""
    return str(getattr(outlet, "uri", None) or getattr(outlet, "name", None) or "")


def _alias_extra(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts as the extra of an alias's event: where Airflow hashes it, without lists and mappings.

    Airflow raises an error for these after the task has succeeded, and runs it again.
    """
    if not hashes_alias_extras():
        return dict(facts)
    return {name: value for name, value in facts.items() if not isinstance(value, (list, dict))}


def _asset_of(facts: Mapping[str, Any]) -> Asset | None:
    """Return the asset of the resource that was run; None for a reload task, which is none."""
    from airflow_provider_qlik.assets import qlik_app, qlik_automation, qlik_sharing_task, qlik_task

    factories: dict[str, Callable[[str, str], Asset]] = {
        "reload": qlik_app,
        "automation": qlik_automation,
        "task": qlik_task,
        "sharing_task": qlik_sharing_task,
    }
    factory = factories.get(facts["kind"])
    return None if factory is None else factory(host_of(facts["link"]), facts["resource_id"])


def host_of(link: str) -> str:
    """Return the host of the tenant from the link to one of its pages, with its port if that is not 443."""
    from urllib.parse import urlsplit

    return urlsplit(link).netloc
