"""What users are told when something goes wrong."""

from __future__ import annotations

import copy
import pickle
import socket

import pytest

from airflow_provider_qlik.cloud import (
    ApiKey,
    Client,
    ClientCredentials,
    ConnectError,
    InvalidResponseError,
    NoResponseError,
    QlikCloudError,
    RetryPolicy,
    StatusError,
    Tenant,
)
from airflow_provider_qlik.cloud.api import automations, tasks, users
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    IntermediaryResponseError,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
    UnauthorizedError,
)
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import AUTO, V1_TASKS
from tests.listener import Answer, Listener, listening, refused_by_qlik

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def answered(listener: Listener, answer: Answer) -> QlikCloudError:
    """The error that such an answer to the start of a task becomes."""
    listener.answers(answer)
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises(QlikCloudError) as raised,
    ):
        client.call(tasks.start("t"))
    return raised.value


def sign_in_answered(listener: Listener, answer: Answer) -> QlikCloudError:
    """The error that such an answer to a sign-in becomes."""
    listener.answers(answer)
    with (
        Client(Tenant.at(listener.url), ClientCredentials("client", "secret"), retry_policy=ONCE) as client,
        pytest.raises(QlikCloudError) as raised,
    ):
        client.call(tasks.start("t"))
    assert {seen.path for seen in listener.seen} == {"/oauth/token"}
    return raised.value


# No way there, or no way back


@pytest.mark.parametrize(
    ("path", "asked"), [(V1_TASKS, "POST /api/v1/tasks/t/"), (AUTO, "GET /api/scheduling/tasks")], ids=["v1", "auto"]
)
def test_a_tenant_that_is_not_there_could_not_be_connected_to(closed_port: int, path: str, asked: str) -> None:
    with (
        Client(
            Tenant.at(f"http://127.0.0.1:{closed_port}", tasks_path=path), ApiKey("key"), retry_policy=ONCE
        ) as client,
        pytest.raises(ConnectError, match=rf"^Could not connect to .*{asked}") as raised,
    ):
        client.call(tasks.start("t"))

    assert not raised.value.outcome_unknown
    assert raised.value.transient


def test_a_tenant_whose_name_is_unknown_could_not_be_connected_to() -> None:
    with (
        Client(Tenant.at("https://tenant.invalid"), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises(ConnectError, match=r"tenant\.invalid"),
    ):
        client.call(tasks.get("t"))


def test_where_nobody_signs_in_nothing_was_sent(closed_port: int) -> None:
    credentials = ClientCredentials("client", "secret")
    with (
        Client(Tenant.at(f"http://127.0.0.1:{closed_port}"), credentials, retry_policy=ONCE) as client,
        pytest.raises(ConnectError, match="^Could not sign in"),
    ):
        client.call(tasks.start("t"))


@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_lost_connection_leaves_open_whether_it_happened(sandbox: SandboxTenant, client: Client, reset: str) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("POST", reset=reset)  # type: ignore[arg-type]

    with pytest.raises(NoResponseError, match=r"^No response came.*the request may have been executed") as raised:
        client.call(tasks.start("t"))

    assert raised.value.outcome_unknown
    assert len(sandbox.runs("t")) == (0 if reset == "before" else 1)


def test_an_answer_that_takes_too_long_leaves_open_whether_it_happened(sandbox: SandboxTenant) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("POST", delay=0.5)
    with (
        Client(Tenant.at(sandbox.url, read_timeout=0.05), ApiKey(sandbox.api_key)) as client,
        pytest.raises(NoResponseError, match="ReadTimeout") as raised,
    ):
        client.call(tasks.start("t"))

    assert raised.value.outcome_unknown
    assert len(sandbox.request_log("start_task")) == 1


def test_a_sign_in_that_takes_too_long_means_that_nothing_was_sent(sandbox: SandboxTenant) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.5)
    credentials = ClientCredentials(sandbox.client_id, sandbox.client_secret)
    with (
        Client(Tenant.at(sandbox.url, read_timeout=0.05), credentials, retry_policy=ONCE) as client,
        pytest.raises(ConnectError, match="^Could not sign in"),
    ):
        client.call(tasks.start("t"))

    assert sandbox.request_log("start_task") == []


# A refusal, in every shape


def test_a_refusal_of_the_tasks_family_tells_all_it_says(listener: Listener) -> None:
    error = {"code": 400, "title": "Bad request", "context": "no such state", "inner": None, "timestamp": "2026"}
    refused = answered(listener, Answer(400, {"errors": [error], "traceId": "abc123"}))

    assert isinstance(refused, BadRequestError)
    assert (refused.status, refused.code, refused.title) == (400, "400", "Bad request")
    assert (refused.detail, refused.trace_id) == ("no such state", "abc123")
    assert (refused.method, refused.path) == ("POST", "/api/v1/tasks/t/actions/start")
    assert str(refused) == (
        "Bad request: no such state. (HTTP 400 for POST /api/v1/tasks/t/actions/start, code 400, trace id abc123)"
    )


