from __future__ import annotations

import asyncio
import importlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud.transport import registry
from airflow_provider_qlik.compat import watches_assets
from airflow_provider_qlik.runs import STARTABLE_ADAPTERS
from airflow_provider_qlik.runs.watermark import Watermark
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.triggers import airflow_requests, run_event, watermark_store
from airflow_provider_qlik.triggers.run_event import KINDS, QlikRunEventTrigger
from airflow_provider_qlik.triggers.task_log import TaskLogWriter
from airflow_provider_qlik.triggers.watermark_store import WRITE_DELAY, WatermarkStore
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.planted_secret import note
from tests.provider.conftest import FAST

NO_WATCHERS = "Airflow before 3.0 has no asset watchers"
needs_watchers = pytest.mark.skipif(not watches_assets(), reason=NO_WATCHERS)
MARKER = "airflow-0123456789abcdef"
LISTS = {
    "task": "list_tasks",
    "automation": "list_automations",
    "reload": "list_reloads",
    "sharing_task": "list_sharing_tasks",
}


def made(tenant: Tenant, kind: str, name: str = "Sales") -> str:
    adding = {"task": "add_task", "automation": "add_automation", "reload": "add_app"}
    return str(getattr(tenant, adding.get(kind, "add_sharing_task"))(name))


