from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest

from airflow_provider_qlik import sandbox as sandboxes
from airflow_provider_qlik.cloud import ApiKey, Call, Client, Flow, Pause, QlikCloudError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.call import Step, unbatched
from airflow_provider_qlik.cloud.transport.auth import forget_tokens
from airflow_provider_qlik.cloud.transport.retry import ONE_TRY
from airflow_provider_qlik.cloud.transport.tenant import AUTO, V1_TASKS
from airflow_provider_qlik.runs import ADAPTERS, Intent, MatchTimeouts, Run, RunAdapter, RunSelector, RunWait
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant

T = TypeVar("T")

QUICK = RetryPolicy(tries=3, initial_backoff=0.001, max_backoff=0.002, max_retry_after=0.002)
MAX_STEPS = 2000
MARKER = "airflow-0123456789abcdef"
OTHER_MARKER = "airflow-fedcba9876543210"
TASK, AUTOMATION = ADAPTERS["task"], ADAPTERS["automation"]


class Stage:
    """Runs flows against a sandbox whose time stands still but for their pauses: no test waits or needs luck."""

    def __init__(self, sandbox: SandboxTenant, client: Client) -> None:
        self.sandbox = sandbox
        self.client = client
        self.elapsed = 0.0
        self.pauses: list[float] = []
        self.told: list[tuple[int, str]] = []
        self._began = sandbox.now()
        self._later: list[tuple[float, Callable[[], object]]] = []

    def clock(self) -> float:
        """Seconds, for the flows that measure them."""
        return self.elapsed

    def now(self) -> datetime:
        """The wall clock of whoever waits."""
        return self._began + timedelta(seconds=self.elapsed)

    def write_log(self, level: int, text: str) -> None:
        self.told.append((level, text))

    @property
    def said(self) -> list[str]:
        return [text for _, text in self.told]

    @property
    def warnings(self) -> list[str]:
        return [text for level, text in self.told if level >= logging.WARNING]

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Lets something happen in so many seconds from now, while a flow pauses."""
        self._later.append((self.elapsed + seconds, do))
        self._later.sort(key=lambda later: later[0])

    def run(self, flow: Flow[T], patience: RetryPolicy = QUICK) -> T:
        """What comes of a flow."""
        flow = unbatched(flow)
        try:
            step = next(flow)
            for _ in range(MAX_STEPS):
                try:
                    answer = self._pause(step) if isinstance(step, Pause) else self._ask(step, patience)
                except QlikCloudError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        raise AssertionError(f"a flow that never ends; at last it was at {step}")

    def _ask(self, step: Step, patience: RetryPolicy) -> Any:
        assert isinstance(step, Call)
        return self.client.call(step, patience)

    def _pause(self, step: Pause) -> Any:
        self.pauses.append(step.seconds)
        end = self.elapsed + step.seconds
        while self._later and self._later[0][0] <= end:
            moment, do = self._later.pop(0)
            self._advance(moment)
            do()
        self._advance(end)

    def _advance(self, to: float) -> None:
        self.sandbox.advance(to - self.elapsed)
        self.elapsed = to

    def intend(self, kind: RunAdapter, resource_id: str, marker: str = MARKER, **parameters: Any) -> Intent:
        return self.run(kind.intend(resource_id, marker, parameters))

    def start(
        self,
        kind: RunAdapter,
        resource_id: str,
        search: MatchTimeouts = MatchTimeouts(),  # noqa: B008
        between: Any = None,
        **parameters: Any,
    ) -> Run:
        """The run that a start made; *between* the look before it and the start something may happen."""
        intent = self.intend(kind, resource_id, **parameters)
        if between:
            between()
        return self.run(kind.start(intent, search, self.write_log, self.clock, parameters=parameters))

    def watch(self, kind: RunAdapter, selector: RunSelector, **arguments: Any) -> RunWait:
        return RunWait(kind, selector, self.write_log, clock=self.now, **arguments)

    def until_end(self, kind: RunAdapter, selector: RunSelector, poll_interval: float = 15.0, **arguments: Any) -> Run:
        return self.run(self.watch(kind, selector, **arguments).until_end(poll_interval), ONE_TRY)

    def ours(self, resource_id: str) -> str:
        """The id of the one run that was started through the API, as the tenant knows it."""
        (run,) = (run for run in self.sandbox.runs(resource_id) if run["via"] == "api")
        return str(run["id"])

    def starts(self) -> int:
        """How often a start was asked for, whatever came of it."""
        return len(self.sandbox.request_log("start_task")) + len(self.sandbox.request_log("create_automation_run"))

    def posts(self) -> list[str | None]:
        return [entry.operation for entry in self.sandbox.request_log(method="POST")]


@contextmanager
def staged(sandbox: SandboxTenant, **tenant: Any) -> Iterator[Stage]:
    """A stage on the sandbox as new, for a client that was told these things about its tenant."""
    sandbox.reset()
    with Client(Tenant.at(sandbox.url, **tenant), ApiKey(sandbox.api_key), patience=QUICK) as client:
        yield Stage(sandbox, client)


@pytest.fixture(scope="module")
def still() -> Iterator[SandboxTenant]:
    """A sandbox whose time stands still."""
    with sandboxes.serve(speed=0) as tenant:
        yield tenant


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is about tasks on both paths that a tenant may have them on."""
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
