"""Reloads of apps, and their logs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik.cloud import Call
from airflow_provider_qlik.cloud.api import apps, reloads
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.models.apps import ReloadLogList
from airflow_provider_qlik.cloud.models.reloads import Reload, ReloadList
from airflow_provider_qlik.validation import InvalidArgumentError


def test_a_reload_needs_no_more_than_its_app() -> None:
    call = reloads.start("app")

    assert (call.method, call.path, call.body) == ("POST", "/api/v1/reloads", {"appId": "app"})
    assert not call.repeatable


def test_a_reload_is_told_all_that_was_said() -> None:
    call = reloads.start("app", partial=False, weight=3, variables={"vYear": "2026", "vEmpty": ""})

    assert call.body == {
        "appId": "app",
        "partial": False,
        "weight": 3,
        "variables": {"vYear": "2026", "vEmpty": ""},
    }


def test_starting_and_cancelling_have_a_limit_of_their_own() -> None:
    tiers = [call.tier for call in (reloads.start("a"), reloads.cancel("r"), reloads.get("r"), reloads.list("a"))]

    assert tiers == [Tier.RELOADS, Tier.RELOADS, Tier.ONE, Tier.ONE]


def test_the_newest_reloads_of_an_app_are_asked_for() -> None:
    call = reloads.list("app", sort="-creationTime", limit=5, partial=True, next="c")

    assert dict(call.query) == {
        "appId": "app",
        "limit": "5",
        "next": "c",
        "partial": "true",
        "sort": "-creationTime",
    }


def test_as_much_as_is_allowed_may_be_said() -> None:
    variables = {f"{place:0>256}": "v" * 256 for place in range(20)}

    assert reloads.start("app", variables=variables).body["variables"] == variables


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        (lambda: reloads.start(""), "app_id: an id must not be empty"),
        (lambda: reloads.start(None), "app_id: an id is a text"),  # type: ignore[arg-type]
        (lambda: reloads.start("a", partial="yes"), "partial: .*boolean"),  # type: ignore[arg-type]
        (lambda: reloads.start("a", weight=0), "weight: a whole number from 1, not 0"),
        (lambda: reloads.start("a", weight=True), "weight: a whole number"),
        (lambda: reloads.start("a", variables=["v"]), "variables: must be a mapping of names to texts"),  # type: ignore[arg-type]
        (lambda: reloads.start("a", variables={"v": 1}), "variables: must be a mapping of names to texts"),  # type: ignore[dict-item]
        (lambda: reloads.start("a", variables={1: "v"}), "variables: must be a mapping of names to texts"),  # type: ignore[dict-item]
        (lambda: reloads.start("a", variables={" ": "v"}), "variables: a variable needs a name"),
        (
            lambda: reloads.start("a", variables={f"v{n}": "" for n in range(21)}),
            r"variables: at most 20 variables \(given: 21\)",
        ),
        (lambda: reloads.start("a", variables={"v": "x" * 257}), r"variables: .*at most 256 characters \(given: 'v'\)"),
        (lambda: reloads.start("a", variables={"v" * 257: "x"}), "variables: .*at most 256 characters"),
        (lambda: reloads.list(""), "app_id"),
        (lambda: reloads.list("a", sort="newest"), "sort: one of 'creationTime'"),
        (lambda: reloads.list("a", limit=101), "limit: a whole number from 1 to 100, not 101"),
        (lambda: apps.reload_log("a", ""), "reload_id"),
        (lambda: apps.reload_logs("a/b"), "app_id"),
    ],
)
def test_what_is_wrong_is_refused_by_name(asks: Callable[[], Call[Any]], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        asks()


def test_a_value_that_is_too_long_is_not_shown() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        reloads.start("a", variables={"password": "very secret" * 30})

    assert "very secret" not in str(refused.value)


def test_a_reload_is_read_with_all_that_qlik_tells() -> None:
    said = {
        "id": "r",
        "appId": "app",
        "tenantId": "t",
        "userId": "u",
        "status": "NEW",
        "type": "hub",
        "weight": "2",
        "creationTime": "2026-01-02T03:04:05Z",
        "startTime": "",
        "endTime": None,
        "engineTime": "any time",
        "errorCode": "E",
        "errorMessage": "no such table",
        "partial": False,
        "log": "a log",
        "more": 1,
    }
    reload = Reload.from_json(said)

    assert (reload.status, reload.weight, reload.engine_time, reload.partial) == ("NEW", 2, "any time", False)
    assert (reload.creation_time, reload.start_time) == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None)
    assert reload.model_extra == {"more": 1}


def test_a_page_of_reloads_leads_to_the_next() -> None:
    page = ReloadList.from_json(
        {"data": [{"id": "r", "status": "QUEUED"}], "links": {"next": {"href": "/x?next=c&appId=app"}}}
    )

    assert [reload.id for reload in page.items] == ["r"]
    assert page.next_query == (("next", "c"), ("appId", "app"))


def test_the_log_of_a_reload_is_text() -> None:
    call = apps.reload_log("app 1", "r")

    assert (call.path, call.response_type, call.accept) == ("/api/v1/apps/app%201/reloads/logs/r", str, "text/plain")


def test_the_logs_of_an_app_are_listed() -> None:
    page = ReloadLogList.from_json({"data": [{"reloadId": "r", "success": True, "duration": 1500}]})

    assert apps.reload_logs("app").path == "/api/v1/apps/app/reloads/logs"
    assert [(log.reload_id, log.success, log.duration) for log in page.items] == [("r", True, 1500)]
