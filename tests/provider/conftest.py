from __future__ import annotations

import asyncio
import importlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import NonCallableMock

import pytest

from airflow_provider_qlik.testing import airflow_database

# Airflow reads its settings when it is first imported.
_HOME = tempfile.TemporaryDirectory(prefix="qlik-airflow-")
DAGS = Path(_HOME.name) / "dags"
DAGS.mkdir()
os.environ |= airflow_database.settings(Path(_HOME.name), DAGS)

from airflow.providers.common.compat.sdk import TaskDeferred  # noqa: E402

from airflow_provider_qlik import sandbox as sandboxes  # noqa: E402
from airflow_provider_qlik.cloud.transport.token_cache import forget_tokens  # noqa: E402
from tests.planted_secret import note  # noqa: E402


class _Callers(threading.local):
    """A replacement for the thread-local of Airflow 2's execution guard, which exists in the first thread alone."""

    def __init__(self) -> None:
        self.callers: dict[str, Any] = {}


with suppress(ImportError, AttributeError):
    from airflow.models import baseoperator

    baseoperator.ExecutorSafeguard._sentinel = _Callers()

NO_RETRY_POLICIES = "Airflow before 3.3 has no retry policies"
FAST: dict[str, Any] = {"poll_interval": 0.1}


InstallAirflow = Callable[[Path, Path], dict[str, str]]


@pytest.fixture(scope="session")
def install_airflow(tmp_path_factory: pytest.TempPathFactory) -> InstallAirflow:
    """Return a function that puts a migrated database into a home, and returns the environment of its processes."""
    return partial(airflow_database.installed, tmp_path_factory)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the Airflow of this process a migrated database."""
    airflow_database.install(tmp_path_factory, Path(_HOME.name))


@pytest.fixture(scope="session")
def _fast_sandbox() -> Iterator[sandboxes.Tenant]:
    with sandboxes.serve(speed=20) as tenant:
        yield tenant


@pytest.fixture
def tenant(_fast_sandbox: sandboxes.Tenant, monkeypatch: pytest.MonkeyPatch) -> sandboxes.Tenant:
    """A tenant where twenty seconds pass in one, with the default connection leading there."""
    _fast_sandbox.reset()
    forget_tokens()
    connection = {"conn_type": "qlik_cloud", "host": _fast_sandbox.url, "password": _fast_sandbox.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    return _fast_sandbox


@pytest.fixture(autouse=True)
def _refusals_that_last_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a refusal to show a run last for a moment and not for two minutes before it ends a wait."""
    from airflow_provider_qlik.runs import visibility

    monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(seconds=0.3))


class Store:
    """What Airflow keeps for a task from try to try: JSON, and never None."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        note(f"the task state store, {key}", value)
        self.kept[key] = json.dumps(value, allow_nan=False)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


@cache
def _task_instance_members() -> list[str]:
    """Return the names of the attributes of the task instance that Airflow passes to an operator."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        from airflow.models import TaskInstance

        return dir(TaskInstance)
    return [*dir(RuntimeTaskInstance), *RuntimeTaskInstance.model_fields]


class Task:
    """A task instance as an operator sees it, and what it was told."""

    def __init__(self, **identity: Any) -> None:
        self.pushed: dict[str, Any] = {}
        self.store = Store()
        self.identity = {
            "dag_id": "dag",
            "run_id": "run",
            "task_id": "task",
            "map_index": -1,
            "max_tries": 0,
            "try_number": 1,
            "start_date": datetime.now(UTC),
            **identity,
        }

    @property
    def context(self) -> Any:
        # What Airflow's own task instance does not have cannot be read or set here either.
        task_instance = NonCallableMock(spec_set=_task_instance_members())
        task_instance.configure_mock(**self.identity, xcom_push=self._push, xcom_pull=self._pull)
        return {"ti": task_instance, "task_state_store": self.store}

    def try_again(self, *, cleared: bool = False) -> Task:
        """The next try of the same task, by itself or after a clear. XComs are wiped, what the store keeps is not."""
        again = Task(**{**self.identity, "max_tries": self.identity["max_tries"] + cleared})
        again.store = self.store
        return again

    def _pull(self, *, task_ids: str, key: str, map_indexes: int | None = None) -> Any:
        return self.pushed.get(key) if task_ids == self.identity["task_id"] else None

    def _push(self, key: str, value: Any) -> None:
        note(f"the XCom {key}", value)
        self.pushed[key] = value


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return a function that returns the log since its last call, at INFO and above, on Airflow 2 and 3 alike."""
    caplog.set_level("INFO")

    def text() -> str:
        printed, noted = capfd.readouterr().out, caplog.text
        caplog.clear()
        return printed or noted

    return text


def fire(trigger: Any) -> dict[str, Any]:
    """The payload of a trigger's one event; the trigger is made anew from what it stores, as in a triggerer."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))

    async def events() -> list[Any]:
        return [event.payload async for event in again.run()]

    (payload,) = asyncio.run(events())
    return json.loads(json.dumps(payload))  # type: ignore[no-any-return]


def finish(operator: Any, context: Any) -> Any:
    """What a task returns, waiting on the worker or deferring as the operator says."""
    try:
        return operator.execute(context)
    except TaskDeferred as deferred:
        return getattr(operator, deferred.method_name)(context, fire(deferred.trigger))


Finish = Callable[[Any, Any], Any]
