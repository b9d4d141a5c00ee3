"""For any response, a flow ends, sends further calls or raises an error of this package, and nothing else."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qlik.cloud import Flow, InvalidArgumentError, Pause, QlikCloudError
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import ConnectError, NoResponseError
from airflow_provider_qlik.cloud.flow import unbatched
from airflow_provider_qlik.cloud.transport.responses import read
from airflow_provider_qlik.lifecycle.checkpoint import KEY, CheckpointStore
from airflow_provider_qlik.lifecycle.trigger_event import InvalidEventError, RunEvent
from airflow_provider_qlik.operations import OPERATIONS
from airflow_provider_qlik.runs import (
    ADAPTERS,
    Intent,
    MatchTimeouts,
    Outcome,
    Run,
    RunAdapter,
    RunSelector,
    RunState,
    RunWait,
    StartableRunAdapter,
    Worker,
    capabilities,
    find_run,
    lookup,
    outcome,
)
from airflow_provider_qlik.runs.adapter import ListedRunAdapter, Resource
from airflow_provider_qlik.runs.cancelling import cancel_polled
from airflow_provider_qlik.runs.capabilities import CancelsRuns, ConsistsOfItems, ExplainsFailures, HasLog, ShowsUsers
from airflow_provider_qlik.runs.existing import existing
from airflow_provider_qlik.runs.listing import recent_runs
from airflow_provider_qlik.runs.matching import competing_runs
from airflow_provider_qlik.runs.poll_source import RunPollSource, poll_source
from airflow_provider_qlik.runs.starting import intend, start
from tests.planted_secret import note, plant
from tests.replies import IDS, MARKER, OTHER_MARKER, SECRET, WORDS, anything, examples, replies

pytestmark = pytest.mark.slow


MAX_STEPS = 40
NOW = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)
SOON = NOW + timedelta(minutes=3)
NEVER_ENDS = datetime(9999, 12, 31, tzinfo=UTC)
MOMENTS = (None, NOW, NOW - timedelta(minutes=1), NOW + timedelta(minutes=1), NEVER_ENDS)
DEADLINES = st.sampled_from((None, SOON))
UNFINISHED = object()


class Act:
    """Drives a flow with arbitrary responses, against a clock that only its pauses advance."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.elapsed = 0.0

    def clock(self) -> float:
        return self.elapsed

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.elapsed)

    def write_log(self, level: int, text: str) -> None:
        assert level in {10, 20, 30, 40}
        text.encode()
        note("what a flow says", text)

    def play(self, flow: Flow[Any]) -> Any:
        """Return the result of a flow, its error, or that it goes on."""
        plant(SECRET)
        flow = unbatched(flow)
        try:
            step: Any = next(flow)
            for _ in range(MAX_STEPS):
                answer = self.answer(step) if isinstance(step, Call) else self.pause(step)
                step = flow.throw(answer) if isinstance(answer, QlikCloudError) else flow.send(answer)
        except StopIteration as end:
            return end.value
        except (QlikCloudError, InvalidArgumentError) as error:
            note("what a flow raises", error)
            str(error).encode()
            return error
        flow.close()
        return UNFINISHED

    def pause(self, step: Pause) -> Any:
        assert 0 <= step.seconds <= threading.TIMEOUT_MAX
        self.elapsed += step.seconds

    def answer(self, call: Call[Any]) -> Any:
        """Return a response, or an error."""
        note("how a call looks", call)
        if not self.data.draw(st.integers(0, 9)):
            return self.data.draw(st.sampled_from((ConnectError, NoResponseError)))("no way there")
        try:
            return read(call, call.path, self.data.draw(replies(call.response_type, healthy=True)))
        except QlikCloudError as error:
            return error


def runs(kind: RunAdapter) -> st.SearchStrategy[Run]:
    """Return runs with arbitrary members."""
    workers = st.builds(
        Worker,
        type=st.sampled_from(("reloads", "automations", "", "something")),
        id=st.sampled_from((*IDS, "a/b")),
        resource_id=st.sampled_from((None, "r1", "../up")),
    )
    moments = st.sampled_from(MOMENTS)
    return st.builds(
        Run,
        kind=st.just(kind.name),
        resource_id=st.sampled_from(IDS),
        id=st.sampled_from((*IDS, "a/b")),
        state=st.sampled_from(RunState),
        status=st.sampled_from(WORDS[:6]),
        name=st.none() | st.just("A name"),
        created_at=moments,
        started_at=moments,
        ended_at=moments,
        reason=st.none() | st.just("no such table"),
        triggered_by=st.sampled_from((None, MARKER, OTHER_MARKER, "somebody")),
        worker=st.none() | workers,
        log=st.none() | st.just("a log"),
        unconfirmed_since=moments,
        marker=st.sampled_from((None, MARKER)),
        adopted=st.booleans(),
        counts=st.none() | st.just({"succeeded": 1}),
        parts=st.sampled_from(((), IDS)),
    )


