"""Runs of automations. The response to a start without inputs is the run; a start with inputs returns no run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import automations, users
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ConflictError,
    InvalidResponseError,
    NotFoundError,
    QlikCloudError,
)
from airflow_provider_qlik.cloud.flow import Flow, send
from airflow_provider_qlik.cloud.models.automations import (
    AutomationRun,
    AutomationRunList,
    LastAutomationRun,
    LastAutomationRunList,
)
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.adapter import LogCallback, Resource, StartableRunAdapter
from airflow_provider_qlik.runs.cancelling import cancelled, not_cancelled, send_cancel
from airflow_provider_qlik.runs.capabilities import (
    CancelsRuns,
    HasBulkList,
    HasLog,
    LatestRun,
    ListsLatestRuns,
    ReportsWarnings,
    ShowsUsers,
)
from airflow_provider_qlik.runs.errors import CannotStartError, before_start
from airflow_provider_qlik.runs.intent import Intent
from airflow_provider_qlik.runs.run import Run, RunSelector, StatusMap

ENABLE_HINT = "enable it in Qlik Cloud, or change its owner if that one is gone"
"""The advice about a disabled automation or task."""
MAX_PAGE_SIZE = 200
"""Items on a page of the list of automations, at most."""
OTHER_CONTEXTS = frozenset({"test_run", "editor", "detail", "lookup"})
"""The contexts of runs that were started in Qlik Cloud's pages: no start through the API has one of them.

