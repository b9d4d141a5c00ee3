"""The control API under `/sandbox/…`: one command for each method of `Tenant`, which documents it."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING

from starlette.responses import Response

# Importing these modules registers their commands.
from airflow_provider_qlik.sandbox.control import behaviour, content, credentials, runs  # noqa: F401
from airflow_provider_qlik.sandbox.control.command import COMMANDS, SLOW_COMMANDS
from airflow_provider_qlik.sandbox.operations import Json

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


class Control:
    """Runs the commands of the control API on a tenant."""

    def __init__(self, app: TenantApp) -> None:
        self._app = app

    async def handle(self, command: str, raw: bytes) -> Response:
        """Run a command and return its result as JSON, or a 400 with the reason why it is invalid."""
        if command not in COMMANDS:
            return _bad_command(f"there is no command {command}")
        function = COMMANDS[command]
        try:
            arguments = json.loads(raw or b"{}")
            inspect.signature(function).bind(self._app, **arguments)
        except (TypeError, ValueError) as error:
            return _bad_command(f"{command}: {error}")
        try:
            if command in SLOW_COMMANDS:
                result = await asyncio.to_thread(function, self._app, **arguments)
            else:
                result = function(self._app, **arguments)
            return Json(result)
        except ValueError as error:
            return _bad_command(str(error))


def _bad_command(reason: str) -> Response:
    return Json({"error": reason}, 400)
