"""Flows: a procedure is a generator that yields calls, pauses and polls, and is sent their results. No I/O here.

It is the protocol of `httpx.Auth.auth_flow`, for whole procedures. The same flows run in threads (`transport.client`),
in an event loop (`transport.async_client`) and in tests with plain values, each by the loop of `FlowDriver`. So a rule,
such as how a started run is found, exists once, and not once for each way of waiting.

What does not work: coroutines with a synchronous wrapper. A worker has no event loop, and a signal handler, which
cancels a run, cannot start one safely.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from airflow_provider_qlik.cloud.call import Call, Tier
from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.validation import InvalidArgumentError

T = TypeVar("T")
KeyT = TypeVar("KeyT", bound=Hashable)
"""The type of the keys of polls: in this package a run selector."""
ResultT = TypeVar("ResultT")
"""The type of the results of polls: in this package a run, or None if there is none."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of so many seconds between two calls of a flow."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RefreshCredentials:
    """The request of a flow for other credentials. It is sent True if there are any now, else False.

    `since` is the moment of the monotonic clock when the refused credentials were used. `error` is the refusal; it gets
    a note if the connection cannot be read again. A 403 or 404 exchanges only new credentials that no response has
    accepted yet. `fallback_refused`: the refused credentials are the old ones, which were used because of such a 403 or
    404, and are revoked.
    """

    since: float
    error: QlikCloudError | None = field(default=None, compare=False, repr=False)
    fallback_refused: bool = False

    @property
    def credentials_refused(self) -> bool:
        """Return True if the credentials themselves were refused."""
        return bool(getattr(self.error, "credentials_refused", True))


@dataclass(frozen=True, slots=True)
class Await:
    """A wait for another flow, in this event loop, another one or another thread. The flow is sent None.

    In a thread it lasts no longer than half of the total time-out of a request: the other flow may be in the very
    thread that a signal has interrupted, and would never end.
    """

    future: Future[Any]


class PollSource(Protocol[KeyT, ResultT]):
    """The source that answers polls: one kind of run.

    A *key* says what is polled, and is hashable: in this package a run selector.
    """

    @property
    def name(self) -> str:
        """The name of the source, such as "task"; unique in an event loop."""

    @property
    def tier(self) -> Tier:
        """The rate limit that the requests of this source count against."""

    @property
    def has_bulk_list(self) -> bool:
        """True if one list may answer polls of many batches."""

    def poll(self, key: KeyT) -> Flow[ResultT]:
        """Return the result of one poll."""

    def poll_batch(self, keys: Sequence[KeyT]) -> Flow[Mapping[KeyT, ResultT | Exception]]:
        """Return the results of polls of one batch by key, or errors in their place.

        At least one of them, and as many as a few calls give.
        """

    def poll_bulk_list(
        self, keys: Sequence[KeyT], max_pages: int, audited: Sequence[KeyT] = ()
    ) -> Flow[Mapping[KeyT, ResultT]]:
        """Return the results, by key, that one list gives for polls of any batches.

        :param max_pages: pages of the list that are read at most.
        :param audited: keys whose results are returned as well where the pages that are read show them.
        """

    def is_terminal(self, result: ResultT) -> bool:
        """Return True if a result will not change any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Poll(Generic[KeyT, ResultT]):
    """A poll that may be answered together with others: with those of the same `batch_key`, or by a bulk list.

    It is sent no sooner than `min_delay` and no later than `max_delay` seconds from now. `reschedule` gets a result and
    returns new delays if it is nothing new, or None if the flow is to get it: so a wait is not woken for each poll.
    """

    source: PollSource[KeyT, ResultT]
    key: KeyT
    batch_key: str
    min_delay: float = 0.0
    max_delay: float = 0.0
    reschedule: Callable[[ResultT], tuple[float, float] | None] | None = field(default=None, repr=False)


Step: TypeAlias = Call[Any] | Pause | RefreshCredentials | Await | Poll[Any, Any]

Flow: TypeAlias = Generator[Step, Any, T]
"""A procedure: it yields steps, is sent their results, has errors thrown into it, and returns its own result."""


def send(call: Call[T]) -> Flow[T]:
    """Send a call and return its response, inside a flow: ``run = yield from send(call)``."""
    response: T = yield call
    return response


def pause(seconds: float) -> Flow[None]:
    """Pause for so many seconds, inside a flow."""
    yield Pause(seconds)


class FlowDriver(Iterator[Step], Generic[T]):
    """Drives a flow: yields its steps, and passes their responses and errors to it. The result is in `result`.

    It is the one loop that advances generators, for drivers that block, that are coroutines, or that are flows
    themselves::

        driver = FlowDriver(flow)
        for step in driver:
            with driver:
                driver.response = perform(step)
        return driver.result

    An error of this package that is raised in the ``with`` is thrown into the flow, which may handle it. Whatever else
    is raised there, such as a cancellation, closes the flow and leaves the block.
    """

    __slots__ = ("_error", "_flow", "response", "result")
    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self._error: Exception | None = None
        self.response: Any = None
        """The response to the last step, to be set by whoever performs it."""

    def __next__(self) -> Step:
        (error, self._error), (response, self.response) = (self._error, None), (self.response, None)
        try:
            return self._flow.send(response) if error is None else self._flow.throw(error)
        except StopIteration as end:
            self.result = end.value
            raise StopIteration from None

    def __enter__(self) -> None:
        """Begin to perform a step."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Keep an error of this package for the flow; after any other error, close the flow."""
        if isinstance(error, (QlikCloudError, InvalidArgumentError)):
            self._error = error
            return True
        if error is not None:
            self._flow.close()
        return False


def unbatched(flow: Flow[T]) -> Flow[T]:
    """Return the flow for a driver without a dispatcher: a poll becomes a pause and the calls that answer it."""
    driver = FlowDriver(flow)
    for step in driver:
        with driver:
            driver.response = (yield from _poll_singly(step)) if isinstance(step, Poll) else (yield step)
    return driver.result


def _poll_singly(poll: Poll[KeyT, ResultT]) -> Flow[ResultT]:
    delay = poll.max_delay
    while True:
        if delay:
            yield Pause(delay)
        result = yield from poll.source.poll(poll.key)
        delays = poll.reschedule(result) if poll.reschedule else None
        if delays is None:
            return result
        delay = delays[1]
