"""Calls and flows: a request is a value, and a procedure is a generator that yields requests. No I/O here.

A flow yields calls, pauses and polls, and is sent the responses, as `httpx.Auth.auth_flow`. The same flows run in
threads (`transport.client`) and in an event loop (`transport.async_client`), each by the loop of `FlowDriver`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode

from airflow_provider_qlik.cloud.errors import QlikCloudError
from airflow_provider_qlik.validation import InvalidArgumentError, checked_id

T = TypeVar("T")
AnotherT = TypeVar("AnotherT")
T_co = TypeVar("T_co", covariant=True)
KeyT = TypeVar("KeyT", bound=Hashable)
"""The type of the keys of polls: in this package a run selector."""
ResultT = TypeVar("ResultT")
"""The type of the results of polls: in this package a run, or None if there is none."""

TASKS_ROOT = "{tasks}"
"""Stands at the start of the path of a Tasks operation; the tenant says where that family lives, see `paths`."""
EXECUTE_ROOT = "{execute}"
"""Stands at the start of the path by which an automation is started with inputs, see `paths`."""


class Tier(StrEnum):
    """One of Qlik Cloud's rate limits, by which calls are counted; the numbers are `rate_limiter.REQUESTS_PER_MINUTE`.

    `TASKS` is that of Tasks v1. On the scheduling path the same calls count in `ONE` and `TWO`, see `paths`.
    """

    ONE = "tier 1"
    TWO = "tier 2"
    TASKS = "tasks"
    RELOADS = "reloads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One request to Qlik Cloud, described and not sent, and the type of its response.

    `operation` is the contract's operationId, `path` is ready (ids percent-encoded) but for the tasks root, `query`
    holds decoded pairs, `body` is plain JSON. `follows_redirect` allows the one documented redirect, to the same host.
    `about` names members of the response with the ids that they must have, `items_about` those of each item of a list:
    a response about something else is no response to this call. `scheduling_only` marks what Qlik documents for the
    path `/api/scheduling/tasks` alone, and not for Tasks v1.
    """

    operation: str
    method: str
    path: str
    answer: type[T_co]
    tier: Tier
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    accept: str = "application/json"
    follows_redirect: bool = False
    about: tuple[tuple[str, str], ...] = ()
    items_about: tuple[tuple[str, str], ...] = ()
    scheduling_only: bool = False

    @property
    def repeatable(self) -> bool:
        """True if the request is idempotent: to send it twice does no more than to send it once."""
        return self.method in {"GET", "PUT", "DELETE"}

    @property
    def query_text(self) -> str:
        """The encoded query; a plus sign is encoded too, since servers read it as a blank."""
        return urlencode(self.query, quote_via=quote)

    def read_as(self, answer: type[AnotherT]) -> Call[AnotherT]:
        """Return the same request with another type of response."""
        another: Any = replace(self, answer=answer)  # type: ignore[arg-type]
        return cast(Call[AnotherT], another)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


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


class Several(tuple[str, ...]):
    """The values of a query parameter that is sent once for each of them."""

    __slots__ = ()


Parameter: TypeAlias = str | int | bool | Several | None
"""The type of a query parameter; None is not sent."""


@dataclass(frozen=True, slots=True)
class Family:
    """The operations of one family: the root of their paths, and the tiers of reads and of all else."""

    root: str
    reading: Tier
    writing: Tier

    def call(
        self,
        operation: str,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        template: str,
        answer: type[T],
        *,
        ids: Mapping[str, str] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: str = "application/json",
        follows_redirect: bool = False,
        about: Mapping[str, str] | None = None,
        items_about: Mapping[str, str] | None = None,
        scheduling_only: bool = False,
    ) -> Call[T]:
        """Return the call of one operation: *template* follows the root and holds the names of *ids* in braces.

        *about* and *items_about*: members of the response, or of each item of the list, that must have these ids.
        *scheduling_only*: Tasks v1 does not have it, see `Call`.
        """
        return Call(
            operation=operation,
            method=method,
            path=self.root + path(template, ids or {}),
            answer=answer,
            tier=self.reading if method == "GET" else self.writing,
            query=query(parameters or {}),
            body=body,
            headers=tuple((headers or {}).items()),
            accept=accept,
            follows_redirect=follows_redirect,
            about=_ids(about),
            items_about=_ids(items_about),
            scheduling_only=scheduling_only,
        )


def _ids(members: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((member, checked_id(member, given)) for member, given in (members or {}).items())


def path(template: str, ids: Mapping[str, str]) -> str:
    """Return the template with each ``{name}`` replaced by its id, percent-encoded.

    Raises InvalidArgumentError for an id that is empty or would lead elsewhere.
    """
    for name, given in ids.items():
        template = template.replace("{" + name + "}", quote(checked_id(name, given), safe=""))
    return template


def segment(name: str, given: object) -> str:
    """Return any text as one segment of a path, percent-encoded: what is no id may hold a slash.

    Raises InvalidArgumentError for a value that is no text, is empty, cannot be encoded, or stands for a folder (``.``,
    ``..``).
    """
    if not isinstance(given, str):
        raise InvalidArgumentError(name, given if given is not None else "None", "must be a text")
    try:
        encoded = quote(given, safe="")
    except UnicodeEncodeError:
        raise InvalidArgumentError(name, given, "has characters that cannot be sent") from None
    if not given.strip() or given in {".", ".."}:
        raise InvalidArgumentError(name, None, f"{given!r} is no name of anything")
    return encoded


def query(parameters: Mapping[str, Parameter]) -> tuple[tuple[str, str], ...]:
    """Return the parameters that are not None, as text; booleans in lower case, as JSON writes them.

    Raises InvalidArgumentError for what is neither text nor number, and for text that cannot be encoded.
    """
    return tuple(
        (name, _text(name, one))
        for name, given in parameters.items()
        if given is not None
        for one in (given if isinstance(given, Several) else (given,))
    )


def _text(name: str, given: object) -> str:
    if not isinstance(given, (str, int)):
        raise InvalidArgumentError(name, given, "must be a text or a whole number")
    text = str(given).lower() if isinstance(given, bool) else str(given)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(name, given, "has characters that cannot be sent") from None
    return text
