"""The steps of a task that Airflow observes, at which a fault can be injected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.provider.conftest import Store, Task

INTENT, FOUND, SHOWN, ENDED = "intent stored", "run stored", "run shown", "ended"
"""The steps of a task, recognised by its calls of Airflow."""


class Interrupted(BaseException):
    """The worker is killed: no cleanup runs."""


class WatchedTask(Task):
    """A task with callbacks before and after its steps; each is called once."""

    def __init__(self, **identity: Any) -> None:
        super().__init__(**identity)
        self.store = WatchedStore(self)
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}

    def step(self, name: str, take: Callable[[], None]) -> None:
        self.before.pop(name, _nothing)()
        take()
        self.after.pop(name, _nothing)()

    def _push(self, key: str, value: Any) -> None:
        self.step(SHOWN if key == "qlik_run" else key, lambda: Task._push(self, key, value))


class WatchedStore(Store):
    def __init__(self, task: WatchedTask) -> None:
        super().__init__()
        self.task = task

    def set(self, key: str, value: Any) -> None:
        step = ENDED if value.get("done") else INTENT if value["run"] is None else FOUND
        self.task.step(step, lambda: Store.set(self, key, value))

    def delete(self, key: str) -> None:
        self.task.step(ENDED, lambda: Store.delete(self, key))


def _nothing() -> None:
    pass
