"""The hook: it makes a client of Qlik Cloud from an Airflow connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_qlik.cloud import (
    AsyncClient,
    Call,
    Client,
    Flow,
    InvalidArgumentError,
    QlikCloudError,
    RetryPolicy,
)
from airflow_provider_qlik.cloud.api import users
from airflow_provider_qlik.cloud.errors import ConnectError
from airflow_provider_qlik.cloud.transport.base_client import ConnectionSettings
from airflow_provider_qlik.cloud.transport.registry import Lease, share
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.cloud.transport.tenant import trust
from airflow_provider_qlik.compat import mask_soon, read_connection
from airflow_provider_qlik.connection import (
    CONNECTION_NAME,
    CONNECTION_TYPE,
    DEFAULT_CONNECTION_ID,
    field_behaviour,
    form_widgets,
)
from airflow_provider_qlik.connection_parser import StoredConnection
from airflow_provider_qlik.metrics import count
from airflow_provider_qlik.runs.enabling import disable_task, enable_task
from airflow_provider_qlik.text import storable

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_qlik.cloud.models.paging import ItemT, Page
    from airflow_provider_qlik.cloud.models.tasks import Task

T = TypeVar("T")

KILL_TIMEOUT = 4.0
"""Seconds that a request of a signal handler may take: a killed worker has about five seconds left."""


class QlikCloudHook(BaseHook):
    """Send calls to Qlik Cloud with the tenant and credentials of an Airflow connection.

    `call`, `iterate` and `run_flow` use one client that is opened at the first call, and closed by `close` or at the
    end of a ``with`` block; `acall`, `aiterate` and `arun_flow` are the same for an event loop, with `aclose` or
    ``async with``.

    :param qlik_conn_id: the Airflow connection, of type ``qlik_cloud``.
    """

    conn_name_attr = "qlik_conn_id"
    default_conn_name = DEFAULT_CONNECTION_ID
    conn_type = CONNECTION_TYPE
    hook_name = CONNECTION_NAME

    def __init__(self, qlik_conn_id: str = DEFAULT_CONNECTION_ID) -> None:
        super().__init__()
        self.qlik_conn_id = qlik_conn_id
        self._client: Client | None = None
        self._closed: Client | None = None
        self._lease: Lease | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection form of Airflow before 3.2; later versions read the provider info."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels and placeholders of the standard fields of the form."""
        return field_behaviour()

    def get_conn(self) -> Client:
        """Return the open client of this hook. Raises InvalidArgumentError that names the field of the connection."""
        if self._client is None:
            self._client = Client(
                *self._read(),
                on_secret=mask_secret,
                reread=self._reread,
                connection=self.qlik_conn_id,
                count=count,
            )
        return self._client

    def beside(self) -> Client | None:
        """Return another client of the same tenant, for a signal handler; None if no client was opened yet.

        It reads nothing from Airflow: the interrupted code may hold locks of this hook's client, or of Airflow's
        channel to its supervisor.
        """
        client = self._client or self._closed
        if client is None:
            return None
        # Credentials that were read again may be wrong: the fallback has worked before.
        tenant, credentials, fallback = client.settings
        tenant = replace(tenant, request_timeout=min(KILL_TIMEOUT, tenant.request_timeout))
        return Client(tenant, credentials, fallback=fallback, connection=self.qlik_conn_id)

    async def get_async_conn(self) -> AsyncClient:
        """Return the client that all hooks of this connection share in this event loop, until `aclose`.

        Does not block. Another event loop gets another client: sockets and locks belong to the loop that made them.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._lease, self._loop = None, loop
        if self._lease is None:
            lease = await share(self.qlik_conn_id, self._open_async)
            if self._lease is None:
                self._lease = lease
            else:
                # Another asyncio task that uses this hook was faster.
                await lease.release()
        return self._lease.client

    async def _open_async(self) -> AsyncClient:
        tenant, credentials = await self._aread()
        # Reading the CA certificates takes tens of milliseconds; they are cached for later clients.
        await asyncio.to_thread(trust, tenant.ca_bundle)
        return AsyncClient(
            tenant,
            credentials,
            on_secret=mask_soon,
            reread=self._areread,
            count=count,
            connection=self.qlik_conn_id,
        )

    def _read(self) -> ConnectionSettings:
        return self._parsed(self._stored())

    def _stored(self) -> StoredConnection:
        # A function of its own, which has returned before an error of the connection is raised: Airflow's connections
        # show their passwords, and so would a local variable in the traceback.
        connection = self.get_connection(self.qlik_conn_id)
        return _parts(connection, connection.extra_dejson)

    async def _aread(self) -> ConnectionSettings:
        stored = await self._astored()
        # In a thread, since it checks a private key and reads the file of CA certificates.
        return await asyncio.to_thread(self._parsed, stored)

    async def _astored(self) -> StoredConnection:
        return _parts(*await read_connection(self.qlik_conn_id))

    def _reread(self) -> ConnectionSettings:
        with self._reading_again():
            return self._read()

    async def _areread(self) -> ConnectionSettings:
        with self._reading_again():
            settings = await self._aread()
        # The client checks if the CA bundle was replaced: reading it there would block the event loop.
        await asyncio.to_thread(trust, settings[0].ca_bundle)
        return settings

    @contextmanager
    def _reading_again(self) -> Iterator[None]:
        """Raise a transient error if Airflow is unavailable, and a permanent one if the connection is invalid."""
        try:
            yield
        except InvalidArgumentError:
            raise
        except AirflowNotFoundException as error:
            raise InvalidArgumentError(
                "qlik_conn_id", self.qlik_conn_id, "the connection does not exist any more"
            ) from error
        except Exception as error:  # whatever the way to Airflow's database or secrets raises
            raise ConnectError(f"connection {self.qlik_conn_id!r} could not be read again: {error}") from error

    def _parsed(self, stored: StoredConnection) -> ConnectionSettings:
        try:
            return stored.parse()
        except InvalidArgumentError as error:
            error.add_note(f"In the Airflow connection {self.qlik_conn_id!r}.")
            raise

    def call(self, call: Call[T], retry_policy: RetryPolicy | None = None) -> T:
        """Return the response of a call, such as ``hook.call(tasks.get(task_id))``. Raises QlikCloudError."""
        return self.get_conn().call(call, retry_policy)

    def iterate(self, call: Call[Page[ItemT]]) -> Iterator[ItemT]:
        """Yield all items of a paged list, page by page. Raises QlikCloudError."""
        return self.get_conn().iterate(call)

    def run_flow(
        self, flow: Flow[T], retry_policy: RetryPolicy | None = None, *, deadline: datetime | None = None
    ) -> T:
        """Return the result of a flow. A request that is in flight at the *deadline* (UTC) ends soon after it."""
        return self.get_conn().run_flow(flow, retry_policy, deadline=deadline)

    async def acall(self, call: Call[T], retry_policy: RetryPolicy | None = None) -> T:
        """Return the response of a call, as `call` does, without blocking the event loop."""
        return await (await self.get_async_conn()).call(call, retry_policy)

    async def aiterate(self, call: Call[Page[ItemT]]) -> AsyncIterator[ItemT]:
        """Yield all items of a paged list, as `iterate` does, without blocking the event loop."""
        async for item in (await self.get_async_conn()).iterate(call):
            yield item

    async def arun_flow(self, flow: Flow[T], retry_policy: RetryPolicy | None = None) -> T:
        """Return the result of a flow, as `run_flow` does, without blocking the event loop."""
        return await (await self.get_async_conn()).run_flow(flow, retry_policy)

    def enable_task(self, task_id: str) -> Task:
        """Enable a task in Qlik Cloud and return its new state. A task that is enabled already is not changed.

        Qlik makes the caller the owner of a task that is changed. Works with either ``tasks_api``. Raises
        QlikCloudError.
        """
        return self.run_flow(enable_task(task_id))

    def disable_task(self, task_id: str) -> Task:
        """Disable a task in Qlik Cloud and return its new state. A task that is disabled already is not changed.

        Qlik makes the caller the owner of a task that is changed. Works with either ``tasks_api``. Raises
        QlikCloudError.
        """
        return self.run_flow(disable_task(task_id))

    def test_connection(self) -> tuple[bool, str]:
        """Return True and the user who is signed in, or False and the reason why the connection does not work.

        Sends each request once and raises nothing: Airflow shows the message beside the form.
        """
        try:
            with self:
                user = self.call(users.me(), ONE_ATTEMPT)
                url = self.get_conn().tenant.url
        except (QlikCloudError, InvalidArgumentError) as error:
            return False, storable(" ".join([str(error), *getattr(error, "__notes__", ())]))
        except Exception as error:  # of Airflow, its secrets backends or the environment: no caller catches it
            return False, storable(f"{error} ({type(error).__name__})" if str(error) else type(error).__name__)
        return True, storable(f"Signed in to {url} as {user.name or user.id} ({user.id})")

    def close(self) -> None:
        """Close the client."""
        client, self._client = self._client, None
        if client is not None:
            # `beside` needs its credentials: an interrupted task cancels its run after the hook was closed.
            self._closed = client
            client.close()

    async def aclose(self) -> None:
        """Release the client of this event loop, which closes when its last user has released it."""
        lease, self._lease = self._lease, None
        if lease is not None and self._loop is asyncio.get_running_loop():
            await lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _parts(connection: Connection, extra: dict[str, Any]) -> StoredConnection:
    return StoredConnection(connection.host, connection.port, connection.login, connection.password, extra)
