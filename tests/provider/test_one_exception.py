"""An expected error is one exception in the task's log: no frames of what it came of, and Retry-After all the same."""

from __future__ import annotations

import json
import pickle
import traceback
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.runs import visibility
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from tests.provider.conftest import FAST, NO_RETRY_POLICIES, Task, fire

MAX_FRAMES = 10
"""Frames of a test, an operator, Airflow's own sensor and what fails it."""


def failure(work: Any, *arguments: Any) -> BaseException:
    with pytest.raises(AirflowException) as failed:
        work(*arguments)
    return failed.value


def assert_one_exception(error: BaseException) -> None:
    printed = "".join(traceback.format_exception(error))
    assert printed.count("Traceback (most recent call last)") == 1, printed
    assert "During handling" not in printed
    assert "direct cause" not in printed
    # Those of the search for secrets wrap each entry point.
    frames = [line for line in printed.splitlines() if line.startswith("  File ") and "planted_secret" not in line]
    assert len(frames) <= MAX_FRAMES, printed


OPERATORS = [
    lambda **more: QlikRunAutomationOperator(task_id="run", automation_id="a", **FAST, **more),
    lambda **more: QlikRunAutomationOperator(task_id="run", automation_name="Nope", **FAST, **more),
    lambda **_: QlikCallOperator(task_id="call", operation="automations.get", arguments={"automation_id": "a"}),
    lambda **_: QlikCallOperator(
        task_id="call", operation="automations.delete", arguments={"automation_id": "a"}, if_missing="skip"
    ),
    lambda **more: QlikAutomationRunSensor(task_id="wait", automation_id="a", poke_interval=0.1, **more),
    lambda **more: QlikAutomationRunSensor(task_id="wait", automation_name="Nope", poke_interval=0.1, **more),
    lambda **more: QlikAutomationRunSensor(
        task_id="wait", automation_id="a", run_id="r", soft_fail=True, poke_interval=0.1, **more
    ),
]


@pytest.mark.parametrize("make", OPERATORS)
@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
@pytest.mark.parametrize("wrong", ["key", "nothing there", "connection"])
def test_what_is_expected_is_one_exception(
    tenant: Tenant, task: Task, make: Any, deferrable: bool, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A refusal has to last before it ends a wait; here it need not.
    monkeypatch.setattr(visibility, "NOT_VISIBLE_TIMEOUT", timedelta(0))
    if wrong == "key":
        tenant.rotate("api_key")
    elif wrong == "connection":
        broken = {"conn_type": "qlik_cloud", "host": tenant.url}
        monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", json.dumps(broken))
    operator = make(deferrable=deferrable)
    try:
        error = failure(operator.execute, task.context)
    except TaskDeferred as deferred:
        error = failure(operator.execute_complete, task.context, fire(deferred.trigger))
    if not getattr(operator, "soft_fail", False) or deferrable:
        # Airflow's own skip of a sensor that pokes has a cause.
        assert_one_exception(error)


def test_a_failed_run_and_a_broken_event_are_one_exception(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=1, end="failed"))
    operator = QlikRunAutomationOperator(task_id="run", automation_id=automation, **FAST)
    assert_one_exception(failure(operator.execute, task.context))
    assert_one_exception(failure(operator.execute_complete, task.context, {"version": 99}))
    assert_one_exception(failure(operator.execute_complete, task.context, {"version": 1, "run": {}, "error": None}))


def test_a_pending_reload_that_is_skipped_is_one_exception(tenant: Tenant, task: Task) -> None:
    app = tenant.add_app("Sales")
    tenant.add_run(app, started_ago=1, script=Script(run=600))
    operator = QlikReloadAppOperator(task_id="run", app_id=app, if_pending="skip", **FAST)
    assert_one_exception(failure(operator.execute, task.context))


def test_what_a_retry_cannot_read_is_one_exception(tenant: Tenant, task: Task) -> None:
    task.store.set("qlik_run", {"version": 99, "max_tries": 0})
    operator = QlikRunAutomationOperator(task_id="run", automation_id="a", **FAST)
    assert_one_exception(failure(operator.execute, task.context))


@pytest.mark.parametrize(
    "make",
    [
        lambda name: QlikRunAutomationOperator(task_id="run", automation_id=name, **FAST),
        lambda _: QlikCallOperator(task_id="call", operation="automations.list"),
    ],
)
def test_retry_after_is_found_behind_the_one_exception(
    tenant: Tenant, task: Task, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_qlik.cloud.transport.client.time.sleep", lambda _: None)
    automation = tenant.add_automation("Prepare")
    tenant.fault(status=429, retry_after=240, code="HTTP-429", path="/api/*", times=None)
    error = failure(make(automation).execute, task.context)
    assert_one_exception(error)
    try:
        from airflow_provider_qlik.lifecycle.retry_policy import QlikRetryPolicy
    except ImportError:
        pytest.skip(NO_RETRY_POLICIES)
    assert QlikRetryPolicy().evaluate(error, 1, 3).retry_delay == timedelta(seconds=240)
    # What a process gets that Airflow hands the error to does not have what it came of.
    again = pickle.loads(pickle.dumps(error))
    assert QlikRetryPolicy().evaluate(again, 1, 3).retry_delay == timedelta(seconds=240)
