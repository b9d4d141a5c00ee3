"""The notifier: it starts its automation once, in every kind of callback, and never fails the callback."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.notifier import BaseNotifier
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik.cloud.api import automations
from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik.notifications.automation import QlikAutomationNotifier
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.validation import InvalidArgumentError

IS_ASYNC = hasattr(BaseNotifier, "async_notify")
PATH = f"{QlikAutomationNotifier.__module__}.{QlikAutomationNotifier.__qualname__}"
DEADLINE = {
    "dag_run": {"dag_id": "morning", "run_id": "manual__1", "conf": {"region": "north"}},
    "deadline": {"id": "0198", "deadline_time": datetime(2026, 1, 2, 6, tzinfo=UTC)},
}
"""The context of a deadline's callback: the Dag run as plain JSON."""
MODES = ["called", *(["awaited"] if IS_ASYNC else [])]
both_ways = pytest.mark.parametrize("mode", MODES)
Logged = Callable[[], str]


def context(**more: Any) -> dict[str, Any]:
    """Return a context with a Dag, which Airflow before 3.1 needs, and what a deadline's callback gets."""
    return {**DEADLINE, "dag": DAG("morning", schedule=None), **more}


def notify(mode: str, context: dict[str, Any], **arguments: Any) -> None:
    """Notify as Airflow does: in an event loop, or by a call."""
    if mode == "called":
        QlikAutomationNotifier(**arguments)(context)
        return

    async def awaited() -> None:
        await QlikAutomationNotifier(**arguments, context=context)  # type: ignore[arg-type]

    asyncio.run(awaited())


def starts(tenant: Tenant) -> list[Any]:
    return [entry for entry in tenant.request_log(method="POST", path="/api/*") if entry.carried_out]


@both_ways
def test_an_automation_is_started_once_and_not_waited_for(tenant: Tenant, logged: Logged, mode: str) -> None:
    automation = tenant.add_automation("Tell", id="tell")
    tenant.script(automation, Script(end=None))

    notify(mode, context(), automation_id=automation)

    (run,) = tenant.runs(automation)
    said = logged()
    assert f"Started: automation run {run['id']}" in said
    assert f"{tenant.url}/automations/tell" in said
    assert "connection 'qlik_cloud_default', Dag 'morning', Dag run 'manual__1'" in said
    assert len(tenant.active()) == 1
    # No run is looked for or polled.
    assert {entry.operation for entry in tenant.request_log(path="/api/*")} == {"create_automation_run"}


@both_ways
def test_inputs_are_rendered_and_the_automation_found_by_its_name(tenant: Tenant, mode: str) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered", spaceId=tenant.add_space("Finance"))
    inputs = {
        "what": "{{ dag_run.dag_id }} is late",
        "since": "{{ deadline.deadline_time }}",
        "region": ["{{ dag_run.conf.region }}"],
        "number": 3,
    }

    notify(mode, context(), automation_name="Tell", space_name="Finance", inputs=inputs)

    (entry,) = starts(tenant)
    assert (entry.operation, len(tenant.runs(automation))) == ("execute_automation", 1)
    assert entry.body == {
        "what": "morning is late",
        "since": "2026-01-02 06:00:00+00:00",
        "region": ["north"],
        "number": 3,
    }


