from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from airflow_provider_qlik.sandbox import SandboxError, Switches, Tenant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("next_link", "sideways"),
        ("competing_runs", "many"),
        ("competing_runs", True),
        ("competing_runs", 0.5),
        ("echo_source", 1),
        ("source_limit", "ten"),
        ("show_after", None),
        ("cancelled_task_status", 7),
        ("cancel_response", 200),
        ("pending_reload", "dropped"),
        ("reload_show_after", "late"),
        ("workflow_id", True),
        ("sharing_times", "hours"),
        ("file_type", None),
        ("sharing_error_form", "poem"),
    ],
)
def test_an_unknown_switch_or_value_is_refused_by_name(tenant: Tenant, name: str, value: Any) -> None:
    with pytest.raises(SandboxError, match=name):
        tenant.switch(**{name: value})


def test_a_refused_switch_leaves_the_others_as_they_were() -> None:
    switches = Switches()
    with pytest.raises(ValueError, match="colour"):
        switches.set({"competing_runs": 2, "colour": "red"})
    assert switches == Switches()


def test_switches_keep_their_values_until_they_are_set_again() -> None:
    switches = Switches().set({"competing_runs": 2, "source_limit": 10}).set({"show_after": 1})
    assert (switches.competing_runs, switches.source_limit, switches.show_after) == (2, 10, 1)
    assert switches.set({"source_limit": None}).source_limit is None


def test_every_default_is_a_valid_value_of_its_switch() -> None:
    assert Switches().set(dataclasses.asdict(Switches())) == Switches()
