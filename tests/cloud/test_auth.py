"""Authentication: four methods, one shared token, and no secret anywhere else."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Client,
    ClientCredentials,
    ConnectError,
    Credentials,
    Impersonation,
    PrivateKey,
    QlikCloudError,
    RetryPolicy,
    StatusError,
    Tenant,
)
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.errors import BadRequestError, ForbiddenError, UnauthorizedError
from airflow_provider_qlik.cloud.polling.slots import MAX_CONCURRENT_REQUESTS, RESERVED_SLOTS
from airflow_provider_qlik.cloud.transport import token_request
from airflow_provider_qlik.cloud.transport.auth import auth_for
from airflow_provider_qlik.cloud.transport.clock import forget_offsets, measured_offset
from airflow_provider_qlik.cloud.transport.token_cache import SharedToken, forget_tokens
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.cloud.conftest import QUICK
from tests.listener import Answer, Listener

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def machine(sandbox: SandboxTenant) -> ClientCredentials:
    return ClientCredentials(sandbox.client_id, sandbox.client_secret)


@pytest.fixture
def oauth(sandbox: SandboxTenant, machine: ClientCredentials) -> Client:
    return Client(Tenant.at(sandbox.url), machine, retry_policy=QUICK)


def tokens(sandbox: SandboxTenant) -> int:
    """Return the number of token requests that the tenant got."""
    return len(sandbox.request_log("token"))


# Authentication methods


def ways(sandbox: SandboxTenant) -> dict[str, tuple[Credentials, str]]:
    """Return each authentication method, and whom the tenant takes the client for."""
    id, secret, user = sandbox.client_id, sandbox.client_secret, f"user:{sandbox.user_id}"
    return {
        "API key": (ApiKey(sandbox.api_key), "api_key"),
        "API key as pasted": (ApiKey(f" {sandbox.api_key}\n"), "api_key"),
        "OAuth": (ClientCredentials(id, secret), "client"),
        "OAuth with a scope": (ClientCredentials(id, secret, scope="user_default"), "client"),
        "for a user by subject": (Impersonation(id, secret, sandbox.user_subject), user),
        "for a user by id": (Impersonation(id, secret, sandbox.user_id, user_field="userId"), user),
        "RSA key": (PrivateKey(id, sandbox.private_key, sandbox.key_id), "client"),
        "EC key": (PrivateKey(id, sandbox.ec_private_key, sandbox.ec_key_id, scope="user_default"), "client"),
    }


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_each_authentication_method_is_accepted(sandbox: SandboxTenant, driver: str) -> None:
    tenant = Tenant.at(sandbox.url)

    async def listed(credentials: Credentials) -> None:
        async with AsyncClient(tenant, credentials, retry_policy=ONCE) as client:
            await client.call(tasks.list())

    for way, (credentials, whom) in ways(sandbox).items():
        sandbox.clear_request_log()
        if driver == "sync":
            with Client(tenant, credentials, retry_policy=ONCE) as client:
                client.call(tasks.list())
        else:
            asyncio.run(listed(credentials))

        *signing_in, request = sandbox.request_log()
        assert (request.operation, request.credential) == ("list_tasks", whom), way
        assert [entry.operation for entry in signing_in] == ([] if "API key" in way else ["token"])
        assert all(entry.headers["content-type"] == "application/json" for entry in signing_in)
        assert all(("scope" in entry.body) == (getattr(credentials, "scope", None) is not None) for entry in signing_in)


def test_an_assertion_is_good_for_one_request_and_not_for_long(sandbox: SandboxTenant) -> None:
    with Client(Tenant.at(sandbox.url), PrivateKey(sandbox.client_id, sandbox.private_key, sandbox.key_id)) as client:
        for _ in range(3):
            client.call(tasks.list())
            sandbox.revoke_tokens()

    assert [entry.status for entry in sandbox.request_log("token")] == [200, 200, 200], "the tenant takes each jti once"


def test_a_private_key_is_never_sent(sandbox: SandboxTenant, listener: Listener) -> None:
    listener.answers(Answer(200, {"access_token": "token"}), Answer(200, {"data": []}))
    credentials = PrivateKey(sandbox.client_id, sandbox.private_key, sandbox.key_id)
    with Client(Tenant.at(listener.url), credentials) as client:
        client.call(tasks.list())

    body = listener.seen[0].json
    assert set(body) == {"grant_type", "client_id", "client_assertion_type", "client_assertion"}
    lines = sandbox.private_key.splitlines()
    assert not any(line in str(each) for each in listener.seen for line in lines)


# A clock that is off


class ClockOfThisMachine:
    """The clock of the modules that sign, ahead of the real one by so many seconds."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def clock_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClockOfThisMachine]:
    clock = ClockOfThisMachine(0)
    for module in ("token_request", "credentials"):
        monkeypatch.setattr(f"airflow_provider_qlik.cloud.transport.{module}.time", clock)
    forget_offsets()
    yield clock
    forget_offsets()


