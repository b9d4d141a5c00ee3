from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik.cloud import Flow, Pause, Tenant, pause, send
from airflow_provider_qlik.cloud.api import automations, reloads, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import ConnectError, QlikCloudError
from airflow_provider_qlik.cloud.flow import FlowDriver, Step
from airflow_provider_qlik.validation import InvalidArgumentError

T = TypeVar("T")

TENANT = Tenant.at("https://acme.eu.qlikcloud.com", tasks_path="/api/v1/tasks")


def test_two_calls_that_ask_the_same_are_the_same_value() -> None:
    assert tasks.start("t", source="me") == tasks.start("t", source="me")
    assert tasks.start("t", source="me") != tasks.start("t", source="you")


def test_a_call_can_be_pickled() -> None:
    call = tasks.runs("t", sort="-startedAt")

    assert pickle.loads(pickle.dumps(call)) == call


def test_a_call_shows_what_it_asks() -> None:
    assert str(automations.get_run("a", "r")) == "GET /api/workflows/automations/a/runs/r"


def test_an_execution_token_is_not_shown() -> None:
    call = automations.execute("a", "very secret", {"name": "value"})

    assert ("x-execution-token", "very secret") in call.headers
    assert "very secret" not in repr(call) + str(call)


@pytest.mark.parametrize(
    "wrong",
    ["", "  ", "..", ".", "a/b", "../users/me", "a?b=c", "a#b", "a\\b", "a\nb", "a\x00b", "\ud800", None, 1.5, True],
)
def test_an_id_that_would_lead_elsewhere_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="task_id"):
        tasks.get(wrong)
    with pytest.raises(InvalidArgumentError, match="run_id"):
        automations.stop_run("a", wrong)


def test_an_id_that_is_a_whole_number_stands_for_its_digits() -> None:
    number: Any = 17

    assert tasks.get(number) == tasks.get("17")
    assert tasks.runs(number) == tasks.runs(" 17 ")
    assert reloads.list(number) == reloads.list("17")
    assert sharing_tasks.execution(number, number) == sharing_tasks.execution("17", "17")


def test_an_id_that_only_looks_like_a_path_stays_one_id() -> None:
    assert TENANT.address_of(tasks.get("%2e%2e%2Fusers")).endswith("/api/v1/tasks/%252e%252e%252Fusers")
    assert TENANT.address_of(tasks.get("a b+c:d")).endswith("/api/v1/tasks/a%20b%2Bc%3Ad")


def test_blanks_around_an_id_are_not_part_of_it() -> None:
    assert tasks.get(" t\n") == tasks.get("t")


@settings(deadline=None, database=None)
@given(st.text())
@example("%2F..%2F")
@example("...")
def test_any_text_is_one_id_or_refused(text: str) -> None:
    try:
        call = tasks.get(text)
    except InvalidArgumentError:
        return
    (id,) = TENANT.path_of(call).removeprefix("/api/v1/tasks/").split("/")
    assert unquote(id) == text.strip()
    assert "?" not in id
    assert "#" not in id


def test_a_braced_id_is_not_taken_for_a_place_to_fill() -> None:
    assert automations.get_run("{run_id}", "r").path.endswith("/automations/%7Brun_id%7D/runs/r")


def test_a_plus_sign_is_sent_encoded() -> None:
    assert tasks.list(sort="+createdAt").query_text == "sort=%2BcreatedAt"


def test_what_is_not_given_is_not_sent() -> None:
    assert tasks.list().query == ()
    assert automations.list(list_all=False).query == (("listAll", "false"),)


@pytest.mark.parametrize("wrong", [0, -1, "10", True, 1.5])
def test_a_page_has_at_least_one_item(wrong: int) -> None:
    for asks in (tasks.list, automations.list):
        with pytest.raises(InvalidArgumentError, match="limit"):
            asks(limit=wrong)


@pytest.mark.parametrize("wrong", [{"a": 1}, ["a"], b"a", 1.5, "\ud800"])
def test_a_query_parameter_that_is_no_text_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(InvalidArgumentError, match="source"):
        tasks.start("t", source=wrong)


def test_usage_needs_a_filter() -> None:
    with pytest.raises(InvalidArgumentError, match="filter"):
        automations.usage(" ")


def test_an_execution_needs_its_token_and_does_not_repeat_a_wrong_one() -> None:
    for wrong in ("", None, 17, "two\nlines"):
        with pytest.raises(InvalidArgumentError, match="execution_token") as refused:
            automations.execute("a", wrong)  # type: ignore[arg-type]
        assert "two" not in str(refused.value)


def test_the_tasks_root_is_the_tenants() -> None:
    other = Tenant.at("acme.eu.qlikcloud.com", tasks_path="/api/scheduling/tasks")

    assert TENANT.path_of(tasks.get("t")) == "/api/v1/tasks/t"
    assert Tenant.at("acme.eu.qlikcloud.com").path_of(tasks.get("t")) == "/api/scheduling/tasks/t", "is tried first"
    assert other.path_of(tasks.get("t")) == "/api/scheduling/tasks/t"
    assert other.path_of(automations.get("a")) == "/api/workflows/automations/a"


def test_an_id_that_is_the_word_for_the_tasks_root_is_an_id() -> None:
    assert TENANT.path_of(automations.get("{tasks}")) == "/api/workflows/automations/%7Btasks%7D"


def test_a_flow_asks_pauses_and_gives() -> None:
    def flow() -> Flow[str]:
        started = yield from send(tasks.start("t"))
        yield from pause(3)
        return f"{started.message}!"

    steps = flow()
    assert next(steps) == tasks.start("t")
    assert steps.send(tasks.start("t").response_type(message="started")) == Pause(3)
    with pytest.raises(StopIteration) as end:
        steps.send(None)
    assert end.value.value == "started!"


def test_whether_a_call_may_be_repeated_follows_from_its_method() -> None:
    repeatable = {call.method: call.repeatable for call in _one_of_each_method()}

    assert repeatable == {"GET": True, "PUT": True, "DELETE": True, "POST": False}


def _one_of_each_method() -> list[Call[object]]:
    return [tasks.get("t"), tasks.update("t", {"name": "n", "specVersion": "1"}), tasks.delete("t"), tasks.start("t")]


# The driver of flows


def drive(flow: Flow[T], perform: Callable[[Step], Any]) -> T:
    driver = FlowDriver(flow)
    for step in driver:
        with driver:
            driver.response = perform(step)
    return driver.result


def noting(closed: list[str]) -> Flow[str]:
    """Return both responses; an error of this package stands for its response."""
    responses = []
    try:
        for seconds in (1, 2):
            try:
                responses.append((yield Pause(seconds)))
            except QlikCloudError as error:
                responses.append(str(error))
    finally:
        closed.append("closed")
    return " ".join(responses)


def test_a_driver_passes_responses_and_returns_the_result() -> None:
    assert drive(noting([]), str) == "Pause(seconds=1) Pause(seconds=2)"


def test_a_driver_throws_errors_of_this_package_into_the_flow() -> None:
    def perform(step: Step) -> str:
        if step == Pause(1):
            raise ConnectError("away")
        return "here"

    assert drive(noting([]), perform) == "away here"


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, asyncio.CancelledError])
def test_a_driver_closes_the_flow_after_any_other_error(error: type[BaseException]) -> None:
    closed: list[str] = []

    def perform(_: Step) -> None:
        raise error

    with pytest.raises(error):
        drive(noting(closed), perform)
    assert closed == ["closed"]


def test_a_driver_raises_what_the_flow_raises() -> None:
    def failing() -> Flow[None]:
        yield Pause(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(failing(), lambda _: None)
