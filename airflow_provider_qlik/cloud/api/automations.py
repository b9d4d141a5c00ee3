"""The Automations family: 21 operations, in the order of the reference, and the start with inputs.

https://qlik.dev/apis/rest/automations/. Every call can raise QlikCloudError.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, TypeVar

from airflow_provider_qlik.cloud.call import EXECUTE_ROOT, Call, Family, Tier
from airflow_provider_qlik.cloud.models.automations import (
    Automation,
    AutomationCopied,
    AutomationCopy,
    AutomationCreate,
    AutomationList,
    AutomationOwnerChange,
    AutomationRun,
    AutomationRunCreate,
    AutomationRunExport,
    AutomationRunList,
    AutomationSettings,
    AutomationSpaceChange,
    AutomationUpdate,
    AutomationUsageList,
)
from airflow_provider_qlik.cloud.models.writing import body_of
from airflow_provider_qlik.cloud.parameters import both_ways, page_size, word
from airflow_provider_qlik.validation import InvalidArgumentError, checked_json

T = TypeVar("T")

AUTOMATION_SORTS = both_ways(
    *("id", "name", "runMode", "state", "createdAt", "updatedAt", "lastRunAt", "lastRunStatus", "maxConcurrentRuns")
)
RUN_SORTS = both_ways("id", "status", "startTime")

_FAMILY = Family("/api/workflows/automations", reading=Tier.ONE, writing=Tier.TWO)
_EXECUTE = Family(EXECUTE_ROOT, reading=Tier.ONE, writing=Tier.TWO)


def list(
    *,
    filter: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    list_all: bool | None = None,
    cursor: str | None = None,
) -> Call[AutomationList]:
    """List the automations that the user may see; *limit* is the page size, 100 by default, at most 200.

    *filter* is a SCIM expression such as ``name eq "Morning"``; *list_all* shows an admin the whole tenant.
    """
    parameters = {
        "filter": filter,
        "limit": page_size(limit),
        "listAll": list_all,
        "sort": word("sort", sort, AUTOMATION_SORTS),
        "cursor": cursor,
    }
    return _FAMILY.call("list_automations", "GET", "", AutomationList, parameters=parameters)


def create(automation: AutomationCreate | Mapping[str, Any]) -> Call[Automation]:
    """Create an automation."""
    body = body_of(AutomationCreate, "automation", automation)
    return _FAMILY.call("create_automation", "POST", "", Automation, body=body)


def get(automation_id: str) -> Call[Automation]:
    """Get an automation; its execution token is a secret."""
    return _FAMILY.call(
        "get_automation",
        "GET",
        "/{automation_id}",
        Automation,
        ids={"automation_id": automation_id},
        about={"id": automation_id},
    )


def update(automation_id: str, automation: AutomationUpdate | Mapping[str, Any]) -> Call[Automation]:
    """Replace an automation, which only its owner may do; the response is the new state."""
    ids, body = {"automation_id": automation_id}, body_of(AutomationUpdate, "automation", automation)
    return _FAMILY.call(
        "update_automation", "PUT", "/{automation_id}", Automation, ids=ids, body=body, about={"id": automation_id}
    )


def delete(automation_id: str) -> Call[None]:
    """Delete an automation."""
    return _FAMILY.call(
        "delete_automation", "DELETE", "/{automation_id}", NoneType, ids={"automation_id": automation_id}
    )


def _action(operation: str, action: str, automation_id: str, response_type: type[T], body: Any = None) -> Call[T]:
    template = "/{automation_id}/actions/" + action
    return _FAMILY.call(operation, "POST", template, response_type, ids={"automation_id": automation_id}, body=body)


def change_owner(automation_id: str, user_id: str) -> Call[None]:
    """Change the owner of an automation; its history is lost and its connections are detached."""
    body = body_of(AutomationOwnerChange, "user_id", {"userId": user_id})
    return _action("change_automation_owner", "change-owner", automation_id, NoneType, body)


def change_space(automation_id: str, space_id: str) -> Call[None]:
    """Move an automation to another space."""
    body = body_of(AutomationSpaceChange, "space_id", {"spaceId": space_id})
    return _action("change_automation_space", "change-space", automation_id, NoneType, body)


def copy(automation_id: str, name: str) -> Call[AutomationCopied]:
    """Copy an automation under a new name; the response has the id of the copy."""
    body = body_of(AutomationCopy, "name", {"name": name})
    return _action("copy_automation", "copy", automation_id, AutomationCopied, body)


def disable(automation_id: str) -> Call[None]:
    """Disable an automation, so that it can no longer be run."""
    return _action("disable_automation", "disable", automation_id, NoneType)


def enable(automation_id: str) -> Call[None]:
    """Enable an automation, so that it can be run again."""
    return _action("enable_automation", "enable", automation_id, NoneType)


def move(automation_id: str, user_id: str) -> Call[None]:
    """Move an automation to another owner. Qlik does not document how this differs from `change_owner`."""
    body = body_of(AutomationOwnerChange, "user_id", {"userId": user_id})
    return _action("move_automation", "move", automation_id, NoneType, body)


def runs(
    automation_id: str,
    *,
    filter: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[AutomationRunList]:
    """List the runs of an automation, by id unless *sort* says otherwise; *limit* is the page size, 10 to 200."""
    sort = word("sort", sort, RUN_SORTS)
    parameters = {"filter": filter, "limit": page_size(limit), "sort": sort, "cursor": cursor}
    ids = {"automation_id": automation_id}
    return _FAMILY.call(
        "list_automation_runs", "GET", "/{automation_id}/runs", AutomationRunList, ids=ids, parameters=parameters
    )


def create_run(automation_id: str) -> Call[AutomationRun]:
    """Start a run without inputs; the response is the run."""
    ids, body = {"automation_id": automation_id}, body_of(AutomationRunCreate, "run", AutomationRunCreate())
    return _FAMILY.call("create_automation_run", "POST", "/{automation_id}/runs", AutomationRun, ids=ids, body=body)


def get_run(automation_id: str, run_id: str) -> Call[AutomationRun]:
    """Get a run."""
    ids = {"automation_id": automation_id, "run_id": run_id}
    return _FAMILY.call(
        "get_automation_run", "GET", "/{automation_id}/runs/{run_id}", AutomationRun, ids=ids, about={"id": run_id}
    )


def _run_action(operation: str, action: str, automation_id: str, run_id: str, response_type: type[T]) -> Call[T]:
    ids = {"automation_id": automation_id, "run_id": run_id}
    return _FAMILY.call(operation, "POST", "/{automation_id}/runs/{run_id}/actions/" + action, response_type, ids=ids)


def export_run(automation_id: str, run_id: str) -> Call[AutomationRunExport]:
    """Export the debug log of a run; the response has its URL."""
    return _run_action("export_automation_run", "export", automation_id, run_id, AutomationRunExport)


def retry_run(automation_id: str, run_id: str) -> Call[None]:
    """Start a new run with the inputs of an earlier one. The response does not contain the new run."""
    return _run_action("retry_automation_run", "retry", automation_id, run_id, NoneType)


def stop_run(automation_id: str, run_id: str) -> Call[None]:
    """Cancel a run."""
    return _run_action("stop_automation_run", "stop", automation_id, run_id, NoneType)


def run_debug(automation_id: str, run_id: str) -> Call[str]:
    """Get the debug log of a run, as text."""
    ids = {"automation_id": automation_id, "run_id": run_id}
    template = "/{automation_id}/runs/{run_id}/debug"
    return _FAMILY.call("get_automation_run_debug", "GET", template, str, ids=ids, accept="text/plain")


def settings() -> Call[AutomationSettings]:
    """Get the settings of the tenant for all automations."""
    return _FAMILY.call("get_automation_settings", "GET", "/settings", AutomationSettings)


def update_settings(settings: AutomationSettings | Mapping[str, Any]) -> Call[AutomationSettings]:
    """Replace these settings; the response has the new ones."""
    body = body_of(AutomationSettings, "settings", settings)
    return _FAMILY.call("update_automation_settings", "PUT", "/settings", AutomationSettings, body=body)


def usage(filter: str, *, breakdown_by: str | None = None) -> Call[AutomationUsageList]:
    """List usage metrics; *filter* is required, such as ``name eq "runs" and date eq "2026-11-01"``."""
    if not isinstance(filter, str) or not filter.strip():
        raise InvalidArgumentError("filter", filter, "must say which metrics and dates")
    parameters = {"filter": filter, "breakdownBy": breakdown_by}
    return _FAMILY.call("list_automation_usage", "GET", "/usage", AutomationUsageList, parameters=parameters)


def execute(automation_id: str, execution_token: str, inputs: Mapping[str, Any] | None = None) -> Call[None]:
    """Start a run of a triggered automation with inputs. No run id is documented; find the run in `runs`.

    The token is the automation's own `execution_token`, a secret. `cloud.transport.paths` chooses the path.
    """
    sendable = isinstance(execution_token, str) and execution_token.isascii() and execution_token.isprintable()
    if not sendable or not execution_token.strip():
        raise InvalidArgumentError("execution_token", None, "must be the automation's execution token")
    return _EXECUTE.call(
        "execute_automation",
        "POST",
        "/{automation_id}/actions/execute",
        NoneType,
        ids={"automation_id": automation_id},
        body=checked_json("inputs", dict(inputs or {})),
        headers={"x-execution-token": execution_token},
    )
