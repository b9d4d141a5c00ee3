"""Deprecation headers: logged once, counted, and never the cause of an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Client, ClientCredentials, Tenant
from airflow_provider_qlik.cloud.api import reload_tasks, tasks
from airflow_provider_qlik.cloud.transport.deprecations import Deprecation, read_deprecation
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.cloud.conftest import QUICK
from tests.listener import Answer, Listener, Seen, refused_by_qlik

PAGE = "https://qlik.dev/changelog/209"


@pytest.mark.parametrize(
    ("sunset", "shown"),
    [
        ("Thu, 31 Dec 2026 23:59:59 GMT", "2026-12-31"),
        ("Thursday, 31-Dec-26 23:59:59 GMT", "2026-12-31"),
        ("2026-12-31", "2026-12-31"),
        ("2026-12-31T23:59:59Z", "2026-12-31"),
        ("2027-01-01T00:30:00+01:00", "2026-12-31"),
        ("@1798761599", "2026-12-31"),
        ("1798761599", "2026-12-31"),
        (" 2026-12-31 ", "2026-12-31"),
        ("31/12/2026", "31/12/2026"),
        ("next year", "next year"),
        ("9999-99-99", "9999-99-99"),
        ("@999999999999", "@999999999999"),
        ("2026-12-31\x00\x1b[31m", "2026-12-31\\x00\\x1b[31m"),
        ("", None),
    ],
)
def test_a_date_is_read_in_every_form(sunset: str, shown: str | None) -> None:
    assert read_deprecation({"deprecation": "true", "sunset": sunset}) == Deprecation(shown, None)


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (f"<{PAGE}>", PAGE),
        (f'<{PAGE}>; rel="deprecation"; type="text/html"', PAGE),
        (f'</api/v1/x?page=2>; rel="next", <{PAGE}>; rel="sunset"', PAGE),
        (f'<{PAGE}>; rel=deprecation, </api/scheduling/tasks>; rel="successor-version"', "/api/scheduling/tasks"),
        (f'<{PAGE}>; rel="something of Qlik\'s own"', PAGE),
        (PAGE, PAGE),
        ("<>", None),
        ("<<>><", None),
        ("", None),
    ],
)
def test_the_log_shows_the_link_that_helps_most(link: str, shown: str | None) -> None:
    assert read_deprecation({"sunset": "2026-12-31", "link": link}) == Deprecation("2026-12-31", shown)


@pytest.mark.parametrize(
    "headers", [{}, {"link": f"<{PAGE}>; rel=next"}, {"deprecation": "false"}, {"deprecation": "?0"}, {"sunset": " "}]
)
def test_other_headers_are_no_deprecation(headers: dict[str, str]) -> None:
    assert read_deprecation(headers) is None


@pytest.mark.parametrize("deprecation", ["true", "?1", "@1688169599", "Wed, 11 Nov 2026 23:59:59 GMT", "version=1"])
def test_a_deprecation_without_a_date_is_one(deprecation: str) -> None:
    assert read_deprecation({"deprecation": deprecation}) == Deprecation(None, None)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "has deprecated" in record.getMessage()]


@pytest.mark.parametrize("form", ["http_date", "iso_date", "iso_time", "epoch"])
def test_a_deprecated_operation_is_logged_once_and_counted_each_time(
    sandbox: SandboxTenant, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    task, counted = sandbox.add_task(), list[str]()
    sandbox.switch(deprecated_paths="/api/v1/*", sunset_form=form)

    def count(name: str, number: float) -> None:
        counted.extend([name] * (name == "deprecated"))

    where = Tenant.at(sandbox.url, tasks_path="/api/v1/tasks")
    with Client(where, ApiKey(sandbox.api_key), count=count) as client:
        for _ in range(3):
            client.call(tasks.get(task))

    async def again() -> None:
        async with AsyncClient(where, ApiKey(sandbox.api_key), count=count) as client:
            await client.call(tasks.get(task))
            await client.call(tasks.list())

    asyncio.run(again())
    assert counted == ["deprecated"] * 5
    first, second = lines(caplog)
    assert "operation get_task: it may be gone from 2027-11-30 on, see https://qlik.dev/changelog/" in first
    assert f"(GET /api/v1/tasks/{task})" in first
    assert "operation list_tasks" in second


def test_an_error_response_counts_as_deprecated_too(sandbox: SandboxTenant, caplog: pytest.LogCaptureFixture) -> None:
    sandbox.switch(deprecated_paths="/api/v1/reload-tasks*", sunset="")
    with Client(Tenant.at(sandbox.url), ApiKey(sandbox.api_key), retry_policy=QUICK) as client:
        with pytest.raises(Exception, match="404"):
            client.call(reload_tasks.get("gone"))
        client.call(tasks.list())
    (line,) = lines(caplog)
    assert "get_reload_task: it will be removed; Qlik does not say when" in line


@pytest.mark.parametrize(
    "headers",
    [
        {"deprecation": "\xff\xfe", "sunset": "\xff" * 3000, "link": "<" * 3000},
        {"sunset": "Fri, 99 Foo 99999 99:99:99 +999999", "link": "<a" + ",<a" * 2000},
        {"sunset": "@" + "9" * 400},
    ],
)
def test_no_header_makes_a_call_fail(listener: Listener, headers: dict[str, str]) -> None:
    listener.answers(Answer(200, {"id": "t"}, headers))
    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONE_ATTEMPT) as client:
        assert client.call(tasks.get("t")).id == "t"


def test_what_a_header_says_is_shown_without_secrets(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    link = "<https://elsewhere.example/?access_token=planted-secret-0123456789>"
    listener.answers(Answer(200, {"id": "t"}, {"deprecation": "true", "link": link}))
    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONE_ATTEMPT) as client:
        client.call(tasks.get("t"))
    (line,) = lines(caplog)
    assert "elsewhere.example" in line
    assert "planted-secret" not in line


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_every_request_but_that_for_a_token_has_the_api_version(listener: Listener, driver: str) -> None:
    def reply(seen: Seen) -> Answer:
        if seen.path == "/oauth/token":
            return Answer(200, {"access_token": "t" * 20, "token_type": "Bearer", "expires_in": 3600})
        return Answer(200, {"id": "t"}) if seen.method == "GET" else refused_by_qlik(400)

    listener.answers(reply)
    where, machine = Tenant.at(listener.url), ClientCredentials("id", "secret-0123456789")

    async def by_loop() -> None:
        async with AsyncClient(where, machine) as client:
            for call in calls:
                await asyncio.gather(client.call(call), return_exceptions=True)

    calls: list[Any] = [tasks.get("t"), tasks.start("t")]
    if driver == "async":
        asyncio.run(by_loop())
    else:
        with Client(where, machine) as client:
            client.call(calls[0])
            with pytest.raises(Exception, match="400"):
                client.call(calls[1])
    versions = [(seen.path, seen.headers.get("qlik-api-version")) for seen in listener.seen]
    assert versions == [
        ("/oauth/token", None),
        ("/api/v1/tasks/t", "2026-11"),
        ("/api/v1/tasks/t/actions/start", "2026-11"),
    ]
