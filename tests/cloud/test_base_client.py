"""What a client keeps beside its connections: credentials that worked, certificates, and its process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Client,
    ClientCredentials,
    ConnectError,
    Credentials,
    ForbiddenError,
    InvalidResponseError,
    NotFoundError,
    QlikCloudError,
    StatusError,
    Tenant,
    UnauthorizedError,
)
from airflow_provider_qlik.cloud.api import tasks, users
from airflow_provider_qlik.cloud.transport import credential_rotation
from airflow_provider_qlik.cloud.transport.async_client import REREAD_INTERVAL
from airflow_provider_qlik.cloud.transport.base_client import ConnectionSettings
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.cloud.transport.token_cache import SharedToken
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.cloud.conftest import QUICK
from tests.listener import Answer, Listener, Seen, listening, refused_by_qlik
from tests.tls import self_signed

WRONG_KEY, RIGHT_KEY, NEW_KEY = "mistyped-key", "right-key", "new-key"
WRONG, RIGHT, NEW = ApiKey(WRONG_KEY), ApiKey(RIGHT_KEY), ApiKey(NEW_KEY)


@pytest.fixture(autouse=True)
def _nothing_has_worked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_rotation, "_accepted_credentials", {})


# New credentials, until they have worked


class Keys:
    """A tenant that knows some keys, and a connection that holds one: either may change at any time."""

    def __init__(self, listener: Listener) -> None:
        self.url = listener.url
        self.valid = {RIGHT_KEY}
        self.others: dict[str, int] = {}
        self.glitches = 0
        self.connection: Credentials | Callable[[], Exception] = RIGHT
        self.read = 0
        self._listener = listener
        listener.answers(self._answer)

    def _answer(self, seen: Seen) -> Answer:
        key = seen.headers["authorization"].removeprefix("Bearer ")
        if key in self.others:
            return refused_by_qlik(self.others[key])
        if key not in self.valid:
            return refused_by_qlik(401)
        if self.glitches:
            self.glitches -= 1
            return refused_by_qlik(401)
        return Answer(200, {"id": "t", "name": "A task"})

    @property
    def keys(self) -> list[str]:
        """The keys of the requests so far."""
        return [seen.headers["authorization"].removeprefix("Bearer ") for seen in self._listener.seen]

    def reread(self) -> ConnectionSettings:
        self.read += 1
        if callable(self.connection):
            raise self.connection()
        return Tenant.at(self.url), self.connection

    async def areread(self) -> ConnectionSettings:
        return self.reread()


class Driver(ABC):
    """A client of the connection 'c' that stays open."""

    kind: str

    @abstractmethod
    def call(self) -> str | None:
        """The name of a task."""

    @abstractmethod
    def read_again(self) -> None:
        """Lets the client read its connection again although its credentials are valid."""


class InThread(Driver):
    def __init__(self, keys: Keys, credentials: Credentials, stack: ExitStack) -> None:
        self._keys = keys
        self._client = stack.enter_context(
            Client(Tenant.at(keys.url), credentials, retry_policy=QUICK, connection="c", reread=keys.reread)
        )

    def call(self) -> str | None:
        return self._client.call(tasks.get("t")).name

    def read_again(self) -> None:
        # A client for threads does that only when it is refused, which may be a mistake of Qlik's.
        self._keys.glitches = 1
        with suppress(StatusError):
            self.call()


class InLoop(Driver):
    def __init__(self, keys: Keys, credentials: Credentials, stack: ExitStack) -> None:
        self._keys = keys
        self._runner = stack.enter_context(asyncio.Runner())
        self._client = AsyncClient(
            Tenant.at(keys.url), credentials, retry_policy=QUICK, connection="c", reread=keys.areread
        )
        stack.callback(lambda: self._runner.run(self._client.aclose()))

    def call(self) -> str | None:
        return self._runner.run(self._client.call(tasks.get("t"))).name

    def read_again(self) -> None:
        async def after_a_while() -> None:
            self._client._rotation.reread_at -= REREAD_INTERVAL
            read = self._keys.read
            await self._client.call(tasks.get("t"))
            while self._client._reread_task is not None or self._keys.read == read:
                await asyncio.sleep(0.001)

        self._runner.run(after_a_while())


@pytest.fixture
def keys(listener: Listener) -> Keys:
    return Keys(listener)


Make = Callable[..., Driver]


@pytest.fixture(params=[InThread, InLoop], ids=["Client", "AsyncClient"])
def client(request: pytest.FixtureRequest, keys: Keys) -> Iterator[Make]:
    """Makes a client with credentials, for the tenant with the keys or for another."""
    with ExitStack() as stack:
        yield lambda credentials, of=keys: request.param(of, credentials, stack)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_mistyped_key_in_the_connection_ends_no_wait_and_is_logged_once(
    client: Make, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    driver = client(RIGHT)
    assert driver.call() == "A task"
    keys.connection = WRONG
    for _ in range(4):
        driver.read_again()
        assert [driver.call() for _ in range(3)] == ["A task"] * 3

    assert WRONG_KEY in keys.keys
    (said,) = [text for text in warnings(caplog) if "refuses the new credentials" in text]
    assert "of the connection 'c'" in said


def test_a_refused_key_is_not_used_again_whenever_the_connection_is_read(keys: Keys) -> None:
    with ExitStack() as stack:
        driver = InLoop(keys, RIGHT, stack)
        driver.call()
        keys.connection = WRONG
        for _ in range(4):
            driver.read_again()
            driver.call()
    assert keys.read == 5  # and once when the new one was refused
    assert keys.keys.count(WRONG_KEY) == 1


def test_a_valid_new_key_replaces_the_old_one(client: Make, keys: Keys) -> None:
    driver = client(RIGHT)
    driver.call()
    keys.connection = WRONG
    driver.read_again()
    driver.call()

    keys.connection, keys.valid = NEW, {RIGHT_KEY, NEW_KEY}
    driver.read_again()
    assert [driver.call() for _ in range(2)] == ["A task"] * 2
    assert keys.keys[-2:] == [NEW_KEY] * 2

    keys.valid, before = {RIGHT_KEY}, len(keys.keys)
    with pytest.raises(UnauthorizedError):
        driver.call()
    assert set(keys.keys[before:]) == {NEW_KEY}


def test_after_a_rotation_in_qlik_requests_succeed_as_soon_as_the_connection_has_the_new_key(
    client: Make, keys: Keys
) -> None:
    driver = client(RIGHT)
    driver.call()
    keys.valid = {NEW_KEY}
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            driver.call()
    keys.connection = NEW
    assert [driver.call() for _ in range(2)] == ["A task"] * 2


def test_where_both_keys_are_refused_the_refusal_is_raised_after_a_few_requests(client: Make, keys: Keys) -> None:
    driver = client(RIGHT)
    driver.call()
    keys.valid, keys.connection = set(), WRONG
    for _ in range(5):
        before, read = len(keys.keys), keys.read
        with pytest.raises(UnauthorizedError):
            driver.call()
        assert len(keys.keys) - before <= 3
        assert keys.read - read <= 1

    keys.valid = {RIGHT_KEY}
    with suppress(UnauthorizedError):
        driver.call()
    assert driver.call() == "A task"


@pytest.mark.parametrize("status", [403, 404])
def test_a_key_of_another_user_ends_no_wait(client: Make, keys: Keys, status: int) -> None:
    driver = client(RIGHT)
    driver.call()
    keys.connection, keys.others = NEW, {NEW_KEY: status}
    driver.read_again()
    assert [driver.call() for _ in range(3)] == ["A task"] * 3
    assert NEW_KEY in keys.keys
    assert keys.keys[-3:] == [RIGHT_KEY] * 3


@pytest.mark.parametrize(("status", "kind"), [(403, ForbiddenError), (404, NotFoundError)])
def test_the_error_of_the_new_key_is_raised_if_the_old_one_is_revoked(
    client: Make, keys: Keys, status: int, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    client(RIGHT).call()
    keys.connection, keys.valid, keys.others = NEW, {NEW_KEY}, {NEW_KEY: status}
    rotated = client(NEW)
    for _ in range(3):
        with pytest.raises(kind):
            rotated.call()
    # The old key is tried once.
    assert keys.keys.count(RIGHT_KEY) == 2
    assert keys.keys[-2:] == [NEW_KEY] * 2
    assert not [text for text in warnings(caplog) if "refuses the new credentials" in text]

    keys.others = {}
    assert rotated.call() == "A task"


@pytest.mark.parametrize(("status", "kind"), [(403, ForbiddenError), (404, NotFoundError)])
def test_a_403_or_404_of_the_accepted_key_changes_no_credentials(
    client: Make, keys: Keys, status: int, kind: type[Exception]
) -> None:
    driver = client(RIGHT)
    driver.call()
    keys.others, keys.connection = {RIGHT_KEY: status}, NEW
    with pytest.raises(kind):
        driver.call()
    assert (len(keys.keys), keys.read) == (2, 0)


@pytest.mark.parametrize(
    "problem",
    [lambda: ConnectError("there is none"), lambda: InvalidArgumentError("password", None, "give one")],
    ids=["gone", "invalid"],
)
def test_a_connection_that_cannot_be_read_keeps_the_credentials(
    client: Make, keys: Keys, problem: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    driver = client(RIGHT)
    driver.call()
    keys.connection = problem
    driver.read_again()
    assert [driver.call() for _ in range(3)] == ["A task"] * 3
    assert set(keys.keys) == {RIGHT_KEY}
    assert any("The credentials that are in use are kept" in text for text in warnings(caplog))


def test_a_client_made_while_the_connection_holds_a_wrong_key_uses_the_accepted_one(client: Make, keys: Keys) -> None:
    client(RIGHT).call()
    keys.connection = WRONG
    later = client(WRONG)
    assert [later.call() for _ in range(3)] == ["A task"] * 3
    assert keys.keys == [RIGHT_KEY, WRONG_KEY, RIGHT_KEY, RIGHT_KEY, RIGHT_KEY]


def test_a_key_that_was_never_accepted_is_no_fallback(client: Make, keys: Keys) -> None:
    keys.connection = WRONG
    with pytest.raises(UnauthorizedError):
        client(WRONG).call()
    client(RIGHT).call()
    assert keys.keys[-1] == RIGHT_KEY
    assert credential_rotation._accepted_credentials == {("c", keys.url): RIGHT}


def test_credentials_that_another_tenant_accepted_are_not_used(client: Make, keys: Keys) -> None:
    client(RIGHT).call()
    with listening() as elsewhere:
        others = Keys(elsewhere)
        others.connection = WRONG
        with pytest.raises(UnauthorizedError):
            client(WRONG, others).call()
        assert set(others.keys) == {WRONG_KEY}


def test_a_client_without_a_connection_keeps_no_credentials_for_others(keys: Keys) -> None:
    tenant = Tenant.at(keys.url)
    with Client(tenant, RIGHT, retry_policy=QUICK) as one:
        one.call(tasks.get("t"))
    with Client(tenant, WRONG, retry_policy=QUICK) as another, pytest.raises(UnauthorizedError):
        another.call(tasks.get("t"))
    assert keys.keys == [RIGHT_KEY, WRONG_KEY]


# Certificates


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_an_open_client_trusts_certificates_that_are_replaced_on_disk(kind: str, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = self_signed(tmp_path / "old"), self_signed(tmp_path / "new", "a new one")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(old.path.read_bytes())
    refused = False

    def answer(_: Seen) -> Answer:
        nonlocal refused
        first, refused = not refused, True
        return refused_by_qlik(401) if first else Answer(200, {"id": "t", "name": "A task"}, {"connection": "close"})

    with listening(old.server()) as before, listening(new.server()) as after:
        tenant, call = Tenant.at(before.url, ca_bundle=str(bundle)), tasks.get("t")
        before.answers(answer)
        after.answers(Answer(200, {"id": "t", "name": "Another task"}))

        def read() -> ConnectionSettings:
            bundle.write_bytes(new.path.read_bytes() + old.path.read_bytes())
            return Tenant.at(before.url, ca_bundle=str(bundle)), NEW

        async def aread() -> ConnectionSettings:
            return read()

        def move(client: Client | AsyncClient, url: str) -> None:
            object.__setattr__(client.tenant, "url", url)
            client._rotation._tenant = client.tenant
            client._rotation.use(NEW)

        # The second server stands for the first one with its new certificate.
        if kind == "Client":
            with Client(tenant, RIGHT, retry_policy=QUICK, reread=read) as client:
                assert client.call(call).name == "A task"
                move(client, after.url)
                assert client.call(call, ONE_ATTEMPT).name == "Another task"
        else:

            async def play() -> None:
                async with AsyncClient(tenant, RIGHT, retry_policy=QUICK, reread=aread) as client:
                    assert (await client.call(call)).name == "A task"
                    move(client, after.url)
                    assert (await client.call(call, ONE_ATTEMPT)).name == "Another task"

            asyncio.run(play())


# Redirects

ODD_LOCATIONS = [
    *("javascript:alert(1)", "http://[::1", "//", "", "/" + "x" * 100_000, "http://a b/", "mailto:a@b", "::"),
    *("http://127.0.0.1:99999/", "http://127.0.0.1:x/", "\xff\xfe"),
]


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize("location", ODD_LOCATIONS, ids=lambda one: one[:20])
def test_a_redirect_to_an_invalid_address_is_an_invalid_response(listener: Listener, kind: str, location: str) -> None:
    for call in (users.me(), tasks.get("t"), tasks.start("t")):
        listener.answers(Answer(301, headers={"location": location}))
        tenant = Tenant.at(listener.url)

        async def in_loop(call: Any = call, tenant: Tenant = tenant) -> None:
            async with AsyncClient(tenant, RIGHT, retry_policy=ONE_ATTEMPT) as client:
                await client.call(call)

        def in_thread(call: Any = call, tenant: Tenant = tenant) -> None:
            with Client(tenant, RIGHT, retry_policy=ONE_ATTEMPT) as client:
                client.call(call)

        with pytest.raises(InvalidResponseError) as raised:
            asyncio.run(in_loop()) if kind == "AsyncClient" else in_thread()
        assert len(str(raised.value)) < 3000
        assert {seen.headers["host"] for seen in listener.seen} == {listener.url.removeprefix("http://")}


# Requests that cannot be sent


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_an_address_that_is_too_long_is_an_error_of_this_package_and_not_sent(listener: Listener, kind: str) -> None:
    endless = {"data": [], "links": {"next": {"href": "?page=" + "x" * 100_000}}}
    listener.answers(Answer(200, endless))
    tenant = Tenant.at(listener.url)

    async def in_loop() -> None:
        async with AsyncClient(tenant, RIGHT, retry_policy=QUICK) as client:
            async for _ in client.iterate(tasks.list()):
                pass

    def in_thread() -> None:
        with Client(tenant, RIGHT, retry_policy=QUICK) as client:
            list(client.iterate(tasks.list()))

    with pytest.raises(QlikCloudError, match=r"^The address of the request cannot be sent") as raised:
        asyncio.run(in_loop()) if kind == "AsyncClient" else in_thread()
    assert not raised.value.transient
    assert len(str(raised.value)) < 3000
    assert len(listener.seen) == 1


# Children


def echoing(seen: Seen) -> Answer:
    """Return the requested id, after a moment."""
    if seen.path == "/oauth/token":
        return Answer(200, {"access_token": f"token-{time.monotonic_ns()}", "expires_in": 3600})
    time.sleep(0.001)
    return Answer(200, {"id": seen.path.rpartition("/")[2], "name": seen.path.rpartition("/")[2]})


def in_child(work: Callable[[], object]) -> tuple[int, int]:
    """Forks a process that writes what it found to a pipe, as JSON: its id, and where to read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            try:
                found = work()
            except BaseException as error:  # whatever it is, the parent shows it
                found = repr(error)
            os.write(writing, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writing)
    return pid, reading


