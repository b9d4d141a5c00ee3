"""Where a tenant has its Tasks API, and the start of automations with inputs: found out, remembered, never guessed."""

from __future__ import annotations

import asyncio
import pkgutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_qlik.cloud import (
    ApiKey,
    AsyncClient,
    Call,
    Client,
    ConnectError,
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
    QlikCloudError,
    RetryPolicy,
    Tenant,
    UnauthorizedError,
    api,
)
from airflow_provider_qlik.cloud.api import automations, tasks
from airflow_provider_qlik.cloud.call import Family, Tier
from airflow_provider_qlik.cloud.errors import IntermediaryResponseError
from airflow_provider_qlik.cloud.flow import Poll
from airflow_provider_qlik.cloud.polling.rate_limiter import RateLimiter
from airflow_provider_qlik.cloud.transport import paths
from airflow_provider_qlik.cloud.transport.retry import ONE_ATTEMPT
from airflow_provider_qlik.runs import ADAPTERS, RunSelector
from airflow_provider_qlik.runs.poll_source import poll_source
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from airflow_provider_qlik.tasks_api import SCHEDULING_TASKS, TASKS_PATHS, V1_TASKS
from tests.cloud.conftest import QUICK
from tests.listener import Answer, Listener, Seen, refused_by_qlik

PAGE = "<!DOCTYPE html><html><title>Blocked</title></html>"
OTHER_ONE = {V1_TASKS: "scheduling", SCHEDULING_TASKS: "v1"}
ONLY_ON_SCHEDULING = replace(tasks.list(), operation="get_task_graph", scheduling_only=True)


@pytest.fixture
def sandbox(sandbox: SandboxTenant) -> SandboxTenant:
    """A tenant of which nothing is known."""
    paths.forget()
    return sandbox


def looks(sandbox: SandboxTenant) -> list[str]:
    """The paths that were asked whether they are there."""
    return [entry.path for entry in sandbox.request_log(method="GET") if entry.query == [("limit", "1")]]


def starts(sandbox: SandboxTenant) -> list[str]:
    return [entry.path for entry in sandbox.request_log(method="POST", path="*/actions/start")]


def called(
    driver: str, sandbox: SandboxTenant, call: Call[Any], retry_policy: RetryPolicy = QUICK, **tenant: Any
) -> Any:
    """What a call gives or raises, by a client of its own in a thread or in an event loop."""
    where, key = Tenant.at(sandbox.url, **tenant), ApiKey(sandbox.api_key)
    if driver == "sync":
        with Client(where, key, retry_policy=retry_policy) as client:
            return client.call(call)

    async def ask() -> Any:
        async with AsyncClient(where, key, retry_policy=retry_policy) as client:
            return await client.call(call)

    return asyncio.run(ask())


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_scheduling_path_is_used_and_looked_for_once_in_a_process(sandbox: SandboxTenant) -> None:
    task = sandbox.add_task()
    for driver in ("sync", "async", "async", "sync"):
        called(driver, sandbox, tasks.start(task))

    assert looks(sandbox) == [SCHEDULING_TASKS]
    assert starts(sandbox) == [f"{SCHEDULING_TASKS}/{task}/actions/start"] * 4
    assert len(sandbox.runs(task)) == 4


@pytest.mark.parametrize("path", TASKS_PATHS)
def test_a_path_that_is_set_is_used_without_a_look(sandbox: SandboxTenant, driver: str, path: str) -> None:
    task = sandbox.add_task()
    called(driver, sandbox, tasks.start(task), tasks_path=path)

    assert [entry.path for entry in sandbox.request_log()] == [f"{path}/{task}/actions/start"]


@pytest.mark.parametrize("form", ["qlik", "text", "page"])
def test_v1_is_used_where_there_is_no_scheduling_path_in_whatever_form_that_is_said(
    sandbox: SandboxTenant, driver: str, form: str
) -> None:
    task = sandbox.add_task()
    sandbox.switch(tasks_paths="v1", no_route=form)
    called(driver, sandbox, tasks.start(task))
    called(driver, sandbox, tasks.get(task))

    assert looks(sandbox) == [SCHEDULING_TASKS, V1_TASKS]
    assert starts(sandbox) == [f"{V1_TASKS}/{task}/actions/start"]
    assert len(sandbox.runs(task)) == 1


