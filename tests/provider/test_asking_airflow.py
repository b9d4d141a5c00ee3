"""Requests of a trigger to Airflow: up to 3.1, one from a plain thread or one that is broken off ends all triggers."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from pytest_mock import MockerFixture

from airflow_provider_qlik import compat
from airflow_provider_qlik.sandbox import Script
from airflow_provider_qlik.triggers.run import QlikRunTrigger

PACKAGE = Path(compat.__file__).parent
TASK: Any = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)


# In which thread


def in_threads(tree: ast.AST) -> set[str]:
    """The functions that code hands to a thread, as they are written."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"to_thread", "sync_to_async"}:
            found.add(ast.unparse(node.args[0]))
        elif name == "run_in_executor":
            found.add(ast.unparse(node.args[1]))
        elif name == "submit":
            found.add(" ".join(ast.unparse(argument) for argument in node.args[:2]))
        elif name == "Thread":
            found |= {ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "target"}
    return found


def test_nothing_but_compat_hands_a_function_of_airflow_to_a_thread() -> None:
    """Each of these is known to ask Airflow for nothing. Whatever does goes through `compat`."""
    known = {
        "airflow_provider_qlik/hooks/qlik_cloud.py": {"trust", "self._parsed"},
        # Loads modules of this package.
        "airflow_provider_qlik/imports.py": {"importlib.import_module"},
        # Writes a line to the log, which is a pipe of its own.
        "airflow_provider_qlik/triggers/task_log.py": {"copy_context().run self._write", "lambda: None"},
        # On a worker, in a signal handler: the thread may hang, the worker does not.
        "airflow_provider_qlik/lifecycle/cancellation.py": {"function"},
    }
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE.parent))
        if path.is_relative_to(PACKAGE / "cloud") or path.is_relative_to(PACKAGE / "sandbox"):
            continue  # They import no Airflow.
        if path.name != "compat.py" and (functions := in_threads(ast.parse(path.read_text()))):
            found[name] = functions
    assert found == known


def test_a_synchronous_function_of_airflow_gets_back_to_the_event_loop() -> None:
    """From a thread of `sync_to_async`, which knows the event loop that it was called from, and from no other."""

    def ask() -> object:
        assert threading.current_thread() is not threading.main_thread()
        return getattr(SyncToAsync.threadlocal, "main_event_loop", None)

    async def asking() -> bool:
        return await compat._in_thread(ask) is asyncio.get_running_loop()

    assert asyncio.run(asking())


# To the end


class Supervisor:
    """The count of the requests to Airflow's supervisor, and of those that were awaited to their ends."""

    state = "failed"
    asked = answered = 0

    async def respond(self, request: Any) -> Any:
        """Respond as Airflow does: a reply that is not awaited is the next one's."""
        if type(request).__name__ == "MaskSecret":
            return None
        self.asked += 1
        await asyncio.sleep(0.05)
        self.answered += 1
        return SimpleNamespace(task_states={"run": {"task": self.state}})


@pytest.fixture
def supervisor(mocker: MockerFixture) -> Supervisor:
    task_runner = pytest.importorskip("airflow.sdk.execution_time.task_runner", reason="Airflow 2 has no supervisor")
    from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder

    supervisor = Supervisor()
    # `send` takes what a thread says, such as a secret to mask.
    channel = mocker.create_autospec(TriggerCommsDecoder, instance=True)
    channel.asend.side_effect = supervisor.respond
    mocker.patch.object(task_runner, "SUPERVISOR_COMMS", channel, create=True)
    return supervisor


def interrupted(ask: Callable[[], Any], supervisor: Supervisor) -> None:
    """Asks, and is cancelled meanwhile."""

    async def act() -> None:
        asking = asyncio.ensure_future(ask())
        while not supervisor.asked:
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        while compat._requests:
            await asyncio.sleep(0.001)

    asyncio.run(act())


def test_the_state_of_a_task_is_asked_for(supervisor: Supervisor) -> None:
    assert asyncio.run(compat.task_state(TASK)) == "failed"


