"""The commands there are, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

COMMANDS: dict[str, Callable[..., Any]] = {}
SLOW_COMMANDS: set[str] = set()
"""Those during which the server goes on with other requests."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def command(function: _Function) -> _Function:
    """Let the handle ask for this function, by its name."""
    COMMANDS[function.__name__] = function
    return function


def slow_command(function: _Function) -> _Function:
    """Likewise, for one that takes long."""
    SLOW_COMMANDS.add(function.__name__)
    return command(function)
