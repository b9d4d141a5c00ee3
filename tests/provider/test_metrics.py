from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_qlik import metrics as statistics
from airflow_provider_qlik.connection_parser import parse
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, Task, fire


class Told:
    """What Airflow's statistics were told."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = defaultdict(int)
        self.gauges: dict[str, list[float]] = defaultdict(list)
        self.timed: dict[str, list[timedelta]] = defaultdict(list)

    def incr(self, name: str, count: int = 1) -> None:
        self.counted[name] += count

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name].append(value)

    def timing(self, name: str, duration: timedelta) -> None:
        self.timed[name].append(duration)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(statistics, "Stats", told)
    return told


def deferred(operator: Any, task: Task) -> Any:
    with pytest.raises(TaskDeferred) as raised:
        operator.execute(task.context)
    return raised.value.trigger


def test_a_wait_is_counted_with_what_it_costs(tenant: Tenant, task: Task, told: Told) -> None:
    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=20, end="finished"))
    trigger = deferred(
        QlikRunAutomationOperator(task_id="run", automation_id=automation, deferrable=True, **FAST), task
    )
    tenant.clear_request_log()
    tenant.fault(operation="get_automation_run", status=429, retry_after=0, code="HTTP-429")
    tenant.fault(operation="get_automation_run", status=500)
    fire(trigger)
    assert told.gauges["qlik_cloud.waits"] == [1, 0]
    assert told.counted["qlik_cloud.requests"] == len(tenant.request_log())
    assert told.counted["qlik_cloud.rate_limited"] == 1
    assert told.counted["qlik_cloud.errors"] == 2
    assert len(told.timed["qlik_cloud.turn"]) == len(tenant.request_log())


def test_answers_that_waits_asked_for_have_a_counter(told: Told) -> None:
    statistics.count("polls", 3)
    statistics.count("polls", 0)
    assert told.counted == {"qlik_cloud.polls": 3}


def test_airflow_takes_these_names() -> None:
    statistics.waiting(0)
    for name in ("requests", "polls", "merged", "rate_limited", "errors", "turn_seconds"):
        statistics.count(name, 1)


def test_the_bounds_of_the_interval_go_to_the_trigger(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare")
    operator = QlikRunAutomationOperator(
        task_id="run",
        automation_id=automation,
        deferrable=True,
        poll_interval=20,
        max_poll_interval=timedelta(minutes=3),
    )
    arguments = deferred(operator, task).serialize()[1]
    assert (arguments["poll_interval"], arguments["max_poll_interval"]) == (20, 180)


def test_a_bad_bound_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgumentError, match="max_poll_interval"):
        QlikRunAutomationOperator(task_id="run", automation_id="a", max_poll_interval=-1)


@pytest.mark.parametrize("share", [0, 1.5, "half"])
def test_a_bad_share_of_the_limits_is_refused_by_name(share: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="rate_limit_share"):
        parse(host="acme.eu.qlikcloud.com", password="key", extra={"rate_limit_share": share})


def test_statistics_that_fail_end_no_wait(tenant: Tenant, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise OSError("no statistics")

    automation = tenant.add_automation("Prepare")
    tenant.script(automation, Script(run=2, end="finished"))
    trigger = deferred(
        QlikRunAutomationOperator(task_id="run", automation_id=automation, deferrable=True, **FAST), task
    )
    monkeypatch.setattr(statistics, "Stats", Away())
    assert fire(trigger)["run"]["state"] == "succeeded"