def sign_in_of(driver: str, sandbox: SandboxTenant, key: PrivateKey) -> None:
    """Sign in anew and list tasks."""
    forget_tokens()
    tenant = Tenant.at(sandbox.url)

    async def listed() -> None:
        async with AsyncClient(tenant, key, retry_policy=ONCE) as client:
            await client.call(tasks.list())

    if driver == "async":
        asyncio.run(listed())
    else:
        with Client(tenant, key, retry_policy=ONCE) as client:
            client.call(tasks.list())


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize("ahead", [-140, -60, 60, 110])
def test_an_assertion_leaves_room_for_a_clock_that_is_a_minute_or_two_off(
    sandbox: SandboxTenant, clock_of_this_machine: ClockOfThisMachine, driver: str, ahead: float
) -> None:
    clock_of_this_machine.ahead = ahead
    sign_in_of(driver, sandbox, PrivateKey(sandbox.client_id, sandbox.private_key, sandbox.key_id))
    assert [entry.status for entry in sandbox.request_log("token")] == [200]


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize(
    ("ahead", "says"), [(-200, "200 s behind"), (3600, "3600 s ahead of"), (-86400, "86400 s behind")]
)
def test_a_clock_that_is_far_off_is_corrected_once_by_the_servers(
    sandbox: SandboxTenant,
    clock_of_this_machine: ClockOfThisMachine,
    caplog: pytest.LogCaptureFixture,
    driver: str,
    ahead: float,
    says: str,
) -> None:
    clock_of_this_machine.ahead = ahead
    key = PrivateKey(sandbox.client_id, sandbox.private_key, sandbox.key_id)
    for _ in range(2):
        sign_in_of(driver, sandbox, key)
    assert [entry.status for entry in sandbox.request_log("token")] == [401, 200, 200], "the second time it is known"
    assert [record.getMessage().partition(" Qlik")[0] for record in caplog.records if "clock" in record.name] == [
        f"The clock of this machine is {says}"
    ]
    clock_of_this_machine.ahead = 0
    sign_in_of(driver, sandbox, key)
    assert [entry.status for entry in sandbox.request_log("token")][3:] == [401, 200], "the clock was set meanwhile"


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_a_second_refusal_of_a_sign_in_names_the_clock(
    sandbox: SandboxTenant, clock_of_this_machine: ClockOfThisMachine, driver: str
) -> None:
    clock_of_this_machine.ahead = -200
    with pytest.raises(
        UnauthorizedError, match="the clock of this machine is 200 s behind Qlik Cloud's: set it; "
    ) as error:
        sign_in_of(driver, sandbox, PrivateKey(sandbox.client_id, sandbox.private_key, "another"))
    assert "no key another" in str(error.value)
    assert tokens(sandbox) == 2
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_a_clock_that_is_right_is_not_named_and_no_request_is_sent_twice(
    sandbox: SandboxTenant, clock_of_this_machine: ClockOfThisMachine
) -> None:
    for ahead in (0, 20):
        clock_of_this_machine.ahead = ahead
        with pytest.raises(UnauthorizedError) as error:
            sign_in_of("sync", sandbox, PrivateKey(sandbox.client_id, sandbox.private_key, "another"))
        assert "clock" not in str(error.value)
    assert tokens(sandbox) == 2


def test_the_clock_is_no_reason_to_refuse_a_secret(
    sandbox: SandboxTenant, clock_of_this_machine: ClockOfThisMachine
) -> None:
    clock_of_this_machine.ahead = 3600
    with (
        Client(Tenant.at(sandbox.url), ClientCredentials(sandbox.client_id, "wrong"), retry_policy=ONCE) as client,
        pytest.raises(UnauthorizedError) as error,
    ):
        client.call(tasks.list())
    assert "clock" not in str(error.value)
    assert tokens(sandbox) == 1