@pytest.mark.parametrize("status", [405, 410, 501])
def test_other_statuses_say_so_too(sandbox: SandboxTenant, status: int) -> None:
    task = sandbox.add_task()
    sandbox.fault(path=f"{SCHEDULING_TASKS}*", status=status, times=None)
    assert called("sync", sandbox, tasks.get(task)).id == task
    assert sandbox.request_log()[-1].path == f"{V1_TASKS}/{task}"


def test_a_tenant_that_has_only_the_scheduling_path_is_no_special_case(sandbox: SandboxTenant, driver: str) -> None:
    task = sandbox.add_task()
    sandbox.switch(tasks_paths="scheduling")
    called(driver, sandbox, tasks.start(task))
    assert len(sandbox.runs(task)) == 1


@pytest.mark.parametrize(("form", "again"), [("qlik", V1_TASKS), ("page", SCHEDULING_TASKS)])
def test_what_a_stranger_says_holds_for_a_while_and_what_qlik_says_for_the_process(
    sandbox: SandboxTenant, monkeypatch: pytest.MonkeyPatch, form: str, again: str
) -> None:
    task = sandbox.add_task()
    monkeypatch.setattr(paths, "INTERMEDIARY_TTL", 0.0)
    sandbox.switch(tasks_paths="v1", no_route=form)
    called("sync", sandbox, tasks.get(task))
    sandbox.switch(tasks_paths="both")
    called("sync", sandbox, tasks.get(task))
    assert sandbox.request_log()[-1].path == f"{again}/{task}"


@pytest.mark.parametrize("status", [400, 403])
def test_a_user_who_may_not_list_finds_the_path_all_the_same(sandbox: SandboxTenant, driver: str, status: int) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", SCHEDULING_TASKS, status=status, times=None)
    called(driver, sandbox, tasks.start(task))
    assert (looks(sandbox), starts(sandbox)) == (
        [SCHEDULING_TASKS],
        [f"{SCHEDULING_TASKS}/{task}/actions/start"],
    )


SAYS_NOTHING: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "429": {"status": 429, "code": "HTTP-429"},
    "500": {"status": 500},
    "503": {"status": 503},
    "reset": {"reset": "before"},
    "403 as a page": {"status": 403, "body": PAGE, "content_type": "text/html"},
    "200 as a page": {"response": "html"},
    "200 as nonsense": {"response": "nonsense"},
    "302": {"status": 302},
    "407": {"status": 407, "body": "Proxy Authentication Required"},
    "404 as a page": {"status": 404, "body": PAGE, "content_type": "text/html"},
}
"""What may answer on both paths without telling anything; a 404 that comes from everywhere is no word about a path."""


