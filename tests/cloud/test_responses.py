"""Responses: from Qlik Cloud or not, the reason of a refusal, and the resource that they are about."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Call,
    Client,
    ClientCredentials,
    ConnectError,
    ForbiddenError,
    InvalidArgumentError,
    InvalidResponseError,
    NotFoundError,
    QlikCloudError,
    StatusError,
    Tenant,
)
from airflow_provider_qlik.cloud.api import automations, tasks
from airflow_provider_qlik.cloud.errors import TOKEN_PATH, IntermediaryResponseError
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.operations import FUNCTIONS
from airflow_provider_qlik.cloud.transport.responses import read, refusal
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.operations import OPERATIONS
from tests.cloud.conftest import QUICK
from tests.listener import Answer, Listener, refused_by_qlik
from tests.replies import about_the_call, whole

HTML, PLAIN = b"<!DOCTYPE html><html><body>Sign in</body></html>", b"Proxy Authentication Required"
NOT_QLIKS = b'{"message": "no"}'
TYPES = ("text/html", "Text/HTML; charset=utf-8", None, "text/plain", "application/json")
STATUSES = (400, 401, 403, 404, 407, 409, 413, 421, 425, 429, 499, 500, 502, 503, 520, 530)
ONLY_IN_BETWEEN = (407, 421, 425, 499, 520, 530)


def pages() -> Iterator[tuple[str | None, bytes]]:
    """Each content type with each body that is not Qlik's."""
    yield from ((content_type, body) for content_type in TYPES for body in (HTML, PLAIN, NOT_QLIKS, b""))


def called(driver: str, listener: Listener, call: Call[Any], credentials: Any = ApiKey("key")) -> Any:  # noqa: B008 (frozen)
    """What a call comes to: its value, or the error."""
    tenant = Tenant.at(listener.url)

    async def in_loop() -> Any:
        async with AsyncClient(tenant, credentials, retry_policy=QUICK) as client:
            return await client.call(call)

    try:
        if driver == "AsyncClient":
            return asyncio.run(in_loop())
        with Client(tenant, credentials, retry_policy=QUICK) as client:
            return client.call(call)
    except QlikCloudError as error:
        return error


PAGES = (("text/html", HTML), ("Text/HTML", b""), (None, PLAIN), ("application/json", NOT_QLIKS))


# Something in between


@pytest.mark.parametrize("status", STATUSES)
def test_an_error_in_another_form_is_not_one_of_qlik(status: int) -> None:
    for content_type, body in pages():
        reply = Reply(status, {"content-type": content_type} if content_type else {}, body)
        error = refusal("POST", "/path", reply)

        assert type(error) is IntermediaryResponseError, (content_type, body)
        assert error.transient
        assert error.outcome_unknown
        assert error.status == status


@pytest.mark.parametrize("content_type", [*TYPES, "application/json; charset=utf-8"])
@pytest.mark.parametrize("status", STATUSES)
def test_an_error_in_qliks_form_is_one_of_qlik_unless_no_service_has_its_status(
    status: int, content_type: str | None
) -> None:
    body = json.dumps({"errors": [{"code": "X-1", "title": "No"}], "traceId": "t"}).encode()
    error = refusal("POST", "/path", Reply(status, {"content-type": content_type} if content_type else {}, body))

    between = status in ONLY_IN_BETWEEN or (content_type or "").lower().startswith("text/html")
    assert isinstance(error, IntermediaryResponseError if between else StatusError)


@pytest.mark.parametrize("driver", ["Client", "AsyncClient"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 409, 413, 421, 425, 499, 502, 520])
def test_after_a_web_page_a_read_is_retried_and_a_start_is_sent_once(
    listener: Listener, status: int, driver: str
) -> None:
    for content_type, body in PAGES:
        page = Answer(status, body, {"content-type": content_type, "retry-after": "0"})

        listener.answers(page, page, Answer(200, {"id": "t", "name": "A task"}))
        assert called(driver, listener, tasks.get("t")).name == "A task"
        assert len(listener.seen) == 3

        listener.answers(page, Answer(200, {}))
        error = called(driver, listener, tasks.start("t"))
        assert isinstance(error, IntermediaryResponseError)
        assert len(listener.seen) == 1


