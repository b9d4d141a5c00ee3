"""Retries: the rules with plain values and a clock of their own, then over HTTP and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik.cloud import (
    Call,
    Client,
    ConnectError,
    InvalidResponseError,
    NoResponseError,
    Pause,
    QlikCloudError,
    RetryPolicy,
    StatusError,
)
from airflow_provider_qlik.cloud.api import automations, tasks
from airflow_provider_qlik.cloud.errors import IntermediaryResponseError
from airflow_provider_qlik.cloud.flow import RefreshCredentials
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.transport.responses import refusal
from airflow_provider_qlik.cloud.transport.retry import may_repeat, send_with_retries
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant

GET, PUT = tasks.get("t"), tasks.update("t", {"name": "n", "specVersion": "1"})
POST, DELETE = tasks.start("t"), tasks.delete("t")


def refused(status: int, code: str | None = None, method: str = "POST", **headers: str) -> StatusError:
    """The error for such a reply of Qlik's."""
    content = b'{"errors": [{"code": "%s", "title": "No"}]}' % (code or f"X-{status}").encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    error = refusal(method, "/path", Reply(status, headers, content))
    assert isinstance(error, StatusError)
    return error


RATE_LIMIT = refused(429, "HTTP-429", retry_after="7")
PENDING = refused(429, "RELOADS-004")
BUSY = refused(503, retry_after="3")
DOWN = refused(503)
SURELY_NOT_ARRIVED: list[QlikCloudError] = [ConnectError("refused"), RATE_LIMIT, refused(429, "HTTP-429"), BUSY]
PERHAPS_DONE: list[QlikCloudError] = [
    NoResponseError("time-out"),
    InvalidResponseError("html"),
    IntermediaryResponseError("html", "<html>", 403),
    IntermediaryResponseError("html", "<html>", 429, 0.0),
    DOWN,
    *map(refused, (500, 502, 504, 408)),
]
PLAIN_NO: list[QlikCloudError] = [PENDING, *map(refused, (400, 401, 403, 404, 409, 422))]


class Played:
    """A call that is retried by the rules, with errors in place of the network.

    Only the pauses move the clock, and each request by the seconds that it *takes*.
    """

    def __init__(self, call: Call[Any], errors: list[QlikCloudError], jitter: float = 0.0, **retry_policy: Any) -> None:
        self.now = 1000.0
        self.others = retry_policy.pop("others", [False])
        takes = retry_policy.pop("takes", 0.0)
        self.attempts = 0
        self.pauses: list[float] = []
        self.result: Any = None
        self.error: QlikCloudError | None = None
        steps = send_with_retries(call, RetryPolicy(**retry_policy), clock=lambda: self.now, draw=lambda: jitter)
        remaining: Iterator[QlikCloudError] = iter(errors)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    step = steps.send(None)
                    continue
                if isinstance(step, RefreshCredentials):
                    step = steps.send(self.others.pop(0))
                    continue
                assert step == call
                self.attempts += 1
                self.now += takes
                error = next(remaining, None)
                step = steps.throw(error) if error else steps.send("answer")
        except StopIteration as end:
            self.result = end.value
        except QlikCloudError as error:
            self.error = error


def test_a_response_is_the_result() -> None:
    played = Played(GET, [])

    assert (played.result, played.attempts, played.pauses) == ("answer", 1, [])


@pytest.mark.parametrize("error", SURELY_NOT_ARRIVED, ids=str)
@pytest.mark.parametrize("call", [GET, PUT, DELETE, POST], ids=str)
def test_any_call_that_surely_did_not_arrive_is_sent_again(call: Call[Any], error: QlikCloudError) -> None:
    assert not error.outcome_unknown
    assert Played(call, [error, error]).attempts == 3


@pytest.mark.parametrize("error", PERHAPS_DONE, ids=str)
def test_a_post_that_may_have_arrived_is_never_sent_again(error: QlikCloudError) -> None:
    played = Played(POST, [error])

    assert error.outcome_unknown
    assert (played.attempts, played.error) == (1, error)


@pytest.mark.parametrize("error", PERHAPS_DONE, ids=str)
@pytest.mark.parametrize("call", [GET, PUT, DELETE], ids=str)
def test_an_idempotent_call_is_sent_again(call: Call[Any], error: QlikCloudError) -> None:
    assert Played(call, [error]).result == "answer"


@pytest.mark.parametrize("error", PLAIN_NO, ids=str)
@pytest.mark.parametrize("call", [GET, PUT, DELETE, POST], ids=str)
def test_a_permanent_error_is_not_retried(call: Call[Any], error: QlikCloudError) -> None:
    assert Played(call, [error]).attempts == 1
    assert not may_repeat(call, error)


