"""Polls with an unchanged response: they do not wake the wait, and do not change requests, log lines or results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik.cloud import Pause, QlikCloudError
from airflow_provider_qlik.cloud.errors import ConnectError, NotFoundError, StatusError
from airflow_provider_qlik.cloud.flow import Poll
from airflow_provider_qlik.runs import ADAPTERS, Run, RunSelector, RunState, RunWait

BEGAN = datetime(2026, 11, 22, 6, tzinfo=UTC)
GOING = Run(kind="automation", resource_id="a", id="r", state=RunState.ACTIVE, status="running", started_at=BEGAN)
OVER = replace(GOING, state=RunState.SUCCEEDED, status="finished", ended_at=BEGAN + timedelta(hours=1))
ANSWERS: dict[str, Run | QlikCloudError | None] = {
    "going": GOING,
    "another word": replace(GOING, status="must stop"),
    "another word, of old": replace(GOING, status="queued", started_at=BEGAN - timedelta(days=1)),
    "another": replace(GOING, id="r2"),
    "unclear": replace(GOING, ended_at=BEGAN + timedelta(hours=1)),
    "over": OVER,
    "none": None,
    "outage": ConnectError("not now"),
    "429": StatusError(status=429, method="GET", path="/x", retry_after=100.0),
    "404": NotFoundError(status=404, method="GET", path="/x"),
}
WANTED = {
    "a run": RunSelector(resource_id="a", run_id="r"),
    "an adopted one": RunSelector(resource_id="a", run_id="r", adopted=True),
    "the first since": RunSelector(resource_id="a", started_after=BEGAN - timedelta(minutes=1)),
    "the last": RunSelector(resource_id="a"),
}


def waited(
    selector: RunSelector, answers: Sequence[tuple[str, float]], deadline: float | None = None, *, quietly: bool
) -> tuple[list[Any], int]:
    """Return the polls of a wait, its log lines and its result, and how often it was woken.

    Each answer comes that far into the time for it. *quietly* spares it those that tell nothing new.
    """
    now, woken = BEGAN, 0
    seen: list[Any] = []
    watch = RunWait(
        ADAPTERS["automation"],
        selector,
        lambda _, text: seen.append((now, text)),
        deadline=None if deadline is None else BEGAN + timedelta(seconds=deadline),
        clock=lambda: now,
    )
    flow = watch.until_end(15.0, 60.0)
    try:
        step = next(flow)
        when: tuple[float, float] | None = None
        for name, part in answers:
            while isinstance(step, Pause):
                now += timedelta(seconds=step.seconds)
                step = flow.send(None)
            assert isinstance(step, Poll)
            min_delay, max_delay = when or (step.min_delay, step.max_delay)
            seen.append((now, min_delay, max_delay, step.key))
            now += timedelta(seconds=min_delay + part * (max_delay - min_delay))
            answer = ANSWERS[name]
            if quietly and step.reschedule is not None and not isinstance(answer, Exception):
                when = step.reschedule(answer)
                if when is not None:
                    continue
            woken += 1
            when = None
            step = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as end:
        seen.append(end.value)
    except QlikCloudError as error:
        seen.append((type(error), str(error)))
    return seen, woken


MOSTLY_GOING = st.sampled_from(["going"] * 30 + list(ANSWERS))


@settings(max_examples=400)
@given(
    selector=st.sampled_from(sorted(WANTED)),
    answers=st.lists(st.tuples(MOSTLY_GOING, st.floats(0, 1)), min_size=1, max_size=150),
    deadline=st.none() | st.floats(0, 4000),
)
@example(selector="a run", answers=[("going", 1.0)] * 150, deadline=None)
@example(selector="a run", answers=[("going", 1.0)] * 150, deadline=1000.0)
@example(selector="the last", answers=[("none", 1.0)] * 5 + [("going", 0.0)] * 140 + [("over", 0.5)], deadline=None)
@example(
    selector="a run",
    answers=[("going", 1.0), ("404", 1.0)] + [("going", 1.0)] * 10 + [("404", 1.0), ("going", 1.0)],
    deadline=None,
)
def test_a_wait_that_is_not_woken_behaves_the_same(
    selector: str, answers: list[tuple[str, float]], deadline: float | None
) -> None:
    every_time, _ = waited(WANTED[selector], answers, deadline, quietly=False)
    quietly, _ = waited(WANTED[selector], answers, deadline, quietly=True)
    assert quietly == every_time


@pytest.mark.parametrize("selector", WANTED)
def test_it_is_woken_for_what_is_new_and_to_give_signs_of_life(selector: str) -> None:
    hour = [("going", 1.0)] * 70
    every_time, often = waited(WANTED[selector], [*hour, ("over", 1.0)], quietly=False)
    quietly, seldom = waited(WANTED[selector], [*hour, ("over", 1.0)], quietly=True)
    assert every_time == quietly
    assert often == 71
    # The first poll and the last, and in 45 minutes a heartbeat line every five minutes.
    assert seldom < 15
