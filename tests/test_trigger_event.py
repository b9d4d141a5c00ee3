"""What the trigger tells the task: nothing passes for an ended run that is not one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.errors import ForbiddenError
from airflow_provider_qlik.lifecycle.trigger_event import VERSION, InvalidEventError, RunEvent
from airflow_provider_qlik.runs import (
    AmbiguousRunError,
    Run,
    RunError,
    RunGoneError,
    RunNotFoundError,
    RunState,
    WaitTimeoutError,
    Worker,
)

ENDED = Run(
    kind="task",
    resource_id="t",
    id="r",
    state=RunState.FAILED,
    status="FAILED",
    name="Refresh",
    started_at=datetime(2026, 11, 22, 6, tzinfo=UTC),
    ended_at=datetime(2026, 11, 22, 6, 5, tzinfo=UTC),
    reason="no such table",
    triggered_by="airflow-0123456789abcdef",
    worker=Worker("reloads", "w", "app"),
    unconfirmed_since=datetime(2026, 11, 22, 5, 59, tzinfo=UTC),
)
ACTIVE = replace(ENDED, state=RunState.ACTIVE, status="RUNNING", ended_at=None)
FORBIDDEN = ForbiddenError(status=403, method="GET", path="/path", title="No")


def carried(event: RunEvent) -> RunEvent:
    """The event as it arrives, by way of the database."""
    return RunEvent.from_json(json.loads(json.dumps(event.to_json())))


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED])
def test_an_ended_run_arrives_as_it_was_sent(state: RunState) -> None:
    run = replace(ENDED, state=state)

    assert carried(RunEvent.ended(run)) == RunEvent(run)


def test_a_run_of_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="'dream' is no kind of run"):
        carried(RunEvent(replace(ENDED, kind="dream")))


@pytest.mark.parametrize("run", [ACTIVE, None], ids=["seen", "never seen"])
@pytest.mark.parametrize("kind", [RunGoneError, WaitTimeoutError, AmbiguousRunError, RunNotFoundError, RunError])
def test_an_error_arrives_as_what_it_was_with_the_run_as_it_was_seen_last(
    kind: type[RunError], run: Run | None
) -> None:
    arrived = carried(RunEvent.interrupted(kind("this is why"), run))

    assert arrived.run == run
    assert type(arrived.exception()) is kind
    assert str(arrived.exception()) == "this is why"


@pytest.mark.parametrize(
    "error", [FORBIDDEN, QlikCloudError("why"), InvalidArgumentError("run_id", 5, "is a text")], ids=str
)
def test_an_error_that_an_event_cannot_carry_arrives_with_what_it_said(
    error: QlikCloudError | InvalidArgumentError,
) -> None:
    arrived = carried(RunEvent.interrupted(error, ACTIVE))

    assert type(arrived.exception()) is RunError
    assert str(arrived.exception()) == str(error)


@pytest.mark.parametrize("word", ["QlikCloudError", "annotations", "__name__", "SystemExit", "", None])
def test_an_error_type_from_elsewhere_is_only_a_run_error(word: str | None) -> None:
    event = {**RunEvent.interrupted(RunGoneError("why"), None).to_json(), "error_type": word}

    assert type(RunEvent.from_json(event).exception()) is RunError


@pytest.mark.parametrize("given", [None, "text", 5, [], [{}], True])
def test_what_is_no_event_is_refused(given: Any) -> None:
    with pytest.raises(InvalidEventError, match="in place of an event, so it is not known how the run ended"):
        RunEvent.from_json(given)


@pytest.mark.parametrize("version", [0, VERSION + 1, str(VERSION), None])
def test_an_event_of_another_version_is_refused_and_says_what_to_look_at(version: Any) -> None:
    with pytest.raises(InvalidEventError, match="Worker and triggerer have different versions"):
        RunEvent.from_json({**RunEvent.ended(ENDED).to_json(), "version": version})


def test_an_event_without_a_version_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="version None"):
        RunEvent.from_json({"status": "success"})


@pytest.mark.parametrize("run", [ACTIVE, None], ids=["active", "none"])
def test_a_run_that_goes_on_is_no_end(run: Run | None) -> None:
    with pytest.raises(InvalidEventError, match="has no ended run"):
        carried(RunEvent(run))


WHOLE = RunEvent.ended(ENDED).to_json()


@pytest.mark.parametrize("member", sorted(WHOLE.keys() - {"link"}))
def test_an_event_that_lacks_a_member_is_refused(member: str) -> None:
    with pytest.raises(InvalidEventError):
        RunEvent.from_json({name: given for name, given in WHOLE.items() if name != member})


def test_an_event_of_a_trigger_from_before_an_upgrade_has_no_link() -> None:
    assert carried(RunEvent.ended(ENDED, "https://acme/sense/app/a")).link == "https://acme/sense/app/a"
    assert RunEvent.from_json({name: given for name, given in WHOLE.items() if name != "link"}).link is None


def test_an_event_of_a_trigger_from_before_an_upgrade_tells_no_space() -> None:
    run = {name: given for name, given in WHOLE["run"].items() if name != "space_id"}

    read = RunEvent.from_json({**WHOLE, "run": run})
    assert read.run is not None
    assert read.run.space_id is None


@pytest.mark.parametrize("member", sorted(WHOLE["run"].keys() - {"seconds", "space_id"}))
def test_an_event_whose_run_lacks_a_member_is_refused(member: str) -> None:
    run = {name: given for name, given in WHOLE["run"].items() if name != member}

    with pytest.raises(InvalidEventError, match="cannot be read"):
        RunEvent.from_json({**WHOLE, "run": run})


@pytest.mark.parametrize(
    ("member", "given"),
    [
        ("state", "splendid"),
        ("state", None),
        ("state", "SUCCEEDED"),
        ("run_id", ""),
        ("run_id", None),
        ("run_id", 5),
        ("resource_id", None),
        ("kind", None),
        ("status", None),
        ("ended_at", "yesterday"),
        ("ended_at", 5),
        ("started_at", "0001-01-01T00:00:00+14:00"),
        ("worker", "reload"),
        ("worker", {"type": "reloads"}),
        ("worker", {"type": "reloads", "id": "w", "else": 1}),
    ],
)
def test_an_event_with_a_damaged_run_is_refused(member: str, given: Any) -> None:
    with pytest.raises(InvalidEventError, match="cannot be read"):
        RunEvent.from_json({**WHOLE, "run": {**WHOLE["run"], member: given}})


@pytest.mark.parametrize("member", ["error", "error_type", "link"])
@pytest.mark.parametrize("given", [5, True, {}, ["why"]], ids=str)
def test_an_error_that_is_no_text_is_refused(member: str, given: Any) -> None:
    with pytest.raises(InvalidEventError, match="cannot be read"):
        RunEvent.from_json({**RunEvent.interrupted(RunGoneError("why"), None).to_json(), member: given})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.sampled_from([*WHOLE, *(f"run.{name}" for name in WHOLE["run"])]), ANYTHING)
def test_whatever_is_damaged_an_event_is_refused_or_tells_an_end(member: str, given: Any) -> None:
    event: dict[str, Any] = json.loads(json.dumps(WHOLE))
    if member.startswith("run."):
        event["run"][member.removeprefix("run.")] = given
    else:
        event[member] = given
    try:
        arrived = RunEvent.from_json(event)
    except InvalidEventError:
        return
    assert arrived.error is not None or (arrived.run is not None and arrived.run.ended)
    assert isinstance(arrived.exception(), RunError)
