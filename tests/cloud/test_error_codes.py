"""Codes of Qlik Cloud: found wherever they stand, and each explained to whoever meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik.cloud.error_codes import ADVICE, NOTHING_DONE, advice_about
from airflow_provider_qlik.cloud.errors import IntermediaryResponseError, StatusError
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.cloud.transport.responses import refusal

TROUBLESHOOTING = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text(encoding="utf-8")
STATUSES = {
    "CHO-001": 400,
    "CHO-003": 403,
    "CHO-004": 404,
    "CHO-013": 424,
    "CHO-014": 422,
    "CHO-015": 403,
    "CHO-016": 400,
    "CHO-017": 400,
    "CHO-018": 422,
    "CHO-024": 503,
    "CHO-030": 422,
    "CHO-031": 409,
    "TASKS-001": 400,
    "TASKS-011": 410,
    "RELOADS-003": 403,
    "RELOADS-013": 403,
    "RELOADS-*": 429,
    "HTTP-429": 429,
    "CSRF-*": 403,
}
"""The status that each code comes with, by Qlik's documents."""


def refused(status: int, body: Any) -> StatusError:
    error = refusal("POST", "/path", Reply(status, {}, json.dumps(body).encode()))
    assert isinstance(error, StatusError), error
    return error


def forms(code: str, status: int) -> dict[str, Any]:
    """Every place where a code may stand in a refusal."""
    of_tasks = {"code": status, "title": "Refused", "context": "CreateReloadTask", "timestamp": "2026"}
    return {
        "most services": {"errors": [{"code": code, "title": "Refused", "detail": "so it is"}], "traceId": "t1"},
        "bare": {"status_code": status, "code": code, "context": "CreateReloadTask", "value": None},
        "bare, without a status": {"code": code, "context": "CreateReloadTask"},
        "title": {"errors": [{**of_tasks, "title": f"{code}: refused"}], "traceId": "t1"},
        "result, a text": {"errors": [{**of_tasks, "result": code}], "traceId": "t1"},
        "result, an object": {"errors": [{**of_tasks, "result": {"code": code}}], "traceId": "t1"},
        "inner": {"errors": [{**of_tasks, "inner": {"code": 500, "inner": {"code": code}}}], "traceId": "t1"},
        "second": {"errors": [of_tasks, {"code": code, "title": "Refused"}], "traceId": "t1"},
    }


@pytest.mark.parametrize("place", [*forms("CHO-001", 400)])
@pytest.mark.parametrize("code", [code for code in STATUSES if code.startswith("CHO")])
def test_a_code_of_the_scheduler_is_read_wherever_it_stands(code: str, place: str) -> None:
    status = STATUSES[code]
    error = refused(status, forms(code, status)[place])

    assert error.code == code
    assert error.advice == advice_about(code, status, "the user")
    assert error.advice in str(error)


@pytest.mark.parametrize("code", [*ADVICE])
def test_each_code_has_one_sentence_of_advice_that_users_read(code: str) -> None:
    error = refused(STATUSES[code], {"errors": [{"code": code.replace("*", "7"), "title": "Refused"}]})
    error.connection = "qlik_prod"

    assert str(error).startswith("Refused. ")
    assert error.advice.endswith(".")
    assert "{" not in error.advice
    assert error.advice in str(error)
    assert len(error.advice) < 250


def test_advice_about_rights_names_the_connection() -> None:
    error = refused(403, {"errors": [{"code": "CHO-003", "title": "Forbidden"}]})
    error.connection = "qlik_prod"

    assert "the user of the connection 'qlik_prod' may see and reload it" in str(error)


@pytest.mark.parametrize("code", [*ADVICE])
def test_each_code_is_on_the_page_of_troubleshooting(code: str) -> None:
    assert re.search(rf"^\| `{re.escape(code)}` \| {STATUSES[code]} \|", TROUBLESHOOTING, re.MULTILINE)


def test_the_page_of_troubleshooting_explains_no_code_that_has_no_advice() -> None:
    assert set(re.findall(r"^\| `([A-Z]+-[\d*]+)` \|", TROUBLESHOOTING, re.MULTILINE)) == set(ADVICE)


def test_a_code_nobody_knows_gets_the_advice_of_its_status() -> None:
    error = refused(403, {"errors": [{"code": "CHO-029", "title": "Forbidden"}]})

    assert error.code == "CHO-029"
    assert error.advice == "Check the roles and OAuth scopes of the user."


