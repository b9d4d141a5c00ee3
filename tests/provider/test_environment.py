"""What the environment gets wrong ends a task or a deferred wait at once, by the name of the variable."""

from __future__ import annotations

import pytest

from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.sandbox import Tenant
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import fire

WRONG = {
    "SSL_CERT_FILE": "/nowhere.pem",
    "SSL_CERT_DIR": "/nowhere",
    "SSLKEYLOGFILE": "/nowhere/keys.log",
}


@pytest.fixture(params=WRONG)
def variable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> str:
    from airflow_provider_qlik.cloud.transport import tenant as module

    for name in WRONG:
        monkeypatch.delenv(name, raising=False)
    module._context.cache_clear()
    monkeypatch.setenv(request.param, WRONG[request.param])
    return str(request.param)


def test_a_task_fails_by_the_name_of_the_variable(variable: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{variable}: must be "):
        QlikCloudHook().get_conn()


def test_a_deferred_wait_ends_at_once_by_the_name_of_the_variable(variable: str) -> None:
    event = fire(QlikRunTrigger(kind="task", resource_id="t", poll_interval=0.1))
    assert f"{variable}: must be " in str(event)


def test_no_proxy_as_other_tools_read_it_disturbs_nobody(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,[::1],fd00::/8")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    works, message = QlikCloudHook().test_connection()
    assert works, message
