"""docs/roles.md names every operator, sensor and operation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from airflow_provider_qlik.operations import OPERATIONS

PAGE = (Path(__file__).parents[1] / "docs/roles.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
MODULES = ("operators", "sensors")
FAMILIES = ("tasks", "automations", "reloads", "sharing_tasks", "reload_tasks", "call")


def classes() -> list[str]:
    found = set()
    for package in MODULES:
        for family in FAMILIES:
            name = f"airflow_provider_qlik.{package}.{family}"
            if importlib.util.find_spec(name) is None:
                continue
            module = importlib.import_module(name)
            found |= {each for each, value in vars(module).items() if getattr(value, "__module__", "") == name}
    return sorted(name for name in found if re.fullmatch(r"Qlik\w+(?:Operator|Sensor)", name))


@pytest.mark.parametrize("name", classes())
def test_every_operator_and_sensor_is_there(name: str) -> None:
    assert any(f"`{name}`" in row.split("|")[1] for row in ROWS)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_there_by_its_name_or_its_family(name: str) -> None:
    first_cells = [row.split("|")[1] for row in ROWS]
    family = name.partition(".")[0]

    assert any(f"`{name}`" in cell or f"`{family}.*`" in cell for cell in first_cells)


def test_every_row_says_how_sure_it_is() -> None:
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if (
            cells[0] in {"Operator or sensor", "Operation"}
            or set(cells[0]) == {"-"}
            or cells[0] == "`QlikCallOperator`"
        ):
            continue
        assert re.search(r"\[(sure|likely|unknown)\]", cells[-1]), row
