from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_qlik.sandbox import Tenant
from tests.faults.dimensions import ADAPTERS, MODES, MOMENTS
from tests.faults.moments import Interrupted
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.faults.table import CASES, NOTHING, Case

DEADLINE = 10.0
"""Seconds within which a try must end; the longest takes about one."""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_has_the_outcome_in_the_table(
    case: Case, tenant: Tenant, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, end = Stage(case, tenant, proxy, monkeypatch), case.end

    how, reason = first_try(stage)

    assert how == end.task, reason
    assert re.search(end.reason, reason, re.DOTALL), reason
    if how != "is killed" and how != "is cleared":
        assert bool(stage.active_runs()) == end.running, stage.active_runs()
    assert stage.stored_checkpoint() == end.checkpoint
    if how in {"fails", "is killed", "is cleared"}:
        assert within(DEADLINE, stage.second_try)["state"] == "succeeded"
        assert stage.active_runs() == []
        assert stage.stored_checkpoint() == NOTHING
    sent, carried_out, runs = stage.starts()
    assert (carried_out, runs) == (end.carried_out, end.carried_out)
    assert sent == end.sent or end.sent is None
    assert stage.cancelled_other_runs() == []


def first_try(stage: Stage) -> tuple[str, str]:
    """Run the first try and return its outcome in the words of the table, and the reason."""
    try:
        result = within(DEADLINE, stage.first_try)
    except Interrupted:
        return {"ended": "is ended", "cleared": "is cleared"}.get(stage.case.fault.how, "is killed"), ""
    except AirflowFailException as error:
        return "fails permanently", str(error)
    except Exception as error:
        return "fails", str(error)
    assert result["state"] == "succeeded"
    return "succeeds", ""


def within(seconds: float, what: Callable[[], Any]) -> Any:
    """Return the result of a function or raise its error. Fails if it takes too long."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append((what(), None))
        except BaseException as error:
            came.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not came:
        pytest.fail(f"the try did not end within {seconds:g} s")
    result, error = came[0]
    if error is not None:
        raise error
    return result


def test_the_table_covers_every_kind_mode_and_moment_without_duplicates() -> None:
    assert len(CASES) >= 300
    assert len({str(case) for case in CASES}) == len(CASES)
    assert {case.kind for case in CASES} == set(ADAPTERS)
    assert {case.mode for case in CASES} == set(MODES)
    assert {case.moment for case in CASES} == set(MOMENTS)
