"""The dimensions of the table: kinds of run, modes and moments; and the speed of the tests."""

from __future__ import annotations

from typing import Final

TASK, AUTOMATION, TRIGGERED = "task", "automation", "automation with inputs"
RELOAD, SHARING_TASK = "reload", "sharing task"
ADAPTERS: Final = (TASK, AUTOMATION, TRIGGERED, RELOAD, SHARING_TASK)
RETURNED: Final = (AUTOMATION, RELOAD)
"""Kinds whose start returns the run. The runs of the others have to be found."""
FOUND: Final = (TASK, TRIGGERED, SHARING_TASK)
UNMARKED: Final = (TRIGGERED, SHARING_TASK)
"""Kinds whose runs carry no marker: only the time identifies our own."""
AUTO, V1 = "auto", "/api/v1/tasks"
PATHS: Final = {TASK: (AUTO, V1)}
"""The path of tasks, by the setting of the connection: "auto" finds the scheduling path."""
LOGGED: Final = (TASK, AUTOMATION, TRIGGERED, RELOAD)
"""Kinds whose runs have a log in Qlik."""

WORKER, DEFERRED = "on the worker", "deferred"
MODES: Final = (WORKER, DEFERRED)

BEFORE, DURING, AFTER = "before start", "during start", "after start"
WAITING, AT_END, LOG = "while waiting", "at the end", "while fetching the log"
CANCELLING = "while cancelling"
MOMENTS: Final = (BEFORE, DURING, AFTER, WAITING, AT_END, LOG, CANCELLING)
BOTH_MODES: Final = (WAITING, CANCELLING)
"""The moments at which the modes differ. At the others both run on the worker, and the table alternates them."""
READS: Final = (BEFORE, AFTER, WAITING, AT_END)

SPEED: Final = 60
"""The factor by which the tenant's clock and the waits of the package are faster than real time."""