def selectors() -> st.SearchStrategy[RunSelector]:
    moments = st.sampled_from(MOMENTS)
    return st.builds(
        RunSelector,
        resource_id=st.sampled_from(IDS),
        run_id=st.none() | st.sampled_from(IDS),
        started_after=moments,
        unconfirmed_since=moments,
        marker=st.sampled_from((None, MARKER)),
    )


def intents(kind: RunAdapter) -> st.SearchStrategy[Intent]:
    return st.builds(
        Intent,
        kind=st.just(kind.name),
        resource_id=st.sampled_from(IDS),
        marker=st.just(MARKER),
        known_run_ids=st.sampled_from((None, (), ("r1",), IDS)),
        server_time=st.sampled_from(MOMENTS),
    )


def parameters() -> st.SearchStrategy[Mapping[str, Any]]:
    return st.sampled_from(({}, {"inputs": {"a": 1}}, {"if_pending": "wait", "partial": True}, {"if_pending": "fail"}))


SEARCH = MatchTimeouts(match_timeout=60, unknown_outcome_timeout=20, confirmation_time=5, doubtful_confirmation_time=10)
WAIT = "until_end"
Play = Callable[[Any, Act, Callable[[Any], Any]], Any]
"""Makes a flow of an adapter; the function draws a value."""

FLOWS: dict[str, tuple[type, Play]] = {
    "resource": (RunAdapter, lambda kind, act, draw: kind.resource("r1")),
    "poll": (RunAdapter, lambda kind, act, draw: kind.poll(draw(selectors()))),
    "described": (RunAdapter, lambda kind, act, draw: kind.described(draw(runs(kind)))),
    "get": (ListedRunAdapter, lambda kind, act, draw: kind.get("r1", draw(st.sampled_from(IDS)))),
    "send_start": (
        StartableRunAdapter,
        lambda kind, act, draw: kind.send_start(draw(intents(kind)), act.write_log, draw(parameters())),
    ),
    "cancel": (CancelsRuns, lambda kind, act, draw: kind.cancel(draw(runs(kind)))),
    "log": (HasLog, lambda kind, act, draw: kind.log(draw(runs(kind)))),
    "reason": (ExplainsFailures, lambda kind, act, draw: kind.reason(draw(runs(kind)))),
    "completed": (ConsistsOfItems, lambda kind, act, draw: kind.completed(draw(runs(kind)))),
    "exclude_other_users": (
        ShowsUsers,
        lambda kind, act, draw: kind.exclude_other_users("r1", draw(st.lists(runs(kind), min_size=2, max_size=3))),
    ),
    "poll_batch": (
        RunAdapter,
        lambda kind, act, draw: poll_source(kind).poll_batch(
            [replace(selector, resource_id="r1") for selector in draw(st.lists(selectors(), min_size=1, max_size=4))]
        ),
    ),
    "poll_bulk_list": (
        RunAdapter,
        lambda kind, act, draw: poll_source(kind).poll_bulk_list(
            draw(st.lists(selectors(), min_size=1, max_size=4)), draw(st.integers(1, 3))
        ),
    ),
    # Flows that belong to no kind.
    "intend": (StartableRunAdapter, lambda kind, act, draw: intend(kind, "r1", MARKER, draw(parameters()))),
    "start": (
        StartableRunAdapter,
        lambda kind, act, draw: start(
            kind, draw(intents(kind)), SEARCH, act.write_log, act.clock, parameters=draw(parameters())
        ),
    ),
    "recent_runs": (
        ListedRunAdapter,
        lambda kind, act, draw: recent_runs(kind, "r1", draw(st.sampled_from(MOMENTS))),
    ),
    "find": (
        ListedRunAdapter,
        lambda kind, act, draw: find_run(
            kind, draw(intents(kind)), SEARCH, act.write_log, act.clock, accepted=draw(st.booleans())
        ),
    ),
    "cancel_polled": (RunAdapter, lambda kind, act, draw: cancel_polled(kind, draw(runs(kind)))),
    WAIT: (
        RunAdapter,
        lambda kind, act, draw: RunWait(
            kind,
            draw(selectors()),
            act.write_log,
            known_run=draw(st.none() | runs(kind)),
            deadline=draw(DEADLINES),
            clock=act.now,
        ).until_end(15.0),
    ),
    "outcome": (
        RunAdapter,
        lambda kind, act, draw: outcome(kind, draw(runs(kind)), "https://acme.example", act.write_log),
    ),
}
PROTOCOLS = [value for value in vars(capabilities).values() if getattr(value, "_is_protocol", False)]


