"""The registry of the control API's commands, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

COMMANDS: dict[str, Callable[..., Any]] = {}
SLOW_COMMANDS: set[str] = set()
"""Commands that run in a thread, during which the server goes on with other requests."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def command(function: _Function) -> _Function:
    """Register a function as the command of its name."""
    COMMANDS[function.__name__] = function
    return function


def slow_command(function: _Function) -> _Function:
    """Register a function as a command that runs in a thread, so that the server goes on responding."""
    SLOW_COMMANDS.add(function.__name__)
    return command(function)
