"""A tenant, a task of Airflow and what goes wrong between them, at the moments that Airflow sees."""

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
from airflow_provider_qlik.runs import refusals as refusal
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import run as trigger_module
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from tests.faults.line import Line
from tests.faults.moments import ENDED, FOUND, INTENT, SHOWN, Interrupted, WatchedTask
from tests.faults.table import A_CANCELLED_RUN, A_RUN, A_START, NOTHING, Case
from tests.faults.words import (
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
from tests.provider.conftest import fire

LONG = 1000.0

START_OF_A_TASK = "*/tasks/*/actions/start"
"""The path of a start, whichever path the tenant has its tasks on."""
START = {
    AUTOMATION: "create_automation_run",
    TRIGGERED: "execute_automation",
    RELOAD: "create_reload",
    SHARING_TASK: "execute_sharing_task",
}
LOOKS = {TASK: "*/runs", AUTOMATION: "*/runs*", TRIGGERED: "*/runs*", RELOAD: "*/reloads*", SHARING_TASK: "*/exec*"}
"""Where runs are looked at."""
LOGS = {
    AUTOMATION: "get_automation_run_debug",
    TRIGGERED: "get_automation_run_debug",
    RELOAD: "get_reload_log",
}
CANCEL = {
    TASK: "cancel_reload",
    AUTOMATION: "stop_automation_run",
    TRIGGERED: "stop_automation_run",
    RELOAD: "cancel_reload",
    SHARING_TASK: "cancel_sharing_task",
}
TIMES = {BEFORE: 2, DURING: 1, AFTER: 2, WAITING: 3, AT_END: 2, CANCELLING: 2}
"""How many requests meet a fault that passes; a log cannot be had at all."""

MOMENT_OF_INTERRUPTION = {BEFORE: INTENT, DURING: INTENT, AFTER: FOUND, WAITING: SHOWN, AT_END: ENDED}
"""The step of a task at which it is interrupted: before it is done, or after it during the start and the wait."""
OTHERS = {"competing", "added"}
"""How runs came about that are not ours."""


class Stage:
    """One case, set up and played."""

    def __init__(self, case: Case, tenant: Tenant, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
        self.case, self.tenant, self.line = case, tenant, line
        self.task: WatchedTask = WatchedTask()
        self.still_deferred = False
        self.old_trigger: Any = None
        self._connect(monkeypatch)
        monkeypatch.setattr(trigger_module, "task_state", self._task_state)
        if case.fault.lasts:
            monkeypatch.setattr(refusal, "REFUSAL_LASTS", timedelta(seconds=0.25))
        self.resource = self._add_resource()
        self._set_trap()

    # Setting up.

    def _connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        oauth = "auth_type" in self.case.fault.connection
        connection = {
            "conn_type": "qlik_cloud",
            "host": self.line.url if self.case.fault.how == "line" else self.tenant.url,
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
        # A run that is to be cancelled, or to be left behind, must not end by itself meanwhile.
        end, moment = self.case.end, self.case.moment
        lasting = end.running or (moment in {AFTER, WAITING, CANCELLING} and end.task not in {"succeeds", "is killed"})
        first = Script(run=LONG if lasting else 4, end=fault.run_ends, error="no such table")
        tenant.script(resource, first, Script(run=2))
        tenant.switch(**fault.switches)
        return resource

    def _set_trap(self) -> None:
        how, moment, task = self.case.fault.how, self.case.moment, self.task
        if how == "answer":
            self._at(
                SHOWN if moment in {WAITING, AT_END, CANCELLING} else INTENT if moment == AFTER else None, self._spoil
            )
        elif how == "line":
            self._at(INTENT if moment == DURING else SHOWN if moment != BEFORE else None, self._cut)
        elif how == "rival":
            self._at(SHOWN if moment == WAITING else None, self._rival)
        elif how == "rival for ours":
            self.tenant.add_run(self.resource, triggered_by="airflow-0123456789abcdef", script=Script(run=1))
            self.tenant.fault(**self._start(), reset="before")
            self._at(INTENT, self._other_run)
        elif how == "pending":
            self._other_run()
        elif how == "airflow fails":
            task.before[FOUND if moment == AFTER else SHOWN] = _fail
        elif how == "killed":
            self._interrupt(_nothing)
        elif how in {"ended", "cleared"} and (self.case.mode != DEFERRED or moment != WAITING):
            self._interrupt(lambda: self.operator.on_kill())

    def _at(self, step: str | None, happen: Callable[[], None]) -> None:
        """Lets something happen after a step of the task, or at once."""
        if step is None:
            happen()
        else:
            self.task.after[step] = happen

    def _cut(self) -> None:
        if self.case.moment == AT_END:
            self._end_run()
        self.line.cut(self.case.fault.seconds)

    def _spoil(self) -> None:
        fault, kind, moment = self.case.fault, self.case.kind, self.case.moment
        if moment == AT_END:
            self._end_run()
        meeting: dict[str, dict[str, Any]] = {
            BEFORE: {"path": "/api/*", "method": None if fault.lasts else "GET"},
            DURING: self._start(),
            LOG: {"path": "*/tasks/*/log"} if kind == TASK else {"operation": LOGS.get(kind)},
            CANCELLING: {"operation": CANCEL[kind]},
        }
        where = meeting.get(moment, {"path": LOOKS[kind], "method": "GET"})
        if fault.operation:
            where = {"operation": fault.operation}
            self.tenant.revoke_tokens()
        times = None if fault.lasts or moment == LOG else min(TIMES[moment], fault.most)
        self.tenant.fault(**where, times=times, **fault.answer)
        if fault.refuses_cancels:
            self.tenant.fault(operation=CANCEL[kind], times=None, **fault.answer)

    def _start(self) -> dict[str, Any]:
        """Which requests are starts of this kind."""
        kind = self.case.kind
        return {"method": "POST", "path": START_OF_A_TASK} if kind == TASK else {"operation": START[kind]}

    def _end_run(self) -> None:
        self.tenant.advance(2 * LONG)

    def _rival(self) -> None:
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

    # Playing.

    def first_try(self) -> Any:
        """What the task returns; raises how it fails, and Interrupted where it is broken off."""
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
                _break_off(trigger)
                raise Interrupted from None
            if how == "triggerer lost":
                self.still_deferred = True
                _break_off(trigger)
            return getattr(operator, deferred.method_name)(context, fire(trigger))

    def second_try(self) -> Any:
        """What Airflow's next try returns, when all is well again: by itself, or since a user has cleared the task."""
        self.tenant.clear_faults()
        if self.case.fault.how == "line":
            self.line.mend()
        if self.case.end.task == "fails":
            self._end_run()
        operator, task = self._operator(), self.task.try_again(cleared=self.case.fault.how == "cleared")
        try:
            return operator.execute(task.context)
        except TaskDeferred as deferred:
            if self.old_trigger is not None:
                # Airflow tells the old trigger of a clear when the new try waits already.
                self.still_deferred = True
                _break_off(self.old_trigger)
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
        quick = {"poll_interval": 1.0, "settle": 0.02, "match_timeout": 1.0, "unknown_outcome_timeout": 0.3}
        return operator(task_id="run", deferrable=self.case.mode == DEFERRED, **{**quick, **named, **arguments})

    # What came of it.

    def starts(self) -> tuple[int, int, int]:
        """How often a start was sent and carried out, by the journal, and how many runs of ours there are in truth."""
        asked = self.tenant.request_log(**self._start())
        ours = [run for run in self.tenant.runs(self.resource) if run["via"] not in OTHERS]
        return len(asked), len([entry for entry in asked if entry.carried_out]), len(ours)

    def left(self) -> list[dict[str, Any]]:
        """The runs of ours that still go on, a moment later."""
        self.tenant.advance(2)
        return [run for run in self.tenant.active() if run["via"] not in OTHERS]

    def remembered(self) -> str:
        """Return what a next try would resume from the task state store; nothing after a success."""
        entry = self.task.store.get("qlik_run")
        if entry is None or entry.get("done"):
            return NOTHING
        return A_CANCELLED_RUN if entry.get("cancelled") else A_START if entry["run"] is None else A_RUN

    def others_asked_to_stop(self) -> list[dict[str, Any]]:
        """Runs of other people that were meddled with."""
        return [run for run in self.tenant.runs(self.resource) if run["via"] in OTHERS and run["stop_asked_at"]]


def _break_off(trigger: Any) -> None:
    """A triggerer stops waiting, and tells the trigger so."""

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


def _nothing() -> None:
    pass