def test_a_slow_response_is_no_sign_of_a_clock_that_is_off() -> None:
    server_time = datetime(2026, 11, 27, 10, 0, 0, tzinfo=UTC)
    noon = server_time.timestamp()
    assert measured_offset(server_time, noon - 90, noon + 0.5) == 0
    assert measured_offset(server_time, noon - 200, noon - 199) == pytest.approx(200)
    assert measured_offset(server_time, noon + 60, noon + 61) == pytest.approx(-60)
    assert measured_offset(None, noon, noon) is None


# One token


def test_many_clients_share_one_token(sandbox: SandboxTenant, machine: ClientCredentials) -> None:
    async def listed() -> None:
        async with AsyncClient(Tenant.at(sandbox.url), machine) as client:
            await client.call(tasks.list())

    for _ in range(3):
        with Client(Tenant.at(f"{sandbox.url}/"), machine) as client:
            client.call(tasks.list())
            client.call(tasks.list())
        asyncio.run(listed())

    assert tokens(sandbox) == 1
    assert len(sandbox.request_log("list_tasks")) == 9


def test_no_token_is_requested_before_it_is_needed(sandbox: SandboxTenant, oauth: Client) -> None:
    with oauth:
        assert tokens(sandbox) == 0


def test_different_credentials_have_different_tokens(sandbox: SandboxTenant) -> None:
    secrets: list[str] = []
    for credentials, _ in ways(sandbox).values():
        with Client(Tenant.at(sandbox.url), credentials, on_secret=secrets.append) as client:
            client.call(tasks.list())

    assert len(set(secrets)) == len(secrets) == tokens(sandbox) == 6


def test_a_changed_secret_does_not_get_the_old_token(sandbox: SandboxTenant, oauth: Client) -> None:
    with oauth:
        oauth.call(tasks.list())
    wrong = ClientCredentials(sandbox.client_id, "wrong")

    with Client(Tenant.at(sandbox.url), wrong, retry_policy=ONCE) as client, pytest.raises(UnauthorizedError):
        client.call(tasks.list())


def test_forgotten_tokens_are_requested_again(sandbox: SandboxTenant, oauth: Client) -> None:
    with oauth:
        oauth.call(tasks.list())
        forget_tokens()
        oauth.call(tasks.list())

    assert tokens(sandbox) == 2


# Refresh


class Clock:
    """The clock of `token_request`, advanced by hand."""

    def __init__(self) -> None:
        self.seconds = 5000.0

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        return time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(token_request, "time", clock)
    return clock


@pytest.mark.parametrize("expiry", ["expires_in", "expires_at", "both"])
def test_a_token_is_refreshed_a_minute_before_its_end(
    sandbox: SandboxTenant, oauth: Client, clock: Clock, expiry: str
) -> None:
    sandbox.switch(expiry=expiry)
    sandbox.set_token_lifetime(3600)

    with oauth:
        oauth.call(tasks.list())
        clock.seconds += 3538
        oauth.call(tasks.list())
        assert tokens(sandbox) == 1
        clock.seconds += 4
        oauth.call(tasks.list())
        assert tokens(sandbox) == 2
        oauth.call(tasks.list())

    assert tokens(sandbox) == 2
    assert {entry.status for entry in sandbox.request_log("list_tasks")} == {200}


def test_the_end_of_a_token_is_by_the_clock_of_the_tenant(sandbox: SandboxTenant, oauth: Client, clock: Clock) -> None:
    sandbox.switch(expiry="expires_at")
    sandbox.set_token_lifetime(3600)
    sandbox.advance(10 * 3600)

    with oauth:
        oauth.call(tasks.list())
        clock.seconds += 3538
        oauth.call(tasks.list())
        assert tokens(sandbox) == 1
        clock.seconds += 4
        oauth.call(tasks.list())
    assert tokens(sandbox) == 2


