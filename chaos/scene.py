"""The context of a scenario: Airflow, a tenant and connection of its own, a deadline, the report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import Script
from chaos.airflow import ENDED, Airflow
from chaos.bulk import PlannedTask, add_to_tenant
from chaos.plan import FRESH
from chaos.report import Report, Row, tally

CHECK_INTERVAL = 10.0
"""Seconds between two looks at tasks that should not end."""


class DeadlineExceededError(Exception):
    """A condition was not met in time."""


@dataclass(slots=True)
class Scene:
    """One scenario under way. `action` names the last fault or user action, for the rows that follow."""

    number: int
    airflow: Airflow
    report: Report
    deadline: float
    stopping: threading.Event
    action: str = ""

    def write_log(self, text: str) -> None:
        """Print what is happening."""
        self.report.write_log(self.number, text)

    def expect(self, check: str, expected: object, observed: object, holds: bool | None = None) -> None:
        """Add a row to the table. *holds*: True if it is as expected; default: the texts are equal."""
        expected, observed = str(expected), str(observed)
        self.report.add(
            Row(self.number, self.action, check, expected, observed, expected == observed if holds is None else holds)
        )

    def pause(self, seconds: float) -> None:
        """Wait some seconds. Raises DeadlineExceededError if the run is stopped or the scenario's time is up."""
        if self.stopping.wait(seconds):
            raise DeadlineExceededError("the test run was stopped")
        if time.monotonic() > self.deadline:
            raise DeadlineExceededError("the scenario's time was up")

    def until(self, what: str, condition: Callable[[], bool], seconds: float = 120.0, every: float = 1.0) -> float:
        """Wait for a condition and return the seconds it took.

        Raises DeadlineExceededError with what did not happen.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise DeadlineExceededError(f"{what}: not within {seconds:g} s")
            try:
                self.pause(every)
            except DeadlineExceededError as error:
                raise DeadlineExceededError(f"{what}: not when {error}") from error
        return time.monotonic() - began

    def wait(self, condition: Callable[[], bool], seconds: float, every: float = 1.0) -> float:
        """Wait for a condition, at most so many seconds, and return them; the rows that follow check it."""
        began = time.monotonic()
        while not condition() and time.monotonic() - began < seconds:
            self.pause(every)
        return min(time.monotonic() - began, seconds)

    @contextmanager
    def tenant(self, connection_id: str, oauth: bool = False, **members: Any) -> Iterator[sandbox.Tenant]:
        """Run a tenant, with an Airflow connection to it that uses an API key, or *oauth*."""
        with sandbox.serve() as tenant:
            connection = {"host": tenant.url, "password": tenant.api_key, **members}
            if oauth:
                connection |= {"login": tenant.client_id, "password": tenant.client_secret}
                connection["extra"] = {"auth_type": "client_credentials"}
            self.airflow.connect(connection_id, **connection)
            yield tenant

    @contextmanager
    def triggerer(self, name: str, queue: str) -> Iterator[None]:
        """Run a triggerer for the tasks of this scenario alone, and check at the end that it still starts triggers."""
        self.airflow.start_triggerer(name, queue)
        try:
            yield
            if name in self.airflow.services:
                self._check_fresh_waits(queue)
        finally:
            if name in self.airflow.services:
                self.airflow.kill(name)

    def _check_fresh_waits(self, queue: str) -> None:
        """Check that one new wait of each kind succeeds: a triggerer may look healthy and start no trigger any more."""
        connection_id = f"chaos_fresh_{queue}"
        with self.tenant(connection_id) as tenant:
            # Not at once: a trigger that fires before the scheduler has heard of the deferral fails the task.
            add_to_tenant(tenant, FRESH, Script(run=30))
            run = self.start(connection_id)
            self.wait(run.ended, 180)
            self.action = "At the end, with the same triggerer"
            self.expect("new deferred tasks", f"{len(FRESH)} success", run.tally())

    def start(self, dag_id: str) -> DagRun:
        """Start a run of a Dag, once that is parsed."""
        self.until(f"Dag {dag_id} is parsed", lambda: self.airflow.knows(dag_id), 180)
        return DagRun(self, dag_id, self.airflow.run(dag_id))


@dataclass(frozen=True, slots=True)
class DagRun:
    """One run of a Dag."""

    scene: Scene
    dag_id: str
    id: str

    def instances(self, tasks: Sequence[PlannedTask] | None = None) -> list[Mapping[str, Any]]:
        """Return the task instances: all, or those of some tasks."""
        names = None if tasks is None else {task.name for task in tasks}
        instances = self.scene.airflow.instances(self.dag_id, self.id)
        return [each for each in instances if names is None or each["task_id"] in names]

    def states(self, tasks: Sequence[PlannedTask] | None = None) -> list[str]:
        """Return the states of the task instances."""
        return [str(each["state"]) for each in self.instances(tasks)]

    def tally(self, tasks: Sequence[PlannedTask] | None = None) -> str:
        """Return how many task instances are in which state."""
        return tally(self.states(tasks))

    def waits(self, tasks: Sequence[PlannedTask] | None = None, tries: int = 1, count: int | None = None) -> bool:
        """Return True if all are deferred in that try, and a triggerer has each of them."""
        instances = self.instances(tasks)
        return len(instances) == (count or len(tasks or instances)) and all(
            each["state"] == "deferred"
            and each["try_number"] == tries
            and each["trigger"] is not None
            and each["trigger"]["triggerer_id"] is not None
            for each in instances
        )

    def ended(self, tasks: Sequence[PlannedTask] | None = None) -> bool:
        """Return True if all have ended."""
        return all(state in ENDED for state in self.states(tasks))

    def ended_within(self, seconds: float, tasks: Sequence[PlannedTask] | None = None) -> int:
        """Return how many of the tasks were observed ended at any check within so many seconds."""
        ended: set[str] = set()
        for _ in range(max(1, round(seconds / CHECK_INTERVAL))):
            if seconds:
                self.scene.pause(CHECK_INTERVAL)
            ended |= {each["task_id"] for each in self.instances(tasks) if each["state"] in ENDED}
        return len(ended)

    def mark(self, task: PlannedTask, state: str) -> None:
        """Mark a task, as a user does."""
        self.scene.airflow.mark(self.dag_id, self.id, task.name, state)

    def clear(self, tasks: Sequence[PlannedTask]) -> None:
        """Clear tasks, as a user does."""
        self.scene.airflow.clear(self.dag_id, self.id, [task.name for task in tasks])

    def log(self, task: PlannedTask, tries: int | str = "*") -> str:
        """Return the logs of a task, of all tries or of one."""
        return self.scene.airflow.log_of(self.dag_id, self.id, task.name, f"attempt={tries}.*")