@pytest.mark.parametrize("answer", SAYS_NOTHING.values(), ids=SAYS_NOTHING)
def test_what_says_nothing_decides_nothing_and_sends_no_start(
    sandbox: SandboxTenant, driver: str, answer: dict[str, Any]
) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", "/api/*", times=None, **answer)

    with pytest.raises(QlikCloudError) as raised:
        called(driver, sandbox, tasks.start(task))

    assert not raised.value.outcome_unknown, "a start that surely was not sent"
    assert raised.value.transient or isinstance(raised.value, UnauthorizedError)
    assert starts(sandbox) == []
    sandbox.clear_faults()
    called(driver, sandbox, tasks.start(task))
    assert starts(sandbox) == [f"{SCHEDULING_TASKS}/{task}/actions/start"]


@pytest.mark.parametrize("name", [name for name in SAYS_NOTHING if name != "401"])
def test_what_passes_is_outlasted_as_for_any_read(sandbox: SandboxTenant, driver: str, name: str) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", SCHEDULING_TASKS, **SAYS_NOTHING[name])
    called(driver, sandbox, tasks.start(task))
    assert len(starts(sandbox)) == 1


def test_pages_that_come_from_both_paths_for_a_moment_are_outlasted(sandbox: SandboxTenant, driver: str) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", "/api/*", times=4, **SAYS_NOTHING["404 as a page"])
    called(driver, sandbox, tasks.start(task))
    assert starts(sandbox) == [f"{SCHEDULING_TASKS}/{task}/actions/start"]


def test_a_read_fails_with_what_the_look_met(sandbox: SandboxTenant, driver: str) -> None:
    sandbox.fault("GET", "/api/*", times=None, status=403, body=PAGE, content_type="text/html")
    with pytest.raises(IntermediaryResponseError, match=f"HTTP 403 for GET {SCHEDULING_TASKS}"):
        called(driver, sandbox, tasks.get("t"), ONE_ATTEMPT)


def test_where_neither_path_is_there_that_is_the_error(sandbox: SandboxTenant, driver: str) -> None:
    sandbox.fault("GET", "/api/*", times=None, status=404)
    with pytest.raises(NotFoundError, match=f"GET {SCHEDULING_TASKS}"):
        called(driver, sandbox, tasks.start("t"))
    assert starts(sandbox) == []


def test_a_task_that_is_not_there_says_nothing_about_the_path(sandbox: SandboxTenant, driver: str) -> None:
    task = sandbox.add_task()
    for _ in range(2):
        with pytest.raises(NotFoundError, match=f"{SCHEDULING_TASKS}/gone"):
            called(driver, sandbox, tasks.get("gone"))
    called(driver, sandbox, tasks.start(task))
    assert looks(sandbox) == [SCHEDULING_TASKS]
    assert starts(sandbox) == [f"{SCHEDULING_TASKS}/{task}/actions/start"]


@pytest.mark.parametrize("answer", [{"status": 404}, SAYS_NOTHING["404 as a page"], SAYS_NOTHING["reset"]], ids=str)
def test_a_start_is_never_sent_on_the_other_path(sandbox: SandboxTenant, driver: str, answer: dict[str, Any]) -> None:
    task = sandbox.add_task()
    sandbox.fault("POST", "*/actions/start", times=None, **answer)
    with pytest.raises(QlikCloudError):
        called(driver, sandbox, tasks.start(task))
    assert set(starts(sandbox)) == {f"{SCHEDULING_TASKS}/{task}/actions/start"}


# One look at a time


def test_calls_that_come_together_share_one_look(sandbox: SandboxTenant) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", SCHEDULING_TASKS, delay=0.2)

    async def many() -> None:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key), retry_policy=QUICK) as client:
            await asyncio.gather(*(client.call(tasks.get(task)) for _ in range(20)))

    with ThreadPoolExecutor(6) as threads:
        loops = [threads.submit(asyncio.run, many()) for _ in range(2)]
        plain = [threads.submit(called, "sync", sandbox, tasks.get(task)) for _ in range(4)]
        for each in [*loops, *plain]:
            each.result(60)
    assert looks(sandbox) == [SCHEDULING_TASKS]


def test_a_look_that_fails_fails_for_all_who_wait_for_it(sandbox: SandboxTenant) -> None:
    sandbox.fault("GET", "/api/*", times=None, status=503, delay=0.2)

    async def many() -> list[Any]:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
            flows = (client.call(tasks.get(f"t{number}"), ONE_ATTEMPT) for number in range(50))
            return await asyncio.gather(*flows, return_exceptions=True)

    errors = asyncio.run(many())
    assert {type(error).__name__ for error in errors} == {"ServerError"}
    assert len({id(error) for error in errors}) == 50, "each has its own error, which collects notes on its way"
    assert len(looks(sandbox)) == 1


def test_refused_credentials_of_one_are_not_those_of_the_others(sandbox: SandboxTenant) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", SCHEDULING_TASKS, delay=0.2)

    async def both() -> tuple[Any, Any]:
        where = Tenant.at(sandbox.url)
        async with AsyncClient(where, ApiKey("wrong")) as wrong, AsyncClient(where, ApiKey(sandbox.api_key)) as right:
            first = asyncio.ensure_future(wrong.call(tasks.get(task), ONE_ATTEMPT))
            await asyncio.sleep(0.05)
            second = asyncio.ensure_future(right.call(tasks.get(task), ONE_ATTEMPT))
            refused, answered = await asyncio.gather(first, second, return_exceptions=True)
            return refused, answered

    refused, answered = asyncio.run(both())
    assert isinstance(refused, UnauthorizedError)
    assert answered.id == task


