"""Runs of automations: Qlik says which run a start made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_qlik.cloud.api import automations, users
from airflow_provider_qlik.cloud.call import Call, Flow, send
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ConflictError,
    InvalidResponseError,
    NotFoundError,
    QlikCloudError,
)
from airflow_provider_qlik.cloud.models.automations import (
    AutomationRun,
    AutomationRunList,
    LastAutomationRun,
    LastAutomationRunList,
)
from airflow_provider_qlik.cloud.pages import Pages
from airflow_provider_qlik.runs.adapter import Resource, RunAdapter
from airflow_provider_qlik.runs.cancelling import insist
from airflow_provider_qlik.runs.errors import CannotStartError, before_start
from airflow_provider_qlik.runs.matching import Intent, LogCallback
from airflow_provider_qlik.runs.run import Run, RunSelector, StatusMap

MAX_PAGE = 200
OTHER_CONTEXTS = frozenset({"test_run", "editor", "detail", "lookup"})
"""The contexts of runs that somebody set off in Qlik Cloud's pages: no start through the API has one of them.

Of `webhook` nobody says that: an execution token is sent to an address much like that of a webhook.
"""


class AutomationRunAdapter(RunAdapter):
    """How runs of automations are handled."""

    name: ClassVar[str] = "automation"
    enable_hint: ClassVar[str] = "enable it in Qlik Cloud, or change its owner if that one is gone"
    status_map: ClassVar[StatusMap] = StatusMap(
        active=frozenset({"not started", "queued", "starting", "running", "paused"}),
        succeeded=frozenset({"finished", "finished with warnings"}),
        failed=frozenset({"failed", "exceeded limit"}),
        cancelled=frozenset({"stopped"}),
        stopping=frozenset({"must stop"}),
    )

    polled_by_list: ClassVar[bool] = True
    has_bulk_list: ClassVar[bool] = True

    def resource(self, resource_id: str) -> Flow[Resource]:
        """The automation."""
        automation = yield from send(automations.get(resource_id))
        off = automation.state if automation.state in {"disabled", "unavailable"} else None
        return Resource(resource_id, automation.name, f"its state is {off!r}" if off else None, automation.space_id)

    def newest(self, resource_id: str, limit: int) -> Call[AutomationRunList]:
        """The call for the runs of an automation."""
        return automations.runs(resource_id, sort="-startTime", limit=limit)

    def run_of(self, resource_id: str, item: AutomationRun) -> Run:
        """The run in an item of the list, or alone."""
        return Run(
            kind=self.name,
            resource_id=resource_id,
            id=item.id,
            state=self.status_map.state(item.status, item.stop_time is not None),
            status=item.status,
            known_word=self.status_map.knows(item.status),
            name=item.title or None,
            space_id=item.space_id or None,
            created_at=item.created_at,
            started_at=item.start_time,
            ended_at=item.stop_time,
            reason=item.error_text,
            triggered_by=item.executed_by_id,
            origin="test_run" if item.test_run or item.is_test_run else item.context,
        )

    def can_be_api_run(self, run: Run) -> bool:
        """Return False for a run that was set off in Qlik Cloud's pages."""
        return (run.origin or "").strip().casefold() not in OTHER_CONTEXTS

    def exclude_other_users(self, resource_id: str, candidates: Sequence[Run]) -> Flow[list[Run]]:
        """Return the runs that are shown as executed by this user or by the owner of the automation.

        `executedById` is "the user who set it off". With inputs, a run is started by the token of the automation, and
        nobody says whether the caller or the owner is shown for that: both are taken for this user. A run that shows
        nobody may be anybody's. Where no run is left, or either user is not known, this rule says nothing.
        """
        try:
            users_of_ours = {(yield from send(users.me())).id, (yield from send(automations.get(resource_id))).owner_id}
        except QlikCloudError:
            return list(candidates)
        if None in users_of_ours:
            return list(candidates)
        left = [run for run in candidates if run.triggered_by is None or run.triggered_by in users_of_ours]
        return left or list(candidates)

    def start_returns_run(self, parameters: Mapping[str, Any]) -> bool:
        """Return True for a start without inputs."""
        return "inputs" not in parameters

    def send_start(self, intent: Intent, write_log: LogCallback, parameters: Mapping[str, Any]) -> Flow[Run | None]:
        """The run, from the answer; None with inputs, where Qlik does not say which run it is."""
        if "inputs" in parameters:
            yield from self._execute(intent.resource_id, parameters["inputs"])
            return None
        run = yield from send(automations.create_run(intent.resource_id))
        return self.run_of(intent.resource_id, run)

    def _execute(self, automation_id: str, inputs: Mapping[str, Any]) -> Flow[None]:
        """Nothing: a triggered automation was started with inputs, by its execution token."""
        automation = yield from before_start(send(automations.get(automation_id)))
        name = f"automation {automation.name or ''} {automation_id}".replace("  ", " ")
        if automation.run_mode != "triggered":
            raise CannotStartError(
                f"{name} is in run mode {automation.run_mode!r} and takes no inputs: set the run mode of its start"
                " block to 'Triggered' in Qlik Cloud, or run it without inputs"
            )
        if automation.execution_token is None:
            raise CannotStartError(f"{name} does not show its execution token to this user: sign in as its owner")
        yield from send(automations.execute(automation_id, automation.execution_token.get_secret_value(), inputs))

    def get(self, resource_id: str, run_id: str) -> Flow[Run | None]:
        """One run. Raises NotFound."""
        run = yield from send(automations.get_run(resource_id, run_id))
        return self.run_of(resource_id, run)

    def poll_bulk_list(
        self, selector: Sequence[RunSelector], most_pages: int, also: Sequence[RunSelector] = ()
    ) -> Flow[dict[RunSelector, Run | None]]:
        """What the last run of their automation tells of them, from the list of all automations."""
        asked: dict[str, list[RunSelector]] = {}
        for each in (*selector, *also):
            if each.unconfirmed_since is None:
                asked.setdefault(each.resource_id, []).append(each)
        missing = {each.resource_id for each in selector if each.unconfirmed_since is None}
        told: dict[RunSelector, Run | None] = {}
        listed = automations.list(limit=MAX_PAGE).read_as(LastAutomationRunList)
        pages: Pages[LastAutomationRun] = Pages(listed)
        for _ in range(most_pages):
            if pages.next_call is None or not missing:
                break
            for item in pages.take((yield from send(pages.next_call))):
                if item.id in asked:
                    told |= self._told_by(item, asked.pop(item.id))
                    missing.discard(item.id)
        return told

    def _told_by(self, item: LastAutomationRun, selector: Sequence[RunSelector]) -> dict[RunSelector, Run | None]:
        try:
            last = None if item.last_run is None else self.run_of(item.id, item.last_run)
        except InvalidResponseError:
            return {}
        return {each: seen[0] for each in selector if (seen := _seen(last, each))}

    def cancel(self, run: Run) -> Flow[str]:
        """The run is asked to stop."""
        return (yield from self.stop(run.resource_id, run.id))

    def stop(self, automation_id: str, run_id: str) -> Flow[str]:
        """The run of an automation is asked to stop, whether it was started as such or by a task."""
        try:
            yield from insist(automations.stop_run(automation_id, run_id))
        except (ConflictError, NotFoundError):
            return f"nothing: automation run {run_id} has ended already"
        except BadRequestError:
            # Nobody says what Qlik answers where there is nothing left to stop.
            seen = yield from self.get(automation_id, run_id)
            if seen is None or not seen.ended:
                raise
            return f"nothing: automation run {run_id} has ended already"
        return f"automation run {run_id}"

    def warnings(self, run: Run, log: Sequence[str]) -> str | None:
        """Return what the run says where it has finished with warnings."""
        if "warning" not in run.status.casefold():
            return None
        return run.reason or "Qlik Cloud does not say which; the run's page shows them"

    def log(self, run: Run) -> Flow[str]:
        """The debug log of a run."""
        return (yield from send(automations.run_debug(run.resource_id, run.id)))

    def reason(self, run: Run) -> Flow[str | None]:
        """What the run itself says."""
        yield from ()
        return run.reason

    def page(self, run: Run) -> str:
        """The page of the automation, where its runs are."""
        return f"/automations/{run.resource_id}"


def _seen(last: Run | None, selector: RunSelector) -> tuple[Run | None] | None:
    """What is to be seen of a wanted run, by the last run of its automation; nothing where that does not tell."""
    if selector.run_id is not None:
        return (last,) if last is not None and last.id == selector.run_id else None
    # Nobody says that what is shown as the last run is the last to begin; and of several, the last is not the first.
    none = last is None or (selector.started_after is not None and last.began_before(selector.started_after))
    return (None,) if none else None