def test_airflow_2_reads_the_state_of_a_task_from_its_database(request: pytest.FixtureRequest) -> None:
    if importlib.util.find_spec("airflow.sdk") is not None:
        pytest.skip("Airflow 3 asks its supervisor")
    request.getfixturevalue("database")
    # There is no such task: its Dag run was deleted.
    assert asyncio.run(compat.task_state(TASK)) == "None"


def test_a_question_is_awaited_to_its_end_though_whoever_asked_is_cancelled(supervisor: Supervisor) -> None:
    interrupted(lambda: compat.task_state(TASK), supervisor)
    assert supervisor.answered == supervisor.asked == 1


def test_a_connection_is_read_to_its_end_though_whoever_asked_is_cancelled(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_async_connection(_: str) -> Any:
        return await supervisor.respond("connection")

    monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", get_async_connection)
    interrupted(lambda: compat.read_connection("qlik"), supervisor)
    assert supervisor.answered == 1


def test_an_error_of_a_question_that_nobody_waits_for_is_no_complaint(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_async_connection(_: str) -> Any:
        await supervisor.respond("connection")
        raise OSError("Airflow is away")

    complaints: list[object] = []

    async def asking() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        return await compat.read_connection("qlik")

    monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", get_async_connection)
    interrupted(asking, supervisor)
    assert complaints == []


def test_a_secret_is_masked_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    masked = []

    async def amask_secret(secret: str) -> None:
        masked.append(secret)

    def mask_secret(secret: str) -> None:
        assert getattr(SyncToAsync.threadlocal, "main_event_loop", None) is not None
        masked.append(secret)

    async def mask() -> None:
        compat.mask_soon("the-token")
        while compat._requests:
            await asyncio.sleep(0.001)

    monkeypatch.setattr("airflow.providers.common.compat.sdk.mask_secret", mask_secret)
    with suppress(AttributeError, ImportError):  # an Airflow without this twin
        monkeypatch.setattr("airflow.sdk.log.amask_secret", amask_secret)
    asyncio.run(mask())
    assert masked == ["the-token"]


# When the triggerer stops


def waiting_in(trigger: QlikRunTrigger) -> asyncio.Task[Any]:
    """A trigger under way."""
    return asyncio.create_task(anext(trigger.run()))  # type: ignore[arg-type]


def test_a_triggerer_that_stops_asks_nothing_and_cancels_nothing(
    tenant: Any, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.run` ends it: all that goes on in the event loop is cancelled at once."""
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=1, script=Script(end=None))
    triggers = [
        QlikRunTrigger(kind="automation", resource_id=automation, run_id=run, cancel_on_kill=True) for _ in range(3)
    ]

    async def triggerer() -> None:
        tasks = []
        for trigger in triggers:
            trigger.task_instance = TASK
            tasks.append(waiting_in(trigger))
        watchdog = asyncio.create_task(asyncio.sleep(60))
        while not tenant.request_log(method="GET"):
            await asyncio.sleep(0.01)
        assert not watchdog.done()

    tenant.clear_request_log()
    asyncio.run(triggerer())
    assert supervisor.asked == 0
    assert tenant.request_log(method="POST") == []


def test_a_trigger_that_is_cancelled_by_itself_asks_about_its_task(tenant: Any, supervisor: Supervisor) -> None:
    automation = tenant.add_automation("Prepare")
    run = tenant.add_run(automation, started_ago=1, script=Script(end=None))
    trigger = QlikRunTrigger(kind="automation", resource_id=automation, run_id=run, cancel_on_kill=True)
    trigger.task_instance = TASK

    async def triggerer() -> None:
        waiting = waiting_in(trigger)
        while not tenant.request_log(method="GET"):
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if trigger.cancellation is not None:
            await trigger.cancellation.task

    tenant.clear_request_log()
    asyncio.run(triggerer())
    assert supervisor.asked == 1
    tenant.advance(5)
    assert tenant.active() == []
