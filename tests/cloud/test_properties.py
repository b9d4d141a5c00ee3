"""Whatever comes back, an answer or an error of this package comes of it, and neither shows a secret."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Iterator
from types import NoneType
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qlik.cloud import QlikCloudError, StatusError
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import ConnectError, NoResponseError
from airflow_provider_qlik.cloud.flow import Pause, RefreshCredentials
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Reply, Shape
from airflow_provider_qlik.cloud.operations import FUNCTIONS
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.transport import token_request
from airflow_provider_qlik.cloud.transport.responses import read, retry_after
from airflow_provider_qlik.cloud.transport.retry import RetryPolicy, send_with_retries
from airflow_provider_qlik.cloud.transport.token_request import Token, TokenResponse
from airflow_provider_qlik.operations import OPERATIONS
from tests.contract.cases import ALL_CASES
from tests.contract.openapi import HERE
from tests.planted_secret import plant, searching
from tests.replies import (
    SECRET,
    TIMES,
    anything,
    bodies,
    call_of,
    examples,
    headers,
    replies,
    response_type_of,
    whole,
    with_one_damage,
)

pytestmark = pytest.mark.slow


EXAMPLES = {
    name: (HERE / "examples" / f"{name}.json").read_bytes()
    for name in (path.stem for path in sorted((HERE / "examples").glob("*.response.*.json")))
}
MAX_MESSAGE = 3000
MAX_PAUSE = threading.TIMEOUT_MAX
ANSWERS: dict[Any, list[str]] = {}
for _name in OPERATIONS:
    if response_type_of(_name) not in {NoneType, str}:
        ANSWERS.setdefault(response_type_of(_name), []).append(_name)


def outcome_of(call: Call[Any], reply: Reply) -> Any:
    """The answer, or the error, which is one of ours and can be shown, copied and sent to another process."""
    plant(SECRET)
    try:
        answer = read(call, call.path, reply)
    except QlikCloudError as error:
        assert_sound(error)
        assert f"HTTP {reply.status} for {call.method} {call.path}" in str(error)
        assert len(str(error)) < MAX_MESSAGE
        return error
    assert_usable(answer, call.response_type)
    return answer


def assert_sound(error: QlikCloudError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(again), str(again), again.transient) == (type(error), str(error), error.transient)
        assert (again.outcome_unknown, again.retry_after) == (error.outcome_unknown, error.retry_after)
    assert SECRET not in str(error) + repr(error) + repr(vars(error))
    str(error).encode()
    assert error.retry_after is None or 0 <= error.retry_after <= MAX_PAUSE
    if isinstance(error, StatusError):
        assert all(given is None or isinstance(given, str) for given in (error.code, error.title, error.detail))


def assert_usable(answer: Any, expected: Any) -> None:
    assert isinstance(answer, expected)
    if not isinstance(answer, Shape):
        return
    # What an operator returns of it must fit into an XCom.
    plain = answer.model_dump(by_alias=True, exclude_none=True, mode="json")
    shown = json.dumps(plain, allow_nan=False) + json.dumps(plain, ensure_ascii=False) + repr(answer) + str(answer)
    shown.encode()
    assert SECRET not in shown
    assert all(isinstance(secret, str) for secret in answer.secrets)
    for name in ("error_text", "started_at", "ended_at"):
        getattr(answer, name, None)
    if isinstance(answer, Page):
        assert_followable(answer)


def assert_followable(page: Page[Any]) -> None:
    pages: Pages[Any] = Pages(call_of("tasks.list"))
    try:
        pages.take(page)
    except QlikCloudError as error:
        return assert_sound(error)
    if pages.next_call is not None:
        assert pages.next_call.path == call_of("tasks.list").path
        assert httpx.URL(f"https://acme.example{pages.next_call.path}?{pages.next_call.query_text}").query
        pages.take(page)
        assert pages.next_call is None
    return None


def shapes(of: type[Shape] = Shape) -> Iterator[type[Shape]]:
    for each in of.__subclasses__():
        yield each
        yield from shapes(each)


each_operation = pytest.mark.parametrize("operation", OPERATIONS)


def test_the_operations_are_those_of_the_contract_and_more() -> None:
    assert {case.function for case in ALL_CASES.values()} < {*FUNCTIONS.values()}


@each_operation
def test_a_whole_answer_is_read_whole(operation: str) -> None:
    call = call_of(operation)
    if call.response_type in {NoneType, str}:
        assert read(call, call.path, Reply(200, content=b"text")) == (
            None if call.response_type is NoneType else "text"
        )
        return
    members = whole(call.response_type)
    answer = read(call, call.path, Reply(200, content=json.dumps(members).encode()))
    assert set(answer.model_dump(by_alias=True, exclude_none=True)) == set(members)
    assert_usable(answer, call.response_type)


@each_operation
def test_whatever_comes_back_is_an_answer_or_an_error_of_ours(operation: str) -> None:
    call = call_of(operation)

    @examples(25)
    @given(replies(call.response_type))
    def check(reply: Reply) -> None:
        outcome_of(call, reply)

    check()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_documented_answer_that_is_cut_anywhere_is_an_error_of_ours(name: str) -> None:
    (operation,) = [key for key, function in FUNCTIONS.items() if function is ALL_CASES[name.split(".")[0]].function]
    call, body = call_of(operation), EXAMPLES[name]
    for end in range(0, len(body), max(1, len(body) // (40 * TIMES))):
        outcome_of(call, Reply(200, content=body[:end]))
    assert not isinstance(outcome_of(call, Reply(200, content=body)), QlikCloudError)


@pytest.mark.parametrize("answer", sorted(ANSWERS, key=str), ids=lambda one: str(one.__name__))
def test_any_one_member_of_an_answer_may_be_anything(answer: type[Shape]) -> None:
    (operation, *_) = ANSWERS[answer]
    call = call_of(operation)
    for place, body in with_one_damage(answer):
        try:
            outcome_of(call, Reply(200, content=body))
        except Exception as error:
            error.add_note(f"with {place} changed: {body!r}")
            raise


@pytest.mark.parametrize("shape", sorted(set(shapes()), key=str), ids=lambda one: str(one.__name__))
def test_any_json_is_a_shape_or_unreadable(shape: type[Shape]) -> None:
    @examples(6)
    @given(bodies(shape), headers())
    def check(body: bytes, given: dict[str, str]) -> None:
        try:
            answer = shape.from_reply(Reply(200, given, body))
        except QlikCloudError as error:
            assert_sound(error)
        else:
            assert_usable(answer, shape)

    check()


@examples(300)
@given(headers())
def test_any_date_and_any_time_to_wait_is_one_or_none(given: dict[str, str]) -> None:
    reply = Reply(503, given)
    moment, seconds = reply.server_time, retry_after(reply)
    if moment is not None:
        assert moment.utcoffset() is not None
        assert moment.astimezone(moment.tzinfo) == moment
    assert seconds is None or 0 <= seconds <= MAX_PAUSE


@examples(150)
@given(replies(TokenResponse))
def test_a_response_to_a_sign_in_is_a_token_or_an_error_of_this_package(reply: Reply) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
    response = httpx.Response(reply.status, headers=headers, content=reply.content)
    try:
        # Texts of all sorts stand where a token should: they are not what is to be searched for in this test.
        with searching():
            token = token_request.read_token(response, 0.0)
    except QlikCloudError as error:
        assert_sound(error)
    else:
        assert isinstance(token, Token)
        assert "value" not in repr(token)


@pytest.mark.parametrize("lifetime", ["NaN", "1e400"])
def test_a_token_whose_lifetime_is_no_number_gets_the_default_lifetime(lifetime: str) -> None:
    body = f'{{"access_token": "{SECRET}", "expires_in": {lifetime}}}'
    token = token_request.read_token(httpx.Response(200, content=body.encode()), 0.0)
    assert 0 < token.refresh_at < 3600


FAILURES = st.sampled_from((ConnectError("no way there"), NoResponseError("no answer"))) | replies(NoneType).map(
    lambda reply: outcome_of(call_of("tasks.delete"), reply)
)


@examples(200)
@given(
    st.lists(FAILURES, min_size=1, max_size=8),
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_call_is_tried_as_often_as_is_allowed_and_ends_with_its_last_error(
    outcomes: list[Any], method: str, chance: float, renews: bool
) -> None:
    call: Call[Any] = Call(**{**_members(tasks.delete("t")), "method": method})
    elapsed, asked, retry_policy = 0.0, 0, RetryPolicy(max_attempts=4)
    flow = send_with_retries(call, retry_policy, lambda: elapsed, lambda: chance)
    step: Any = next(flow)
    try:
        while True:
            if isinstance(step, Pause):
                assert 0 <= step.seconds <= retry_policy.max_retry_after + retry_policy.initial_backoff
                elapsed += step.seconds
                step = flow.send(None)
                continue
            if isinstance(step, RefreshCredentials):
                asked -= renews
                step = flow.send(renews)
                continue
            assert step is call
            # Errors are made anew each time: they collect notes.
            given_now = copy.copy(outcomes[min(asked, len(outcomes) - 1)])
            asked += 1
            step = flow.throw(given_now) if isinstance(given_now, QlikCloudError) else flow.send(given_now)
    except StopIteration:
        pass
    except QlikCloudError as error:
        assert_sound(error)
    assert asked <= retry_policy.max_attempts
    assert elapsed <= retry_policy.max_total_wait


def _members(call: Call[Any]) -> dict[str, Any]:
    return {name: getattr(call, name) for name in Call.__slots__}


@examples(60)
@given(st.lists(bodies(response_type_of("tasks.list")), max_size=5))
def test_a_list_of_whatever_pages_ends_or_fails_as_ours(given_bodies: list[bytes]) -> None:
    call = call_of("tasks.list")
    pages: Pages[Any] = Pages(call)
    for body in given_bodies:
        if pages.next_call is None:
            break
        try:
            pages.take(read(pages.next_call, call.path, Reply(200, content=body)))
        except QlikCloudError as error:
            assert_sound(error)
            break


@examples(60)
@given(anything)
def test_plain_json_of_any_kind_is_read_or_unreadable(value: Any) -> None:
    for shape in (response_type_of("tasks.last_run"), response_type_of("automations.get")):
        try:
            assert_usable(shape.from_json(value), shape)
        except QlikCloudError as error:
            assert_sound(error)