def found_by(pid: int, reading: int, seconds: float = 20.0) -> Any:
    """What a child found, which must not take longer."""
    try:
        ready, _, _ = select.select([reading], [], [], seconds)
        assert ready, "the child hangs"
        return json.loads(os.read(reading, 65536))
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def echo() -> Iterator[Listener]:
    with listening() as listener:
        listener.answers(echoing)
        yield listener


@pytest.mark.parametrize("credentials", [RIGHT, ClientCredentials("client", "secret")], ids=["key", "OAuth"])
def test_a_client_that_is_used_after_a_fork_gets_its_own_responses(echo: Listener, credentials: Credentials) -> None:
    with Client(Tenant.at(echo.url), credentials, retry_policy=ONE_ATTEMPT) as client:
        client.call(tasks.get("before"))
        children = [in_child(lambda name=f"child{number}": names_of(client, name)) for number in range(3)]  # type: ignore[misc]
        own = names_of(client, "parent")
        theirs = [found_by(*child) for child in children]

    assert own == [f"parent-{number}" for number in range(60)]
    assert theirs == [[f"child{child}-{number}" for number in range(60)] for child in range(3)]


def names_of(client: Client, who: str) -> list[str | None]:
    """Return the names in the responses about sixty tasks, each requested by its own name."""
    # Without the comparison of ids, which would hide what is mixed up behind errors.
    return [client.call(replace(tasks.get(f"{who}-{number}"), about=()), ONE_ATTEMPT).name for number in range(60)]


