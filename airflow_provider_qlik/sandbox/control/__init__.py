"""What the handle can ask under `/sandbox/…`: one command for each method of `Tenant`, documented there."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING

from starlette.responses import Response

# Each of them adds its commands when it is loaded.
from airflow_provider_qlik.sandbox.control import behaviour, content, credentials, runs  # noqa: F401
from airflow_provider_qlik.sandbox.control.command import COMMANDS, SLOW_COMMANDS
from airflow_provider_qlik.sandbox.operations import Json

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.app import TenantApp


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
            if command in SLOW_COMMANDS:
                result = await asyncio.to_thread(function, self._app, **arguments)
            else:
                result = function(self._app, **arguments)
            return Json(result)
        except ValueError as error:
            return _misunderstood(str(error))


def _misunderstood(why: str) -> Response:
    return Json({"error": why}, 400)
