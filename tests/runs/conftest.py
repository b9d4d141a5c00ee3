from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest

from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud import ApiKey, Call, Client, Flow, Pause, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.flow import FlowDriver, Step, unbatched
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.cloud.transport.token_cache import forget_tokens
from airflow_provider_qlik.runs import (
    STARTABLE_ADAPTERS,
    Intent,
    MatchTimeouts,
    Run,
    RunAdapter,
    RunSelector,
    RunWait,
    StartableRunAdapter,
)
from airflow_provider_qlik.runs.starting import intend, start
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import AUTO, V1_TASKS

T = TypeVar("T")

QUICK = RetryPolicy(max_attempts=3, initial_backoff=0.001, max_backoff=0.002, max_retry_after=0.002)
MAX_STEPS = 2000
MARKER = "airflow-0123456789abcdef"
OTHER_MARKER = "airflow-fedcba9876543210"
TASK, AUTOMATION = STARTABLE_ADAPTERS["task"], STARTABLE_ADAPTERS["automation"]


class Stage:
    """Runs flows against a sandbox whose clock advances only in their pauses, so that no test depends on time."""

    def __init__(self, sandbox: SandboxTenant, client: Client) -> None:
        self.sandbox = sandbox
        self.client = client
        self.elapsed = 0.0
        self.pauses: list[float] = []
        self.log_records: list[tuple[int, str]] = []
        self._began = sandbox.now()
        self._later: list[tuple[float, Callable[[], object]]] = []

    def clock(self) -> float:
        """Return the elapsed seconds, as a monotonic clock for flows."""
        return self.elapsed

    def now(self) -> datetime:
        """Return the wall clock time for waits."""
        return self._began + timedelta(seconds=self.elapsed)

    def write_log(self, level: int, text: str) -> None:
        self.log_records.append((level, text))

    @property
    def messages(self) -> list[str]:
        return [text for _, text in self.log_records]

    @property
    def warnings(self) -> list[str]:
        return [text for level, text in self.log_records if level >= logging.WARNING]

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Call a function after a number of seconds from now, during a pause of a flow."""
        self._later.append((self.elapsed + seconds, action))
        self._later.sort(key=lambda later: later[0])

    def run(self, flow: Flow[T], retry_policy: RetryPolicy = QUICK) -> T:
        """Run a flow and return its result."""
        driver = FlowDriver(unbatched(flow))
        for count, step in enumerate(driver):
            assert count < MAX_STEPS, f"the flow does not end; its last step was {step}"
            with driver:
                driver.response = self._pause(step) if isinstance(step, Pause) else self._send(step, retry_policy)
        return driver.result

    def _send(self, step: Step, retry_policy: RetryPolicy) -> Any:
        assert isinstance(step, Call)
        return self.client.call(step, retry_policy)

    def _pause(self, step: Pause) -> Any:
        self.pauses.append(step.seconds)
        end = self.elapsed + step.seconds
        while self._later and self._later[0][0] <= end:
            moment, action = self._later.pop(0)
            self._advance(moment)
            action()
        self._advance(end)

    def _advance(self, to: float) -> None:
        self.sandbox.advance(to - self.elapsed)
        self.elapsed = to

    def intend(
        self, adapter: StartableRunAdapter[Any], resource_id: str, marker: str = MARKER, **parameters: Any
    ) -> Intent:
        return self.run(intend(adapter, resource_id, marker, parameters))

    def start(
        self,
        adapter: StartableRunAdapter[Any],
        resource_id: str,
        timeouts: MatchTimeouts = MatchTimeouts(),  # noqa: B008
        between: Any = None,
        **parameters: Any,
    ) -> Run:
        """Start a run and return it; *between* is called after the intent and before the start."""
        intent = self.intend(adapter, resource_id, **parameters)
        if between:
            between()
        return self.run(start(adapter, intent, timeouts, self.write_log, self.clock, parameters=parameters))

    def watch(self, adapter: RunAdapter, selector: RunSelector, **arguments: Any) -> RunWait:
        return RunWait(adapter, selector, self.write_log, clock=self.now, **arguments)

    def until_end(
        self, adapter: RunAdapter, selector: RunSelector, poll_interval: float = 15.0, **arguments: Any
    ) -> Run:
        return self.run(self.watch(adapter, selector, **arguments).until_end(poll_interval), ONE_ATTEMPT)

    def own_run_id(self, resource_id: str) -> str:
        """Return the id of the only run that was started through the API."""
        (run,) = (run for run in self.sandbox.runs(resource_id) if run["via"] == "api")
        return str(run["id"])

    def starts(self) -> int:
        """Return the number of requests that start a run, whatever their outcome."""
        return len(self.sandbox.request_log("start_task")) + len(self.sandbox.request_log("create_automation_run"))

    def posts(self) -> list[str | None]:
        return [entry.operation for entry in self.sandbox.request_log(method="POST")]


@contextmanager
def staged(sandbox: SandboxTenant, **tenant: Any) -> Iterator[Stage]:
    """Yield a stage on the reset sandbox, for a client with these settings of its tenant."""
    sandbox.reset()
    with Client(Tenant.at(sandbox.url, **tenant), ApiKey(sandbox.api_key), retry_policy=QUICK) as client:
        yield Stage(sandbox, client)


@pytest.fixture(scope="module")
def still() -> Iterator[SandboxTenant]:
    """Yield a sandbox whose clock stands still."""
    with sandboxes.serve(speed=0) as tenant:
        yield tenant


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests about tasks on both paths of the Tasks family."""
    code = metafunc.function.__code__
    if "stage" in code.co_varnames[: code.co_argcount] and {"TASK", "add_task"} & {*code.co_names}:
        metafunc.parametrize("stage", [AUTO, V1_TASKS], indirect=True, ids=["auto", "v1"])


@pytest.fixture
def stage(still: SandboxTenant, request: pytest.FixtureRequest) -> Iterator[Stage]:
    forget_tokens()
    with staged(still, tasks_path=getattr(request, "param", AUTO)) as stage:
        yield stage


@pytest.fixture
def sandbox(stage: Stage) -> SandboxTenant:
    return stage.sandbox