def test_a_lock_held_at_the_fork_blocks_no_child(echo: Listener) -> None:
    credentials = ClientCredentials("client", "secret")
    with Client(Tenant.at(echo.url), credentials, retry_policy=ONE_ATTEMPT) as client:
        client.call(tasks.get("before"))
        holder, held, release = client._auth._shared_token, threading.Event(), threading.Event()  # type: ignore[attr-defined]

        def hold() -> None:
            with holder.lock, SharedToken._lock:
                held.set()
                release.wait(30)

        holding = threading.Thread(target=hold)
        holding.start()
        try:
            assert held.wait(10)
            child = in_child(lambda: names_of(client, "child"))
            assert found_by(*child) == [f"child-{number}" for number in range(60)]
        finally:
            release.set()
            holding.join()
        assert names_of(client, "parent")[-1] == "parent-59"


def test_a_sign_in_under_way_at_the_fork_blocks_no_child(echo: Listener) -> None:
    requested, go_on = threading.Event(), threading.Event()

    def slowly(seen: Seen) -> Answer:
        if seen.path == "/oauth/token" and not requested.is_set():
            requested.set()
            go_on.wait(30)
        return echoing(seen)

    echo.answers(slowly)
    with Client(Tenant.at(echo.url), ClientCredentials("client", "secret"), retry_policy=ONE_ATTEMPT) as client:
        signing_in = threading.Thread(target=lambda: client.call(tasks.get("before")))
        signing_in.start()
        try:
            assert requested.wait(10)
            child = in_child(lambda: names_of(client, "child"))
            assert found_by(*child) == [f"child-{number}" for number in range(60)]
        finally:
            go_on.set()
            signing_in.join()


def test_a_child_that_closes_a_client_leaves_that_of_the_parent_open(echo: Listener) -> None:
    with Client(Tenant.at(echo.url), RIGHT, retry_policy=ONE_ATTEMPT) as client:
        client.call(tasks.get("before"))
        child = in_child(lambda: client.close())
        assert found_by(*child) is None
        assert names_of(client, "parent")[-1] == "parent-59"
    assert len({seen.headers["authorization"] for seen in echo.seen}) == 1
