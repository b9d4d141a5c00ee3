"""Sensors with mode="reschedule": each poke is in another process, and they stick to the run that they have seen."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from tests.provider.conftest import Task


@pytest.fixture(scope="module", autouse=True)
def _database(request: pytest.FixtureRequest) -> None:
    """Airflow 2 asks its database when a sensor was rescheduled first."""
    if importlib.util.find_spec("airflow.sdk") is None:
        request.getfixturevalue("database")


def first_reschedule_now(context: Any) -> None:
    """Let Airflow find that the sensor was rescheduled for the first time now; Airflow 2 reads its database instead."""
    if hasattr(context["ti"], "get_first_reschedule_date"):
        context["ti"].get_first_reschedule_date = lambda _: datetime.now(UTC)


def poke(task: Task, **arguments: Any) -> Any:
    """One poke of a sensor in a process of its own, as Airflow has it; None where it is rescheduled."""
    given = {"poke_interval": 0.1, "timeout": 30, "mode": "reschedule", "deferrable": False, **arguments}
    context = task.context
    first_reschedule_now(context)
    try:
        return QlikAutomationRunSensor(task_id="wait", **given).execute(context)
    except AirflowRescheduleException:
        return None


@pytest.fixture
def automation(tenant: Tenant) -> str:
    return tenant.add_automation("Prepare", maxConcurrentRuns=5)


def going_on(tenant: Tenant, automation: str) -> str:
    return tenant.add_run(automation, started_ago=1, script=Script(run=100))


def test_the_run_that_was_seen_is_waited_for_though_a_newer_one_begins(
    tenant: Tenant, task: Task, automation: str
) -> None:
    seen = going_on(tenant, automation)
    assert poke(task, automation_id=automation) is None
    tenant.add_run(automation, started_ago=0, script=Script(run=0))
    assert poke(task, automation_id=automation) is None
    tenant.advance(200)
    assert poke(task, automation_id=automation)["run_id"] == seen
    assert task.store.kept == {}


def test_a_status_is_said_when_it_changes_and_not_at_each_poke(
    tenant: Tenant, task: Task, automation: str, logged: Callable[[], str]
) -> None:
    run = going_on(tenant, automation)
    for _ in range(3):
        poke(task, automation_id=automation)
    assert logged().count(f"automation run {run}: running") == 1


def test_by_name_as_well(tenant: Tenant, task: Task, automation: str) -> None:
    seen = going_on(tenant, automation)
    assert poke(task, automation_name="Prepare") is None
    tenant.add_run(automation, started_ago=0, script=Script(run=0))
    tenant.advance(200)
    assert poke(task, automation_name="Prepare")["run_id"] == seen


def test_after_a_clear_it_looks_anew(tenant: Tenant, task: Task, automation: str) -> None:
    going_on(tenant, automation)
    assert poke(task, automation_id=automation) is None
    newer = tenant.add_run(automation, started_ago=0, script=Script(run=0))
    assert poke(task.try_again(cleared=True), automation_id=automation)["run_id"] == newer


def test_a_sensor_that_waits_for_something_else_by_now_looks_anew(tenant: Tenant, task: Task, automation: str) -> None:
    going_on(tenant, automation)
    assert poke(task, automation_id=automation) is None
    another = tenant.add_automation("Another")
    run = tenant.add_run(another)
    assert poke(task, automation_id=another)["run_id"] == run


@pytest.mark.parametrize("entry", [5, {"version": 99}, {"version": 1, "run": {}}, {}], ids=str)
def test_an_entry_that_cannot_be_read_is_as_good_as_none(
    tenant: Tenant, task: Task, automation: str, entry: Any
) -> None:
    going_on(tenant, automation)
    assert poke(task, automation_id=automation) is None
    stored = task.store.get("qlik_seen_run")
    task.store.set("qlik_seen_run", {**stored, **entry} if entry and isinstance(entry, dict) else entry)
    newer = tenant.add_run(automation, started_ago=0, script=Script(run=0))
    assert poke(task, automation_id=automation)["run_id"] == newer


def test_nothing_is_kept_when_the_wait_is_over(tenant: Tenant, task: Task, automation: str) -> None:
    run = tenant.add_run(automation, started_ago=1, script=Script(run=100, end="failed"))
    assert poke(task, automation_id=automation) is None
    assert list(task.store.kept) == ["qlik_seen_run"]
    with pytest.raises(AirflowSensorTimeout):
        poke(task, automation_id=automation, timeout=0)
    assert task.store.kept == {}
    assert poke(task, automation_id=automation) is None
    tenant.advance(200)
    with pytest.raises(AirflowFailException, match=run):
        poke(task, automation_id=automation)
    assert task.store.kept == {}


def test_a_refusal_that_lasts_over_the_pokes_ends_the_wait(
    tenant: Tenant, task: Task, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(seconds=0.3))
    going_on(tenant, automation)
    assert poke(task, automation_id=automation) is None
    tenant.fault(operation="get_automation_run", status=403, code="HTTP-403", times=None)
    assert poke(task, automation_id=automation) is None
    time.sleep(0.4)
    with pytest.raises(AirflowFailException, match="refused"):
        poke(task, automation_id=automation)
    assert task.store.kept == {}


def test_a_refusal_that_has_passed_begins_anew(
    tenant: Tenant, task: Task, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(seconds=0.3))
    going_on(tenant, automation)
    for refused in (False, True, False, True):
        tenant.clear_faults()
        if refused:
            tenant.fault(operation="get_automation_run", status=403, code="HTTP-403", times=None)
        assert poke(task, automation_id=automation) is None
        time.sleep(0.4)


@pytest.mark.parametrize("mode", ["reschedule", "poke"])
def test_where_there_is_no_place_for_it_nothing_is_kept(tenant: Tenant, task: Task, automation: str, mode: str) -> None:
    going_on(tenant, automation)
    context: Any = {"ti": task.context["ti"]} if mode == "reschedule" else task.context
    first_reschedule_now(context)
    sensor = QlikAutomationRunSensor(
        task_id="wait", automation_id=automation, poke_interval=0.1, timeout=0.2, mode=mode, deferrable=False
    )
    with pytest.raises(AirflowException):
        sensor.execute(context)
    assert task.store.kept == {}


def test_where_there_is_no_place_for_it_a_refusal_ends_the_wait_at_once(
    tenant: Tenant, task: Task, automation: str
) -> None:
    going_on(tenant, automation)
    tenant.fault("GET", status=403, code="HTTP-403", times=None)
    context: Any = {"ti": task.context["ti"]}
    first_reschedule_now(context)
    sensor = QlikAutomationRunSensor(
        task_id="wait", automation_id=automation, poke_interval=0.1, timeout=30, mode="reschedule", deferrable=False
    )
    with pytest.raises(AirflowFailException, match="Check the roles"):
        sensor.execute(context)