@pytest.mark.parametrize("driver", ["Client", "AsyncClient"])
def test_after_a_web_page_with_429_a_read_is_retried_and_a_start_is_sent_once(listener: Listener, driver: str) -> None:
    # Within an event loop no request is sent for at least a second after each 429, whoever it came from.
    page = Answer(429, HTML, {"content-type": "text/html", "retry-after": "0"})

    listener.answers(page, Answer(200, {"id": "t", "name": "A task"}))
    assert called(driver, listener, tasks.get("t")).name == "A task"
    listener.answers(page)
    assert isinstance(called(driver, listener, tasks.start("t")), IntermediaryResponseError)
    assert len(listener.seen) == 1


@pytest.mark.parametrize("driver", ["Client", "AsyncClient"])
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 407, 429, 502, 520])
def test_a_web_page_in_place_of_a_token_is_no_refusal_and_is_retried(
    listener: Listener, status: int, driver: str
) -> None:
    for content_type, body in PAGES:
        page = Answer(status, body, {"content-type": content_type, "retry-after": "0"})
        token = Answer(200, {"access_token": f"token-{status}", "expires_in": 0})
        credentials = ClientCredentials("client", f"{driver} {content_type}")

        listener.answers(page, token, Answer(200, {}))
        assert not isinstance(called(driver, listener, tasks.start("t"), credentials), QlikCloudError)
        assert [seen.path for seen in listener.seen].count(TOKEN_PATH) == 2

        listener.answers(page)
        error = called(driver, listener, tasks.start("t"), ClientCredentials("client", f"another {body!r}"))
        assert type(error) is ConnectError
        assert str(error).startswith("Could not sign in")
        assert {seen.path for seen in listener.seen} == {TOKEN_PATH}


@pytest.mark.parametrize(
    "call",
    [automations.stop_run("a", "r"), tasks.delete("t"), tasks.run_log("t", "r"), tasks.list(), tasks.get("t")],
    ids=str,
)
def test_a_web_page_with_status_200_is_no_response_whatever_its_type(call: Call[Any]) -> None:
    for content_type in ("text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml", None, "text/plain"):
        headers = {"content-type": content_type} if content_type else {}
        with pytest.raises(IntermediaryResponseError, match="a web page"):
            read(call, call.path, Reply(200, headers, HTML))


def test_a_web_page_with_status_200_and_no_body_is_no_response_either() -> None:
    for call in (automations.stop_run("a", "r"), tasks.run_log("t", "r")):
        with pytest.raises(IntermediaryResponseError):
            read(call, call.path, Reply(200, {"content-type": "Text/HTML"}))


def test_a_log_that_speaks_of_html_is_a_log() -> None:
    log = b"LOAD * FROM <html>\n<table> found\n"
    call = automations.run_debug("a", "r")

    assert read(call, call.path, Reply(200, {"content-type": "text/plain"}, log)) == log.decode()


def test_a_page_in_utf_16_is_shown_without_nul() -> None:
    page = "<html>Sign in</html>".encode("utf-16")
    error = refusal("GET", "/path", Reply(403, {"content-type": "text/html"}, page))

    assert "\0" not in str(error) + str(vars(error))
    assert isinstance(error, IntermediaryResponseError)


# What Qlik says


def errors_of(status: int, *errors: Any) -> StatusError:
    content = json.dumps({"errors": errors, "traceId": "abc"}).encode()
    error = refusal("POST", "/path", Reply(status, {}, content))
    assert isinstance(error, StatusError)
    return error


def test_the_inner_reason_is_shown() -> None:
    inner = {"title": "task is disabled by its owner", "code": 400}
    error = errors_of(400, {"code": 400, "title": "Bad Request", "context": "StartTask", "inner": inner})

    assert str(error).startswith("Bad Request: StartTask: task is disabled by its owner. (HTTP 400 for POST /path")