def test_a_refusal_of_the_other_families_tells_all_it_says(listener: Listener) -> None:
    error = {"code": "AUTOMATIONS-7", "title": "Not allowed", "detail": "Owner only", "meta": {}}
    refused = answered(listener, Answer(403, {"errors": [error], "traceId": "abc123"}))

    assert isinstance(refused, ForbiddenError)
    assert (refused.code, refused.title, refused.detail) == ("AUTOMATIONS-7", "Not allowed", "Owner only")
    assert str(refused) == (
        "Not allowed: Owner only. Check the roles and OAuth scopes of the user."
        " (HTTP 403 for POST /api/v1/tasks/t/actions/start, code AUTOMATIONS-7, trace id abc123)"
    )


def test_a_refusal_by_oauth_tells_all_it_says(listener: Listener) -> None:
    body = {"error": "invalid_client", "error_description": "Client authentication failed"}
    refused = sign_in_answered(listener, Answer(401, body))

    assert isinstance(refused, UnauthorizedError)
    assert (refused.code, refused.title) == ("invalid_client", "Client authentication failed")


def test_the_form_of_oauth_is_no_refusal_of_anything_but_a_sign_in(listener: Listener) -> None:
    body = {"error": "invalid_client", "error_description": "Client authentication failed"}

    assert isinstance(answered(listener, Answer(401, body)), IntermediaryResponseError)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html><h1>502 Bad Gateway</h1></html>", "with a web page.*<html><h1>502 Bad Gateway</h1></html>"),
        (b"upstream is gone\n", "upstream is gone"),
        (b"", r"answered in its place, with nothing: .* \(HTTP 502 for POST /api/v1/tasks/t/actions/start\)$"),
        (b"\xff\xfe", "no error of Qlik Cloud's"),
        (b"null", "null"),
        (b"[]", "\\[\\]"),
        (b'{"message": "no"}', '{"message": "no"}'),
        (b'{"errors": "no"}', '{"errors": "no"}'),
        (b'{"errors": []}', '{"errors": \\[\\]}'),
        (b'{"errors": [null]}', '{"errors": \\[null\\]}'),
        (b'{"errors": [{}]}', '{"errors": \\[{}\\]}'),
        (b'{"errors": [], "traceId": ""}', '"traceId": ""'),
        (b"[" * 100_000, "\\["),
    ],
)
def test_what_something_in_between_answered_is_told_as_it_is(listener: Listener, body: bytes, told: str) -> None:
    error = answered(listener, Answer(502, body))

    assert isinstance(error, IntermediaryResponseError)
    assert (error.status, error.transient, error.outcome_unknown) == (502, True, True)
    with pytest.raises(IntermediaryResponseError, match=told):
        raise error
    assert str(error).startswith("Something between Airflow and Qlik Cloud answered in its place")
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"errors": [{"code": {}, "title": []}]}', "^Qlik Cloud failed to handle the request"),
        (b'{"errors": [], "traceId": "abc123"}', "trace id abc123"),
        (b'{"traceId": "abc123", "path": "/"}', "trace id abc123"),
    ],
)
def test_a_refusal_that_gives_no_reason_says_so(listener: Listener, body: bytes, told: str) -> None:
    refused = answered(listener, Answer(502, body))

    assert type(refused) is ServerError
    with pytest.raises(StatusError, match=told):
        raise refused
    assert len(str(refused)) < 400


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (418, StatusError),
        (429, TooManyRequestsError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_every_status_has_its_error(listener: Listener, status: int, kind: type[StatusError]) -> None:
    assert type(answered(listener, refused_by_qlik(status))) is kind


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503, 599])
def test_no_status_alone_is_the_word_of_qlik(listener: Listener, status: int) -> None:
    error = answered(listener, Answer(status))

    assert type(error) is IntermediaryResponseError
    assert error.status == status


def test_the_tenant_refuses_with_its_own_words(sandbox: SandboxTenant, client: Client) -> None:
    with pytest.raises(NotFoundError) as of_tasks:
        client.call(tasks.get("no-such"))
    with pytest.raises(NotFoundError) as of_automations:
        client.call(automations.get("no-such"))

    assert of_tasks.value.detail == "there is no task no-such"
    assert of_automations.value.code == "AUTOMATIONS-404"
    for raised in (of_tasks, of_automations):
        assert raised.value.trace_id
        assert raised.value.trace_id in str(raised.value)
        assert "no-such" in raised.value.path


# A 200 that makes no sense


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("html", "<!DOCTYPE html>"),
        ("truncated", '{"data":'),
        ("nonsense", r'\[42,"nonsense"\]'),
        ("empty", "expected TaskList"),
    ],
)
def test_a_list_that_makes_no_sense_is_not_an_empty_list(
    sandbox: SandboxTenant, client: Client, answer: str, told: str
) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("GET", response=answer, times=None)  # type: ignore[arg-type]

    with pytest.raises(InvalidResponseError, match=rf"(?s){told}") as raised:
        client.call(tasks.list())
    assert "(HTTP 200 for GET /api/scheduling/tasks)" in str(raised.value)