class AssetStore:
    """What Airflow 3.3.2 gives to an event trigger: a store of the watched asset."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.failures = 0

    def read(self, key: str) -> Any:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the API server is away")
        return json.loads(self.stored[key]) if key in self.stored else None

    def write(self, key: str, value: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the API server is away")
        note(f"the asset state store, {key}", value)
        self.stored[key] = json.dumps(value, allow_nan=False)

    async def aget(self, key: str, default: Any = None) -> Any:
        await asyncio.sleep(0)
        return self.read(key)

    async def aset(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        self.write(key, value)

    @property
    def ids(self) -> set[str]:
        """The ids of the runs whose ends are stored."""
        return {run for value in self.stored.values() for run in json.loads(value)["ends"]}


class SynchronousAssetStore:
    """What Airflow 3.3.0 and 3.3.1 give to an event trigger."""

    def __init__(self, store: AssetStore) -> None:
        self.get = store.read
        self.set = store.write


class SharedAssetStore:
    """What Airflow gives to a trigger that several assets share."""

    async def aget(self, key: str, default: Any = None) -> Any:
        raise ValueError("Task has 2 concrete inlets and outlets")

    aset = aget


class Watcher:
    """A trigger that runs in a triggerer, made from what Airflow stores of it, and its events."""

    def __init__(self, trigger: QlikRunEventTrigger, store: Any = None) -> None:
        path, arguments = trigger.serialize()
        note("the arguments of the trigger", arguments)
        module, _, name = path.rpartition(".")
        self.trigger = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
        self.trigger.asset_state_store = store
        self.events: list[dict[str, Any]] = []
        """The runs in all events."""
        self.fired: list[int] = []
        """The number of runs in each event."""
        self.has_begun = False
        self._round, self.trigger._round = self.trigger._round, self._counted
        self.task = asyncio.ensure_future(self._run())

    async def _counted(self, *arguments: Any) -> Any:
        payloads = await self._round(*arguments)
        self.has_begun = self.has_begun or (self.trigger._watch and self.trigger._watch.watermark) is not None
        return payloads

    async def _run(self) -> None:
        async for event in self.trigger.run():
            note("the payload of an event", event.payload)
            payload = json.loads(json.dumps(event.payload))
            runs = payload.pop("runs")
            assert runs[-1] == payload
            self.fired.append(len(runs))
            self.events += runs

    @property
    def run_ids(self) -> list[str]:
        return [event["run_id"] for event in self.events]

    async def has(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many events."""
        await until(lambda: len(self.events) >= count or self.task.done())
        return self.events

    async def kill(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(*watchers: Watcher) -> AsyncIterator[None]:
    """Wait until each watcher has polled once, and end them after the block."""
    try:
        await until(lambda: all(watcher.has_begun for watcher in watchers))
        yield
    finally:
        for watcher in watchers:
            await watcher.kill()


def in_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    asyncio.run(run())


@needs_watchers
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", ["resource", "tenant"])
def test_each_of_ten_finishes_is_reported_and_those_of_one_poll_in_one_event(
    tenant: Tenant, kind: str, scope: str
) -> None:
    resource = made(tenant, kind)
    trigger = QlikRunEventTrigger(kind=kind, resource_id=resource if scope == "resource" else None, **FAST)

    async def test() -> None:
        watcher = Watcher(trigger)
        async with watching(watcher):
            # At once for the event loop: no poll comes in between.
            for _ in range(10):
                tenant.add_run(resource, started_ago=2)
            await watcher.has(10)
            await asyncio.sleep(0.5)
        assert len(set(watcher.run_ids)) == len(watcher.run_ids) == 10
        # A request that was in flight may have shown some of them.
        assert len(watcher.fired) <= 2
        event = watcher.events[0]
        assert event.keys() == {
            *("kind", "resource_id", "run_id", "name", "space_id", "state", "status"),
            *("started_at", "ended_at", "link", "reason"),
        }
        assert (event["kind"], event["resource_id"], event["name"]) == (kind, resource, "Sales")
        assert event["state"] == "succeeded"
        assert event["link"].startswith(tenant.url)
        assert event["started_at"] <= event["ended_at"]

    in_loop(test)


@needs_watchers
@pytest.mark.parametrize("tasks_api", ["/api/v1/tasks", "/api/scheduling/tasks", "auto"])
def test_a_task_is_watched_on_either_path(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tasks_api: str) -> None:
    connection = {
        "conn_type": "qlik_cloud",
        "host": tenant.url,
        "password": tenant.api_key,
        "extra": {"tasks_api": tasks_api},
    }
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
    task, other = made(tenant, "task"), made(tenant, "task")

    async def test() -> None:
        watchers = [Watcher(QlikRunEventTrigger(kind="task", resource_id=one, **FAST)) for one in (task, other)]
        async with watching(*watchers):
            run = await asyncio.to_thread(tenant.add_run, task, started_ago=2)
            assert [event["run_id"] for event in await watchers[0].has(1)] == [run]
        assert watchers[1].events == []

    in_loop(test)


@needs_watchers
def test_fifty_watchers_cost_one_list_request_a_poll(tenant: Tenant) -> None:
    automations = [made(tenant, "automation") for _ in range(50)]

    async def test() -> None:
        watchers = [
            Watcher(QlikRunEventTrigger(kind="automation", resource_id=automation, poll_interval=2.0))
            for automation in automations
        ]
        async with watching(*watchers):
            # Their polls come together after the first few.
            await asyncio.sleep(6)
            await asyncio.to_thread(tenant.clear_request_log)
            await asyncio.sleep(8)
            requests = await asyncio.to_thread(tenant.request_log)
            run = await asyncio.to_thread(tenant.add_run, automations[7], started_ago=2)
            await watchers[7].has(1)
        lists = [entry for entry in requests if entry.operation == "list_automations"]
        # Eight seconds, at an interval of two less up to a fifth of jitter.
        assert 2 <= len(lists) <= 6
        # On a busy machine one of them may be late, and poll by itself once.
        assert len(requests) - len(lists) <= 3
        assert [watcher.run_ids for watcher in watchers if watcher.events] == [[run]]

    in_loop(test)


@needs_watchers
@pytest.mark.parametrize("synchronous", [False, True], ids=["3.3.2", "3.3.0"])
def test_a_restarted_watcher_loses_no_event(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, synchronous: bool) -> None:
    monkeypatch.setattr(watermark_store, "WRITE_DELAY", 0.3)
    automation = made(tenant, "automation")
    trigger, kept = QlikRunEventTrigger(kind="automation", **FAST), AssetStore()
    store = SynchronousAssetStore(kept) if synchronous else kept

    async def test() -> None:
        first = Watcher(trigger, store)
        async with watching(first):
            await until(lambda: kept.stored)
        # Nothing has ended yet. The triggerer is killed, and a run ends.
        missed = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
        second = Watcher(trigger, store)
        async with watching(second):
            await second.has(1)
            stored_with_the_event = kept.ids
            await until(lambda: missed in kept.ids)
        assert second.run_ids == [missed]
        assert missed not in stored_with_the_event
        later = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
        third = Watcher(trigger, store)
        async with watching(third):
            await third.has(1)
            await asyncio.sleep(0.3)
        assert third.run_ids == [later]

    in_loop(test)


@needs_watchers
def test_a_watcher_that_is_killed_with_its_event_fires_it_again(tenant: Tenant) -> None:
    automation = made(tenant, "automation")
    trigger, store = QlikRunEventTrigger(kind="automation", **FAST), AssetStore()

    async def test() -> None:
        first = Watcher(trigger, store)
        async with watching(first):
            await until(lambda: store.stored)
            run = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
            await first.has(1)
            # Many polls, and less than Airflow may need to store the event.
            await asyncio.sleep(1)
        assert first.run_ids == [run]
        second = Watcher(trigger, store)
        async with watching(second):
            await second.has(1)
        assert second.run_ids == [run]

    in_loop(test)


def test_a_later_watermark_is_not_written_before_the_events_that_it_covers() -> None:
    now, moment, store = [0.0], datetime(2026, 1, 31, tzinfo=UTC), AssetStore()
    watermarks = WatermarkStore(store, "key", TaskLogWriter(logging.getLogger()), clock=lambda: now[0])
    watermark = Watermark(moment)

    async def test() -> None:
        watermark.add("run", moment)
        watermarks.keep(watermark, fired=True)
        now[0] += 1
        watermark.unsettled.add("resource")
        watermarks.keep(watermark, fired=False)
        await watermarks.write_due()
        assert store.stored == {}
        now[0] += WRITE_DELAY
        await watermarks.write_due()
        assert store.read("key") == watermark.to_json()
        # A quiet watch writes now and then.
        watermark.advance(moment + timedelta(hours=2))
        for _ in range(20):
            now[0] += 60
            watermarks.keep(watermark, fired=False)
            await watermarks.write_due()
        assert store.read("key") == watermark.to_json()

    in_loop(test)


@needs_watchers
def test_what_is_watched_decides_which_watermark_is_read(tenant: Tenant) -> None:
    store = AssetStore()
    triggers = [
        QlikRunEventTrigger(kind="automation", **FAST),
        QlikRunEventTrigger(kind="automation", outcomes=["failed", "succeeded"], **FAST),
        QlikRunEventTrigger(kind="automation", outcomes=("succeeded", "failed"), poll_interval=0.2),
    ]

    async def test() -> None:
        for trigger in triggers:
            watcher = Watcher(trigger, store)
            async with watching(watcher):
                await asyncio.sleep(0.3)

    in_loop(test)
    assert len(store.stored) == 2


@needs_watchers
def test_without_a_store_of_its_own_a_watcher_works_from_memory(tenant: Tenant, logged: Callable[[], str]) -> None:
    automation = made(tenant, "automation")

    async def test() -> None:
        watcher = Watcher(QlikRunEventTrigger(kind="automation", **FAST), SharedAssetStore())
        async with watching(watcher):
            run = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
            await watcher.has(1)
            await asyncio.sleep(0.3)
        assert watcher.run_ids == [run]

    in_loop(test)
    assert logged().count("Several assets share this trigger") == 1


@needs_watchers
def test_a_store_that_is_away_is_waited_for(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    monkeypatch.setattr(airflow_requests, "RETRY_PAUSE", 0.05)
    monkeypatch.setattr(watermark_store, "WRITE_DELAY", 0.1)
    automation = made(tenant, "automation")
    trigger, store = QlikRunEventTrigger(kind="automation", **FAST), AssetStore()

    async def test() -> None:
        watcher = Watcher(trigger, store)
        async with watching(watcher):
            await until(lambda: store.stored)
        run = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
        store.failures = 3
        second = Watcher(trigger, store)
        async with watching(second):
            assert [event["run_id"] for event in await second.has(1)] == [run]
            store.failures = 2
            await until(lambda: run in store.ids)

    in_loop(test)
    assert "The watermark could not be read: the API server is away" in logged()


@needs_watchers
@pytest.mark.whole_airflow
def test_the_state_store_of_airflow_itself_is_used(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    context = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(context, "AssetStateStoreAccessors"):
        pytest.skip("Airflow before 3.3 has no asset state store")
    from airflow.sdk import Asset
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import AssetStateStoreResult

    kept: dict[str, Any] = {}

    class Supervisor:
        async def asend(self, message: Any) -> Any:
            if hasattr(message, "value"):
                kept[message.key] = message.value
            return AssetStateStoreResult(value=kept[message.key]) if message.key in kept else None

        def send(self, message: Any) -> Any:
            return asyncio.run(self.asend(message))

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)

    def store(*names: str) -> Any:
        return context.AssetStateStoreAccessors(inlets=[Asset(name) for name in names])

    automation, trigger = made(tenant, "automation"), QlikRunEventTrigger(kind="automation", **FAST)

    async def test() -> None:
        first = Watcher(trigger, store("sales"))
        async with watching(first):
            await until(lambda: kept)
        run = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
        shared, second = Watcher(trigger, store("sales", "more")), Watcher(trigger, store("sales"))
        async with watching(shared, second):
            await second.has(1)
        assert (second.run_ids, shared.run_ids) == ([run], [])

    in_loop(test)


@needs_watchers
@pytest.mark.parametrize("kind", ["task", "reload"])
def test_own_runs_do_not_fire_unless_asked_for(tenant: Tenant, kind: str) -> None:
    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
    from airflow_provider_qlik.runs import MatchTimeouts
    from airflow_provider_qlik.runs.starting import intend, start

    resource = made(tenant, kind)

    def run_our_own() -> str:
        adapter = STARTABLE_ADAPTERS[kind]
        with QlikCloudHook() as hook:
            intent = hook.run_flow(intend(adapter, resource, MARKER, {}))
            return hook.run_flow(start(adapter, intent, MatchTimeouts(), lambda *_: None, parameters={})).id

    async def test() -> None:
        others = Watcher(QlikRunEventTrigger(kind=kind, resource_id=resource, **FAST))
        everything = Watcher(QlikRunEventTrigger(kind=kind, resource_id=resource, include_own_runs=True, **FAST))
        async with watching(others, everything):
            own = await asyncio.to_thread(run_our_own)
            await everything.has(1)
            other = await asyncio.to_thread(tenant.add_run, resource, started_ago=2)
            await others.has(1)
            await everything.has(2)
        assert others.run_ids == [other]
        assert everything.run_ids == [own, other]

    in_loop(test)


@needs_watchers
def test_since_fires_for_what_ended_before(tenant: Tenant) -> None:
    automation = made(tenant, "automation")
    tenant.add_run(automation, started_ago=7200)
    run = tenant.add_run(automation, started_ago=600, script=Script(end="failed", error="no connection\x00 to SAP"))
    since = tenant.now().timestamp() - 3600

    async def test() -> None:
        moment = datetime.fromtimestamp(since, UTC)
        watcher = Watcher(QlikRunEventTrigger(kind="automation", since=moment, outcomes="failed", **FAST))
        async with watching(watcher):
            (event,) = await watcher.has(1)
        assert (event["run_id"], event["state"]) == (run, "failed")
        assert event["reason"] == "no connection\\x00 to SAP"

    in_loop(test)


@needs_watchers
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429, "retry_after": 1},
        {"status": 403, "body": "<html>", "content_type": "text/html"},
        {"reset": "before"},
        {"response": "truncated"},
        {"response": "nonsense"},
        {"status": 401},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["task", "reload"])