def test_no_flow_of_a_kind_is_left_out() -> None:
    interfaces = (RunAdapter, ListedRunAdapter, StartableRunAdapter, RunPollSource, *PROTOCOLS)
    flows = {
        name
        for interface in interfaces
        for name, method in inspect.getmembers(interface, inspect.isfunction)
        if not name.startswith("_") and _is_a_flow(get_type_hints(method).get("return"))
    }
    assert {ConsistsOfItems, HasLog} < set(PROTOCOLS)
    assert flows <= set(FLOWS)
    assert set(FLOWS) - flows == {"intend", "start", "recent_runs", "cancel_polled", "find", WAIT, "outcome"}


def _is_a_flow(hint: Any) -> bool:
    return getattr(hint, "__origin__", None) is get_args(Flow[int]) or "Generator" in str(hint)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ADAPTERS.values() for name, (needed, _) in FLOWS.items() if isinstance(kind, needed)],
    ids=lambda value: getattr(value, "name", value),
)
def test_for_any_response_a_flow_ends_sends_a_call_or_raises_our_error(kind: RunAdapter, name: str) -> None:
    @examples(12)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        act = Act(data)
        try:
            flow = FLOWS[name][1](kind, act, data.draw)
        except QlikCloudError:
            return
        result = act.play(flow)
        assert_usable(kind, result)
        if name == WAIT and isinstance(result, Run):
            assert result.ended
        if name == "outcome":
            # No error here changes the state of the run.
            assert isinstance(result, Outcome)

    check()


def assert_usable(kind: RunAdapter, result: Any) -> None:
    """Check that a result can be written, stored and waited for."""
    if isinstance(result, list):
        for each in result:
            assert_usable(kind, each)
        grouped = kind.group(result) if isinstance(kind, ConsistsOfItems) else result
        assert len({each.id for each in grouped}) == len({each.id for each in result})
    elif isinstance(result, dict):
        for each in result.values():
            assert_usable(kind, each)
    elif isinstance(result, Run):
        text = json.dumps(result.to_json(), allow_nan=False)
        assert stored_members(Run.from_json(json.loads(text))) == stored_members(result)
        note("how a run looks", text, result)
        (str(result) + str(RunSelector.of(result)) + kind.page(result)).encode()
    elif isinstance(result, Intent):
        again = Intent.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
        assert again.to_json() == result.to_json()
        assert result.earliest is None or isinstance(result.earliest, datetime)
    elif isinstance(result, Outcome):
        json.dumps(result.to_json(), allow_nan=False)
        result.message.encode()
        note("an outcome", result.message, result)
    elif not isinstance(result, QlikCloudError | InvalidArgumentError):
        assert result is None or result is UNFINISHED or isinstance(result, str | Resource)


def stored_members(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__slots__ if name not in {"log", "status_known", "origin"}}


LOOK_UPS = {
    name: function
    for name, function in inspect.getmembers(lookup, inspect.isgeneratorfunction)
    if function.__module__ == lookup.__name__ and not name.startswith("_")
}


@pytest.mark.parametrize("name", LOOK_UPS)
def test_for_any_response_a_name_leads_to_one_id_or_our_error(name: str) -> None:
    function = LOOK_UPS[name]
    taken = [*inspect.signature(function).parameters.values()]
    needed = ["wanted" for each in taken if each.default is each.empty]

    @examples(60)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        arguments = data.draw(st.sampled_from((needed, ["wanted" for _ in taken])))
        found = Act(data).play(function(*arguments))
        assert found is UNFINISHED or isinstance(found, QlikCloudError | InvalidArgumentError | str)
        assert not isinstance(found, str) or found

    check()