@pytest.mark.parametrize("lifetime", [2, 30, 60, 100])
def test_a_token_of_short_lifetime_is_used_for_half_of_it(
    sandbox: SandboxTenant, oauth: Client, clock: Clock, lifetime: int
) -> None:
    sandbox.set_token_lifetime(lifetime)

    with oauth:
        oauth.call(tasks.list())
        clock.seconds += lifetime / 2 - 0.5
        oauth.call(tasks.list())
        assert tokens(sandbox) == 1
        clock.seconds += 1
        oauth.call(tasks.list())
    assert tokens(sandbox) == 2


@pytest.mark.parametrize("reply", [{}, {"expires_in": None}, {"expires_in": "600"}, {"expires_in": 600.5}])
def test_a_token_is_used_in_whatever_form_its_lifetime_comes(
    listener: Listener, clock: Clock, reply: dict[str, Any]
) -> None:
    token = Answer(200, {"access_token": "t", "token_type": "bearer", "novelty": 1, **reply})
    listener.answers(lambda seen: token if seen.path == "/oauth/token" else Answer(200, {"data": []}))

    with Client(Tenant.at(listener.url), ClientCredentials("id", "secret")) as client:
        client.call(tasks.list())
        clock.seconds += 200
        client.call(tasks.list())
        clock.seconds += 2000
        client.call(tasks.list())
    assert sum(seen.path == "/oauth/token" for seen in listener.seen) == 2


def test_after_a_401_one_new_token_and_one_request_follow(sandbox: SandboxTenant, oauth: Client) -> None:
    task_id = sandbox.add_task()
    with oauth:
        oauth.call(tasks.get(task_id))
        sandbox.revoke_tokens()
        oauth.call(tasks.start(task_id))

    assert tokens(sandbox) == 2
    assert [entry.status for entry in sandbox.request_log("start_task")] == [401, 200]
    assert len(sandbox.runs(task_id)) == 1


def test_a_second_401_is_final(sandbox: SandboxTenant, oauth: Client) -> None:
    sandbox.fault("GET", status=401, times=None)
    with oauth, pytest.raises(UnauthorizedError, match="401"):
        oauth.call(tasks.list())

    assert tokens(sandbox) == 2
    assert len(sandbox.request_log("list_tasks")) == 2


def test_a_refused_api_key_is_not_sent_again(sandbox: SandboxTenant) -> None:
    with (
        Client(Tenant.at(sandbox.url), ApiKey("wrong"), retry_policy=QUICK) as client,
        pytest.raises(UnauthorizedError),
    ):
        client.call(tasks.list())
    assert len(sandbox.request_log()) == 1


def test_an_expired_token_is_refreshed(sandbox: SandboxTenant, oauth: Client) -> None:
    with oauth:
        oauth.call(tasks.list())
        sandbox.advance(7 * 3600)
        oauth.call(tasks.list())

    assert [entry.status for entry in sandbox.request_log("list_tasks")] == [200, 401, 200]


# Many at once

MANY = 20


def at_once(send: Callable[[], Any], count: int = MANY) -> list[Any]:
    """Return the results or errors of so many threads that send at the same time."""
    together = threading.Barrier(count)

    def result(_: int) -> Any:
        together.wait()
        try:
            return send()
        except QlikCloudError as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(result, range(count)))


async def listed(client: AsyncClient, count: int = MANY) -> list[Any]:
    """Return the results or errors of so many tasks of an event loop that send at the same time."""
    return await asyncio.gather(*(client.call(tasks.list()) for _ in range(count)), return_exceptions=True)


def test_threads_wait_for_one_token(sandbox: SandboxTenant, oauth: Client) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.1)

    with oauth:
        results = at_once(lambda: oauth.call(tasks.list()).items)

    assert results == [[]] * MANY
    assert tokens(sandbox) == 1


def test_tasks_of_a_loop_wait_for_one_token(sandbox: SandboxTenant, machine: ClientCredentials) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.1)

    async def play() -> list[Any]:
        async with AsyncClient(Tenant.at(sandbox.url), machine) as client:
            return await listed(client)

    assert [page.items for page in asyncio.run(play())] == [[]] * MANY
    assert tokens(sandbox) == 1


