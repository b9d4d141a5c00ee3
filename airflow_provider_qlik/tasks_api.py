"""The values of the setting `tasks_api`: the path at which a tenant has its Tasks API.

Imports nothing: the connection form, which Dag files import, and the client have them from here.
"""

from __future__ import annotations

V1_TASKS, SCHEDULING_TASKS = "/api/v1/tasks", "/api/scheduling/tasks"
TASKS_PATHS = (V1_TASKS, SCHEDULING_TASKS)
AUTO = "auto"
"""The scheduling path where the tenant has it, else v1; see `cloud.transport.paths`."""
