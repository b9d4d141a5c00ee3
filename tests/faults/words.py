"""Kinds of run, modes and moments: the sides of the table; and how fast it is played."""

from __future__ import annotations

from typing import Final

TASK, AUTOMATION, TRIGGERED = "task", "automation", "automation with inputs"
RELOAD, SHARING_TASK = "reload", "sharing task"
ADAPTERS: Final = (TASK, AUTOMATION, TRIGGERED, RELOAD, SHARING_TASK)
TOLD: Final = (AUTOMATION, RELOAD)
"""Kinds whose start answers which run it made. The runs of the others have to be found."""
FOUND: Final = (TASK, TRIGGERED, SHARING_TASK)
UNMARKED: Final = (TRIGGERED, SHARING_TASK)
"""Kinds whose runs carry no marker: nothing but the time tells which is ours."""
AUTO, V1 = "auto", "/api/v1/tasks"
PATHS: Final = {TASK: (AUTO, V1)}
"""Where the tasks of the tenant are, by the setting of the connection: "auto" finds the scheduling path."""
LOGGED: Final = (TASK, AUTOMATION, TRIGGERED, RELOAD)
"""Kinds of whose runs Qlik keeps a log."""

WORKER, DEFERRED = "on the worker", "deferred"
MODES: Final = (WORKER, DEFERRED)

BEFORE, DURING, AFTER = "before start", "during start", "after start"
WAITING, AT_END, LOG = "while waiting", "at the end", "while fetching the log"
CANCELLING = "while cancelling"
MOMENTS: Final = (BEFORE, DURING, AFTER, WAITING, AT_END, LOG, CANCELLING)
BOTH_MODES: Final = (WAITING, CANCELLING)
"""Where the modes differ. Elsewhere a task is on its worker whichever mode it has, and they take turns."""
READS: Final = (BEFORE, AFTER, WAITING, AT_END)

SPEED: Final = 60
"""How much faster than in life everything goes: the tenant's time, and the waits of the package."""