def test_every_post_of_the_api_follows_one_rule() -> None:
    for call in (automations.create_run("a"), automations.stop_run("a", "r"), automations.execute("a", "token")):
        assert Played(call, [NoResponseError("reset")]).attempts == 1
        assert Played(call, [ConnectError("refused")]).attempts == 2


def test_a_reload_that_is_pending_is_no_rate_limit() -> None:
    assert RATE_LIMIT.rate_limited
    assert not PENDING.rate_limited
    assert not PENDING.transient


def test_a_429_for_a_read_is_always_a_rate_limit() -> None:
    error = refused(429, "GATEWAY-1", method="GET", retry_after="2")

    assert Played(GET, [error]).pauses == [2.0]


@pytest.mark.parametrize("body", [b'{"errors": [{"code": 429, "title": "Slow"}]}', b'{"errors": [], "traceId": "t"}'])
def test_a_429_that_names_no_other_reason_is_a_rate_limit(body: bytes) -> None:
    error = refusal("POST", "/path", Reply(429, {}, body))

    assert isinstance(error, StatusError)
    assert error.rate_limited


@pytest.mark.parametrize("body", [b"", b"<html>slow down</html>", b'{"message": "slow down"}'])
def test_a_429_of_something_in_between_may_come_after_the_request_was_executed(body: bytes) -> None:
    error = refusal("POST", "/path", Reply(429, {"retry-after": "7"}, body))

    assert isinstance(error, IntermediaryResponseError)
    assert Played(POST, [error]).attempts == 1
    assert Played(GET, [error]).pauses == [7.0]


def test_credentials_are_read_again_once_and_not_for_each_refusal() -> None:
    played = Played(GET, [refused(401, method="GET")] * 9, others=[True] * 9)

    assert played.attempts == 2
    assert isinstance(played.error, StatusError)


# Pauses


def test_retry_after_in_seconds_is_the_pause() -> None:
    assert Played(GET, [RATE_LIMIT, BUSY]).pauses == [7.0, 3.0]


