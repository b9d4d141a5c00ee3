from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_qlik.sandbox import File, Script, SharingScript
from airflow_provider_qlik.sandbox.state.script import Phase, Progress

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_run_waits_works_and_ends() -> None:
    progress = Progress(Script(wait=2, run=3), START, START)
    phases = [progress.phase(after(seconds)) for seconds in (0, 1.9, 2, 4.9, 5)]
    assert phases == [Phase.WAITING, Phase.WAITING, Phase.RUNNING, Phase.RUNNING, Phase.ENDED]
    assert progress.started_at(after(5)) == after(2)
    assert progress.ended_at(after(5)) == after(5)


def test_a_run_without_an_end_runs_until_it_is_stopped() -> None:
    progress = Progress(Script(end=None, cancel_delay=2), START, START)
    assert progress.is_active(after(10**8))
    progress.cancel(after(10**8))
    assert progress.phase(after(10**8 + 1)) is Phase.CANCELLING
    assert progress.phase(after(10**8 + 2)) is Phase.CANCELLED


def test_a_repeated_stop_does_not_delay_the_end() -> None:
    progress = Progress(Script(end=None, cancel_delay=2), START, START)
    assert progress.cancel(after(1))
    assert progress.cancel(after(2))
    assert progress.phase(after(3)) is Phase.CANCELLED


def test_a_run_that_has_ended_cannot_be_stopped() -> None:
    progress = Progress(Script(run=1), START, START)
    assert not progress.cancel(after(1))
    assert progress.phase(after(2)) is Phase.ENDED


def test_a_run_that_ignores_a_stop_goes_on_to_its_end() -> None:
    progress = Progress(Script(run=10, cancellable=False), START, START)
    progress.cancel(after(1))
    assert progress.phase(after(9)) is Phase.CANCELLING
    assert progress.phase(after(10)) is Phase.ENDED


def test_log_lines_appear_while_the_run_works() -> None:
    progress = Progress(Script(wait=1, run=4, log=("a", "b", "c", "d")), START, START)
    assert [len(progress.log(after(seconds))) for seconds in (0, 2, 3, 4, 5, 99)] == [0, 1, 2, 3, 4, 4]


def test_an_end_may_set_no_end_time() -> None:
    progress = Progress(Script(run=1, ended_at=False), START, START)
    assert progress.phase(after(2)) is Phase.ENDED
    assert progress.ended_at(after(2)) is None


def test_a_script_round_trips_through_json() -> None:
    script = Script(
        wait=1, run=2, end=None, log=("a",), error="b", cancellable=False, ended_at=False, running_as="paused"
    )
    assert Script.from_json(script.to_json()) == script


@pytest.mark.parametrize("members", [{"wait": -1}, {"run": "long"}, {"cancel_delay": True}, {"log": "one text"}])
def test_an_invalid_script_is_refused_with_the_member(members: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(members))):
        Script.from_json(members)


def test_an_unknown_member_of_a_script_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lasts"):
        Script.from_json({"lasts": 3})


@pytest.mark.parametrize(
    "sharing",
    [
        SharingScript(),
        SharingScript(Script(run=3), delivery=1, files=[]),
        SharingScript(
            [Script(), Script(end=None)], appear_after=[0, 5.5], files=[File("a", "xlsx", 7)], status_code="FAILED"
        ),
    ],
)
def test_a_sharing_script_round_trips_through_json(sharing: SharingScript) -> None:
    assert SharingScript.from_json(json.loads(json.dumps(sharing.to_json()))) == sharing


def test_a_single_script_applies_to_every_recipient() -> None:
    sharing = SharingScript.from_json(Script(run=7).to_json())
    assert sharing.scripts(3) == (Script(run=7),) * 3


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"recipients": [], "colour": "red"}, "colour"),
        ({"recipients": [{"lasts": 3}]}, "lasts"),
        ({"recipients": [], "appear_after": [-1]}, "appear_after"),
        ({"recipients": [], "delivery": "long"}, "delivery"),
        ({"recipients": [], "files": [{"length": 3}]}, "length"),
        ({"recipients": [], "files": [{"size": -1}]}, "size"),
    ],
)
def test_an_invalid_sharing_script_is_refused_with_the_member(members: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SharingScript.from_json(members)
