"""Two drivers, one behaviour."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest

from airflow_provider_qlik import __version__
from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Call,
    Client,
    Flow,
    NoResponseError,
    RetryPolicy,
    StatusError,
    Tenant,
    pause,
    send,
)
from airflow_provider_qlik.cloud.api import automations, tasks
from airflow_provider_qlik.cloud.errors import NotFoundError
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.cloud.conftest import QUICK

T = TypeVar("T")
RunFlow = Callable[[Flow[Any]], Any]


@pytest.fixture(params=["Client", "AsyncClient"])
def run_flow(request: pytest.FixtureRequest, sandbox: SandboxTenant) -> RunFlow:
    """Each of the two drivers."""
    tenant, key = Tenant.at(sandbox.url), ApiKey(sandbox.api_key)

    def in_thread(flow: Flow[T]) -> T:
        with Client(tenant, key, retry_policy=QUICK) as client:
            return client.run_flow(flow)

    def in_loop(flow: Flow[T]) -> T:
        async def run() -> T:
            async with AsyncClient(tenant, key, retry_policy=QUICK) as client:
                return await client.run_flow(flow)

        return asyncio.run(run())

    return in_thread if request.param == "Client" else in_loop


def test_a_flow_is_sent_the_answers_and_gives_its_result(sandbox: SandboxTenant, run_flow: RunFlow) -> None:
    def flow() -> Flow[list[str | None]]:
        first = yield from send(tasks.get("t"))
        yield from pause(0.001)
        yield from send(tasks.start("t", source="a flow"))
        run = yield from send(tasks.last_run("t"))
        return [first.name, run.triggered_by]

    sandbox.add_task("A task", id="t")

    assert run_flow(flow()) == ["A task", "a flow"]
    assert [entry.operation for entry in sandbox.request_log()] == ["get_task", "start_task", "get_last_task_run"]


def test_an_error_is_thrown_into_the_flow_which_may_go_on(sandbox: SandboxTenant, run_flow: RunFlow) -> None:
    def flow() -> Flow[str]:
        try:
            yield from send(tasks.get("no-such"))
        except NotFoundError as error:
            found = yield from send(tasks.get("t"))
            return f"{found.name} in place of {error.status}"
        return "unexpected"

    sandbox.add_task("A task", id="t")

    assert run_flow(flow()) == "A task in place of 404"


def test_an_error_that_the_flow_leaves_alone_is_the_callers(sandbox: SandboxTenant, run_flow: RunFlow) -> None:
    with pytest.raises(NotFoundError, match="no-such"):
        run_flow(send(tasks.get("no-such")))


def test_an_error_of_the_flow_itself_is_the_callers_and_ends_it(sandbox: SandboxTenant, run_flow: RunFlow) -> None:
    ended = []

    def flow() -> Flow[None]:
        try:
            yield from send(tasks.get("t"))
            yield from send(tasks.get(""))
        finally:
            ended.append(True)

    sandbox.add_task(id="t")

    with pytest.raises(InvalidArgumentError, match="task_id"):
        run_flow(flow())
    assert ended == [True]
    assert len(sandbox.request_log()) == 1


def test_a_flow_that_asks_nothing_gives_its_result(run_flow: RunFlow) -> None:
    def flow() -> Flow[int]:
        return 42
        yield

    assert run_flow(flow()) == 42


def test_each_call_of_a_flow_is_retried_by_itself(sandbox: SandboxTenant, run_flow: RunFlow) -> None:
    def flow() -> Flow[None]:
        yield from send(tasks.get("t"))
        yield from send(tasks.get("t"))

    sandbox.add_task(id="t")
    for _ in range(2):
        sandbox.fault("GET", status=502, times=4)

    with pytest.raises(StatusError):
        run_flow(flow())
    assert len(sandbox.request_log()) == 5, "the first call has used up its five tries"


def test_a_flow_can_have_its_own_retry_policy(sandbox: SandboxTenant, client: Client) -> None:
    sandbox.fault("GET", status=502, times=None)

    with pytest.raises(StatusError):
        client.run_flow(send(tasks.get("t")), RetryPolicy(max_attempts=1))
    assert len(sandbox.request_log()) == 1


def test_both_drivers_fail_alike(sandbox: SandboxTenant, run_flow: RunFlow) -> None:
    sandbox.add_task(id="t")
    sandbox.fault("POST", reset="after")

    with pytest.raises(
        NoResponseError, match=r"^No response came from 127\.0\.0\.1 .*POST /api/scheduling/tasks/t/actions/start"
    ):
        run_flow(send(tasks.start("t")))
    assert len(sandbox.runs("t")) == 1


def test_an_answer_that_was_read_leaves_nothing_to_the_garbage_collector(
    sandbox: SandboxTenant, run_flow: RunFlow
) -> None:
    def flow() -> Flow[int]:
        for _ in range(3):
            yield from send(tasks.get("t"))
        return sum(type(each) is httpx.Response for each in gc.get_objects())

    sandbox.add_task("A task", id="t")
    gc.collect()
    gc.disable()
    try:
        assert run_flow(flow()) == 0
    finally:
        gc.enable()


def test_a_cancelled_flow_is_ended(sandbox: SandboxTenant, async_client: AsyncClient) -> None:
    ended = []

    def flow() -> Flow[None]:
        try:
            yield from pause(60)
        finally:
            ended.append(True)

    async def cancelled() -> None:
        async with async_client:
            task = asyncio.create_task(async_client.run_flow(flow()))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

    asyncio.run(cancelled())
    assert ended == [True]


def test_a_pause_in_one_flow_holds_up_no_other(sandbox: SandboxTenant, async_client: AsyncClient) -> None:
    def slow() -> Flow[str]:
        yield from pause(60)
        return "slow"

    async def both() -> str | None:
        async with async_client:
            waiting = asyncio.create_task(async_client.run_flow(slow()))
            found = await async_client.call(tasks.get("t"))
            assert not waiting.done()
            waiting.cancel()
            return found.name

    sandbox.add_task("A task", id="t")
    assert asyncio.run(both()) == "A task"


def test_many_calls_run_side_by_side(sandbox: SandboxTenant, async_client: AsyncClient) -> None:
    ids = [sandbox.add_automation(f"A{number}") for number in range(20)]

    async def names() -> list[str | None]:
        async with async_client:
            found = await asyncio.gather(*(async_client.call(automations.get(id)) for id in ids))
            return [one.name for one in found]

    assert asyncio.run(names()) == [f"A{number}" for number in range(20)]


def test_a_closed_client_sends_nothing(sandbox: SandboxTenant, client: Client, async_client: AsyncClient) -> None:
    with client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        client.call(tasks.list())

    async def closed() -> None:
        async with async_client:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await async_client.call(tasks.list())

    asyncio.run(closed())
    assert sandbox.request_log() == []


def test_a_call_says_who_asks_and_what_for(sandbox: SandboxTenant, client: Client) -> None:
    automation_id = sandbox.add_automation()
    run_id = sandbox.add_run(automation_id)
    client.call(automations.list())
    client.call(automations.run_debug(automation_id, run_id))
    client.call(automations.update(automation_id, {"name": "New"}))

    listed, debug, updated = sandbox.request_log()
    assert listed.headers == {"user-agent": f"airflow-provider-qlik/{__version__}", "accept": "application/json"}
    assert debug.headers["accept"] == "text/plain"
    assert updated.headers["content-type"] == "application/json"


@pytest.mark.parametrize("root", ["/api/v1/tasks", "/api/scheduling/tasks"])
def test_tasks_are_asked_where_the_tenant_has_them(sandbox: SandboxTenant, root: str) -> None:
    sandbox.add_task(id="t")
    with Client(Tenant.at(sandbox.url, tasks_path=root), ApiKey(sandbox.api_key)) as client:
        client.call(tasks.start("t"))
        with pytest.raises(NotFoundError, match=f"^Not found: .*HTTP 404 for GET {root}/no-such"):
            client.call(tasks.get("no-such"))

    assert [entry.path for entry in sandbox.request_log()] == [f"{root}/t/actions/start", f"{root}/no-such"]


def test_our_requests_do_not_fill_the_log_but_those_of_others_are_logged(
    sandbox: SandboxTenant, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "httpx")
    client.call(tasks.list())
    assert [record for record in caplog.records if record.name == "httpx"] == []

    httpx.get(f"{sandbox.url}/somewhere", trust_env=False)
    assert "/somewhere" in caplog.text


def test_a_call_without_an_answer_answers_nothing(sandbox: SandboxTenant, client: Client) -> None:
    call: Call[None] = tasks.delete(sandbox.add_task())

    client.call(call)
    assert sandbox.request_log("delete_task")[0].status == 204
