"""docs/sandbox.md says of every switch and every operation what is documented and what is assumed."""

from __future__ import annotations

import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from airflow_provider_qlik.operations import OPERATIONS
from airflow_provider_qlik.sandbox.state.switches import Switches

PAGE = (Path(__file__).parents[1] / "docs/sandbox.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
SWITCHES = {row[0].strip("`"): row for row in ROWS if len(row) == 4}
DESCRIBED = {name for row in ROWS if len(row) == 3 for name in re.findall(r"`([^`]+)`", row[0])}


def test_every_switch_is_there_and_no_other() -> None:
    assert set(SWITCHES) == {each.name for each in fields(Switches)}


@pytest.mark.parametrize("switch", fields(Switches), ids=lambda switch: switch.name)
def test_a_switch_has_its_default_first_and_its_certainty(switch: Field[object]) -> None:
    _, values, documented, assumed = SWITCHES[switch.name]
    hint = get_type_hints(Switches)[switch.name]
    if get_origin(hint) is Literal:
        words = [str(word) for word in get_args(hint)]
        listed = [word.strip("` ") for word in values.split(",")]
        assert listed[0] == str(switch.default)
        assert set(listed) == set(words)
    assert re.search(r"\[(sure|likely|unknown)\]|a situation, no fact", documented + assumed)


def test_every_operation_is_there_and_no_other() -> None:
    assert set(OPERATIONS) == DESCRIBED