`webhook` is not among them: an execution token is sent to an address much like that of a webhook, and no document says
which context such a run has.
"""


class AutomationRunAdapter(
    StartableRunAdapter[AutomationRun], CancelsRuns, HasLog, ReportsWarnings, HasBulkList, ListsLatestRuns, ShowsUsers
):
    """The adapter for runs of automations."""

    name: ClassVar[str] = "automation"
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"not started", "queued", "starting", "running", "paused"}),
        succeeded=frozenset({"finished", "finished with warnings"}),
        failed=frozenset({"failed", "exceeded limit"}),
        cancelled=frozenset({"stopped"}),
        stopping=frozenset({"must stop"}),
    )

    polled_by_list: ClassVar[bool] = True
    other_origins: ClassVar[frozenset[str]] = OTHER_CONTEXTS

    def resource(self, resource_id: str) -> Flow[Resource]:
        """Return the automation."""
        automation = yield from send(automations.get(resource_id))
        disabled = None
        if automation.state in {"disabled", "unavailable"}:
            disabled = f"disabled (its state is {automation.state!r}): {ENABLE_HINT}"
        return Resource(resource_id, automation.name, disabled, automation.space_id)

    def newest(self, resource_id: str, limit: int) -> Call[AutomationRunList]:
        """Return the call that lists the runs of an automation."""
        return automations.runs(resource_id, sort="-startTime", limit=limit)

    def run_of(self, resource_id: str, item: AutomationRun) -> Run:
        """Return the run in a list item or in the response about a single run."""
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.id,
            state=self.status_map.state(item.status, item.stop_time is not None),
            status=item.status,
            status_known=self.status_map.knows(item.status),
            name=item.title or None,
            space_id=item.space_id or None,
            created_at=item.created_at,
            started_at=item.start_time,
            ended_at=item.stop_time,
            reason=item.error_text,
            triggered_by=item.executed_by_id,
            origin="test_run" if item.test_run or item.is_test_run else item.context,
        )

    def exclude_other_users(self, resource_id: str, candidates: Sequence[Run]) -> Flow[list[Run]]:
        """Return the candidates that this user or the owner of the automation has executed.

        A start with inputs is authorised by the token of the automation, and no document says whether `executedById` is
        then the caller or the owner, so both count as this user. A run without `executedById` stays a candidate. If
        either user is unknown, or no candidate would remain, all are returned.
        """
        try:
            own_user_ids = {(yield from send(users.me())).id, (yield from send(automations.get(resource_id))).owner_id}
        except QlikCloudError:
            return list(candidates)
        if None in own_user_ids:
            return list(candidates)
        own = [run for run in candidates if run.triggered_by is None or run.triggered_by in own_user_ids]
        return own or list(candidates)

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True for a start without inputs."""
        return "inputs" not in parameters

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """Start a run and return it; with inputs return None, since the response contains no run."""
        if "inputs" in parameters:
            yield from self._execute(intent.resource_id, parameters["inputs"])
            return None
        run = yield from send(automations.create_run(intent.resource_id))
        return self.run_of(intent.resource_id, run)

    def _execute(self, automation_id: str, inputs: Mapping[str, Any]) -> Flow[None]:
        """Start a triggered automation with inputs, by its execution token. Raises CannotStartError."""
        automation = yield from before_start(send(automations.get(automation_id)))
        name = f"automation {automation.name or ''} {automation_id}".replace("  ", " ")
        if automation.run_mode != "triggered":
            raise CannotStartError(
                f"The automation is in run mode {automation.run_mode!r} and takes no inputs: set the run mode of its"
                f" start block to 'Triggered' in Qlik Cloud, or run it without inputs ({name})"
            )
        if automation.execution_token is None:
            raise CannotStartError(
                "Qlik Cloud does not show the execution token of the automation to this user: sign in as its owner"
                f" ({name})"
            )
        yield from send(automations.execute(automation_id, automation.execution_token.get_secret_value(), inputs))

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """Return one run. Raises NotFoundError."""
        run = yield from send(automations.get_run(resource_id, run_id))
        return self.run_of(resource_id, run)

    def poll_bulk_list(
        self, selectors: Sequence[RunSelector], max_pages: int, audited: Sequence[RunSelector] = ()
    ) -> Flow[dict[RunSelector, Run | None]]:
        """Return the runs that the list of all automations identifies, which shows the last run of each."""
        unanswered: dict[str, list[RunSelector]] = {}
        for selector in (*selectors, *audited):
            if selector.unconfirmed_since is None:
                unanswered.setdefault(selector.resource_id, []).append(selector)
        missing = {selector.resource_id for selector in selectors if selector.unconfirmed_since is None}
        results: dict[RunSelector, Run | None] = {}
        listed = automations.list(limit=MAX_PAGE_SIZE).read_as(LastAutomationRunList)
        pages: Pages[LastAutomationRun] = Pages(listed)
        for _ in range(max_pages):
            if pages.next_call is None or not missing:
                break
            for item in pages.take((yield from send(pages.next_call))):
                if item.id in unanswered:
                    results |= self._results_from(item, unanswered.pop(item.id))
                    missing.discard(item.id)
        return results

    def _results_from(self, item: LastAutomationRun, selectors: Sequence[RunSelector]) -> dict[RunSelector, Run | None]:
        """Return the results of polls that the last run of an automation decides."""
        try:
            last = None if item.last_run is None else self.run_of(item.id, item.last_run)
        except InvalidResponseError:
            return {}
        results: dict[RunSelector, Run | None] = {}
        for selector in selectors:
            if selector.run_id is None:
                if _proves_that_there_is_none(last, selector):
                    results[selector] = None
            elif last is not None and last.id == selector.run_id:
                results[selector] = last
        return results

    def latest_runs(self, space_id: str | None) -> Call[LastAutomationRunList]:
        """Return the call that lists the automations, each with its last run."""
        in_space = None if space_id is None else f"spaceId eq {json.dumps(space_id)}"
        return automations.list(filter=in_space, limit=MAX_PAGE_SIZE).read_as(LastAutomationRunList)

    def latest_run(self, item: LastAutomationRun) -> LatestRun | None:
        """Return what the list says about an automation."""
        try:
            run = None if item.last_run is None else self.run_of(item.id, item.last_run)
        except InvalidResponseError:
            return None
        return LatestRun.of(item.id, run, item.name, item.space_id or None)

    def cancel(self, run: Run) -> Flow[str]:
        """Cancel the run."""
        return (yield from self.stop(run.resource_id, run.id))

    def stop(self, automation_id: str, run_id: str) -> Flow[str]:
        """Cancel a run of an automation, whether it was started as such or by a task."""
        try:
            yield from send_cancel(automations.stop_run(automation_id, run_id))
        except (ConflictError, NotFoundError):
            return not_cancelled(f"automation run {run_id}")
        except BadRequestError:
            # No document says which status the cancel of an ended run has.
            run = yield from self.get(automation_id, run_id)
            if run is None or not run.ended:
                raise
            return not_cancelled(f"automation run {run_id}")
        return cancelled(f"automation run {run_id}")

    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return the text of a run that has finished with warnings, None for any other run."""
        if "warning" not in run.status.casefold():
            return None
        return run.reason or "Qlik Cloud does not say which; the run's page shows them"

    def log(self, run: Run) -> Flow[str]:
        """Return the debug log of a run."""
        return (yield from send(automations.run_debug(run.resource_id, run.id)))

    def page(self, run: Run) -> str:
        """Return the path of the automation's page, which lists its runs."""
        return f"/automations/{run.resource_id}"


def _proves_that_there_is_none(last: Run | None, selector: RunSelector) -> bool:
    """Return True if there is no such run, by the last run of the automation.

    That there is one does not follow from it: no document says that the run shown as the last is the last to begin, and
    the last of several runs after a moment is not the first.
    """
    return last is None or (selector.started_after is not None and last.began_before(selector.started_after))
