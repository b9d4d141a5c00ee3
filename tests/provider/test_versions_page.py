"""The table of what a version of Airflow lacks is true of the Airflow that runs this test."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import airflow
import pytest
from airflow.triggers import base as triggers

from airflow_provider_qlik.compat import kills_deferred_tasks

PAGE = Path(__file__).parents[2] / "docs" / "airflow-versions.md"


def has(module: str, name: str) -> bool:
    """Return True if this Airflow has a module with that name in it."""
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError:
        return False


def has_member(module: str, class_name: str, member: str) -> bool:
    """Return True if this Airflow has a class with that member, or an annotation for it."""
    try:
        found = getattr(importlib.import_module(module), class_name, None)
    except ImportError:
        return False
    return hasattr(found, member) or member in getattr(found, "__annotations__", {})


def schema_has(name: str) -> bool:
    return name in json.loads((Path(airflow.__path__[0]) / "provider_info.schema.json").read_text())["properties"]


def form_is_in_provider_info() -> bool:
    return "conn-fields" in (Path(airflow.__path__[0]) / "providers_manager.py").read_text()


FEATURES: dict[str, Callable[[], bool]] = {
    "Assets of Qlik Cloud": lambda: has("airflow.sdk", "Asset"),
    "asset watchers": lambda: has("airflow.sdk", "AssetWatcher"),
    "asset state store": lambda: has("airflow.sdk.execution_time.context", "AssetStateStoreAccessor"),
    "deadline alert": lambda: has("airflow.sdk.definitions.deadline", "DeadlineAlert"),
    "`airflow qlik`": lambda: has_member("airflow.providers_manager", "ProvidersManager", "cli_command_functions"),
    "start in the triggerer": lambda: hasattr(triggers.BaseTrigger, "render_template_fields"),
    "task state store": lambda: has_member("airflow.sdk.definitions.context", "Context", "task_state_store"),
    "`QlikRetryPolicy`": lambda: has("airflow.sdk.definitions.retry_policy", "RetryPolicy"),
    "`on_kill` of a trigger": kills_deferred_tasks,
    "from the provider info": form_is_in_provider_info,
}
"""A part of the first cell of each row, and whether this Airflow has it."""


def table() -> dict[str, str]:
    """Return the cells of the column for this Airflow, by the first cell of their rows."""
    section = PAGE.read_text().partition("## What a version of Airflow lacks")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    column = lines[0].index(".".join(airflow.__version__.split(".")[:2]))
    return {cells[0]: cells[column] for cells in lines[2:]}


def test_each_row_has_a_feature() -> None:
    rows = table()
    assert len(rows) == len(FEATURES)
    for part in FEATURES:
        assert sum(part in row for row in rows) == 1, part


@pytest.mark.parametrize("part", FEATURES)
def test_the_table_says_what_this_airflow_has(part: str) -> None:
    (cell,) = (cell for row, cell in table().items() if part in row)
    assert cell.startswith("yes" if FEATURES[part]() else "no"), cell


def test_commands_of_providers_are_in_the_schema_where_airflow_has_them() -> None:
    assert schema_has("cli") == FEATURES["`airflow qlik`"]()