@both_ways
def test_what_a_template_names_and_the_context_lacks_becomes_a_text(tenant: Tenant, mode: str) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    templates = {
        "name": "{{ ti.task_id }}",
        "item": "{{ ti['task_id'] }}",
        "call": "{{ ti.xcom_pull(key='log_path') }} of {{ dag_run.run_id }}",
        "filter": "{{ exception | upper }}",
        "default": "{{ ti.task_id | default('no task') }}",
        "loop": "{% for each in task_list %}x{% endfor %}",
        "sum": "{{ ti.start_date + 1 }}",
        "syntax": "{{ ti. }}",
        "error": "{{ 1 / 0 }}",
    }

    notify(mode, context(), automation_id=automation, inputs=templates)

    (entry,) = starts(tenant)
    body = entry.body
    assert re.match(r"\(could not be rendered: \w*UndefinedError: .*ti", body.pop("sum"))
    assert re.match(r"\(could not be rendered: TemplateSyntaxError: ", body.pop("syntax"))
    assert body == {
        "name": "(ti.task_id is not available here)",
        "item": "(ti['task_id'] is not available here)",
        "call": "(ti.xcom_pull() is not available here) of manual__1",
        "filter": "(EXCEPTION IS NOT AVAILABLE HERE)",
        "default": "no task",
        "loop": "",
        "error": "(could not be rendered: ZeroDivisionError: division by zero)",
    }


@both_ways
def test_a_dag_that_renders_native_objects_gives_inputs_that_can_be_sent(tenant: Tenant, mode: str) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    native = DAG("morning", schedule=None, render_template_as_native_obj=True)
    inputs = {"since": "{{ deadline.deadline_time }}", "conf": "{{ dag_run.conf }}", "gone": "{{ ti.task_id }}"}

    notify(mode, context(dag=native), automation_id=automation, inputs=inputs)

    (entry,) = starts(tenant)
    assert entry.body == {
        "since": "2026-01-02 06:00:00+00:00",
        "conf": {"region": "north"},
        "gone": "(ti.task_id is not available here)",
    }


@both_ways
def test_the_schedulers_form_of_a_dag_renders_as_well(tenant: Tenant, mode: str) -> None:
    # `dag.test()` of Airflow 3 passes it to the callbacks of a Dag.
    tenant.add_automation("Tell", id="tell", run_mode="triggered")
    serialized = SimpleNamespace(dag_id="morning", render_template_as_native_obj=False)

    notify(mode, context(dag=serialized), automation_id="tell", inputs={"what": "{{ dag.dag_id }}"})

    assert [entry.body for entry in starts(tenant)] == [{"what": "morning"}]


@both_ways
def test_nothing_is_raised_whatever_goes_wrong(
    tenant: Tenant, logged: Logged, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of order")

    for name in ("render_template_fields", "_start"):
        with monkeypatch.context() as patch:
            patch.setattr(QlikAutomationNotifier, name, fail)
            notify(mode, context(), automation_id="tell")
        assert "out of order. The automation was not started (automation tell, connection" in logged()
    assert tenant.request_log() == []


@both_ways
def test_an_id_that_cannot_be_rendered_starts_nothing_and_says_so(tenant: Tenant, logged: Logged, mode: str) -> None:
    notify(mode, context(), automation_id="{{ ti.task_id }}")

    said = logged()
    assert re.search(r"automation_id: the template '\{\{ ti.task_id \}\}' cannot be rendered.*'ti' is undefined", said)
    assert "The automation was not started (automation {{ ti.task_id }}, connection 'qlik_cloud_default', Dag" in said
    assert tenant.request_log() == []


def test_a_notifier_can_be_the_callback_of_several_tasks(tenant: Tenant) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    notifier = QlikAutomationNotifier(automation_id=automation, inputs={"run": "{{ dag_run.run_id }}"})

    for run_id in ("first", "second"):
        notifier(context(dag_run={"dag_id": "morning", "run_id": run_id}))

    assert [entry.body for entry in starts(tenant)] == [{"run": "first"}, {"run": "second"}]


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"status": 401}, "Check the API key or OAuth client of the connection 'qlik_cloud_default'"),
    ({"status": 403}, "Check the roles and OAuth scopes of the user"),
    ({"status": 404}, "Check the id, the tenant"),
]