def test_threads_and_loops_wait_for_one_token(sandbox: SandboxTenant, machine: ClientCredentials) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.1)
    tenant = Tenant.at(sandbox.url)

    def count() -> int:
        async def play() -> int:
            async with AsyncClient(tenant, machine) as client:
                return len(await listed(client, 3))

        if threading.get_ident() % 2:
            return asyncio.run(play())
        with Client(tenant, machine) as client:
            client.call(tasks.list())
        return asyncio.run(play())

    assert at_once(count, 10) == [3] * 10
    assert tokens(sandbox) == 1


def test_requests_that_are_refused_together_share_one_refresh(sandbox: SandboxTenant, oauth: Client) -> None:
    with oauth:
        oauth.call(tasks.list())
        sandbox.revoke_tokens()
        sandbox.fault("POST", "/oauth/token", delay=0.1)
        results = at_once(lambda: oauth.call(tasks.list()).items)

    assert results == [[]] * MANY
    assert tokens(sandbox) == 2


def test_a_cancelled_token_request_blocks_no_other_request(sandbox: SandboxTenant, machine: ClientCredentials) -> None:
    sandbox.fault("POST", "/oauth/token", delay=30)

    async def play() -> list[Any]:
        async with AsyncClient(Tenant.at(sandbox.url), machine, retry_policy=QUICK) as client:
            first = asyncio.create_task(client.call(tasks.list()))
            while not sandbox.request_log("token"):
                await asyncio.sleep(0.005)
            others = asyncio.create_task(listed(client))
            await asyncio.sleep(0.02)
            first.cancel()
            results = await asyncio.wait_for(others, 10)
            assert first.cancelled()
            return results

    assert [page.items for page in asyncio.run(play())] == [[]] * MANY
    assert tokens(sandbox) == 2


def test_a_cancelled_wait_for_a_token_disturbs_no_other_request(
    sandbox: SandboxTenant, machine: ClientCredentials
) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.1)

    async def play() -> Any:
        async with AsyncClient(Tenant.at(sandbox.url), machine, retry_policy=ONCE) as client:
            first = asyncio.create_task(client.call(tasks.list()))
            while not sandbox.request_log("token"):
                await asyncio.sleep(0.005)
            second = asyncio.create_task(client.call(tasks.list()))
            third = asyncio.create_task(client.call(tasks.list()))
            await asyncio.sleep(0.01)
            second.cancel()
            return await asyncio.gather(first, third)

    assert [page.items for page in asyncio.run(play())] == [[], []]
    assert tokens(sandbox) == 1


@pytest.mark.parametrize("fault", [{"reset": "before"}, {"status": 500}, {"status": 429, "retry_after": 0}], ids=str)
def test_a_sign_in_that_fails_once_fails_no_request(
    sandbox: SandboxTenant, oauth: Client, fault: dict[str, Any]
) -> None:
    task_id = sandbox.add_task()
    sandbox.fault("POST", "/oauth/token", delay=0.1, code="HTTP-429", **fault)

    with oauth:
        results = at_once(lambda: oauth.call(tasks.start(task_id)).timestamp is not None)

    assert results == [True] * MANY
    assert len(sandbox.runs(task_id)) == MANY
    assert tokens(sandbox) <= 3


def test_a_refused_sign_in_fails_all_waiting_requests_with_few_token_requests(sandbox: SandboxTenant) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.4, times=None)
    wrong = ClientCredentials(sandbox.client_id, "hunter2-wrong")

    with Client(Tenant.at(sandbox.url), wrong, retry_policy=QUICK) as client:
        errors = at_once(lambda: client.call(tasks.list()))

    assert {type(error) for error in errors} == {UnauthorizedError}
    assert {(error.status, error.method, error.path) for error in errors} == {(401, "POST", "/oauth/token")}
    assert len({id(error) for error in errors}) == MANY, "each has its own, to add notes and a traceback to"
    assert tokens(sandbox) <= 3
    assert sandbox.request_log("list_tasks") == []


def test_a_refused_sign_in_fails_all_requests_of_an_event_loop(sandbox: SandboxTenant) -> None:
    sandbox.fault("POST", "/oauth/token", delay=0.1, times=None)

    async def play() -> list[Any]:
        wrong = ClientCredentials(sandbox.client_id, "hunter2-wrong")
        async with AsyncClient(Tenant.at(sandbox.url), wrong, retry_policy=QUICK) as client:
            return await listed(client, MAX_CONCURRENT_REQUESTS - RESERVED_SLOTS)

    assert {type(error) for error in asyncio.run(play())} == {UnauthorizedError}
    assert tokens(sandbox) == 1