def test_who_looks_may_go_away_and_the_others_look_on(sandbox: SandboxTenant) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", SCHEDULING_TASKS, delay=0.3)

    async def play() -> Any:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
            first = asyncio.ensure_future(client.call(tasks.get(task)))
            await asyncio.sleep(0.05)
            others = [asyncio.ensure_future(client.call(tasks.get(task))) for _ in range(3)]
            await asyncio.sleep(0.05)
            others.pop().cancel()
            first.cancel()
            return await asyncio.gather(*others)

    assert [seen.id for seen in asyncio.run(play())] == [task, task]
    assert len(looks(sandbox)) == 2


def test_an_event_loop_goes_on_while_a_thread_looks(sandbox: SandboxTenant) -> None:
    task = sandbox.add_task()
    sandbox.fault("GET", SCHEDULING_TASKS, delay=0.5)
    looking = threading.Thread(target=called, args=("sync", sandbox, tasks.get(task)))
    looking.start()

    async def play() -> int:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
            waiting, beats = asyncio.ensure_future(client.call(tasks.get(task))), 0
            while not waiting.done():
                await asyncio.sleep(0.01)
                beats += 1
            assert (await waiting).id == task
            return beats

    assert asyncio.run(play()) > 10
    looking.join(10)
    assert len(looks(sandbox)) == 1


def test_who_was_interrupted_while_it_looked_holds_up_nobody_for_long(sandbox: SandboxTenant) -> None:
    """A signal handler has its own client in a thread of its own, and the thread that looked waits for that."""
    task = sandbox.add_task()
    tenant = Tenant.at(sandbox.url, request_timeout=0.4)
    flow = paths.sent(tasks.get(task), tenant, QUICK)
    assert next(flow).path == SCHEDULING_TASKS  # type: ignore[union-attr]
    assert called("sync", sandbox, tasks.get(task), request_timeout=0.4).id == task
    flow.close()


# Rate limits


@pytest.mark.parametrize(
    ("path", "reading", "starting"), [(V1_TASKS, Tier.TASKS, Tier.TASKS), (SCHEDULING_TASKS, Tier.ONE, Tier.TWO)]
)
def test_a_call_counts_in_the_tier_of_the_path_that_it_takes(path: str, reading: Tier, starting: Tier) -> None:
    tenant = Tenant.at("acme.eu.qlikcloud.com")
    paths.remember(tenant.url, path)
    for call, tier in ((tasks.runs("t"), reading), (tasks.start("t"), starting), (tasks.delete("t"), starting)):
        step = next(paths.sent(call, tenant, QUICK))
        assert (step.tier, step.path) == (tier, call.path.replace("{tasks}", path))  # type: ignore[union-attr]
    assert paths.tier_of(tenant, Tier.TASKS) is reading
    assert paths.tier_of(tenant, Tier.RELOADS) is Tier.RELOADS


@pytest.mark.parametrize("only", ["v1", "scheduling"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "to be found"])
def test_a_batch_of_polls_uses_tokens_of_the_tier_of_the_path_and_loses_none(
    sandbox: SandboxTenant, monkeypatch: pytest.MonkeyPatch, only: str, known: bool
) -> None:
    task = sandbox.add_task()
    run = sandbox.add_run(task)
    sandbox.switch(tasks_paths=only)
    path, tier = (V1_TASKS, Tier.TASKS) if only == "v1" else (SCHEDULING_TASKS, Tier.ONE)
    balance = dict.fromkeys(map(str, Tier), 0)
    take_token, refund = RateLimiter.take_token, RateLimiter.refund

    def counted_take(limiter: RateLimiter) -> None:
        balance[limiter.name] += 1
        take_token(limiter)

    def counted_refund(limiter: RateLimiter) -> None:
        balance[limiter.name] -= 1
        refund(limiter)

    monkeypatch.setattr(RateLimiter, "take_token", counted_take)
    monkeypatch.setattr(RateLimiter, "refund", counted_refund)

    async def ask() -> Any:
        async with AsyncClient(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
            if known:
                paths.remember(sandbox.url, path)
            selector = RunSelector(resource_id=task, run_id=run)
            poll = Poll(source=poll_source(ADAPTERS["task"]), key=selector, batch_key=task)
            return await asyncio.gather(*(client.run_flow(asked(poll)) for _ in range(5)))

    def asked(poll: Poll[Any, Any]) -> Any:
        return (yield poll)

    seen = asyncio.run(ask())
    assert [each.id for each in seen] == [run] * 5
    sent = sandbox.request_log(method="GET")
    counted = {Tier.ONE: "/api/scheduling/*", Tier.TASKS: "/api/v1/tasks*", Tier.TWO: "", Tier.RELOADS: ""}
    assert balance == {str(each): len(sandbox.request_log(method="GET", path=where)) for each, where in counted.items()}
    assert sent[-1].path == f"{path}/{task}/runs"
    assert balance[str(tier)] >= 1


# What only the scheduling path has


def test_what_v1_does_not_have_is_refused_before_anything_is_sent(sandbox: SandboxTenant, driver: str) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"^tasks_api: must be .*get_task_graph.*not '/api/v1/tasks'"
    ) as raised:
        called(driver, sandbox, ONLY_ON_SCHEDULING, tasks_path=V1_TASKS)
    assert raised.value.argument == "tasks_api"
    assert sandbox.request_log() == []


