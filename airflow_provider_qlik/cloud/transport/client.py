"""The client for threads; `async_client` is the one for an event loop, by the same rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from types import NoneType
from typing import Any, Self, TypeVar

import httpx

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import (
    InvalidResponseError,
    NoResponseError,
)
from airflow_provider_qlik.cloud.flow import Await, Flow, FlowDriver, Pause, RefreshCredentials, Step, unbatched
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.transport.base_client import BaseClient, ConnectionSettings
from airflow_provider_qlik.cloud.transport.bounds import bounds_of, call_deadline
from airflow_provider_qlik.cloud.transport.download import (
    PROGRESS_SECONDS,
    Download,
    FileBody,
    Sink,
    error_body,
    progressing,
)
from airflow_provider_qlik.cloud.transport.httpx_errors import translated_errors
from airflow_provider_qlik.cloud.transport.paths import sent
from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.cloud.transport.transports import BoundedTransport

T = TypeVar("T")

LAST_POLL = 5.0
"""Seconds by which the last poll of a wait may pass the deadline: it is sent at the deadline, and no sooner."""


class Client(BaseClient[Callable[[], ConnectionSettings], httpx.Client]):
    """A client for threads: sends calls, runs flows, goes through lists. Use it in a ``with``.

    It can be used after a fork: a child process opens connections of its own.
    """

    _deadline: float | None = None

    def _open_http(self) -> httpx.Client:
        options, transport = self._http_options()
        return httpx.Client(**options, transport=BoundedTransport(**transport))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._open_in_child()
        for http in (*self._replaced_clients, self._http):
            http.close()

    def call(self, call: Call[T], retry_policy: RetryPolicy | None = None) -> T:
        """Send a call and return its response, retried where that is safe. Raises QlikCloudError."""
        return self._drive(sent(call, self.tenant, retry_policy or self.retry_policy), self._send)

    def run_flow(
        self, flow: Flow[T], retry_policy: RetryPolicy | None = None, *, deadline: datetime | None = None
    ) -> T:
        """Run a flow and return its result. Raises QlikCloudError, or what the flow raises.

        No request of it takes longer than to the *deadline* (UTC) and the seconds that a last poll may take.
        """
        if deadline is None:
            return self._drive(unbatched(flow), partial(self.call, retry_policy=retry_policy))
        before, remaining = self._deadline, (deadline - datetime.now(UTC)).total_seconds()
        self._deadline = time.monotonic() + max(0.0, remaining) + LAST_POLL
        try:
            return self._drive(unbatched(flow), partial(self.call, retry_policy=retry_policy))
        finally:
            self._deadline = before

    def iterate(self, call: Call[Page[ItemT]]) -> Iterator[ItemT]:
        """Yield all items of a paged list; each page is fetched when its first item is needed."""
        pages = Pages[ItemT](call)
        while pages.next_call is not None:
            yield from pages.take(self.call(pages.next_call))

    def download(
        self,
        call: Call[Download],
        write_to: Callable[[], AbstractContextManager[Sink]],
        retry_policy: RetryPolicy | None = None,
        *,
        file_type: str | None = None,
    ) -> None:
        """Stream a file to what *write_to* opens, anew for each attempt. A failed attempt closes it with the error.

        No more than a part of the file is ever in memory. *file_type* is the type that was promised, such as ``pdf``.
        Raises QlikCloudError, also for what is no such file (see `download.FileBody`), or what writing raises.
        """
        self._drive(
            sent(call, self.tenant, retry_policy or self.retry_policy), partial(self._receive, write_to, file_type)
        )

    def _receive(
        self, write_to: Callable[[], AbstractContextManager[Sink]], file_type: str | None, call: Call[Any]
    ) -> None:
        self._open_in_child()
        self._check_open()
        request, auth = self._request(call), self._auth
        described = f"{call.method} {self.tenant.path_of(call)}"
        with self._named_errors():
            with translated_errors(call, request):
                response = self._http.send(request, auth=auth, stream=True)
            try:
                chunks = progressing(self._chunks(call, response), described)
                if response.status_code != 200:
                    self._read(call.read_as(NoneType), _without_stream(response, chunks))
                    raise InvalidResponseError(
                        f"The response is not a file (HTTP {response.status_code} for {described})"
                    )
                headers = {name.lower(): given for name, given in response.headers.items()}
                parts = FileBody(described, headers, file_type).read(chunks)
                self._note_deprecation(call, headers)
                # Nothing is opened for a response that does not begin like the file.
                first = next(parts)
                self._rotation.record_accepted(auth)
                with write_to() as sink:
                    sink.write(first)
                    for part in parts:
                        sink.write(part)
            finally:
                response.close()

    def _chunks(self, call: Call[Any], response: httpx.Response) -> Iterator[bytes]:
        """Yield the decoded chunks of a response. Whatever goes wrong while one is awaited is an error of this package.

        Writing a chunk is not part of that: an error of the storage is not one of Qlik Cloud, and is not retried here.
        """
        # The transport has decoded them. Each has a time-out of its own: bytes that make no chunk are no progress.
        chunks, size, bounds = response.iter_raw(), 0, bounds_of(response.request)
        bounds.total = PROGRESS_SECONDS
        while True:
            bounds.restart()
            with translated_errors(call, response.request):
                try:
                    chunk = next(chunks, None)
                except httpx.DecodingError as error:
                    raise InvalidResponseError(str(error)) from None
                except httpx.TimeoutException:
                    raise NoResponseError(
                        f"The download stopped after {size:,} bytes: too few came in {PROGRESS_SECONDS:g} s ({call})"
                    ) from None
                except httpx.TransportError as error:
                    cause = str(error) or type(error).__name__
                    raise NoResponseError(f"The download broke off after {size:,} bytes ({cause}, {call})") from None
            if chunk is None:
                return
            size += len(chunk)
            yield chunk

    def _send(self, call: Call[T]) -> T:
        self._open_in_child()
        self._check_open()
        request, auth = self._request(call), self._auth
        with self._named_errors():
            with translated_errors(call, request), call_deadline(self._deadline):
                response = self._http.send(request, auth=auth)
            redirected = self._redirected(call, response)
            if redirected is None:
                value = self._read(call, response)
                self._rotation.record_accepted(auth)
                return value
        return self._send(redirected)

    def _refresh(self, step: RefreshCredentials) -> bool:
        if self._rotation.should_refresh(step):
            settings = None
            if self._reread is not None and self._rotation.should_reread(step):
                with self._tolerating_failure(step):
                    settings = self._reread()
            self._switch_credentials(step, settings)
        return self._rotation.refreshed_since(step)

    def _perform(self, step: Step) -> Any:
        """Perform a step that is no call."""
        if isinstance(step, RefreshCredentials):
            return self._refresh(step)
        if isinstance(step, Await):
            wait([step.future], timeout=self.tenant.request_timeout / 2)
            return None
        assert isinstance(step, Pause), step
        return time.sleep(step.seconds)

    def _drive(self, flow: Flow[T], send: Callable[[Call[Any]], Any]) -> T:
        driver = FlowDriver(flow)
        for step in driver:
            with driver:
                driver.response = send(step) if isinstance(step, Call) else self._perform(step)
        return driver.result


def _without_stream(response: httpx.Response, chunks: Iterator[bytes]) -> httpx.Response:
    """Return a response other than 200 with its body; below 400 none matters, and it might be endless."""
    content = error_body(chunks) if response.status_code >= 400 else b""
    about_the_body = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, given) for name, given in response.headers.items() if name.lower() not in about_the_body]
    return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)