def test_a_list_without_items_is_no_list(listener: Listener) -> None:
    listener.answers(Answer(200, {"message": "hello"}))
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises(InvalidResponseError, match=r"data: Field required .*The response begins"),
    ):
        client.call(tasks.list())


def test_the_first_200_characters_of_nonsense_are_shown(listener: Listener) -> None:
    error = answered(listener, Answer(200, b"x" * 199 + b"yz"))

    assert isinstance(error, InvalidResponseError)
    assert error.excerpt == "x" * 199 + "y"
    assert error.excerpt in str(error)
    assert error.outcome_unknown


@pytest.mark.parametrize(
    "call",
    [
        tasks.run_log("t", "r"),
        automations.run_debug("a", "r"),
        automations.stop_run("a", "r"),
        automations.retry_run("a", "r"),
        tasks.start("t"),
        tasks.delete("t"),
    ],
    ids=str,
)
def test_a_web_page_is_no_answer_to_anything(listener: Listener, call: object) -> None:
    listener.answers(Answer(200, b"<html>Sign in</html>", {"content-type": "text/html; charset=utf-8"}))
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises(InvalidResponseError, match="Sign in"),
    ):
        client.call(call)  # type: ignore[arg-type]


def test_a_body_that_cannot_be_unpacked_is_no_answer(listener: Listener) -> None:
    error = answered(listener, Answer(200, b"not gzip", {"content-encoding": "gzip"}))

    assert isinstance(error, InvalidResponseError)
    assert error.outcome_unknown


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
def test_a_redirect_is_not_followed(listener: Listener, status: int) -> None:
    with listening() as elsewhere:
        error = answered(listener, Answer(status, headers={"location": f"{elsewhere.url}/api/v1/tasks"}))
        assert elsewhere.seen == []

    assert isinstance(error, InvalidResponseError)
    assert str(error).startswith("The response is a redirect that is not followed")
    assert f"HTTP {status} for POST /api/v1/tasks/t/actions/start" in str(error)
    assert len(listener.seen) == 1


def test_the_user_is_found_behind_the_documented_redirect(sandbox: SandboxTenant, client: Client) -> None:
    assert client.call(users.me()).id == sandbox.user_id
    assert [entry.operation for entry in sandbox.request_log()] == ["get_me", "get_user"]


def test_the_user_may_be_answered_without_a_redirect(sandbox: SandboxTenant, client: Client) -> None:
    sandbox.switch(users_me="direct")

    assert client.call(users.me()).id == sandbox.user_id


def test_no_redirect_leads_to_another_host(sandbox: SandboxTenant, client: Client) -> None:
    with listening() as elsewhere:
        elsewhere.answers(Answer(200, {"id": "u"}))
        sandbox.switch(users_me="redirect_other_host", other_host=elsewhere.url)
        with pytest.raises(InvalidResponseError, match="redirects to another host"):
            client.call(users.me(), ONCE)
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1/api/v1/users/u",
        "//elsewhere.invalid/api/v1/users/u",
        "http://me@elsewhere.invalid/",
        "file:///etc/passwd",
        "http://[::1",
        "http://\x7f/",
    ],
)
def test_a_redirect_that_leaves_or_makes_no_sense_is_not_followed(listener: Listener, location: str) -> None:
    listener.answers(Answer(301, headers={"location": location}))
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises((InvalidResponseError, NoResponseError)),
    ):
        client.call(users.me())
    assert len(listener.seen) == 1


def test_a_redirect_without_an_address_is_not_followed(listener: Listener) -> None:
    listener.answers(Answer(301))
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises(InvalidResponseError, match="301"),
    ):
        client.call(users.me())


def test_a_redirect_is_followed_once(listener: Listener) -> None:
    listener.answers(Answer(301, headers={"location": "/api/v1/users/u"}))
    with (
        Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONCE) as client,
        pytest.raises(InvalidResponseError, match="301"),
    ):
        client.call(users.me())
    assert [seen.path for seen in listener.seen] == ["/api/v1/users/me", "/api/v1/users/u"]


# Errors travel between processes


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("could not connect"),
        NoResponseError("no answer"),
        InvalidResponseError("nonsense", "<html>"),
        IntermediaryResponseError("a web page", "<html>", 429, 7.0),
        NotFoundError(status=404, method="GET", path="/p", code="X-1", title="No", detail="none", trace_id="abc"),
        ServerError(status=503, method="GET", path="/p", retry_after=7.0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling_and_copying(error: QlikCloudError) -> None:
    error.add_note("The request was sent 5 times in 3.0 s.")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        assert (again.retry_after, again.outcome_unknown, again.transient) == (
            error.retry_after,
            error.outcome_unknown,
            error.transient,
        )


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(410, "TASKS-011", "removed reload tasks: use a task"), (400, "TASKS-001", "was migrated.*use a task")],
)
def test_what_qlik_has_removed_names_its_successor(listener: Listener, status: int, code: str, said: str) -> None:
    refused = answered(listener, Answer(status, {"errors": [{"code": code, "title": "Gone"}], "traceId": "abc"}))

    with pytest.raises(StatusError, match=f"^Gone.*{said}.*scheduling/tasks.*code {code}"):
        raise refused
