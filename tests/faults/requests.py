"""The requests of each kind of run that a fault can meet."""

from __future__ import annotations

from tests.faults.dimensions import (
    AFTER,
    AT_END,
    AUTOMATION,
    BEFORE,
    CANCELLING,
    DURING,
    RELOAD,
    SHARING_TASK,
    TASK,
    TRIGGERED,
    WAITING,
)

START_OF_A_TASK = "*/tasks/*/actions/start"
"""The path of a start, whichever path the tenant has its tasks on."""
START = {
    AUTOMATION: "create_automation_run",
    TRIGGERED: "execute_automation",
    RELOAD: "create_reload",
    SHARING_TASK: "execute_sharing_task",
}
READ_PATHS = {
    TASK: "*/runs",
    AUTOMATION: "*/runs*",
    TRIGGERED: "*/runs*",
    RELOAD: "*/reloads*",
    SHARING_TASK: "*/exec*",
}
"""The paths on which runs are read."""
LOGS = {
    AUTOMATION: "get_automation_run_debug",
    TRIGGERED: "get_automation_run_debug",
    RELOAD: "get_reload_log",
}
CANCEL = {
    TASK: "cancel_reload",
    AUTOMATION: "stop_automation_run",
    TRIGGERED: "stop_automation_run",
    RELOAD: "cancel_reload",
    SHARING_TASK: "cancel_sharing_task",
}
TIMES = {BEFORE: 2, DURING: 1, AFTER: 2, WAITING: 3, AT_END: 2, CANCELLING: 2}
"""How many requests meet a transient fault; requests for a log always do."""
