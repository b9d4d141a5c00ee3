"""What some kinds of run can do and others cannot: protocols that an adapter has beside its base class.

A caller checks with ``isinstance``, which mypy understands, and does without where an adapter lacks the protocol. An
adapter names its protocols as base classes, so that a missing method is an error when it is made.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.flow import Flow
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


@runtime_checkable
class ShowsUsers(Protocol):
    """Runs show which user has started them."""

    @abstractmethod
    def exclude_other_users(self, resource_id: str, candidates: Sequence[Run]) -> Flow[list[Run]]:
        """Return the candidates that this user can have started; all of them where Qlik Cloud does not say.

        Called only if there are several candidates, since it may take requests. Errors of these are not raised.
        """