def test_what_the_tenant_does_not_have_is_refused_as_soon_as_that_is_known(sandbox: SandboxTenant, driver: str) -> None:
    sandbox.switch(tasks_paths="v1")
    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match=r"this tenant has no Scheduling API.*get_task_graph"):
            called(driver, sandbox, ONLY_ON_SCHEDULING)
    assert len(sandbox.request_log()) == 2, "nothing but the look was sent"


def test_what_only_the_scheduling_path_has_goes_there(sandbox: SandboxTenant, driver: str) -> None:
    called(driver, sandbox, ONLY_ON_SCHEDULING)
    called(driver, sandbox, ONLY_ON_SCHEDULING, tasks_path=SCHEDULING_TASKS)
    assert {entry.path for entry in sandbox.request_log()} == {SCHEDULING_TASKS}


# The start of an automation with inputs


@pytest.fixture
def triggered(sandbox: SandboxTenant) -> Call[None]:
    automation = sandbox.add_automation("Mail", run_mode="triggered")
    with Client(Tenant.at(sandbox.url), ApiKey(sandbox.api_key)) as client:
        token = client.call(automations.get(automation)).execution_token
    assert token is not None
    sandbox.clear_request_log()
    return automations.execute(automation, token.get_secret_value(), {"to": "all"})


def executed(sandbox: SandboxTenant) -> list[str]:
    return [entry.path.split("/")[2] for entry in sandbox.request_log(method="POST", path="*/actions/execute")]


def automation_runs(sandbox: SandboxTenant, call: Call[None]) -> int:
    return len(sandbox.runs(call.path.split("/")[1]))


@pytest.mark.parametrize("where", ["both", "v1"])
def test_v1_is_where_automations_take_inputs_as_long_as_it_is_there(
    sandbox: SandboxTenant, driver: str, triggered: Call[None], where: str
) -> None:
    sandbox.switch(execute_paths=where)
    called(driver, sandbox, triggered)
    assert executed(sandbox) == ["v1"]
    assert automation_runs(sandbox, triggered) == 1


@pytest.mark.parametrize("status", [404, 405, 410])
def test_when_qlik_has_removed_v1_the_successor_is_used_from_then_on(
    sandbox: SandboxTenant, driver: str, triggered: Call[None], status: int
) -> None:
    sandbox.switch(execute_paths="workflows")
    if status != 404:
        sandbox.fault("POST", "/api/v1/automations/*", status=status, times=None)
    called(driver, sandbox, triggered)
    called(driver, sandbox, triggered)
    assert executed(sandbox) == ["v1", "workflows", "workflows"]
    assert automation_runs(sandbox, triggered) == 2


MAY_HAVE_HAPPENED: dict[str, dict[str, Any]] = {
    "404 as a page": {"status": 404, "body": PAGE, "content_type": "text/html", "carried_out": True},
    "405 as text": {"status": 405, "body": "no", "carried_out": True},
    "501": {"status": 501, "carried_out": True},
    "reset": {"reset": "after"},
    "400": {"status": 400},
    "403": {"status": 403},
}


