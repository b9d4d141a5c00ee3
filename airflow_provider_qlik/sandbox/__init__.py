"""A Qlik Cloud tenant in a process, for the demo, the tests, and users' own Dag tests.

    from airflow_provider_qlik import sandbox

    with sandbox.serve() as tenant:
        task_id = tenant.add_task(name="Reload sales")
        tenant.script(task_id, sandbox.Script(run=30, end="FAILED", error="no such table"))
        ...

Importing this package is cheap: the server and the handle are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox.control_client import SandboxError
    from airflow_provider_qlik.sandbox.request_log import Entry
    from airflow_provider_qlik.sandbox.server import serve
    from airflow_provider_qlik.sandbox.state.files import File
    from airflow_provider_qlik.sandbox.state.script import Script, SharingScript
    from airflow_provider_qlik.sandbox.state.switches import Switches
    from airflow_provider_qlik.sandbox.tenant import Tenant

__all__ = ["Entry", "File", "SandboxError", "Script", "SharingScript", "Switches", "Tenant", "serve"]

_MODULES = {
    "Entry": "request_log",
    "File": "state.files",
    "SandboxError": "control_client",
    "Script": "state.script",
    "SharingScript": "state.script",
    "Switches": "state.switches",
    "Tenant": "tenant",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
