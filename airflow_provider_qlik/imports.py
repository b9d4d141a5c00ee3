"""Loading modules without blocking an event loop: standard library only, since Dag files import what imports this.

Triggers and notifiers do not import `cloud/` and `runs/` at the top, so that Dag files parse fast. In a triggerer these
are loaded when they are first needed, which takes some tenths of a second, and no other trigger may stand still.
"""

from __future__ import annotations

import asyncio
import importlib

_loaded: set[str] = set()
"""Modules that are loaded completely. While a thread loads one, an import of it would block the event loop."""


async def load_modules(*names: str) -> None:
    """Load modules in a thread. After that, importing them in the event loop takes no time."""
    for name in names:
        if name not in _loaded:
            await asyncio.to_thread(importlib.import_module, name)
            _loaded.add(name)