def test_the_names_are_those_that_there_are() -> None:
    assert set(LOOK_UPS) == {"space_id", "app_id", "automation_id", "task_id", "sharing_task_id"}


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name.endswith(".create")])
def test_for_any_response_an_existing_item_is_found_or_our_error_raised(operation: str) -> None:
    (argument, *_) = OPERATIONS[operation].required
    body = {"name": "wanted", "appId": "r1", "resourceId": "r1", "timeZone": "UTC"}

    @examples(25)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        found = Act(data).play(existing(operation, {argument: body}))
        assert found is None or found is UNFINISHED or isinstance(found, QlikCloudError) or found.id is not None

    check()


# Stored values: of another version, or damaged.


def damaged(whole: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return an invalid value, or a valid one in which one member is invalid or missing."""

    def change(name: str, given: Any, gone: bool) -> dict[str, Any]:
        members = {**whole, name: given}
        return {key: members[key] for key in members if not (gone and key == name)}

    return anything | st.builds(change, st.sampled_from([*whole, "more"]), anything | TIMES_GONE_BY, st.booleans())


TIMES_GONE_BY = st.sampled_from(
    ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-31", "2026-13-01", "now", {"type": "reloads"})
)


RUN = Run(kind="task", resource_id="t", id="r", state=RunState.FAILED, status="FAILED", started_at=NOW, ended_at=NOW)
EVENT = RunEvent.ended(RUN).to_json()
INTENT = Intent(kind="task", resource_id="t", marker=MARKER, known_run_ids=("a",), server_time=NOW)


@examples(300)
@given(damaged(RUN.to_json()))
def test_a_damaged_run_is_a_run_or_a_value_error(value: Any) -> None:
    try:
        run = Run.from_json(value)
    except ValueError:
        return
    json.dumps(run.to_json())
    assert isinstance(str(run), str)
    assert RunSelector.of(run).run_id == run.id
    assert all(
        given is None or isinstance(given, str) for given in (run.name, run.reason, run.triggered_by, run.marker)
    )


@pytest.mark.parametrize("kind", ADAPTERS.values(), ids=ADAPTERS)
def test_a_run_is_read_as_it_was_stored(kind: RunAdapter) -> None:
    @examples(40)
    @given(runs(kind))
    def check(run: Run) -> None:
        assert stored_members(Run.from_json(json.loads(json.dumps(run.to_json())))) == stored_members(run)

    check()


@examples(300)
@given(damaged(INTENT.to_json()))
def test_a_damaged_intent_is_an_intent_or_a_value_error(value: Any) -> None:
    try:
        intent = Intent.from_json(value)
    except ValueError:
        return
    json.dumps(intent.to_json())


@examples(300)
@given(damaged(EVENT) | damaged(RUN.to_json()).map(lambda run: {**EVENT, "run": run}))
def test_a_damaged_event_is_refused_or_tells_an_end(value: Any) -> None:
    try:
        event = RunEvent.from_json(value)
    except InvalidEventError:
        return
    assert event.error is not None or (event.run is not None and event.run.ended)


def loaded_checkpoint(entry: Any) -> Any:
    store = SimpleNamespace(get=lambda key: {KEY: entry}[key], set=None, delete=None)
    context: Any = {"task_state_store": store, "ti": SimpleNamespace(max_tries=0)}
    return CheckpointStore(context, enabled=True, resource={}).load()


ENTRY = {"max_tries": 0, "intent": INTENT.to_json(), "run": RUN.to_json(), "cancelled": False}


@examples(300)
@given(
    damaged(ENTRY)
    | damaged(RUN.to_json()).map(lambda run: {**ENTRY, "run": run})
    | damaged(INTENT.to_json()).map(lambda intent: {**ENTRY, "intent": intent})
)
def test_damaged_stored_values_are_ignored_or_raise_our_error(entry: Any) -> None:
    try:
        stored = loaded_checkpoint(entry)
    except QlikCloudError:
        return
    if stored is not None:
        assert isinstance(stored.intent, Intent)
        assert stored.run is None or isinstance(stored.run, Run)


def test_a_checkpoint_is_loaded_as_it_was_stored() -> None:
    stored = loaded_checkpoint(json.loads(json.dumps(ENTRY)))
    assert (stored.run, stored.intent, stored.cleared, stored.cancelled) == (RUN, INTENT, False, False)


def test_a_run_at_the_end_of_time_has_competing_runs_like_any_other() -> None:
    late = datetime.max.replace(tzinfo=UTC)
    assert competing_runs(replace(RUN, started_at=late, unconfirmed_since=NOW), [RUN]) == []


def test_without_a_stored_value_there_is_no_checkpoint() -> None:
    assert loaded_checkpoint(None) is None
