"""A run is never cancelled because looking at it was refused: only where the time for waiting is up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_qlik.cloud import InvalidResponseError, QlikCloudError
from airflow_provider_qlik.cloud.errors import ForbiddenError, NotFoundError, UnauthorizedError
from airflow_provider_qlik.compat import deferral_failures
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.runs import AmbiguousRunError, RunGoneError, RunNotVisibleError, RunWait, WaitTimeoutError
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, finish

REFUSED: dict[str, Any] = {"method": "GET", "path": "/path", "title": "No"}
ERRORS = [
    UnauthorizedError(status=401, **REFUSED),
    ForbiddenError(status=403, **REFUSED),
    NotFoundError(status=404, **REFUSED),
    RunGoneError("Qlik Cloud does not know the run"),
    RunNotVisibleError("Qlik Cloud has refused for two minutes to show the run"),
    InvalidResponseError("an answer that makes no sense"),
    InvalidArgumentError("qlik_conn_id", "qlik", "the connection does not exist any more"),
    QlikCloudError("something else"),
]
both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


def run_automation(automation: str, **arguments: Any) -> QlikRunAutomationOperator:
    return QlikRunAutomationOperator(task_id="run", automation_id=automation, **{**FAST, **arguments})


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Lets each wait end with an error."""

    def until_end(*_: object) -> Any:
        raise error
        yield

    monkeypatch.setattr(RunWait, "until_end", until_end)


@pytest.fixture
def automation(tenant: Tenant) -> str:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(end=None))
    return automation


@each_error
@both_modes
def test_a_run_that_cannot_be_looked_at_goes_on_and_is_left_to_the_next_try(
    tenant: Tenant,
    task: Task,
    automation: str,
    deferrable: bool,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, error)
        with pytest.raises(AirflowException) as failed:
            finish(run_automation(automation, deferrable=deferrable), task.context)
    text = str(failed.value)
    assert text.startswith(str(error))
    for said in ("may still be active", "was not cancelled", task.pushed["run_id"], task.pushed["qlik_link"]):
        assert said in text
    assert [run["cancel_requested_at"] for run in tenant.runs(automation)] == [None]

    with pytest.raises(TaskDeferred) as again:
        run_automation(automation, deferrable=True).execute(task.try_again().context)
    assert again.value.trigger.run_id == task.pushed["run_id"]


@both_modes
def test_a_foreign_error_of_a_look_cancels_nothing_either(
    tenant: Tenant,
    task: Task,
    automation: str,
    deferrable: bool,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    failing(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        finish(run_automation(automation, deferrable=deferrable), task.context)
    assert [run["cancel_requested_at"] for run in tenant.runs(automation)] == [None]
    assert task.store.get("qlik_run")["run"] is not None
    if not deferrable:
        assert "The wait has failed. The run may still be active" in logged()


def test_a_trigger_that_fails_leaves_its_run_to_the_retry(
    tenant: Tenant, task: Task, automation: str, logged: Callable[[], str]
) -> None:
    operator = run_automation(automation, deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(task.context)
    with pytest.raises(deferral_failures()):
        operator.resume_execution("__fail__", {"error": "Trigger failure"}, task.context)
    assert [run["cancel_requested_at"] for run in tenant.runs(automation)] == [None]
    log = logged()
    assert "The trigger has failed. The run may still be active" in log
    assert task.pushed["run_id"] in log


def test_a_wait_that_is_out_of_time_says_that_the_run_is_left_alone_where_that_is_wanted(
    tenant: Tenant, task: Task, automation: str
) -> None:
    with pytest.raises(AirflowException, match="The wait timed out.*was not cancelled. A retry resumes it"):
        finish(run_automation(automation, timeout=0.2, cancel_on_kill=False), task.context)


@each_error
def test_without_a_checkpoint_no_error_says_that_a_retry_resumes_the_run(
    tenant: Tenant, task: Task, automation: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(AirflowException, match="may still be active") as failed:
        finish(run_automation(automation, durable=False), task.context)
    assert "A retry resumes it" not in str(failed.value)
    assert [run["cancel_requested_at"] for run in tenant.runs(automation)] == [None]


def test_only_the_end_of_the_time_cancels(
    tenant: Tenant, task: Task, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, AmbiguousRunError("2 runs. None was cancelled."))
    with pytest.raises(AirflowFailException, match=r"^2 runs. None was cancelled.$"):
        finish(run_automation(automation), task.context)
    failing(monkeypatch, WaitTimeoutError("The wait timed out"))
    with pytest.raises(AirflowException, match="^The wait timed out$"):
        finish(run_automation(automation), Task().context)
    assert [run["cancel_requested_at"] is not None for run in tenant.runs(automation)] == [False, True]