@both_ways
@pytest.mark.parametrize(("fault", "reason"), REFUSALS, ids=str)
def test_a_refused_start_is_an_error_in_the_log_and_no_exception(
    tenant: Tenant, logged: Logged, mode: str, fault: dict[str, Any], reason: str
) -> None:
    automation = tenant.add_automation("Tell", id="tell")
    tenant.fault(operation="create_automation_run", times=None, **fault)

    notify(mode, context(), automation_id=automation)

    said = logged()
    assert reason in said
    assert "The automation was not started (automation tell, connection" in said
    assert "error" in said.lower()
    assert tenant.runs(automation) == []


LOST: list[dict[str, Any]] = [
    {"status": 500, "carried_out": True},
    {"reset": "after"},
    {"response": "html", "carried_out": True},
]


@both_ways
@pytest.mark.parametrize("inputs", [None, {"what": "late"}], ids=["without inputs", "with inputs"])
@pytest.mark.parametrize("fault", LOST, ids=str)
def test_a_start_whose_response_is_lost_is_not_repeated(
    tenant: Tenant, logged: Logged, mode: str, fault: dict[str, Any], inputs: Any
) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    operation = "create_automation_run" if inputs is None else "execute_automation"
    tenant.fault(operation=operation, times=None, **fault)

    notify(mode, context(), automation_id=automation, inputs=inputs)

    said = logged()
    assert "The automation may have been started, and was not started again: look at its runs in Qlik Cloud" in said
    assert ("run asynchronously" in said) == (inputs is not None and "reset" in fault)
    assert len(tenant.request_log(operation=operation)) == 1
    assert len(tenant.runs(automation)) == 1


@both_ways
def test_a_start_that_was_surely_not_executed_is_repeated(tenant: Tenant, logged: Logged, mode: str) -> None:
    automation = tenant.add_automation("Tell")
    tenant.fault(operation="create_automation_run", times=2, status=429, code="HTTP-429", retry_after=0)

    notify(mode, context(), automation_id=automation)

    assert "Started: automation run" in logged()
    assert len(tenant.runs(automation)) == 1


@both_ways
def test_an_automation_that_answers_at_its_end_only_holds_nobody_up(tenant: Tenant, logged: Logged, mode: str) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    tenant.fault(operation="execute_automation", delay=20.0)
    began = datetime.now(UTC)

    notify(mode, context(), automation_id=automation, inputs={}, timeout=1)

    assert (datetime.now(UTC) - began).total_seconds() < 15
    said = logged()
    assert "The automation may have been started, and was not started again" in said
    assert "is not set to run asynchronously answers at its end only" in said
    assert len(tenant.request_log(operation="execute_automation")) <= 1


@pytest.mark.skipif(not IS_ASYNC, reason="Airflow before 3.1 has no asynchronous notifiers")
def test_a_time_out_before_the_start_says_that_nothing_was_started(tenant: Tenant, logged: Logged) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    tenant.fault(operation="get_automation", delay=20.0)

    notify("awaited", context(), automation_id=automation, inputs={}, timeout=1)

    said = logged()
    assert "Qlik Cloud has not answered within 1 s. The automation was not started (" in said
    assert tenant.runs(automation) == []


@both_ways
def test_a_disabled_automation_is_named_as_the_reason(tenant: Tenant, logged: Logged, mode: str) -> None:
    automation = tenant.add_automation("Tell", state="disabled")

    notify(mode, context(), automation_id=automation)

    assert "disabled (its state is 'disabled'): enable it in Qlik Cloud" in logged()


@both_ways
def test_a_name_that_there_is_not_and_a_missing_connection_are_errors_in_the_log(
    tenant: Tenant, logged: Logged, mode: str
) -> None:
    notify(mode, context(), automation_name="Nobody")
    assert "automation_name: nothing that this user can see has exactly that name" in logged()

    notify(mode, context(), automation_id="tell", qlik_conn_id="{{ dag_run.dag_id }}")
    said = logged()
    assert "The automation was not started (automation tell, connection 'morning'" in said


