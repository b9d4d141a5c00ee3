"""How calls and flows are sent by a thread; `async_client` does the same in an event loop, by the same rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from types import NoneType
from typing import Any, BinaryIO, Self, TypeVar

import httpx

from airflow_provider_qlik.arguments import InvalidArgument
from airflow_provider_qlik.cloud.call import Call, Flow, Pause, Question, Renew, by_itself
from airflow_provider_qlik.cloud.download import Download
from airflow_provider_qlik.cloud.errors import QlikCloudError, UnreadableAnswer
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.cloud.retry import Patience, attempts
from airflow_provider_qlik.cloud.transport import BoundedTransport
from airflow_provider_qlik.cloud.wire import Known, Wire, as_our_errors

T = TypeVar("T")

PART_BYTES = 256 * 1024
LAST_POLL = 5.0
"""Seconds by which the last poll of a wait may pass the deadline: it is sent at the deadline, and no sooner."""
MIN_REQUEST = 0.05
"""Seconds that a request may take, at least, however near the deadline is."""


class Client(Wire[Callable[[], Known], httpx.Client]):
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
        for http in (*self._retired, self._http):
            http.close()

    def call(self, call: Call[T], patience: Patience | None = None) -> T:
        """The answer of a call, retried where that is safe. Raises QlikCloudError."""
        return self._drive(attempts(call, patience or self.patience), self._send)

    def run_flow(self, flow: Flow[T], patience: Patience | None = None, *, deadline: datetime | None = None) -> T:
        """The result of a flow. Raises QlikCloudError, or what the flow raises.

        No request of it takes longer than to the *deadline* (UTC) and the seconds that a last poll may take.
        """
        if deadline is None:
            return self._drive(by_itself(flow), partial(self.call, patience=patience))
        before, left = self._deadline, (deadline - datetime.now(UTC)).total_seconds()
        self._deadline = time.monotonic() + max(0.0, left) + LAST_POLL
        try:
            return self._drive(by_itself(flow), partial(self.call, patience=patience))
        finally:
            self._deadline = before

    def iterate(self, call: Call[Page[ItemT]]) -> Iterator[ItemT]:
        """All items of a paged list, fetched page by page as they are asked for."""
        pages = Pages[ItemT](call)
        while pages.next_call is not None:
            yield from pages.take(self.call(pages.next_call))

    def download(
        self,
        call: Call[Download],
        write_to: Callable[[], AbstractContextManager[BinaryIO]],
        patience: Patience | None = None,
    ) -> None:
        """Nothing: the file is in what *write_to* opens, which is opened anew for each try, and left with the error.

        Streamed: no more than a part of it is ever in memory. Raises QlikCloudError, or what writing raises.
        """
        self._drive(attempts(call, patience or self.patience), partial(self._receive, write_to))

    def _receive(self, write_to: Callable[[], AbstractContextManager[BinaryIO]], call: Call[Any]) -> None:
        self._open_in_child()
        request, auth = self._request(call), self._auth
        with self._named_errors(), as_our_errors(call, request):
            response = self._http.send(request, auth=auth, stream=True)
            try:
                if response.status_code != 200:
                    response.read()
                    self._read(call.read_as(NoneType), response)
                    raise UnreadableAnswer(f"{call} was answered with {response.status_code} and no file")
                with write_to() as sink:
                    for part in response.iter_bytes(PART_BYTES):
                        sink.write(part)
            finally:
                response.close()

    def _send(self, call: Call[T]) -> T:
        self._open_in_child()
        seconds = None if self._deadline is None else max(MIN_REQUEST, self._deadline - time.monotonic())
        request, auth = self._request(call, seconds), self._auth
        with self._named_errors():
            with as_our_errors(call, request):
                response = self._http.send(request, auth=auth)
            redirected = self._redirected(call, response)
            if redirected is None:
                value = self._read(call, response)
                self._worked(auth)
                return value
        return self._send(redirected)

    def _renew(self, step: Renew) -> bool:
        if self._renewed_at < step.since and self._may_renew(step):
            known = None
            if self._reread is not None and self._reread_at < step.since and step.credentials_refused:
                try:
                    known = self._reread()
                except (QlikCloudError, InvalidArgument) as error:
                    self._not_reread(error, step.error)
            if known is None:
                self._swap()
            else:
                self._take_over(known, refused=True)
        return self._renewed_at >= step.since

    def _take(self, step: Pause | Renew | Question) -> Any:
        if isinstance(step, Renew):
            return self._renew(step)
        assert isinstance(step, Pause), step
        return time.sleep(step.seconds)

    def _drive(self, flow: Flow[T], perform: Callable[[Call[Any]], Any]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = perform(step) if isinstance(step, Call) else self._take(step)
                except QlikCloudError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()
