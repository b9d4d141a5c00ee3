"""What Airflow stores, shows and logs of a run: PostgreSQL can take it, a terminal can show it, and it has a bound."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_qlik.cloud import QlikCloudError
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.lifecycle import task_log
from airflow_provider_qlik.lifecycle.deferral import MAX_LABEL, name_map_index
from airflow_provider_qlik.lifecycle.failures import fail, fail_for_good, fail_with, skip, time_out
from airflow_provider_qlik.lifecycle.trigger_event import InvalidEventError, RunEvent
from airflow_provider_qlik.links import QlikRunLink
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator, plain
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.runs import STARTABLE_ADAPTERS, Outcome, ReloadPendingError, Run, RunError, RunState
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.text import LINE_LENGTH, MESSAGE_LENGTH, REASON_LENGTH
from airflow_provider_qlik.triggers.run import QlikRunTrigger
from airflow_provider_qlik.triggers.task_log import TaskLogWriter
from tests.provider.conftest import FAST, Task, fire

ODD = "a\x00b\ud83dc"
SHOWN = "a\\x00b\\ud83dc"
LONG = ODD + "x" * 1_000_000
both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts(name)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def assert_storable(value: Any, length: int = MESSAGE_LENGTH + 100) -> None:
    """PostgreSQL's jsonb takes it, and no text of it is long."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    for text in texts(value):
        assert "\x00" not in text
        assert len(text) <= length