# Refused


@pytest.mark.parametrize(("state", "kind"), [("untrusted", ForbiddenError), ("disabled", ForbiddenError)])
def test_a_client_that_may_not_act_for_others_gets_the_reason(
    sandbox: SandboxTenant, state: str, kind: type[StatusError]
) -> None:
    sandbox.switch(client=state)
    credentials = Impersonation(sandbox.client_id, sandbox.client_secret, sandbox.user_subject)

    with (
        Client(Tenant.at(sandbox.url), credentials, retry_policy=QUICK) as client,
        pytest.raises(kind, match=r"(not trusted|disabled).*HTTP 403 for POST /oauth/token"),
    ):
        client.call(tasks.list())
    assert tokens(sandbox) == 1


def test_a_user_who_does_not_exist_is_named(sandbox: SandboxTenant) -> None:
    credentials = Impersonation(sandbox.client_id, sandbox.client_secret, "auth0|nobody")

    with (
        Client(Tenant.at(sandbox.url), credentials, retry_policy=QUICK) as client,
        pytest.raises(BadRequestError, match=r"auth0\|nobody"),
    ):
        client.call(tasks.list())


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>very-secret</html>", {"content-type": "text/html"}),
        Answer(200, b'{"access_token": "very-secr'),
        Answer(200, {"accessToken": "very-secret"}),
        Answer(200, ["very-secret"]),
        Answer(200, {"access_token": None, "refresh_token": "very-secret"}),
        Answer(200, {"access_token": ""}),
        Answer(200, {"access_token": "very-secret\nx-more: y"}),
        Answer(200, {"access_token": "very-secret-ä"}),
        Answer(200),
    ],
    ids=lambda answer: str(answer.body),
)
def test_a_sign_in_without_a_token_shows_no_secret(listener: Listener, answer: Answer) -> None:
    listener.answers(answer)

    with (
        Client(Tenant.at(listener.url), ClientCredentials("id", "secret"), retry_policy=QUICK) as client,
        pytest.raises(ConnectError, match=r"^Could not sign in: .*POST /oauth/token") as raised,
    ):
        client.call(tasks.start("t"))
    assert "very-secr" not in str(raised.value)
    assert {seen.path for seen in listener.seen} == {"/oauth/token"}


# Secrets


def test_a_token_is_not_sent_to_another_host() -> None:
    tenant = Tenant.at("https://acme.eu.qlikcloud.com")
    for address in (
        "https://elsewhere.example/api/v1/tasks",
        "https://acme.eu.qlikcloud.com.elsewhere.example/",
        "http://acme.eu.qlikcloud.com/",
        "https://acme.eu.qlikcloud.com:8443/",
        "https://acme.eu.qlikcloud.com@elsewhere.example/",
    ):
        request = httpx.Request("GET", address)
        with pytest.raises(QlikCloudError, match="must not be sent"):
            next(auth_for(tenant, ApiKey("very-secret")).sync_auth_flow(request))
        assert "authorization" not in request.headers


@pytest.mark.parametrize("host", ["acme.eu.qlikcloud.com", "bücher.example", "xn--bcher-kva.example:8443", "[fd00::1]"])
def test_a_token_is_sent_to_the_tenant_however_its_host_is_written(host: str) -> None:
    tenant = Tenant.at(host)
    request = httpx.Request("GET", f"{tenant.url}/api/v1/tasks")
    next(auth_for(tenant, ApiKey("key")).sync_auth_flow(request))
    assert request.headers["authorization"] == "Bearer key"


def test_every_token_is_passed_on_to_be_masked(sandbox: SandboxTenant, machine: ClientCredentials) -> None:
    secrets: list[str] = []
    with Client(Tenant.at(sandbox.url), machine, on_secret=secrets.append) as client:
        client.call(tasks.list())
        sandbox.revoke_tokens()
        client.call(tasks.list())

    assert len(set(secrets)) == 2
    with Client(Tenant.at(sandbox.url), ApiKey(secrets[-1])) as client:
        client.call(tasks.list())


