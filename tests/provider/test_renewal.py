"""A connection that is changed while tasks wait."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_qlik.cloud.api import users
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from tests.provider.conftest import FAST, Task, finish

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def connect(tenant: Tenant, **changed: str) -> None:
    os.environ["AIRFLOW_CONN_QLIK_CLOUD_DEFAULT"] = json.dumps(
        {
            "conn_type": "qlik_cloud",
            "host": tenant.url,
            "login": tenant.client_id,
            "password": tenant.client_secret,
            "extra": {"auth_type": "client_credentials"},
            **changed,
        }
    )


@contextmanager
def meanwhile(tenant: Tenant, *, changed: bool) -> Iterator[None]:
    """While the task waits, its secret is replaced and its token revoked."""

    def change() -> None:
        for _ in range(500):
            if len(tenant.request_log("list_task_runs")) >= 6:
                break
            time.sleep(0.02)
        tenant.rotate("client_secret")
        if changed:
            connect(tenant)
        tenant.revoke_tokens()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture
def qlik_task(tenant: Tenant) -> str:
    connect(tenant)
    qlik_task = tenant.add_task("Refresh")
    tenant.script(qlik_task, Script(run=40))
    return qlik_task


@both_modes
def test_a_wait_goes_on_with_the_new_secret(tenant: Tenant, task: Task, qlik_task: str, deferrable: bool) -> None:
    operator = QlikRunTaskOperator(task_id="refresh", qlik_task_id=qlik_task, deferrable=deferrable, **FAST)
    with meanwhile(tenant, changed=True):
        result = finish(operator, task.context)
    assert result["state"] == "succeeded"
    assert len(tenant.runs(qlik_task)) == 1


@both_modes
def test_a_wait_ends_with_the_reason_where_nobody_gives_a_new_secret(
    tenant: Tenant, task: Task, qlik_task: str, deferrable: bool
) -> None:
    operator = QlikRunTaskOperator(task_id="refresh", qlik_task_id=qlik_task, deferrable=deferrable, **FAST)
    with meanwhile(tenant, changed=False), pytest.raises(AirflowFailException, match="Unauthorized.*HTTP 401 for POST"):
        finish(operator, task.context)


def test_a_connection_that_is_deleted_is_named(tenant: Tenant, qlik_task: str) -> None:
    with QlikCloudHook() as hook:
        assert hook.test_connection()[0]
    with QlikCloudHook() as hook:
        hook.get_conn()
        tenant.rotate("client_secret")
        tenant.revoke_tokens()
        del os.environ["AIRFLOW_CONN_QLIK_CLOUD_DEFAULT"]
        ok, why = hook.test_connection()
    assert not ok
    assert "qlik_cloud_default" in why
    assert "the connection does not exist any more" in why


def test_a_kill_after_a_renewal_signs_in_with_the_new_key(tenant: Tenant) -> None:
    connect(tenant, login="", password=tenant.api_key, extra="{}")
    with QlikCloudHook() as hook:
        hook.get_conn()
        connect(tenant, login="", password=tenant.rotate("api_key"), extra="{}")
        hook.call(users.me())
        client = hook.beside()
        assert client is not None
        with client:
            assert client.call(users.me()).id


def test_two_who_use_one_hook_at_once_share_its_client_and_give_it_back(tenant: Tenant) -> None:
    connect(tenant)

    async def play() -> tuple[bool, bool]:
        async with QlikCloudHook() as hook:
            one, other = await asyncio.gather(hook.get_async_conn(), hook.get_async_conn())
        return one is other, one._http.is_closed

    assert asyncio.run(play()) == (True, True)