@both_ways
def test_no_secret_is_in_the_log_of_a_start_or_a_failure(tenant: Tenant, logged: Logged, mode: str) -> None:
    automation = tenant.add_automation("Tell", run_mode="triggered")
    notify(mode, context(), automation_id=automation, inputs={"what": "late"})
    tenant.fault(operation="execute_automation", times=None, status=500)
    notify(mode, context(), automation_id=automation, inputs={"what": "late"})

    with QlikCloudHook() as hook:
        token = hook.call(automations.get(automation)).execution_token
    assert token is not None
    said = logged()
    assert said
    assert token.get_secret_value() not in said
    assert tenant.api_key not in said
    # Inputs may hold what a mail says and a log must not.
    assert "late" not in said


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "automation_id"),
        ({"automation_id": "1", "automation_name": "Tell"}, "automation_name"),
        ({"automation_id": "a/b"}, "automation_id"),
        ({"automation_id": "1", "inputs": ["late"]}, "inputs"),
        ({"automation_id": "1", "inputs": {1: "late"}}, "inputs"),
        ({"automation_id": "1", "timeout": 0}, "timeout"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: "):
        QlikAutomationNotifier(**arguments)


# As the callback of a deadline


def callbacks() -> Any:
    """Return the module with the callbacks of deadlines; skip where Airflow has none."""
    for name in ("airflow.sdk.definitions.callback", "airflow.sdk.definitions.deadline"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "AsyncCallback"):
            return module
    pytest.skip("Airflow before 3.1 has no deadlines")


def stored(callback: Any) -> dict[str, Any]:
    """Return the arguments of a callback as Airflow stores them, with the context of a missed deadline."""
    of_deadline = json.loads(json.dumps(DEADLINE, default=str))
    return {**json.loads(json.dumps(callback.kwargs)), "context": of_deadline}


ARGUMENTS = {"automation_id": "tell", "inputs": {"what": "{{ dag_run.dag_id }} of {{ ti.task_id }}"}}
RENDERED = {"what": "morning of (ti.task_id is not available here)"}


@pytest.mark.parametrize("fault", [None, *LOST], ids=str)
def test_a_missed_deadline_notifies_from_the_triggerer(
    tenant: Tenant, logged: Logged, fault: dict[str, Any] | None
) -> None:
    tenant.add_automation("Tell", id="tell", run_mode="triggered")
    if fault is not None:
        tenant.fault(operation="execute_automation", **fault)
    callback = callbacks().AsyncCallback(QlikAutomationNotifier, kwargs=ARGUMENTS)
    assert callback.path == PATH
    try:
        from airflow.triggers.callback import CallbackTrigger as Trigger
    except ImportError:
        from airflow.triggers.deadline import (  # type: ignore[no-redef,import-not-found,unused-ignore]
            DeadlineCallbackTrigger as Trigger,
        )

    async def events() -> list[Any]:
        trigger = Trigger(callback_path=callback.path, callback_kwargs=stored(callback))
        return [event.payload async for event in trigger.run()]

    last = asyncio.run(events())[-1]

    assert str(last[next(iter(last))].value) == "success"
    assert [entry.body for entry in starts(tenant)] == [RENDERED]
    assert ("may have been started" in logged()) == (fault is not None)


def test_a_missed_deadline_notifies_from_an_executor(tenant: Tenant) -> None:
    module = callbacks()
    try:
        from airflow.sdk.execution_time.callback_supervisor import execute_callback
    except ImportError:
        pytest.skip("Airflow before 3.3 runs no callback in a supervised process")
    import structlog

    tenant.add_automation("Tell", id="tell", run_mode="triggered")
    callback = module.SyncCallback(PATH, kwargs=ARGUMENTS)

    done = execute_callback(callback.path, stored(callback), "", None, structlog.get_logger())  # type: ignore[arg-type]

    assert done == (True, None)
    assert [entry.body for entry in starts(tenant)] == [RENDERED]