def test_no_secret_is_shown_anywhere(sandbox: SandboxTenant) -> None:
    secrets: list[str] = [sandbox.api_key, sandbox.client_secret, sandbox.private_key, sandbox.ec_private_key]
    shown: list[object] = []
    for credentials, _ in ways(sandbox).values():
        tenant = Tenant.at(sandbox.url)
        with Client(tenant, credentials, retry_policy=ONCE, on_secret=secrets.append) as client:
            client.call(tasks.list())
            for fault in ({"status": 401}, {"status": 500}, {"reset": "after"}, {"response": "html"}):
                sandbox.fault("GET", **fault, times=2)
                with pytest.raises(QlikCloudError) as raised:
                    client.call(tasks.list())
                sandbox.clear_faults()
                shown += [raised.value, raised.value.__cause__, vars(raised.value)]
            shown += [credentials, client, client._auth, vars(client), tenant]
    gc.collect()
    shown += [SharedToken._all, *(vars(shared) for shared in SharedToken._all.values())]

    text = " ".join(f"{one!r} {one!s}" for one in shown)
    assert len(secrets) == 4 + 6 * 2, "each of the six OAuth ways signed in twice"
    for secret in secrets:
        assert secret not in text
        assert secret.splitlines()[-2 if "PRIVATE" in secret else 0] not in text


def test_credentials_that_differ_in_secrets_look_the_same() -> None:
    assert repr(ApiKey("one")) == repr(ApiKey("two")) == "ApiKey()"
    assert repr(ClientCredentials("id", "one")) == repr(ClientCredentials("id", "two"))
    assert ApiKey("one") != ApiKey("two")
    assert pickle.loads(pickle.dumps(ApiKey("one"))) == ApiKey("one")


def pem(key: Any, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption), "ascii")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: ApiKey(""), "key: give the API key"),
        (lambda: ApiKey("  "), "key: give the API key"),
        (lambda: ApiKey(None), "key: give the API key"),  # type: ignore[arg-type]
        (lambda: ApiKey("hunter2\nx-more: y"), "key: the API key has characters"),
        (lambda: ApiKey("hunter2ä"), "key: the API key has characters"),
        (lambda: ClientCredentials("", "hunter2"), "client_id: give"),
        (lambda: ClientCredentials("id", " "), "client_secret: give"),
        (lambda: Impersonation("id", "hunter2", ""), "user: give"),
        (lambda: Impersonation("id", "hunter2", "u", user_field="email"), "user_field: one of 'subject', 'userId'"),
        (lambda: PrivateKey("id", "", "kid"), "private_key: give"),
        (lambda: PrivateKey("id", "hunter2", "kid"), "private_key: must be an unencrypted private key"),
        (lambda: PrivateKey("id", "hünter2", "kid"), "private_key: must be an unencrypted private key"),
        (lambda: PrivateKey("id", pem(ec.generate_private_key(ec.SECP384R1())), ""), "key_id: give"),
        (lambda: PrivateKey("id", pem(ec.generate_private_key(ec.SECP256R1())), "kid"), "P-384"),
        (lambda: PrivateKey("id", pem(ec.generate_private_key(ec.SECP384R1()), b"hunter2"), "kid"), "unencrypted"),
    ],
)
def test_bad_credentials_are_refused_by_name_and_not_repeated(made: Callable[[], Credentials], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named) as refused:
        made()

    assert "nter2" not in str(refused.value) + repr(refused.value)
    assert refused.value.__cause__ is None


def test_a_signal_that_interrupts_a_sign_in_does_not_wait_for_itself(sandbox: SandboxTenant) -> None:
    """As when a worker is terminated while it requests a token: the cancellation that follows needs a token, too."""
    auth = auth_for(Tenant.at(sandbox.url), ClientCredentials(sandbox.client_id, sandbox.client_secret))
    interrupted = auth.sync_auth_flow(httpx.Request("GET", f"{sandbox.url}/api/v1/users/me"))
    assert next(interrupted).url.path == "/oauth/token"

    with pytest.raises(ConnectError, match="got no response"):
        next(auth.sync_auth_flow(httpx.Request("POST", f"{sandbox.url}/api/v1/reloads/1/actions/cancel")))
    # The attempt after that requests a token of its own.
    again = auth.sync_auth_flow(httpx.Request("POST", f"{sandbox.url}/api/v1/reloads/1/actions/cancel"))
    assert next(again).url.path == "/oauth/token"