def test_failed_polls_end_no_watch(tenant: Tenant, kind: str, fault: dict[str, Any], logged: Callable[[], str]) -> None:
    resource = made(tenant, kind)

    async def test() -> None:
        watcher = Watcher(QlikRunEventTrigger(kind=kind, **FAST))
        async with watching(watcher):
            await asyncio.to_thread(tenant.fault, operation=LISTS[kind], times=3, **fault)
            run = await asyncio.to_thread(tenant.add_run, resource, started_ago=2)
            await watcher.has(1)
        assert watcher.run_ids == [run]

    in_loop(test)
    assert "A poll failed (1 in a row" in logged()


@needs_watchers
def test_a_revoked_key_is_an_error_and_the_corrected_connection_goes_on(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    automation = made(tenant, "automation")

    async def test() -> None:
        watcher = Watcher(QlikRunEventTrigger(kind="automation", **FAST))
        async with watching(watcher):
            key = await asyncio.to_thread(tenant.rotate, "api_key")
            run = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
            await until(lambda: watcher.trigger._watch.failing)
            assert not watcher.task.done()
            connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": key}
            monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
            await watcher.has(1)
        assert watcher.run_ids == [run]

    in_loop(test)
    text = logged()
    assert "Ends of runs cannot be watched: " in text
    assert "Check the API key" in text


@needs_watchers
def test_a_connection_that_leads_to_another_tenant_is_followed_there(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sandboxes.serve(speed=20) as other:
        automation = made(other, "automation")

        async def test() -> None:
            watcher = Watcher(QlikRunEventTrigger(kind="automation", **FAST))
            async with watching(watcher):
                await asyncio.to_thread(tenant.rotate, "api_key")
                connection = {"conn_type": "qlik_cloud", "host": other.url, "password": other.api_key}
                monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(connection))
                await until(lambda: other.request_log("list_automations"))
                run = await asyncio.to_thread(other.add_run, automation, started_ago=2)
                (event,) = await watcher.has(1)
            assert (event["run_id"], event["link"].startswith(other.url)) == (run, True)

        in_loop(test)


@needs_watchers
def test_an_invalid_connection_is_logged_once_and_tried_again(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    monkeypatch.setattr(run_event, "ERROR_PAUSE", 0.05)
    good = json.dumps({"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key})
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps({"conn_type": "qlik_cloud", "host": tenant.url}))
    automation = made(tenant, "automation")

    async def test() -> None:
        watcher = Watcher(QlikRunEventTrigger(kind="automation", **FAST))
        await asyncio.sleep(0.5)
        assert not watcher.task.done()
        monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", good)
        async with watching(watcher):
            run = await asyncio.to_thread(tenant.add_run, automation, started_ago=2)
            await watcher.has(1)
        assert watcher.run_ids == [run]

    in_loop(test)
    assert logged().count("password: must be given") == 1


@needs_watchers
def test_a_watcher_that_ends_leaves_no_client_behind(tenant: Tenant) -> None:
    async def test() -> None:
        watcher = Watcher(QlikRunEventTrigger(kind="automation", **FAST))
        async with watching(watcher):
            assert registry._in_loop[asyncio.get_running_loop()]
        assert not registry._in_loop[asyncio.get_running_loop()]
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_loop(test)


@needs_watchers
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "reload_task"}, "kind: one of 'task', 'automation', 'reload', 'sharing_task', not 'reload_task'"),
        ({"kind": "{{ var.value.kind }}"}, "kind: one of"),
        ({"resource_id": ""}, "resource_id: an id must not be empty"),
        ({"resource_id": "a/b"}, "resource_id: "),
        ({"resource_id": "{{ var.value.app }}"}, "resource_id: must not be a template"),
        ({"space_id": "{% if x %}"}, "space_id: must not be a template"),
        ({"qlik_conn_id": "{{ params.conn }}"}, "qlik_conn_id: must not be a template"),
        ({"qlik_conn_id": ""}, "qlik_conn_id: "),
        ({"resource_id": "a", "space_id": "b"}, "space_id: must not be given beside resource_id"),
        ({"outcomes": "active"}, "outcomes: one of 'succeeded', 'failed', 'cancelled', not 'active'"),
        ({"outcomes": []}, "outcomes: must be one or several of"),
        ({"outcomes": None}, "outcomes: must be one or several of"),
        ({"since": "{{ ds }}"}, "since: "),
        ({"since": "soon"}, "since: "),
        ({"poll_interval": 0}, "poll_interval: "),
        ({"include_own_runs": None}, "include_own_runs: True or False"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        QlikRunEventTrigger(**{"kind": "task", **arguments})
    assert str(refused.value).startswith(message)


@needs_watchers
def test_a_watcher_is_stored_as_ids_and_numbers_and_is_the_same_when_it_is_read() -> None:
    from airflow.sdk import Asset, AssetWatcher
    from airflow.triggers.base import BaseEventTrigger

    trigger = QlikRunEventTrigger(kind="task", resource_id=" 42 ", outcomes=("failed", "succeeded"), since="2026-01-31")
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_qlik.triggers.run_event.QlikRunEventTrigger"
    assert arguments == {
        "kind": "task",
        "resource_id": "42",
        "space_id": None,
        "outcomes": ["succeeded", "failed"],
        "since": "2026-01-31T00:00:00+00:00",
        "include_own_runs": False,
        "poll_interval": 60.0,
        "qlik_conn_id": "qlik_cloud_default",
    }
    again = QlikRunEventTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == trigger.serialize()
    assert BaseEventTrigger.hash(*again.serialize()) == BaseEventTrigger.hash(path, arguments)
    (watcher,) = Asset("sales", watchers=[AssetWatcher(name="sales", trigger=trigger)]).watchers
    assert watcher.trigger is trigger


class TriggeringEvents:
    """What a task gets of the events that started its Dag run."""

    def __init__(self, events: list[Any]) -> None:
        self._events = events

    def __getitem__(self, asset: Any) -> list[Any]:
        return self._events


def test_the_example_hands_all_events_to_one_dag_run() -> None:
    example = importlib.import_module("airflow_provider_qlik.example_dags.qlik_start_when_done")
    if not watches_assets():
        assert not hasattr(example, "dag")
        return
    events = [
        SimpleNamespace(
            extra={
                "from_trigger": True,
                "payload": {
                    "runs": [
                        {"name": "Sales", "status": "SUCCEEDED", "ended_at": "", "link": "", "run_id": run_id}
                        for run_id in run_ids
                    ]
                },
            }
        )
        for run_ids in (["1", "2"], ["3"])
    ]
    report = example.dag.get_task("report")
    assert report.python_callable(TriggeringEvents(events)) == ["1", "2", "3"]


@pytest.mark.skipif(watches_assets(), reason="Airflow since 3.0 has asset watchers")
def test_before_airflow_3_the_error_says_what_is_needed() -> None:
    with pytest.raises(Exception, match="needs Airflow 3.0 or later"):
        QlikRunEventTrigger(kind="task")
