"""What the handle can ask under `/sandbox/…`: one command for each method of `Tenant`, documented there."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import JSONResponse, Response

from airflow_provider_qlik.sandbox import truth
from airflow_provider_qlik.sandbox.script import Script
from airflow_provider_qlik.sandbox.world import OTHER, USER

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp

COMMANDS: dict[str, Callable[..., Any]] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _command(function: _Function) -> _Function:
    COMMANDS[function.__name__] = function
    return function


class Control:
    """Steers a tenant from outside its process."""

    def __init__(self, app: TenantApp) -> None:
        self._app = app

    async def answer(self, command: str, raw: bytes) -> Response:
        """What the command gives, as JSON; 400 says why it was not understood."""
        if command not in COMMANDS:
            return _misunderstood(f"no such command: {command}")
        function = COMMANDS[command]
        try:
            arguments = json.loads(raw or b"{}")
            inspect.signature(function).bind(self._app, **arguments)
        except (TypeError, ValueError) as error:
            return _misunderstood(f"{command}: {error}")
        try:
            if command == "key_pair":  # slow: the server goes on with other requests
                result = await asyncio.to_thread(function, self._app, **arguments)
            else:
                result = function(self._app, **arguments)
            return JSONResponse(result)
        except ValueError as error:
            return _misunderstood(str(error))


def _misunderstood(why: str) -> Response:
    return JSONResponse({"error": why}, 400)


def _unknown(resource_id: str) -> ValueError:
    return ValueError(f"there is no task and no automation {resource_id}")


def _refuse_taken(app: TenantApp, id: str | None) -> None:
    if id in app.world.tasks or id in app.world.automations:
        raise ValueError(f"id: there is a task or an automation {id} already")


@_command
def credentials(app: TenantApp) -> dict[str, str]:
    """What the tenant takes as credentials now."""
    access = app.access
    return {
        "api_key": access.api_key,
        "client_id": access.client_id,
        "client_secret": access.client_secret,
        "user_id": USER.id,
        "user_subject": USER.subject,
    }


@_command
def key_pair(app: TenantApp, kind: str) -> dict[str, str]:
    """A private key of the OAuth client and its `kid`."""
    pair = app.access.key_pair(kind)
    return {"key_id": pair.key_id, "private_key": pair.private_pem}


@_command
def rotate(app: TenantApp, what: str) -> str:
    """A new API key or client secret."""
    return app.access.rotate(what)


@_command
def revoke_tokens(app: TenantApp) -> None:
    """Let no token hold that was given out so far."""
    app.access.revoke_tokens()


@_command
def set_token_lifetime(app: TenantApp, seconds: float) -> None:
    """How long further tokens hold."""
    app.access.token_lifetime = float(seconds)


@_command
def add_task(
    app: TenantApp, name: str, id: str | None, resource_id: str | None, worker: str, members: dict[str, Any]
) -> str:
    """The id of a new task."""
    world = app.world
    if worker == "automations" and resource_id is None:
        resource_id = world.add_automation({"name": f"Automation of {name}"}, USER).id
    if worker == "automations" and resource_id not in world.automations:
        raise ValueError(f"resource_id: there is no automation {resource_id}")
    _refuse_taken(app, id)
    resource_id = resource_id or f"app-{len(world.tasks) + 1}"
    shown = {"name": name, "enabled": True, "resourceId": resource_id, **members}
    if not shown["enabled"]:
        shown["metadata"] = {"disabledCode": "MANUALLY"} | shown.get("metadata", {})
    return world.add_task(shown, USER, id=id, worker=worker).id


@_command
def add_automation(app: TenantApp, name: str, id: str | None, run_mode: str, members: dict[str, Any]) -> str:
    """The id of a new automation."""
    _refuse_taken(app, id)
    return app.world.add_automation({"name": name, "runMode": run_mode, **members}, USER, id=id).id


@_command
def add_run(
    app: TenantApp,
    resource_id: str,
    started_ago: float,
    script: dict[str, Any] | None,
    triggered_by: str,
    context: str,
    id: str | None,
    inputs: Any,
) -> str:
    """The id of a new run that somebody else started."""
    world = app.world
    created = world.now - timedelta(seconds=started_ago)
    given = Script.from_json(script) if script else Script()
    if resource_id in world.tasks:
        task = world.tasks[resource_id]
        return world.add_task_run(task, OTHER, triggered_by, created=created, via="added", script=given, id=id).id
    automation = world.automations.get(resource_id)
    if automation is None:
        raise _unknown(resource_id)
    return world.add_automation_run(
        automation, OTHER, context, created=created, via="added", script=given, id=id, inputs=inputs
    ).id


@_command
def script(app: TenantApp, resource_id: str, scripts: list[dict[str, Any]]) -> None:
    """Queue scripts for the next runs."""
    if resource_id not in app.world.tasks and resource_id not in app.world.automations:
        raise _unknown(resource_id)
    app.world.add_scripts(resource_id, [Script.from_json(members) for members in scripts])


@_command
def switch(app: TenantApp, switches: dict[str, Any]) -> dict[str, Any]:
    """All switches after a change."""
    app.world.switches = app.world.switches.set(switches)
    return asdict(app.world.switches)


@_command
def fault(app: TenantApp, members: dict[str, Any]) -> int:
    """The number of a new fault."""
    return app.faults.add(**members)


@_command
def clear_faults(app: TenantApp) -> None:
    """Let nothing more go wrong."""
    app.faults.clear()


@_command
def set_limits(app: TenantApp, limits: dict[str, Any]) -> dict[str, Any]:
    """All limits after a change."""
    app.meter.limits = app.meter.limits.set(limits)
    return asdict(app.meter.limits)


@_command
def runs(app: TenantApp, resource_id: str) -> list[dict[str, Any]]:
    """Every run of a task or automation as it really stands."""
    world = app.world
    if resource_id not in world.tasks and resource_id not in world.automations and not world.has_runs(resource_id):
        raise _unknown(resource_id)
    return [
        *(truth.task_run(world, run) for run in world.task_runs[resource_id]),
        *(truth.automation_run(world, run) for run in world.automation_runs[resource_id]),
    ]


@_command
def reloads(app: TenantApp) -> list[dict[str, Any]]:
    """Every reload as it really stands."""
    return [truth.reload(app.world, reload) for reload in app.world.reloads.values()]


@_command
def active(app: TenantApp) -> list[dict[str, Any]]:
    """Everything that has not ended."""
    return [run for run in _everything(app) if run["active"]]


def _everything(app: TenantApp) -> Iterator[dict[str, Any]]:
    world = app.world
    for task_runs in world.task_runs.values():
        yield from (truth.task_run(world, run) for run in task_runs)
    for automation_runs in world.automation_runs.values():
        yield from (truth.automation_run(world, run) for run in automation_runs)
    yield from reloads(app)


@_command
def journal(app: TenantApp, operation: str | None, method: str | None, path: str | None) -> list[dict[str, Any]]:
    """The requests that fit."""
    return [entry.to_json() for entry in app.journal.select(operation, method, path)]


@_command
def clear_journal(app: TenantApp) -> None:
    """Forget the requests so far."""
    app.journal.entries.clear()


@_command
def now(app: TenantApp) -> str:
    """The tenant's time as ISO text."""
    return app.world.now.isoformat()


@_command
def advance(app: TenantApp, seconds: float) -> str:
    """The tenant's time after a jump."""
    app.world.clock.advance(seconds)
    return now(app)


@_command
def set_speed(app: TenantApp, speed: float) -> None:
    """Let time pass at another speed."""
    app.world.clock.set_speed(speed)


@_command
def reset(app: TenantApp) -> None:
    """Make everything as at the start."""
    app.reset()