def test_an_inner_reason_is_shown_however_deep_it_is() -> None:
    deep: dict[str, Any] = {"title": "the app is gone"}
    for _ in range(5):
        deep = {"title": "Bad Request", "inner": deep}

    assert "the app is gone" in str(errors_of(400, deep))
    for _ in range(500):
        deep = {"inner": deep}
    assert str(errors_of(400, deep))


def test_all_errors_are_shown() -> None:
    error = errors_of(400, {"code": "A-1", "title": "first"}, {"code": "A-2", "title": "second", "detail": "of two"})

    assert str(error).startswith("first: A-1; second: of two: A-2. (HTTP 400")
    assert error.code == "A-1"


def test_the_number_of_errors_that_are_shown_is_bounded() -> None:
    error = errors_of(400, *({"code": f"A-{number}", "title": f"reason {number}"} for number in range(10_000)))

    assert "reason 1: A-1" in str(error)
    assert len(str(error)) < 3000


@pytest.mark.parametrize("member", ["title", "detail", "code", "message", "context"])
def test_a_text_of_two_megabytes_is_cut(member: str) -> None:
    long = "x" * 2_000_000
    error = errors_of(403, {"code": "A-1", "title": "No", member: long})

    assert len(str(error)) < 3000
    assert len(repr(vars(error))) < 6000


def test_a_trace_id_of_two_megabytes_is_cut() -> None:
    content = json.dumps({"errors": [{"title": "No"}], "traceId": "t" * 2_000_000}).encode()

    assert len(str(refusal("POST", "/path", Reply(403, {}, content)))) < 3000