def test_retry_after_as_a_date_is_the_pause_by_the_servers_clock() -> None:
    dates = {"date": "Wed, 21 Oct 2026 07:28:00 GMT", "retry_after": "Wed, 21 Oct 2026 07:28:11 GMT"}

    assert Played(GET, [refused(503, **dates)]).pauses == [11.0]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("Wed, 21 Oct 2026 07:28:11 -0000", 11.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_every_form(said: str, seconds: float | None) -> None:
    error = refused(503, date="Wed, 21 Oct 2026 07:28:00 GMT", retry_after=said)

    assert error.retry_after == seconds
    assert error.outcome_unknown is (seconds is None)


def test_retry_after_is_capped() -> None:
    assert Played(GET, [refused(503, retry_after="3600")]).pauses == [60.0]


def test_a_rate_limit_without_retry_after_is_a_second() -> None:
    assert Played(GET, [refused(429, "HTTP-429")]).pauses == [1.0]


def test_pauses_double_up_to_the_longest() -> None:
    played = Played(GET, [DOWN] * 9, max_attempts=9, initial_backoff=1.0, max_backoff=20.0, max_total_wait=1000.0)

    assert played.pauses == [1, 2, 4, 8, 16, 20, 20, 20]


def test_jitter_shortens_the_backoff_and_lengthens_retry_after() -> None:
    assert Played(GET, [DOWN, DOWN], jitter=1.0, initial_backoff=1.0).pauses == [0.5, 1.0]
    assert Played(GET, [RATE_LIMIT], jitter=1.0, initial_backoff=1.0).pauses == [8.0], "never earlier than Qlik said"


def test_jitter_makes_pauses_differ() -> None:
    retry_policy = RetryPolicy()

    pauses = {retry_policy.pause_after(1, DOWN, chance / 10) for chance in range(11)}
    assert len(pauses) == 11


# Limits


def test_the_number_of_attempts_is_bounded() -> None:
    played = Played(GET, [DOWN] * 10)

    assert (played.attempts, played.error) == (5, DOWN)
    assert Played(GET, [DOWN] * 10, max_attempts=1).attempts == 1


def test_there_is_a_budget_of_time_for_all_pauses_together() -> None:
    played = Played(GET, [refused(503, retry_after="50")] * 10, max_attempts=10)

    assert played.pauses == [50.0, 50.0]
    assert played.now - 1000.0 <= RetryPolicy().max_total_wait
    assert isinstance(played.error, StatusError)


def test_a_request_that_breaks_off_after_ten_minutes_is_retried_as_often_as_one_that_breaks_off_at_once() -> None:
    played = Played(GET, [NoResponseError("cut off")] * 10, takes=600.0)

    assert (played.attempts, len(played.pauses)) == (5, 4)
    assert isinstance(played.error, NoResponseError)
    assert played.error.__notes__ == [f"The request was sent 5 times in {3000 + sum(played.pauses):.1f} s."]
    assert Played(GET, [NoResponseError("cut off")], takes=600.0).result == "answer"


def test_a_budget_that_the_next_pause_would_pass_ends_the_attempts_before_it() -> None:
    played = Played(GET, [refused(503, retry_after="3")] * 10, takes=60.0, max_total_wait=8.0)

    assert played.pauses == [3.0, 3.0]


def test_the_last_error_has_a_note_of_the_attempts() -> None:
    error = Played(GET, [refused(503, retry_after="2"), last := refused(502)], max_attempts=2).error

    assert error is last
    assert last.__notes__ == ["The request was sent 2 times in 2.0 s."]
    assert not hasattr(Played(POST, [refused(500)]).error, "__notes__")


# A delete whose response was lost


@pytest.mark.parametrize("lost", PERHAPS_DONE, ids=str)
def test_a_404_for_a_delete_whose_response_was_lost_is_success(lost: QlikCloudError) -> None:
    played = Played(DELETE, [lost, refused(404)])

    assert (played.result, played.error, played.attempts) == (None, None, 2)


@pytest.mark.parametrize("between", SURELY_NOT_ARRIVED, ids=str)
@pytest.mark.parametrize("lost", PERHAPS_DONE, ids=str)
def test_a_404_for_a_delete_whose_response_was_lost_is_success_after_another_error(
    lost: QlikCloudError, between: QlikCloudError
) -> None:
    played = Played(DELETE, [lost, between, refused(404)])

    assert (played.result, played.error, played.attempts) == (None, None, 3)


@pytest.mark.parametrize("error", SURELY_NOT_ARRIVED, ids=str)
def test_a_404_for_a_delete_that_never_arrived_is_an_error(error: QlikCloudError) -> None:
    played = Played(DELETE, [error, refused(404)])

    assert isinstance(played.error, StatusError)
    assert played.error.status == 404


def test_a_404_is_success_only_for_a_delete() -> None:
    for call in (GET, PUT):
        assert isinstance(Played(call, [NoResponseError("reset"), refused(404)]).error, StatusError)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"errors": [{"code": "X-1"}]}', b'{"error": "server_error"}'])
@pytest.mark.parametrize("failed", [500, 502, 503])
def test_a_failed_sign_in_means_that_nothing_was_sent(failed: int, body: bytes) -> None:
    error = refusal("POST", "/oauth/token", Reply(failed, content=body))

    assert not error.outcome_unknown
    assert Played(POST, [error]).result == "answer"
    assert isinstance(Played(DELETE, [error, refused(404)]).error, StatusError), "it cannot have been us"


def test_a_refused_sign_in_is_not_retried() -> None:
    for body in (b'{"error": "invalid_client"}', b'{"errors": [{"code": "X-1"}]}'):
        for status in (400, 401, 403):
            assert Played(GET, [refusal("POST", "/oauth/token", Reply(status, content=body))]).attempts == 1


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b'{"message": "no"}'])
def test_a_sign_in_is_retried_after_a_response_of_something_in_between(body: bytes) -> None:
    for status in (400, 401, 403, 404, 407):
        error = refusal("POST", "/oauth/token", Reply(status, content=body))

        assert type(error) is ConnectError
        assert Played(POST, [error]).attempts == 2


# Over HTTP: how often the tenant carried it out


