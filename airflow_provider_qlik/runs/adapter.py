"""The interface of a kind of run.

A new kind is one subclass of one of three classes, which build on each other:

- `RunAdapter`: the kind can be waited for, as all kinds can.
- `ListedRunAdapter`: Qlik Cloud has a list of the runs of a resource. The list says which run is the last, which is the
  first after a moment, and which is our own.
- `StartableRunAdapter`: runs can also be started. This needs the list: the run of a start whose response is lost is
  looked for in it.

What only some kinds can do beyond that is a protocol in `capabilities`: a kind that can be cancelled is a subclass of
`CancelsRuns` as well, one whose runs have a log of `HasLog`. So no method of an adapter refuses its work, and mypy
finds a caller that forgets to check for the protocol. What is done in the same way for all kinds is in functions that
take the adapter: in `starting`, `matching`, `listing`, `polling`, `cancelling` and `outcome`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeAlias

from airflow_provider_qlik.cloud.call import Call, Tier
from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.cloud.models.paging import ItemT, Page
from airflow_provider_qlik.runs import polling
from airflow_provider_qlik.runs.intent import Intent
from airflow_provider_qlik.runs.run import Run, RunSelector, StatusMap

LogCallback: TypeAlias = Callable[[int, str], object]
"""Writes a line for the user: a level of `logging` and a sentence. A logger's `log` fits."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A task, automation or other resource that is run.

    `disabled` is None if the resource is enabled, else a phrase that says why it is not and what the user can do.
    """

    id: str
    name: str | None = None
    disabled: str | None = None
    space_id: str | None = None


class RunAdapter(ABC):
    """A kind of run that can be waited for. Methods that need requests are flows (see `cloud.call`)."""

    name: ClassVar[str]
    """The kind, as it stands in events, trigger arguments and log lines."""
    status_map: ClassVar[StatusMap]
    tier: ClassVar[Tier] = Tier.ONE
    """The rate limit that polls count against."""

    @abstractmethod
    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the resource that the runs belong to. Raises NotFoundError."""

    @abstractmethod
    def poll(self, selector: RunSelector) -> Flow[Run | None]:
        """Return the current state of the selected run, None if there is no such run (yet)."""

    @abstractmethod
    def page(self, run: Run) -> str:
        """Return the path of the page in Qlik Cloud that shows a run or its resource."""

    def described(self, run: Run) -> Flow[Run]:
        """Return the run with the name and the space of its resource, with at most one request.

        A user may see a run and not its resource: whatever goes wrong, the run is returned unchanged.
        """
        if run.name and run.space_id:
            return run
        try:
            resource = yield from self.resource(run.resource_id)
        except (QlikCloudError, InvalidArgumentError):
            return run
        return replace(run, name=run.name or resource.name, space_id=run.space_id or resource.space_id)

    def stopping(self, run: Run) -> bool:
        """Return True if the run is being cancelled."""
        return run.status.strip().casefold() in self.status_map.stopping


class ListedRunAdapter(RunAdapter, Generic[ItemT]):
    """A kind of run of which Qlik Cloud has a list, with items of the type *ItemT*."""

    polled_by_list: ClassVar[bool] = False
    """True where the list says as much about a run as `get` does."""
    other_origins: ClassVar[frozenset[str]] = frozenset()
    """The values of `Run.origin`, in lower case, that no run has which was started through the API."""

    @abstractmethod
    def newest(self, resource_id: str, limit: int) -> Call[Page[ItemT]]:
        """Return the call that lists the runs of a resource, latest start first, *limit* of them on a page."""

    @abstractmethod
    def run_of(self, resource_id: str, item: ItemT) -> Run:
        """Return the run in an item of that list."""

    @abstractmethod
    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """Return the current state of a run, None if Qlik Cloud does not have it."""

    def poll(self, selector: RunSelector) -> Flow[Run | None]:
        """Return the current state of the selected run, see `polling.poll`."""
        return polling.poll(self, selector)

    def can_be_api_run(self, run: Run) -> bool:
        """Return False for a run that no start through the API can have made.

        A missing or unknown origin excludes nothing.
        """
        return (run.origin or "").strip().casefold() not in self.other_origins


class StartableRunAdapter(ListedRunAdapter[ItemT]):
    """A kind of run that can be started."""

    one_at_a_time: ClassVar[bool] = False
    """True where a run can only be started after the last one has ended."""

    @abstractmethod
    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """Send the request that starts a run; return the run if the response contains it, else None.

        Raises the errors of that request.
        """

    @abstractmethod
    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if the response to a start with these parameters contains the run.

        Then the runs before the start need not be known, and a user who may not list runs can start one all the same.
        """