@pytest.mark.parametrize("driver", ["Client", "AsyncClient"])
@pytest.mark.parametrize("body", [b"x" * 15_000_000, b"<html>" + b"x" * 15_000_000], ids=["text", "page"])
def test_an_error_body_of_15_megabytes_is_not_kept(listener: Listener, driver: str, body: bytes) -> None:
    listener.answers(Answer(403, body, {"content-type": "text/plain"}))
    tracemalloc.start()
    try:
        error = called(driver, listener, tasks.start("t"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(error, InvalidResponseError)
    assert error.outcome_unknown
    assert len(str(error)) < 3000
    assert peak < 8_000_000


def test_texts_of_qlik_are_storable(listener: Listener) -> None:
    listener.answers(refused_by_qlik(403, title="Table 'x'\0 not \ud800 found"))
    error = called("Client", listener, tasks.start("t"))

    assert isinstance(error, ForbiddenError)
    assert str(error).startswith(r"Table 'x'\x00 not \ud800 found. ")


def test_401_403_and_404_name_the_connection_and_what_to_check(listener: Listener) -> None:
    for status, advice in (
        (401, "Check the API key or OAuth client of the connection 'qlik_prod'"),
        (403, "Check the roles and OAuth scopes of the user of the connection 'qlik_prod'"),
        (404, "Check the id, the tenant, and whether the user of the connection 'qlik_prod' may see it"),
    ):
        listener.answers(refused_by_qlik(status, title="No"))
        with (
            Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONE_ATTEMPT, connection="qlik_prod") as client,
            pytest.raises(StatusError) as raised,
        ):
            client.call(tasks.get("t"))
        assert str(raised.value).startswith(f"No. {advice}")
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None or raised.value.__suppress_context__


# About the requested resource

CAPITAL = "6F9619FF-8B86-D011-B42D-00CF4FC964FF"


def calls_about_something() -> dict[str, Call[Any]]:
    """A call of each operation whose response must be about the ids in it."""
    calls = {}
    for name, operation in OPERATIONS.items():
        body: dict[str, Any] = {"name": "n", "specVersion": "1", "appId": CAPITAL}
        arguments = {argument: body if kind == "object" else CAPITAL for argument, kind in operation.required.items()}
        for argument in operation.optional:
            if argument.endswith("_id"):
                arguments[argument] = CAPITAL
        try:
            call = FUNCTIONS[name](**arguments)
        except InvalidArgumentError:
            continue  # what wants other arguments is about nothing: the next test counts the others
        if call.about or call.items_about:
            calls[name] = call
    return calls


ABOUT = calls_about_something()
WITHOUT_ID = {name: call for name, call in ABOUT.items() if "id" not in dict(call.about)}
"""A thing without its own id is no such thing."""
each_about = pytest.mark.parametrize("call", ABOUT.values(), ids=ABOUT)


def test_responses_are_compared_where_they_have_ids() -> None:
    assert {
        *("tasks.get", "tasks.update", "tasks.runs", "tasks.last_run", "tasks.resource_runs"),
        *("reload_tasks.get", "reload_tasks.update", "reloads.get", "reloads.start", "reloads.list"),
        *("automations.get", "automations.update", "automations.get_run"),
        *("sharing_tasks.get", "sharing_tasks.executions", "sharing_tasks.execution"),
    } <= set(ABOUT)


def response(call: Call[Any], body: Any) -> Any:
    return read(call, call.path, Reply(200, {}, json.dumps(body).encode()))


def usual(call: Call[Any]) -> Any:
    return about_the_call(call, whole(call.response_type))


@each_about
def test_a_response_about_the_requested_resource_is_accepted(call: Call[Any]) -> None:
    assert response(call, usual(call)) is not None


@each_about
def test_a_response_about_another_resource_is_refused(call: Call[Any]) -> None:
    body = json.loads(json.dumps(usual(call)).replace(CAPITAL, "somebody-elses"))

    with pytest.raises(InvalidResponseError, match=f"'somebody-elses', not '{CAPITAL}' .HTTP 200 for") as raised:
        response(call, body)
    assert raised.value.transient
    assert raised.value.outcome_unknown


@each_about
def test_ids_in_another_letter_case_are_equal(call: Call[Any]) -> None:
    body = json.loads(json.dumps(usual(call)).replace(CAPITAL, CAPITAL.lower()))

    assert response(call, body) is not None


@pytest.mark.parametrize("call", WITHOUT_ID.values(), ids=WITHOUT_ID)
def test_ids_that_a_response_lacks_are_not_compared(call: Call[Any]) -> None:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(inner) for name, inner in value.items() if inner != CAPITAL}
        return [without(inner) for inner in value] if isinstance(value, list) else value

    assert response(call, without(usual(call))) is not None


@pytest.mark.parametrize(
    "call", [call for call in ABOUT.values() if call.items_about], ids=[n for n, c in ABOUT.items() if c.items_about]
)
def test_single_items_about_another_resource_are_dropped(call: Call[Any]) -> None:
    body = usual(call)
    (name,) = [name for name, value in body.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    own = body[name][0]
    foreign = json.loads(json.dumps(own).replace(CAPITAL, "somebody-elses"))

    assert len(response(call, {**body, name: [foreign, own, foreign, own]}).items) == 2
    assert response(call, {**body, name: []}).items == []
    with pytest.raises(InvalidResponseError, match=r"^The list is about"):
        response(call, {**body, name: [foreign, foreign]})


@pytest.mark.parametrize("driver", ["Client", "AsyncClient"])
def test_after_a_response_about_another_run_the_request_is_repeated(listener: Listener, driver: str) -> None:
    run = {"id": "ours", "status": "running"}
    listener.answers(Answer(200, {**run, "id": "somebody-elses", "status": "finished"}), Answer(200, run))

    assert called(driver, listener, automations.get_run("a", "ours")).status == "running"
    assert len(listener.seen) == 2


def test_a_404_in_the_form_of_qlik_is_still_one(listener: Listener) -> None:
    listener.answers(refused_by_qlik(404))

    assert isinstance(called("Client", listener, automations.get_run("a", "ours")), NotFoundError)
