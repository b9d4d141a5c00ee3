"""Plays one case of the table: a tenant, a task of Airflow, and a fault between them at a moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import cancellation
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests.faults.dimensions import (
    AFTER,
    AT_END,
    AUTOMATION,
    BEFORE,
    CANCELLING,
    DEFERRED,
    DURING,
    LOG,
    RELOAD,
    SHARING_TASK,
    TASK,
    TRIGGERED,
    WAITING,
)
from tests.faults.moments import ENDED, FOUND, INTENT, SHOWN, Interrupted, WatchedTask
from tests.faults.proxy import Proxy
from tests.faults.requests import CANCEL, LOGS, READ_PATHS, START, START_OF_A_TASK, TIMES
from tests.faults.table import A_CANCELLED_RUN, A_RUN, A_START, NOTHING, Case
from tests.provider.conftest import fire

LONG = 1000.0

MOMENT_OF_INTERRUPTION = {BEFORE: INTENT, DURING: INTENT, AFTER: FOUND, WAITING: SHOWN, AT_END: ENDED}
"""The step of a task at which it is interrupted: before it is done, or after it during the start and the wait."""
OTHERS = {"competing", "added"}
"""The origins (`via`) of runs that are not ours."""


class Stage:
    """One case: its set-up, its tries, and the checks."""

    def __init__(self, case: Case, tenant: Tenant, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.case, self.tenant, self.proxy = case, tenant, proxy
        self.task: WatchedTask = WatchedTask()
        self.still_deferred = False
        self.old_trigger: Any = None
        self._connect(monkeypatch)
        monkeypatch.setattr(cancellation, "task_state", self._task_state)
        if case.fault.lasts:
            monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(seconds=0.25))
        self.resource = self._add_resource()
        self._arm_fault()

    # Set-up.

    def _connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        oauth = "auth_type" in self.case.fault.connection
        connection = {
            "conn_type": "qlik_cloud",
            "host": self.proxy.url if self.case.fault.how == "connection" else self.tenant.url,
            "login": self.tenant.client_id if oauth else None,
            "password": self.tenant.client_secret if oauth else self.tenant.api_key,
            "extra": {"tasks_api": self.case.tasks_api, **self.case.fault.connection},
        }
        monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))

    def _add_resource(self) -> str:
        tenant, fault = self.tenant, self.case.fault
        add: dict[str, Callable[[], str]] = {
            TASK: lambda: tenant.add_task("Refresh"),
            AUTOMATION: lambda: tenant.add_automation("Prepare"),
            TRIGGERED: lambda: tenant.add_automation("Mail", run_mode="triggered"),
            RELOAD: lambda: tenant.add_app("Sales"),
            SHARING_TASK: lambda: tenant.add_sharing_task("Weekly"),
        }
        resource = add[self.case.kind]()
        # A run that is to be cancelled, or to stay active, must not end by itself meanwhile.
        end, moment = self.case.end, self.case.moment
        lasting = end.running or (moment in {AFTER, WAITING, CANCELLING} and end.task not in {"succeeds", "is killed"})
        first = Script(run=LONG if lasting else 4, end=fault.run_ends, error="no such table")
        tenant.script(resource, first, Script(run=2))
        tenant.switch(**fault.switches)
        return resource

    def _arm_fault(self) -> None:
        how, moment, task = self.case.fault.how, self.case.moment, self.task
        if how == "response":
            self._at(
                SHOWN if moment in {WAITING, AT_END, CANCELLING} else INTENT if moment == AFTER else None,
                self._inject_fault,
            )
        elif how == "connection":
            self._at(INTENT if moment == DURING else SHOWN if moment != BEFORE else None, self._cut)
        elif how == "competing":
            self._at(SHOWN if moment == WAITING else None, self._add_competing_run)
        elif how == "competing and reset":
            self.tenant.add_run(self.resource, triggered_by="airflow-0123456789abcdef", script=Script(run=1))
            self.tenant.fault(**self._start(), reset="before")
            self._at(INTENT, self._other_run)
        elif how == "pending":
            self._other_run()
        elif how == "airflow fails":
            task.before[FOUND if moment == AFTER else SHOWN] = _fail
        elif how == "killed":
            self._interrupt(lambda: None)
        elif how in {"ended", "cleared"} and (self.case.mode != DEFERRED or moment != WAITING):
            self._interrupt(lambda: self.operator.on_kill())

    def _at(self, step: str | None, happen: Callable[[], None]) -> None:
        """Call `happen` after a step of the task, or at once."""
        if step is None:
            happen()
        else:
            self.task.after[step] = happen

    def _cut(self) -> None:
        if self.case.moment == AT_END:
            self._end_runs()
        self.proxy.cut(self.case.fault.seconds)

    def _inject_fault(self) -> None:
        fault, kind, moment = self.case.fault, self.case.kind, self.case.moment
        if moment == AT_END:
            self._end_runs()
        meeting: dict[str, dict[str, Any]] = {
            BEFORE: {"path": "/api/*", "method": None if fault.lasts else "GET"},
            DURING: self._start(),
            LOG: {"path": "*/tasks/*/log"} if kind == TASK else {"operation": LOGS.get(kind)},
            CANCELLING: {"operation": CANCEL[kind]},
        }
        where = meeting.get(moment, {"path": READ_PATHS[kind], "method": "GET"})
        if fault.operation:
            where = {"operation": fault.operation}
            self.tenant.revoke_tokens()
        times = None if fault.lasts or moment == LOG else min(TIMES[moment], fault.max_requests)
        self.tenant.fault(**where, times=times, **fault.response)
        if fault.refuses_cancels:
            self.tenant.fault(operation=CANCEL[kind], times=None, **fault.response)

    def _start(self) -> dict[str, Any]:
        """Return the match of the requests that start this kind of run."""
        kind = self.case.kind
        return {"method": "POST", "path": START_OF_A_TASK} if kind == TASK else {"operation": START[kind]}

    def _end_runs(self) -> None:
        self.tenant.advance(2 * LONG)

    def _add_competing_run(self) -> None:
        if self.case.moment == DURING:
            self.tenant.switch(competing_runs=1)
        else:
            self._other_run()

    def _other_run(self) -> None:
        user, long = self.tenant.user_id, Script(run=100 * LONG)
        self.tenant.add_run(self.resource, started_ago=0, triggered_by="manual", script=long, by=user)

    def _interrupt(self, first: Callable[[], None]) -> None:
        def interrupt() -> None:
            first()
            raise Interrupted

        steps = self.task.after if self.case.moment in {DURING, WAITING} else self.task.before
        steps[MOMENT_OF_INTERRUPTION[self.case.moment]] = interrupt

    async def _task_state(self, _: object) -> str:
        return "deferred" if self.still_deferred else "failed"

    # Tries.

    def first_try(self) -> Any:
        """Run the first try and return its result. Raises its error, or Interrupted if it was killed."""
        how = self.case.fault.how
        self.operator = operator = self._operator(**self.case.fault.arguments)
        context = self.task.context
        try:
            return operator.execute(context)
        except TaskDeferred as deferred:
            trigger = deferred.trigger
            if how == "deferral failed":
                return operator.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
            if how == "cleared":
                self.old_trigger = trigger
                raise Interrupted from None
            if how == "ended":
                _stop_trigger(trigger)
                raise Interrupted from None
            if how == "triggerer lost":
                self.still_deferred = True
                _stop_trigger(trigger)
            return getattr(operator, deferred.method_name)(context, fire(trigger))

    def second_try(self) -> Any:
        """Run the next try without the fault, after a retry or a clear, and return its result."""
        self.tenant.clear_faults()
        if self.case.fault.how == "connection":
            self.proxy.restore()
        if self.case.end.task == "fails":
            self._end_runs()
        operator, task = self._operator(), self.task.try_again(cleared=self.case.fault.how == "cleared")
        try:
            return operator.execute(task.context)
        except TaskDeferred as deferred:
            if self.old_trigger is not None:
                # Airflow cancels the old trigger of a cleared task when the new try is already waiting.
                self.still_deferred = True
                _stop_trigger(self.old_trigger)
            return getattr(operator, deferred.method_name)(task.context, fire(deferred.trigger))

    def _operator(self, **arguments: Any) -> Any:
        made: dict[str, tuple[type[Any], dict[str, Any]]] = {
            TASK: (QlikRunTaskOperator, {"qlik_task_id": self.resource}),
            AUTOMATION: (QlikRunAutomationOperator, {"automation_id": self.resource}),
            TRIGGERED: (QlikRunAutomationOperator, {"automation_id": self.resource, "inputs": {"to": "all"}}),
            RELOAD: (QlikReloadAppOperator, {"app_id": self.resource}),
            SHARING_TASK: (QlikRunSharingTaskOperator, {"sharing_task_id": self.resource}),
        }
        operator, named = made[self.case.kind]
        quick = {"poll_interval": 1.0, "settle_time": 0.02, "match_timeout": 1.0, "unknown_outcome_timeout": 0.3}
        return operator(task_id="run", deferrable=self.case.mode == DEFERRED, **{**quick, **named, **arguments})

    # Checks.

    def starts(self) -> tuple[int, int, int]:
        """Return how many starts were sent and carried out, and how many runs of ours the snapshot has."""
        starts = self.tenant.request_log(**self._start())
        ours = [run for run in self.tenant.runs(self.resource) if run["via"] not in OTHERS]
        return len(starts), len([entry for entry in starts if entry.carried_out]), len(ours)

    def active_runs(self) -> list[dict[str, Any]]:
        """Return our runs that are still active two sandbox seconds later."""
        self.tenant.advance(2)
        return [run for run in self.tenant.active() if run["via"] not in OTHERS]

    def stored_checkpoint(self) -> str:
        """Return what the next try would resume from the task state store; NOTHING after a success."""
        entry = self.task.store.get("qlik_run")
        if entry is None or entry.get("done"):
            return NOTHING
        return A_CANCELLED_RUN if entry.get("cancelled") else A_START if entry["run"] is None else A_RUN

    def cancelled_other_runs(self) -> list[dict[str, Any]]:
        """Return the runs of other users that were cancelled."""
        return [run for run in self.tenant.runs(self.resource) if run["via"] in OTHERS and run["cancel_requested_at"]]


def _stop_trigger(trigger: Any) -> None:
    """Cancel the trigger as a triggerer does, and call its `on_kill`."""

    async def wait_and_stop() -> None:
        again = QlikRunTrigger(**json.loads(json.dumps(trigger.serialize()[1])))
        waiting = asyncio.ensure_future(anext(again.run()))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await again.on_kill()

    asyncio.run(wait_and_stop())


def _fail() -> None:
    raise RuntimeError("no way to Airflow's database")
