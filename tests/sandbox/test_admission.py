from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.sandbox.state.admission import admit
from airflow_provider_qlik.sandbox.state.script import Progress

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def running(seconds: float) -> Progress:
    return Progress(Script(run=seconds), START, START)


def held(script: Script | None = None) -> Progress:
    return Progress(script or Script(run=10), START, None)


def test_a_run_within_the_limit_begins_at_once() -> None:
    progress = held()
    admit([running(10), progress], 2, START)
    assert progress.begin == START


def test_a_run_beyond_the_limit_begins_when_another_one_ends() -> None:
    first, second = held(), held()
    admit([running(10), running(4), first, second], 2, START)
    assert (first.begin, second.begin) == (after(4), after(10))


def test_a_lowered_limit_admits_a_run_only_after_several_ends() -> None:
    progress = held()
    admit([running(10), running(20), progress], 1, START)
    assert progress.begin == after(20)


def test_a_run_queued_behind_an_endless_run_never_begins() -> None:
    progress = held()
    admit([Progress(Script(end=None), START, START), progress], 1, START)
    assert progress.begin is None


def test_a_run_cancelled_while_queued_does_not_count_towards_the_limit() -> None:
    stopped, progress = held(), held()
    stopped.cancel(after(1))
    admit([stopped, progress], 1, after(3))
    assert progress.begin == after(3)