@pytest.fixture
def odd_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of automations whose texts have come past whoever should have cleaned them."""
    kind = type(STARTABLE_ADAPTERS["automation"])
    run_of = kind.run_of

    def odd(self: Any, resource_id: str, item: Any) -> Run:
        run = run_of(self, resource_id, item)
        status = f"{run.status}{ODD}" if run.state is RunState.ACTIVE else run.status
        return replace(run, name=LONG, reason=LONG, triggered_by=LONG, status=status)

    monkeypatch.setattr(kind, "run_of", odd)


@pytest.mark.usefixtures("odd_runs")
@both_modes
@pytest.mark.parametrize("end", ["finished", "failed"])
def test_whatever_a_run_is_called_airflow_can_store_what_comes_of_it(
    tenant: Tenant, task: Task, deferrable: bool, end: str, logged: Callable[[], str]
) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=8, end=end))
    operator = QlikRunAutomationOperator(task_id="run", automation_id=automation, deferrable=deferrable, **FAST)
    stored: list[Any] = []
    try:
        try:
            stored.append(operator.execute(task.context))
        except TaskDeferred as deferred:
            stored.append(deferred.trigger.serialize()[1])
            stored.append(event := fire(deferred.trigger))
            stored.append(task.store.get("qlik_run"))
            stored.append(operator.execute_complete(task.context, event))
    except AirflowException as error:
        assert end == "failed"
        assert "'failed': " in str(error)
        assert SHOWN in str(error)
        stored.append(str(error))
    stored += [dict(task.pushed), QlikRunLink().get_link(operator, ti_key=None)]
    assert SHOWN in str(stored[-2]["qlik_run"]["name"])
    for one in stored:
        assert_storable(one, 2 * MESSAGE_LENGTH)
    log = logged()
    assert SHOWN.replace("\\", "") in log.replace("\\", "")
    assert "\x00" not in log
    assert max(map(len, log.splitlines())) < 3 * task_log.MAX_LINE


@pytest.mark.usefixtures("odd_runs")
@both_modes
def test_a_sensor_gives_airflow_what_it_can_store(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.add_run(automation, started_ago=1, script=Script(run=2))
    sensor = QlikAutomationRunSensor(
        task_id="wait", automation_id=automation, poke_interval=0.1, timeout=30, deferrable=deferrable
    )
    try:
        returned = sensor.execute(task.context)
    except TaskDeferred as deferred:
        assert_storable(event := fire(deferred.trigger))
        returned = sensor.execute_complete(task.context, event)
    assert returned["name"].startswith(SHOWN)
    assert_storable(returned)
    assert_storable(dict(task.pushed))


class Uncleaned(Shape):
    """An answer whose texts have come past whoever should have cleaned them."""

    id: str = LONG

    def model_dump(self, **_: Any) -> Any:
        return {"name": ODD, "items": [{ODD: ODD}], "count": 5}


def test_what_a_call_returns_can_be_stored() -> None:
    assert plain(Uncleaned()) == {"name": SHOWN, "items": [{SHOWN: SHOWN}], "count": 5}
    assert plain(ODD) == SHOWN
    assert len(plain(LONG * 3)) < len(LONG * 3)


@pytest.mark.parametrize("choice", ["fail", "skip", "return"])
def test_what_a_call_says_of_what_is_there_has_a_bound(
    tenant: Tenant, choice: str, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    monkeypatch.setattr(QlikCloudHook, "run_flow", lambda *_: Uncleaned())
    operator = QlikCallOperator(
        task_id="call", operation="automations.create", arguments={"automation": {"name": "a"}}, if_exists=choice
    )
    try:
        assert operator.execute(Task().context)["name"] == SHOWN
    except AirflowException as raised:
        assert_storable(str(raised))
    assert len(logged()) < 2 * task_log.MAX_LINE


@pytest.mark.usefixtures("odd_runs")
def test_what_a_retry_remembers_can_be_stored(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(end=None))
    with pytest.raises(TaskDeferred):
        QlikRunAutomationOperator(task_id="run", automation_id=automation, deferrable=True).execute(task.context)
    entry = task.store.get("qlik_run")
    assert entry["run"]["name"].startswith(SHOWN)
    assert_storable(entry)


def test_the_arguments_of_a_trigger_can_be_stored() -> None:
    trigger = QlikRunTrigger(kind="task", resource_id="t", run_id="r", status=LONG, marker=ODD)
    _, arguments = trigger.serialize()
    assert_storable(arguments)
    assert arguments["marker"] == SHOWN
    QlikRunTrigger(**arguments)


@pytest.mark.parametrize("error", [RunError(LONG), QlikCloudError(LONG)], ids=["of a run", "of a request"])
def test_an_event_can_be_stored_whatever_the_error_says(error: QlikCloudError) -> None:
    event = RunEvent.interrupted(error, None).to_json()
    assert_storable(event)
    assert event["error"].startswith(SHOWN)
    assert RunEvent.from_json(event).error == event["error"]


@pytest.mark.parametrize("given", [LONG, {"version": LONG}, {"version": 1, "run": {"kind": LONG}}, [LONG]], ids=type)
def test_a_damaged_event_is_shown_in_short(given: Any) -> None:
    with pytest.raises(InvalidEventError) as refused:
        RunEvent.from_json(given)
    assert_storable(str(refused.value))


@pytest.mark.parametrize("raise_it", [fail_with, fail_for_good, skip, time_out, lambda text: fail(RunError(text))])
def test_what_is_raised_to_airflow_can_be_stored_and_shown(raise_it: Any) -> None:
    with pytest.raises(AirflowException) as raised:
        raise_it(f"one\ntwo\r\n\x1b[31mred{LONG}")
    text = str(raised.value)
    assert_storable(text)
    assert text.startswith(f"one\ntwo\n\\x1b[31mred{SHOWN}")
    assert "more characters left out]" in text


def test_what_follows_a_long_error_is_not_cut_off() -> None:
    with pytest.raises(AirflowFailException, match="look at it in Qlik Cloud$"):
        fail(RunError(LONG), "look at it in Qlik Cloud")


def test_a_skipped_task_says_why_in_a_text_that_can_be_stored(task: Task) -> None:
    operator = QlikReloadAppOperator(task_id="run", app_id="a", if_pending="skip")
    with pytest.raises(AirflowSkipException) as skipped:
        operator.on_error(ReloadPendingError(LONG))
    assert_storable(str(skipped.value))


def test_the_link_of_a_task_can_be_stored() -> None:
    operator = QlikRunAutomationOperator(task_id="run", automation_id="a")
    operator.link = f"https://acme.eu.qlikcloud.com/automations/{LONG}"
    link = QlikRunLink().get_link(operator, ti_key=None)
    assert link.startswith(f"https://acme.eu.qlikcloud.com/automations/{SHOWN}")
    assert_storable(link)


def test_the_name_of_a_mapped_task_instance_fits_into_its_column() -> None:
    context = Task(map_index=3).context
    name_map_index(context, LONG)
    assert context["qlik_label"].startswith(SHOWN)
    assert len(context["qlik_label"]) <= MAX_LABEL


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, level: int, text: str, *values: Any) -> None:
        self.lines.append(text % values)


def test_control_characters_are_shown_in_the_log_and_do_not_reach_the_terminal() -> None:
    log = Log()
    task_log.write(log, logging.INFO, "one\x1b]0;title\x07 100 %s\ttwo\r\nthree\x00")
    task_log.log_callback(log)(logging.INFO, "x" * 1_000_000)
    assert log.lines[0] == "one\\x1b]0;title\\x07 100 %s\ttwo\\x0d\\x0athree\\x00"
    assert len(log.lines[1]) < task_log.MAX_LINE + 100


def test_a_trigger_shows_control_characters_as_well() -> None:
    import asyncio

    log = Log()

    async def play() -> None:
        writer = TaskLogWriter(log)
        writer.write(logging.INFO, "a\x1bb\nc")
        await writer.flush()

    asyncio.run(play())
    assert log.lines == ["a\\x1bb\\x0ac"]


def test_a_line_of_a_runs_log_is_cut_once(tenant: Tenant, task: Task, logged: Callable[[], str]) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=1, log=("\x1b[31m" + "y" * 200_000,)))
    QlikRunAutomationOperator(task_id="run", automation_id=automation, **FAST).execute(task.context)
    log = logged()
    assert "| \\x1b[31myyy" in log
    assert f"… [{200_005 - LINE_LENGTH} more characters left out]" in log
    assert log.count("more characters left out") == 1


def outcome_of(**members: Any) -> Outcome:
    run = Run(kind="task", resource_id="t1", id="r1", state=RunState.FAILED, status="FAILED")
    return Outcome(replace(run, **members), "https://acme.eu.qlikcloud.com/task")


def test_a_failure_tells_the_reason_first_and_then_which_run_it_is() -> None:
    assert outcome_of(reason="disk full", name="Refresh").failure == (
        "The run ended as 'FAILED': disk full. Qlik Cloud task 'Refresh' t1, run r1"
    )
    assert outcome_of().failure == ("The run ended as 'FAILED': Qlik Cloud gives no reason. Qlik Cloud task t1, run r1")


def test_names_and_reasons_of_a_message_have_a_bound() -> None:
    outcome = outcome_of(reason=LONG, name=LONG, status=LONG)
    for text in (outcome.message, outcome.failure):
        assert_storable(text, MESSAGE_LENGTH + 3 * REASON_LENGTH)


def test_the_reason_taken_from_a_log_has_a_bound(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=1, end="failed", log=("z" * 200_000,)))
    with pytest.raises(AirflowException, match="the last line of its log: zzz") as failed:
        QlikRunAutomationOperator(task_id="run", automation_id=automation, **FAST).execute(task.context)
    assert len(str(failed.value)) < 2 * MESSAGE_LENGTH
    assert str(failed.value).count("more characters left out") == 1
    assert f"[{200_000 - REASON_LENGTH} more characters left out]" in str(failed.value)