@pytest.mark.parametrize("answer", MAY_HAVE_HAPPENED.values(), ids=MAY_HAVE_HAPPENED)
def test_nothing_else_is_followed_by_a_second_start(
    sandbox: SandboxTenant, driver: str, triggered: Call[None], answer: dict[str, Any]
) -> None:
    sandbox.switch(execute_paths="both")
    sandbox.fault("POST", "/api/v1/automations/*", **answer)
    with pytest.raises(QlikCloudError):
        called(driver, sandbox, triggered)
    assert executed(sandbox) == ["v1"]
    assert automation_runs(sandbox, triggered) <= 1


def test_an_automation_that_is_gone_is_told_of_by_the_documented_path(
    sandbox: SandboxTenant, driver: str, triggered: Call[None]
) -> None:
    with pytest.raises(NotFoundError, match="/api/v1/automations/gone/"):
        called(driver, sandbox, replace(triggered, path="{execute}/gone/actions/execute"))


def test_what_the_successor_answers_counts_as_for_any_start(
    sandbox: SandboxTenant, driver: str, triggered: Call[None]
) -> None:
    sandbox.switch(execute_paths="workflows")
    sandbox.fault("POST", "/api/workflows/*", reset="after")
    with pytest.raises(QlikCloudError) as raised:
        called(driver, sandbox, triggered)
    assert raised.value.outcome_unknown
    assert automation_runs(sandbox, triggered) == 1
    sandbox.fault("POST", "/api/workflows/*", status=403)
    with pytest.raises(ForbiddenError):
        called(driver, sandbox, triggered)
    assert automation_runs(sandbox, triggered) == 1


# What is deprecated


HAVE_A_SUCCESSOR = {
    "/api/v1/tasks",
    "/api/v1/reload-tasks",
    "/api/v1/automations",
    "/api/v1/automation-connections",
    "/api/v1/automation-connectors",
    "/api/v1/webhooks",
    "/api/v1/data-qualities",
    "/api/v1/ml",
}
"""By the changelog of Qlik up to November 2026."""


def test_no_family_of_operations_is_on_a_deprecated_path_but_the_one_that_is_deprecated_itself() -> None:
    modules = [import_module(f"{api.__name__}.{each.name}") for each in pkgutil.iter_modules(api.__path__)]
    roots = {one.root: module for module in modules for one in vars(module).values() if isinstance(one, Family)}
    deprecated = {root: module for root, module in roots.items() if root in HAVE_A_SUCCESSOR}
    # Tasks v1 may have a family of its own, for what only it can do.
    assert {root for root in deprecated if root != V1_TASKS} == {"/api/v1/reload-tasks"}


# Two processes


def test_a_run_that_one_process_started_on_v1_is_found_by_another_on_the_scheduling_path(
    sandbox: SandboxTenant, driver: str
) -> None:
    task = sandbox.add_task()
    sandbox.switch(tasks_paths="v1")
    called(driver, sandbox, tasks.start(task, source="airflow-0123456789abcdef"))
    sandbox.switch(tasks_paths="scheduling")
    paths.forget()
    (run,) = called(driver, sandbox, tasks.runs(task)).data
    assert (run.id, run.triggered_by) == (sandbox.runs(task)[0]["id"], "airflow-0123456789abcdef")


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (Answer(200, {}), True),
        (Answer(200, {"data": []}), True),
        (Answer(200, {"links": {}}), True),
        (refused_by_qlik(403), True),
        (Answer(200, []), False),
        (Answer(200, b""), False),
        (Answer(200, b"<html>", {"content-type": "text/html"}), False),
    ],
)
def test_what_counts_as_a_list(listener: Listener, answer: Answer, there: bool) -> None:
    paths.forget()

    def reply(seen: Seen) -> Answer:
        return answer if seen.target.endswith("?limit=1") else Answer(200, {"id": "t"})

    listener.answers(reply)
    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=ONE_ATTEMPT) as client:
        if there:
            assert client.call(tasks.get("t")).id == "t"
        else:
            with pytest.raises(QlikCloudError):
                client.call(tasks.get("t"))


def test_a_start_says_that_it_was_not_sent_and_what_can_be_set(sandbox: SandboxTenant) -> None:
    sandbox.fault("GET", "/api/*", times=None, reset="before")
    with pytest.raises(ConnectError, match=r"^The request was not sent, .*set tasks_api of the connection.*GET /api"):
        called("sync", sandbox, tasks.start("t"))
