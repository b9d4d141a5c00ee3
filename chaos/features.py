"""Features of the installed Airflow, found without importing it: an import would read its settings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_SPEC = find_spec("airflow")
_AIRFLOW = Path(((_SPEC and _SPEC.submodule_search_locations) or ["."])[0])


def _mentions(path: str, word: str) -> bool:
    file = _AIRFLOW / path
    return file.exists() and word in file.read_text(encoding="utf-8")


API_SERVER = (_AIRFLOW / "api_fastapi").is_dir()
"""Airflow 3 has an API server and a Dag processor; 2 has a web server, and its scheduler parses Dags."""
QUEUES = _mentions("cli/cli_config.py", "ARG_QUEUES")
"""Triggerers can be given the tasks of some queues (3.2 and later). Without, scenarios run one at a time."""
STORE = _mentions("sdk/definitions/context.py", "task_state_store")
"""A retry finds the run of the previous try in Airflow's task state store (3.3 and later)."""
