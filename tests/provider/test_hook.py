from __future__ import annotations

import asyncio
import json
import logging

import httpx
import pytest

from airflow_provider_qlik.cloud import UnauthorizedError
from airflow_provider_qlik.cloud.api import automations, tasks, users
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.sandbox import Tenant
from airflow_provider_qlik.validation import InvalidArgumentError


def names(automation_id: str, task_id: str) -> Flow[tuple[str | None, str | None]]:
    automation = yield from send(automations.get(automation_id))
    task = yield from send(tasks.get(task_id))
    return automation.name, task.name


def test_calls_lists_and_flows_go_through_the_connection(tenant: Tenant) -> None:
    automation, task = tenant.add_automation("Prepare"), tenant.add_task("Refresh")
    with QlikCloudHook() as hook:
        assert hook.call(tasks.get(task)).name == "Refresh"
        assert [each.id for each in hook.iterate(automations.list())] == [automation]
        assert hook.run_flow(names(automation, task)) == ("Prepare", "Refresh")


def test_the_async_twins_do_the_same(tenant: Tenant) -> None:
    automation, task = tenant.add_automation("Prepare"), tenant.add_task("Refresh")

    async def all_three() -> None:
        async with QlikCloudHook() as hook:
            assert (await hook.acall(tasks.get(task))).name == "Refresh"
            assert [each.id async for each in hook.aiterate(automations.list())] == [automation]
            assert await hook.arun_flow(names(automation, task)) == ("Prepare", "Refresh")

    asyncio.run(all_three())


@pytest.mark.parametrize(("tasks_api", "method"), [("/api/v1/tasks", "PUT"), ("/api/scheduling/tasks", "PATCH")])
def test_a_task_is_switched_off_and_on_with_either_tasks_api(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tasks_api: str, method: str
) -> None:
    extra = {"tasks_api": tasks_api}
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    task_id = tenant.add_task("Refresh", description="as it was")

    with QlikCloudHook() as hook:
        off, on = hook.disable_task(task_id), hook.enable_task(task_id)

    assert (off.enabled, on.enabled, on.description) == (False, True, "as it was")
    changes = [entry.method for entry in tenant.request_log() if entry.method != "GET" and entry.carried_out]
    assert changes == [method, method]


def test_a_list_is_followed_to_its_end(tenant: Tenant) -> None:
    ids = {tenant.add_task(f"Task {number}") for number in range(45)}
    with QlikCloudHook() as hook:
        assert {task.id for task in hook.iterate(tasks.list())} == ids
    # Before the first page it is looked where the tenant has its tasks.
    assert len(tenant.request_log(operation="list_tasks")) == 1 + 3


@pytest.mark.parametrize("users_me", ["redirect", "direct"])
def test_the_test_button_says_who_signed_in(tenant: Tenant, users_me: str) -> None:
    tenant.switch(users_me=users_me)
    works, message = QlikCloudHook().test_connection()
    assert works
    assert tenant.url in message
    assert tenant.user_id in message


def test_the_test_button_says_what_is_wrong(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tenant.api_key
    tenant.rotate("api_key")
    works, message = QlikCloudHook().test_connection()
    assert not works
    assert "401" in message
    assert old not in message
    assert len(tenant.request_log()) == 1

    for connection, expected in (
        ({"host": tenant.url}, "password: must be given"),
        ({"host": "http://127.0.0.1:1", "password": "key"}, "Could not connect to 127.0.0.1"),
        ({"password": "key"}, "host: give the tenant's address"),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps({"conn_type": "qlik_cloud", **connection}))
        works, message = QlikCloudHook().test_connection()
        assert not works
        assert expected in message


@pytest.mark.parametrize(
    ("variables", "connection", "begins"),
    [
        ({"ALL_PROXY": "socks4://me:hidden@127.0.0.1"}, {}, "ALL_PROXY: must be the URL of a proxy"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, {}, "SSL_CERT_FILE: must be the path"),
        ({}, {"host": f"https://{'a' * 64}.example"}, "host: has more than the 63 characters"),
        ({}, {"password": "Bearer hidden"}, "password: the API key must be given without 'Bearer'"),
        ({}, {"login": "client"}, "auth_type: a client ID"),
        ({}, {"extra": {"read_timeout": "soon"}}, "read_timeout: must be a number"),
    ],
)
def test_the_test_button_begins_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], connection: dict[str, object], begins: str
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, given in variables.items():
        monkeypatch.setenv(name, given)
    usual = {"conn_type": "qlik_cloud", "host": "https://acme.eu.qlikcloud.com", "password": "key"}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps({**usual, **connection}))
    works, message = QlikCloudHook().test_connection()
    assert not works
    assert message.startswith(begins)
    assert "hidden" not in message


@pytest.mark.parametrize("error", [OSError(5, "the disk is gone\0"), KeyError(), RuntimeError("x" * 100_000)], ids=repr)
def test_the_test_button_raises_nothing_whatever_happens(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(QlikCloudHook, "get_connection", fails)
    works, message = QlikCloudHook().test_connection()
    assert not works
    assert message.startswith(str(error).replace("\0", "\\x00")[:50] or "KeyError")
    assert len(message) < 3000


def test_the_test_button_says_that_there_is_no_such_connection() -> None:
    works, message = QlikCloudHook("nowhere_to_be_found").test_connection()
    assert not works
    assert "nowhere_to_be_found" in message


@pytest.mark.parametrize("auth_type", ["api_key", "client_credentials", "impersonation", "private_key"])
def test_every_way_of_signing_in_works_from_a_connection(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, auth_type: str
) -> None:
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "login": "" if auth_type == "api_key" else tenant.client_id,
        "password": tenant.api_key if auth_type == "api_key" else tenant.client_secret,
        "extra": {
            "auth_type": auth_type,
            "impersonated_user": tenant.user_subject,
            "private_key": tenant.private_key,
            "key_id": tenant.key_id,
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    works, message = QlikCloudHook().test_connection()
    assert works, message


def test_a_connection_as_uri_works(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    host = tenant.url.replace(":", "%3A").replace("/", "%2F")
    uri = f"qlik-cloud://{tenant.client_id}:{tenant.client_secret}@{host}?auth_type=client_credentials"
    monkeypatch.setenv("AIRFLOW_CONN_FROM_URI", uri)
    works, message = QlikCloudHook("from_uri").test_connection()
    assert works, message


def test_the_other_tasks_api_is_a_setting(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tenant.add_task("Refresh")
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "password": tenant.api_key,
        "extra": {"tasks_api": "/api/scheduling/tasks"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    with QlikCloudHook() as hook:
        hook.call(tasks.get(task))
    assert [entry.path for entry in tenant.request_log()] == [f"/api/scheduling/tasks/{task}"]


def test_an_error_in_the_connection_names_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "qlik_cloud", "host": "acme.eu.qlikcloud.com"}))
    with pytest.raises(InvalidArgumentError, match="password") as error:
        QlikCloudHook("broken").get_conn()
    assert error.value.__notes__ == ["In the Airflow connection 'broken'."]


def test_httpx_logs_no_line_for_our_requests(tenant: Tenant) -> None:
    logger, lines = logging.getLogger("httpx"), []
    before = logger.level
    logger.setLevel(logging.INFO)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        with QlikCloudHook() as hook:
            hook.call(users.me())
        assert lines == []
        httpx.get(tenant.url)
        assert len(lines) == 1
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def test_a_wrong_key_is_an_error_of_its_own(tenant: Tenant) -> None:
    tenant.rotate("api_key")
    with QlikCloudHook() as hook, pytest.raises(UnauthorizedError):
        hook.call(users.me())
