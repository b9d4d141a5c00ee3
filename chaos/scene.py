"""What a scenario works with: the one Airflow, a tenant and connection of its own, a deadline, the report."""

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
from chaos.crowd import One, fill
from chaos.plan import FRESH
from chaos.report import Report, Row, tally

LOOK_EVERY = 10.0
"""Seconds between two looks at tasks that should not end."""


class TooLate(Exception):
    """Something that did not happen in time."""


@dataclass(slots=True)
class Scene:
    """One scenario under way. `done` says what was done, for the rows that follow."""

    number: int
    airflow: Airflow
    report: Report
    deadline: float
    stopping: threading.Event
    done: str = ""

    def write_log(self, text: str) -> None:
        """Tells what happens just now."""
        self.report.write_log(self.number, text)

    def expect(self, looked_at: str, expected: object, seen: object, holds: bool | None = None) -> None:
        """One row of the table. *holds*: whether it is as expected, where that is not to be the same text."""
        expected, seen = str(expected), str(seen)
        self.report.add(
            Row(self.number, self.done, looked_at, expected, seen, expected == seen if holds is None else holds)
        )

    def pause(self, seconds: float) -> None:
        """Some seconds have passed. Raises TooLate if all is to stop or the scenario's time is up."""
        if self.stopping.wait(seconds):
            raise TooLate("the whole was stopped")
        if time.monotonic() > self.deadline:
            raise TooLate("the scenario's time was up")

    def until(self, what: str, condition: Callable[[], bool], seconds: float = 120.0, every: float = 1.0) -> float:
        """The seconds that it took. Raises TooLate that says what did not happen."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise TooLate(f"{what}: not within {seconds:g} s")
            try:
                self.pause(every)
            except TooLate as error:
                raise TooLate(f"{what}: not when {error}") from error
        return time.monotonic() - began

    def wait(self, condition: Callable[[], bool], seconds: float, every: float = 1.0) -> float:
        """The seconds until it came true, or all of them: what is seen then is up to the rows that follow."""
        began = time.monotonic()
        while not condition() and time.monotonic() - began < seconds:
            self.pause(every)
        return min(time.monotonic() - began, seconds)

    @contextmanager
    def tenant(self, connection_id: str, oauth: bool = False, **members: Any) -> Iterator[sandbox.Tenant]:
        """A tenant of its own, with an Airflow connection that leads there: by an API key, or by *oauth*."""
        with sandbox.serve() as tenant:
            told = {"host": tenant.url, "password": tenant.api_key, **members}
            if oauth:
                told |= {"login": tenant.client_id, "password": tenant.client_secret}
                told["extra"] = {"auth_type": "client_credentials"}
            self.airflow.connect(connection_id, **told)
            yield tenant

    @contextmanager
    def triggerer(self, name: str, queue: str) -> Iterator[None]:
        """A triggerer for the tasks of this scenario alone, which starts new triggers to the end."""
        self.airflow.start_triggerer(name, queue)
        try:
            yield
            if name in self.airflow.services:
                self._look_at_fresh_waits(queue)
        finally:
            if name in self.airflow.services:
                self.airflow.kill(name)

    def _look_at_fresh_waits(self, queue: str) -> None:
        """One new wait of each kind ends well: a triggerer may look healthy and start no trigger any more."""
        connection_id = f"chaos_fresh_{queue}"
        with self.tenant(connection_id) as tenant:
            # Not over at once: a trigger that fires before the scheduler has heard of the deferral fails the task.
            fill(tenant, FRESH, Script(run=30))
            run = self.start(connection_id)
            self.wait(run.ended, 180)
            self.done = "After all that, with the same triggerer"
            self.expect("new deferred tasks", f"{len(FRESH)} success", run.tally())

    def start(self, dag_id: str) -> DagRun:
        """A new run of a Dag, once that is parsed."""
        self.until(f"Dag {dag_id} is parsed", lambda: self.airflow.knows(dag_id), 180)
        return DagRun(self, dag_id, self.airflow.run(dag_id))


@dataclass(frozen=True, slots=True)
class DagRun:
    """One run of a Dag."""

    scene: Scene
    dag_id: str
    id: str

    def instances(self, ones: Sequence[One] | None = None) -> list[Mapping[str, Any]]:
        """The task instances, all or those of some."""
        names = None if ones is None else {one.name for one in ones}
        all_of_them = self.scene.airflow.instances(self.dag_id, self.id)
        return [each for each in all_of_them if names is None or each["task_id"] in names]

    def states(self, ones: Sequence[One] | None = None) -> list[str]:
        """The states of the task instances."""
        return [str(each["state"]) for each in self.instances(ones)]

    def tally(self, ones: Sequence[One] | None = None) -> str:
        """How many are in which state."""
        return tally(self.states(ones))

    def waits(self, ones: Sequence[One] | None = None, tries: int = 1, count: int | None = None) -> bool:
        """Whether all are deferred, in a try, and a triggerer has each of them."""
        instances = self.instances(ones)
        return len(instances) == (count or len(ones or instances)) and all(
            each["state"] == "deferred"
            and each["try_number"] == tries
            and each["trigger"] is not None
            and each["trigger"]["triggerer_id"] is not None
            for each in instances
        )

    def ended(self, ones: Sequence[One] | None = None) -> bool:
        """Whether all have ended."""
        return all(state in ENDED for state in self.states(ones))

    def ended_within(self, seconds: float, ones: Sequence[One] | None = None) -> int:
        """How many of the tasks were seen ended, looking again and again for so many seconds."""
        ended: set[str] = set()
        for _ in range(max(1, round(seconds / LOOK_EVERY))):
            if seconds:
                self.scene.pause(LOOK_EVERY)
            ended |= {each["task_id"] for each in self.instances(ones) if each["state"] in ENDED}
        return len(ended)

    def mark(self, one: One, state: str) -> None:
        """A user marks a task."""
        self.scene.airflow.mark(self.dag_id, self.id, one.name, state)

    def clear(self, ones: Sequence[One]) -> None:
        """A user clears tasks."""
        self.scene.airflow.clear(self.dag_id, self.id, [one.name for one in ones])

    def log(self, one: One, tries: int | str = "*") -> str:
        """The logs of a task, of all tries or of one."""
        return self.scene.airflow.log_of(self.dag_id, self.id, one.name, f"attempt={tries}.*")