def starts(sandbox: SandboxTenant) -> tuple[int, int]:
    """Return the number of requests to start the task, and of those that were executed."""
    entries = sandbox.request_log("start_task")
    return len(entries), sum(entry.carried_out for entry in entries)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "code": "HTTP-429", "retry_after": 0},
        {"status": 429, "code": "HTTP-429", "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"status": 503, "retry_after": 0},
    ],
    ids=str,
)
def test_a_start_that_was_refused_for_now_happens_once_later(
    sandbox: SandboxTenant, client: Client, fault: dict[str, Any]
) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("POST", times=3, **fault)

    client.call(tasks.start("t"))

    assert starts(sandbox) == (4, 1)
    assert len(sandbox.runs("t")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"reset": "before"},
        {"reset": "after"},
        {"status": 500},
        {"status": 500, "carried_out": True},
        {"status": 502},
        {"status": 503},
        {"status": 429, "code": "RELOADS-004"},
        {"status": 429, "code": "RELOADS-004", "retry_after": 0},
        {"response": "html"},
        {"response": "html", "carried_out": True},
        {"response": "truncated"},
        {"response": "cut"},
        {"response": "nonsense"},
    ],
    ids=str,
)
def test_a_start_whose_outcome_is_unknown_is_not_repeated(
    sandbox: SandboxTenant, client: Client, fault: dict[str, Any]
) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("POST", times=None, **fault)

    with pytest.raises(QlikCloudError) as raised:
        client.call(tasks.start("t"))

    requests, executed = starts(sandbox)
    assert requests == 1
    assert len(sandbox.runs("t")) == executed
    assert raised.value.outcome_unknown is (fault.get("status") != 429)


@pytest.mark.parametrize(
    "fault",
    [
        {"reset": "before"},
        {"reset": "after"},
        {"status": 500},
        {"status": 502},
        {"status": 503},
        {"status": 503, "retry_after": 0},
        {"status": 429},
        {"response": "html"},
        {"response": "truncated"},
        {"response": "cut"},
        {"response": "nonsense"},
        {"response": "empty"},
    ],
    ids=str,
)
def test_a_get_is_retried_until_it_gets_a_response(
    sandbox: SandboxTenant, client: Client, fault: dict[str, Any]
) -> None:
    sandbox.add_task("A task", id="t")
    if fault.get("status") == 429:
        fault = {**fault, "code": "HTTP-429", "retry_after": 0}
    sandbox.fault("GET", times=2, **fault)

    assert client.call(tasks.get("t")).name == "A task"
    assert len(sandbox.request_log("get_task")) == 3


def test_a_get_is_not_retried_for_ever(sandbox: SandboxTenant, client: Client) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("GET", times=None, status=502)

    with pytest.raises(StatusError, match="502") as raised:
        client.call(tasks.get("t"))

    assert len(sandbox.request_log("get_task")) == 5
    assert raised.value.__notes__[0].startswith("The request was sent 5 times")


def test_a_call_can_have_its_own_retry_policy(sandbox: SandboxTenant, client: Client) -> None:
    sandbox.fault("GET", times=None, status=502)

    with pytest.raises(StatusError):
        client.call(tasks.get("t"), RetryPolicy(max_attempts=1))

    assert len(sandbox.request_log("get_task")) == 1


@pytest.mark.parametrize("fault", [{"reset": "after"}, {"status": 500, "carried_out": True}], ids=str)
def test_a_task_whose_deletion_was_not_confirmed_is_deleted(
    sandbox: SandboxTenant, client: Client, fault: dict[str, Any]
) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("DELETE", **fault)

    client.call(tasks.delete("t"))

    assert [entry.carried_out for entry in sandbox.request_log("delete_task")] == [True, False]


def test_a_task_whose_deletion_timed_out_is_deleted_though_the_next_attempt_met_a_rate_limit(
    sandbox: SandboxTenant, client: Client
) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("DELETE", reset="after")
    sandbox.fault("DELETE", status=429, code="HTTP-429", retry_after=0)

    client.call(tasks.delete("t"))

    assert [(entry.status, entry.carried_out) for entry in sandbox.request_log("delete_task")][1:] == [
        (429, False),
        (404, False),
    ]


def test_a_task_that_never_existed_cannot_be_deleted(sandbox: SandboxTenant, client: Client) -> None:
    sandbox.fault("DELETE", status=429, code="HTTP-429", retry_after=0)

    with pytest.raises(StatusError, match="404"):
        client.call(tasks.delete("t"))


@pytest.mark.parametrize(("form", "seconds"), [("seconds", 60.0), ("date", 60.0), ("absent", None)])
def test_the_rate_limit_of_the_tenant_sets_the_pause(
    sandbox: SandboxTenant, client: Client, form: str, seconds: float | None
) -> None:
    sandbox.add_task(id="t")
    sandbox.switch(retry_after=form)
    sandbox.set_speed(0)
    sandbox.set_limits(tier_1=1, window=60)
    client.call(tasks.get("t"))

    with pytest.raises(StatusError, match="the rate limit is exceeded") as raised:
        client.call(tasks.get("t"), RetryPolicy(max_attempts=1))
    assert raised.value.rate_limited
    assert raised.value.retry_after == seconds

    sandbox.advance(61)
    assert client.call(tasks.get("t")).id == "t"
