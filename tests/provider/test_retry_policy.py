from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.sandbox import Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import NO_RETRY_POLICIES, Task

try:
    from airflow.providers.common.compat.sdk import ExceptionRetryPolicy as AnotherPolicy
    from airflow.providers.common.compat.sdk import RetryAction, RetryDecision, RetryRule

    from airflow_provider_qlik.lifecycle.retry_policy import QlikRetryPolicy
except ImportError:
    pytest.skip(NO_RETRY_POLICIES, allow_module_level=True)


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_qlik.cloud.transport.client.time.sleep", lambda _: None)


def failure(operator: Any, task: Task) -> BaseException:
    with pytest.raises(AirflowException) as failed:
        operator.execute(task.context)
    return failed.value


def decided(operator: Any, task: Task, policy: QlikRetryPolicy | None = None) -> RetryDecision:
    """What the operator's policy says to its failure, as Airflow asks it on the worker."""
    error = failure(operator, task)
    decision: RetryDecision = (policy or operator.retry_policy).evaluate(error, 1, 3, task.context)
    return decision


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("status", [429, 503])
def test_a_start_that_qlik_puts_off_is_tried_again_when_it_says(tenant: Tenant, task: Task, status: int) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.fault(status=status, retry_after=240, code="HTTP-429", operation="create_automation_run", times=None)
    decision = decided(QlikRunAutomationOperator(task_id="run", automation_id=automation), task)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=240))
    assert decision.reason == "Qlik Cloud's Retry-After is 240 s"
    assert tenant.runs(automation) == []


@pytest.mark.usefixtures("_no_pauses")
def test_a_call_that_qlik_puts_off_is_tried_again_when_it_says(tenant: Tenant, task: Task) -> None:
    tenant.fault(status=429, retry_after=30, code="HTTP-429", operation="list_automations", times=None)
    decision = decided(QlikCallOperator(task_id="list", operation="automations.list"), task)
    assert decision.retry_delay == timedelta(seconds=30)


@pytest.mark.usefixtures("_no_pauses")
def test_nobody_has_to_wait_longer_than_the_longest(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.fault(status=503, retry_after=100_000, operation="create_automation_run", times=None)
    operator = QlikRunAutomationOperator(task_id="run", automation_id=automation)
    assert decided(operator, task, QlikRetryPolicy(longest=timedelta(minutes=5))).retry_delay == timedelta(minutes=5)


@pytest.mark.usefixtures("_no_pauses")
def test_for_other_failures_the_tasks_own_words_count(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.fault(status=503, operation="list_automation_runs", times=None)
    decision = decided(QlikRunAutomationOperator(task_id="run", automation_id=automation), task)
    assert decision == RetryDecision.default()


def test_who_has_a_policy_of_his_own_keeps_it() -> None:
    own = AnotherPolicy(rules=[RetryRule(exception=ValueError)])
    operator = QlikRunAutomationOperator(task_id="run", automation_id="a", retry_policy=own)
    assert operator.retry_policy is own
    by_default = QlikAutomationRunSensor(task_id="wait", automation_id="a", default_args={"retry_policy": own})
    assert by_default.retry_policy is own


def test_every_operator_and_sensor_has_the_policy() -> None:
    for each in (
        QlikRunAutomationOperator(task_id="run", automation_id="a"),
        QlikAutomationRunSensor(task_id="wait", automation_id="a"),
        QlikCallOperator(task_id="call", operation="automations.list"),
    ):
        assert isinstance(each.retry_policy, QlikRetryPolicy)


def test_the_policy_is_kept_as_plain_json() -> None:
    assert QlikRetryPolicy.deserialize(QlikRetryPolicy(longest=7).serialize()).longest == 7


def test_a_bad_longest_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgumentError, match="longest"):
        QlikRetryPolicy(longest=-1)
