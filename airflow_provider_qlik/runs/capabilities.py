"""Optional capabilities of a kind of run: protocols that an adapter implements beside its base class.

A caller checks with ``isinstance``, which mypy understands, and does without where an adapter lacks the protocol. An
adapter names its protocols as base classes, so that a missing method is an error when it is made.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.flow import Flow
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.runs.run import Run, RunSelector


@runtime_checkable
class CancelsRuns(Protocol):
    """Runs can be cancelled."""

    cancelled_together: ClassVar[bool] = False
    """True where a cancel ends all active runs: a new run must not start before the cancelled one has ended."""

    @abstractmethod
    def cancel(self, run: Run) -> Flow[str]:
        """Cancel a run; return a clause that says what was done, see `cancelling`. A run that has ended is no error."""


@runtime_checkable
class HasLog(Protocol):
    """Qlik Cloud keeps a log of each run."""

    @abstractmethod
    def log(self, run: Run) -> Flow[str]:
        """Return the log of a run."""


@runtime_checkable
class HasLogFile(Protocol):
    """The log of a run can be downloaded as a file, however long it is."""

    log_file_type: ClassVar[str]
    """The type of the file, one of `cloud.transport.download`: `LOG` or `LOG_IN_JSON`."""

    @abstractmethod
    def log_file(self, run: Run) -> Call[Download]:
        """Return the call that downloads the log of a run."""


@runtime_checkable
class ExplainsFailures(Protocol):
    """The reason of a failure takes a request; for other kinds it is part of the run."""

    @abstractmethod
    def reason(self, run: Run) -> Flow[str | None]:
        """Return the reason that Qlik Cloud gives for the failure of a run, None if it gives none."""


@runtime_checkable
class ReportsWarnings(Protocol):
    """Runs can succeed with warnings."""

    @abstractmethod
    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return the warnings of a run that succeeded, None if there are none.

        :param log: the lines of its log, as far as the log could be read.
        """


@runtime_checkable
class ConsistsOfItems(Protocol):
    """A run consists of several items of the list, which may change until the run has ended."""

    id_names: ClassVar[tuple[str, ...]]
    """Members of a list item that may hold the id of its run."""

    @abstractmethod
    def group(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs that list items make up."""

    @abstractmethod
    def completed(self, run: Run) -> Flow[Run]:
        """Return a run that was found in the list as `ListedRunAdapter.get` would return it."""


@runtime_checkable
class HasBulkList(Protocol):
    """One list has the last runs of many resources."""

    @abstractmethod
    def poll_bulk_list(
        self, selectors: Sequence[RunSelector], max_pages: int, audited: Sequence[RunSelector] = ()
    ) -> Flow[dict[RunSelector, Run | None]]:
        """Return the selected runs, of any resources, that at most *max_pages* pages of the bulk list contain.

        The *audited* selectors are answered where they appear; no page is read for their sake.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestRun:
    """One resource and its last run, as a list of resources shows them.

    `run` is the last run; None if there was none yet, or the list does not identify it. `active` is True while a run is
    active, as far as the list shows that, and `ended_at` is the last end. `version` changes whenever a run begins or
    ends.
    """

    resource_id: str
    name: str | None = None
    space_id: str | None = None
    run: Run | None = None
    active: bool = False
    ended_at: datetime | None = None
    version: Hashable = None

    @classmethod
    def of(cls, resource_id: str, run: Run | None, name: str | None = None, space_id: str | None = None) -> Self:
        """Return the entry of a resource with this last run, None if there was none."""
        if run is None:
            return cls(resource_id=resource_id, name=name, space_id=space_id)
        return cls(
            resource_id=resource_id,
            name=name,
            space_id=space_id,
            run=run,
            active=not run.ended,
            ended_at=run.ended_at,
            version=(run.id, run.status, run.ended_at),
        )


@runtime_checkable
class ListsLatestRuns(Protocol):
    """One list shows for many resources which run was their last."""

    lists_every_resource: ClassVar[bool] = True
    """False if it is a list of runs, latest start first, in which a resource is missing that has not run lately. Such a
    list shows neither names nor spaces."""

    @abstractmethod
    def latest_runs(self, space_id: str | None) -> Call[Page[Any]]:
        """Return the call that lists the resources that the user may see.

        :param space_id: list only those of this space, where the list can be filtered by it.
        """

    @abstractmethod
    def latest_run(self, item: Any) -> LatestRun | None:
        """Return what an item of that list says; None if it cannot be read."""


@runtime_checkable
class ShowsUsers(Protocol):
    """Runs show which user has started them."""

    @abstractmethod
    def exclude_other_users(self, resource_id: str, candidates: Sequence[Run]) -> Flow[list[Run]]:
        """Return the candidates that this user can have started; all of them where Qlik Cloud does not say.

        Called only if there are several candidates, since it may take requests. Errors of these are not raised.
        """
