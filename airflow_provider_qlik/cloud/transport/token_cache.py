"""One access token per tenant and credentials, shared by all clients of the process, and one request for it.

Thousands of requests may need a new token at the same moment. One of them requests it, and the others wait for that
one: they may be in other event loops or threads of the process, so they wait for a `concurrent.futures.Future`. What
does not work: that each of them requests a token itself when the first request has failed. They would do so one after
the other, each after its time-out. So a failure fails all of them, and their retries spread out.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from copy import copy
from typing import Any, ClassVar, TypeAlias, TypeVar

from airflow_provider_qlik.cloud.errors import ConnectError, QlikCloudError
from airflow_provider_qlik.cloud.transport.credentials import OAuth, digest
from airflow_provider_qlik.cloud.transport.tenant import Tenant
from airflow_provider_qlik.cloud.transport.token_request import Token

MAX_WAIT_FOR_PENDING = 90.0
"""Seconds that a request waits for the token that another one has requested, at most."""

TokenOutcome: TypeAlias = Token | QlikCloudError | None
"""The end of a token request: the token, the error, or None where the request was interrupted."""

StepT = TypeVar("StepT")


class PendingToken(Future[TokenOutcome]):
    """A token that has been requested, and the thread that requests it."""

    def __init__(self) -> None:
        super().__init__()
        self._thread_id = threading.get_ident()
        # So no waiting request can cancel it for the others.
        self.set_running_or_notify_cancel()

    def wait(self) -> TokenOutcome:
        """Wait in a thread for the outcome; None if it takes too long."""
        if self._thread_id == threading.get_ident():
            # A signal has interrupted the token request of this very thread: it would wait for itself.
            return None
        try:
            return self.result(timeout=MAX_WAIT_FOR_PENDING)
        except FutureTimeoutError:
            return None

    async def wait_async(self) -> TokenOutcome:
        """Wait in an event loop for the outcome; None if it takes too long."""
        waiting = asyncio.wrap_future(self)
        await asyncio.wait({waiting}, timeout=MAX_WAIT_FOR_PENDING)
        return waiting.result() if waiting.done() else None


class SharedToken:
    """The token of one tenant and one set of credentials."""

    _all: ClassVar[dict[tuple[object, ...], SharedToken]] = {}
    _lock = threading.RLock()

    def __init__(self) -> None:
        # Re-entrant, since a signal may interrupt a thread in here to cancel what it has started.
        self.lock = threading.RLock()
        self.token: Token | None = None
        self.pending: PendingToken | None = None

    @classmethod
    def of(cls, tenant: Tenant, credentials: OAuth) -> SharedToken:
        """Return the shared token of a tenant and credentials."""
        # A digest: the table must not be a place where secrets lie about.
        key = (tenant.url, repr(credentials), digest(credentials))
        with cls._lock:
            return cls._all.setdefault(key, cls())

    @classmethod
    def forget_all(cls) -> None:
        """Begin anew in a child process: a lock that a thread of the parent held would never be released."""
        cls._all, cls._lock = {}, threading.RLock()

    def get(
        self, refused: Token | None, request: Callable[[], Generator[StepT, Any, Token]]
    ) -> Generator[StepT | PendingToken, Any, Token]:
        """Return a token that is fresh and not the refused one.

        Yields the steps of *request* if this is the first to need a new token, else the pending token, and is sent its
        outcome. Raises QlikCloudError.
        """
        while True:
            with self.lock:
                token = self.token
                if token is not None and token.fresh and token != refused:
                    return token
                pending, is_first = self.pending, self.pending is None
                if pending is None:
                    pending = self.pending = PendingToken()
            if is_first:
                return (yield from self._request(pending, request()))
            outcome = yield pending
            if isinstance(outcome, QlikCloudError):
                # A copy for each waiting request: an error collects notes and a traceback on its way.
                raise copy(outcome)
            if outcome is None:
                # Not requested from here, see the module: the retries of the calls spread them out.
                with self.lock:
                    if self.pending is pending:
                        self.pending = None
                raise ConnectError("Could not sign in: the sign-in that this request waited for got no response")

    def _request(self, pending: PendingToken, steps: Generator[StepT, Any, Token]) -> Generator[StepT, Any, Token]:
        """Request the token, and hand its outcome to all who wait for it."""
        outcome: TokenOutcome = None
        try:
            outcome = token = yield from steps
            return token
        except QlikCloudError as error:
            outcome = error
            raise
        finally:
            with self.lock:
                if isinstance(outcome, Token):
                    self.token = outcome
                if self.pending is pending:
                    self.pending = None
            pending.set_result(outcome)


os.register_at_fork(after_in_child=SharedToken.forget_all)


def forget_tokens() -> None:
    """Forget all tokens of this process: the next request gets a new one."""
    with SharedToken._lock:
        for shared_token in SharedToken._all.values():
            # Clients that live on have the shared token, not the table.
            shared_token.token = None
        SharedToken._all.clear()