def test_a_reload_refused_for_another_reason_is_not_called_pending() -> None:
    assert refused(400, {"errors": [{"code": "RELOADS-005", "title": "Bad"}]}).advice == ""


@pytest.mark.parametrize("code", sorted(NOTHING_DONE))
def test_a_code_that_says_that_nothing_was_made_lets_a_start_be_repeated(code: str) -> None:
    error = refused(503, forms(code, 503)["bare"])

    assert error.transient
    assert not error.outcome_unknown
    assert refused(503, {"errors": [{"code": "CHO-029"}]}).outcome_unknown


def test_the_message_shows_the_inner_error_of_start_task() -> None:
    inner = {"code": 403, "title": "Forbidden", "inner": {"title": "task is disabled by its owner"}}
    error = refused(400, {"errors": [{"code": 400, "title": "Bad Request", "context": "StartTask", "inner": inner}]})

    assert "task is disabled by its owner" in str(error).splitlines()[0]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"result": "the app is locked"}, "the app is locked"),
        ({"result": {"message": "the app is locked", "code": 7}}, "the app is locked"),
        ({"result": [{"detail": "one"}, {"detail": "two"}]}, "one: two"),
        ({"meta": {"quota": "reloads per day"}}, "quota: reloads per day"),
        ({"meta": {"appErrors": [{"title": "no such sheet"}]}}, "no such sheet"),
        ({"inner": "plain words"}, "plain words"),
        ({"inner": [{"title": "first"}, {"title": "second"}]}, "first: second"),
    ],
)
def test_the_message_shows_more_than_the_title(members: dict[str, Any], told: str) -> None:
    assert str(refused(400, {"errors": [{"code": "A-1", "title": "No", **members}]})).startswith(f"No: {told}. ")


def test_the_task_that_is_there_already_is_named() -> None:
    body = {"status_code": 409, "code": "CHO-031", "context": "CreateReloadTask", "value": {"existingTaskId": "3d8b"}}

    assert str(refused(409, body)).startswith("CreateReloadTask: existingTaskId: 3d8b. The app has such a task")


def test_of_several_errors_each_tells_its_own_reason() -> None:
    errors = [{"title": "first", "inner": {"title": "deep"}}, {"code": "A-2", "detail": "second"}, {"meta": {"a": "b"}}]

    assert str(refused(400, {"errors": errors})).startswith("first: deep; second: A-2; a: b. ")


@pytest.mark.parametrize(
    "member",
    [
        {"title": 'could not use {"executionToken": "s3cr3t-s3cr3t"}'},
        {"detail": "X-Execution-Token: s3cr3t-s3cr3t"},
        {"meta": {"executionToken": "s3cr3t-s3cr3t"}},
        {"result": {"request": {"headers": {"Authorization": "Bearer s3cr3t-s3cr3t"}}}},
        {"inner": {"inner": {"detail": "sent Authorization: Bearer s3cr3t-s3cr3t"}}},
        {"context": "client_secret=s3cr3t-s3cr3t"},
    ],
    ids=lambda member: next(iter(member)),
)
def test_an_error_message_shows_no_secret_of_a_refusal(member: dict[str, Any]) -> None:
    for errors in ([member], [member, {"title": "another"}]):
        error = refused(400, {"errors": errors})

        assert "s3cr3t" not in str(error) + repr(vars(error))


def test_a_refusal_of_many_lines_and_texts_is_one_bounded_line() -> None:
    many = {f"m{number}": "word\n" * 400 for number in range(500)}
    error = refused(400, {"errors": [{"title": "No\nreally", "meta": many, "inner": {"detail": "the true reason"}}]})

    assert "\n" not in str(error)
    assert str(error).startswith("No really: the true reason: m0: word word")
    assert len(str(error)) < 1500


@pytest.mark.parametrize(
    "body", [{"code": "502"}, {"code": 502}, {"code": "BAD_GATEWAY", "message": "no"}, {"status_code": 502}]
)
def test_the_error_of_a_gateway_is_no_bare_result(body: dict[str, Any]) -> None:
    error = refusal("POST", "/path", Reply(502, {}, json.dumps(body).encode()))

    assert isinstance(error, IntermediaryResponseError)
