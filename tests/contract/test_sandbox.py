"""What the sandbox answers, against the same contracts: code that works with the one should work with the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.cloud import ApiKey, Call, Client, Tenant
from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.sandbox import File, Script, Sharing, Switches
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.contract.cases import KNOWN_AS
from tests.contract.openapi import Operation, contract, example, scheduling

OPERATIONS = [*contract().operations.values(), *scheduling().operations.values()]
V1, SCHEDULING = "/api/v1/tasks", "/api/scheduling/tasks"
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


@pytest.fixture
def raw(sandbox: SandboxTenant) -> Iterator[httpx.Client]:
    """A client that hides nothing."""
    headers = {"authorization": f"Bearer {sandbox.api_key}"}
    with httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False) as raw:
        yield raw


@pytest.fixture(scope="module")
def client(_one_sandbox: SandboxTenant) -> Iterator[Client]:
    with Client(Tenant.at(_one_sandbox.url, tasks_path=V1), ApiKey(_one_sandbox.api_key)) as client:
        yield client


@pytest.fixture(scope="module")
def scheduling_client(_one_sandbox: SandboxTenant) -> Iterator[Client]:
    with Client(Tenant.at(_one_sandbox.url, tasks_path=SCHEDULING), ApiKey(_one_sandbox.api_key)) as client:
        yield client


AFTER = {
    "name": "after",
    "type": "com.qlik.v1.task.run.finished",
    "source": "system-events.task",
    "correlation": [{"contextAttributeName": "id", "contextAttributeValue": "before"}],
}
"""What a task waits for that runs after another one."""


def furnish(sandbox: SandboxTenant) -> None:
    """A task, an automation and a report with a run that failed, one that is active and one that went well.

    The report has an execution with an image, too, and the app of the task a schedule, a dataset and a task before it.
    """
    sandbox.add_app("An app", id="app", datasets=["dataset"])
    sandbox.add_task("Before", id="before", resource_id="app")
    sandbox.add_task(
        "A task", id="task", resource_id="app", metadata={"spaceId": "space"}, description="A task.", events=[AFTER]
    )
    sandbox.add_automation("An automation", id="automation", spaceId="space", schedules=[{"interval": 60}])
    sandbox.add_sharing_task("A report", id="report", app_id="app")
    sandbox.add_reload_task("app", id="reload-task")
    sandbox.switch(reload_tasks="supported")
    picture = Sharing(files=(File("small-image", "image"),))
    sandbox.add_execution("report", started_ago=7200.0, script=picture, id="report-picture")
    for resource_id in ("task", "automation", "report"):
        for count, script in enumerate([Script(end="FAILED", error="no such table"), Script(end=None), Script()]):
            ago = 10.0 if script.end is None else 3600.0 + count
            sandbox.add_run(resource_id, started_ago=ago, script=script, id=f"{resource_id}-run-{count}")


def calls(
    task: str = "task", automation: str = "automation", reload_task: str = "reload-task", report: str = "report"
) -> dict[str, Call[Any]]:
    """A call of each operation, on things that are there."""
    run, automation_run, picture = "task-run-0", "automation-run-0", "report-picture"
    written = example("create_task.request")
    settings = example("update_automation_settings.request")
    return {
        "list_tasks": tasks.list(limit=1, sort="+createdAt"),
        "create_task": tasks.create(written),
        "get_task": tasks.get(task),
        "update_task": tasks.update(task, written),
        "delete_task": tasks.delete(task),
        "start_task": tasks.start(task, source="somebody"),
        "list_task_runs": tasks.runs(task, limit=2, sort="+startedAt"),
        "get_task_run_log": tasks.run_log(task, run),
        "get_last_task_run": tasks.last_run(task),
        "list_resource_task_runs": tasks.resource_runs("app", limit=2),
        "list_reload_tasks": reload_tasks.list(app_id="app", partial=False, limit=1),
        "create_reload_task": reload_tasks.create({**example("create_reload_task.request"), "appId": "app"}),
        "get_reload_task": reload_tasks.get(reload_task),
        "update_reload_task": reload_tasks.update(
            reload_task, {**example("update_reload_task.request"), "appId": "app"}
        ),
        "delete_reload_task": reload_tasks.delete(reload_task),
        "list_automations": automations.list(filter='name eq "An automation"', sort="-name"),
        "create_automation": automations.create(example("create_automation.request")),
        "get_automation": automations.get(automation),
        "update_automation": automations.update(automation, example("update_automation.request")),
        "delete_automation": automations.delete(automation),
        "change_automation_owner": automations.change_owner(automation, "user-other"),
        "change_automation_space": automations.change_space(automation, "space"),
        "copy_automation": automations.copy(automation, "A copy"),
        "disable_automation": automations.disable(automation),
        "enable_automation": automations.enable(automation),
        "move_automation": automations.move(automation, "user-other"),
        "list_automation_runs": automations.runs(automation, limit=2, sort="-startTime"),
        "create_automation_run": automations.create_run(automation),
        "get_automation_run": automations.get_run(automation, automation_run),
        "export_automation_run": automations.export_run(automation, automation_run),
        "retry_automation_run": automations.retry_run(automation, automation_run),
        "stop_automation_run": automations.stop_run(automation, "automation-run-1"),
        "get_automation_run_debug": automations.run_debug(automation, automation_run),
        "get_automation_settings": automations.settings(),
        "update_automation_settings": automations.update_settings(settings),
        "list_automation_usage": automations.usage('name eq "runs"', breakdown_by="automation"),
        "list_sharing_tasks": sharing_tasks.list(limit=1, sort=["-name", "+datecreated"], role="owner"),
        "create_sharing_task": sharing_tasks.create(example("create_sharing_task.request")),
        "get_sharing_task": sharing_tasks.get(report, is_view_chart=True),
        "patch_sharing_task": sharing_tasks.patch(report, example("patch_sharing_task.request")),
        "delete_sharing_task": sharing_tasks.delete(report),
        "cancel_sharing_task": sharing_tasks.cancel(report),
        "list_sharing_task_executions": sharing_tasks.executions(report, limit=2, sort="-starttime"),
        "get_sharing_task_execution": sharing_tasks.execution(report, "latest", status="successful"),
        "get_sharing_task_execution_file": sharing_tasks.execution_file(report, picture, "small-image"),
        "execute_sharing_task": sharing_tasks.execute(report),
        "get_sharing_settings": sharing_tasks.settings(),
        "patch_sharing_settings": sharing_tasks.patch_settings(example("patch_sharing_settings.request")),
        "update_sharing_settings": sharing_tasks.update_settings(example("update_sharing_settings.request")),
        **scheduling_calls(task),
    }


def scheduling_calls(task: str) -> dict[str, Call[Any]]:
    """A call of each operation of the Scheduling API, on things that are there."""
    run = "task-run-0"
    filtered = 'name sw "a" and (enabled eq true or lastStatus eq "FAILED")'
    return {
        "list_scheduling_tasks": tasks.list(limit=1, sort="-lastEndedAt", filter=filtered),
        "create_scheduling_task": tasks.create(example("create_scheduling_task.request")),
        "get_scheduling_task": tasks.get(task),
        "update_scheduling_task": tasks.update(task, example("update_scheduling_task.request")),
        "patch_scheduling_task": tasks.patch(task, example("patch_scheduling_task.request")),
        "delete_scheduling_task": tasks.delete(task),
        "start_scheduling_task": tasks.start(task, source="somebody"),
        "list_scheduling_task_runs": tasks.runs(task, limit=2, sort="+startedAt"),
        "get_last_scheduling_task_run": tasks.last_run(task),
        "get_scheduling_task_run_log": tasks.run_log(task, run),
        "list_scheduling_resource_runs": tasks.resource_runs("app", limit=2),
        "get_task_ancestors": tasks.ancestors(task, with_task=True),
        "get_task_descendants": tasks.descendants("before" if task == "task" else task, level=1),
        "get_task_subgraph": tasks.subgraph(task, with_task=True),
        "list_task_parents": tasks.parents(task, limit=1, sort="+name"),
        "list_task_children": tasks.children("before" if task == "task" else task, filter="enabled eq true"),
        "create_time_schedule_reload_task": tasks.create_reload_on_schedule(
            "app", example("create_time_schedule_reload_task.request") | {"endDateTime": "2099-12-01T00:00:00"}
        ),
        "create_task_event_reload_task": tasks.create_reload_after_task(
            "app", example("create_task_event_reload_task.request") | {"onTaskId": "before"}
        ),
        "create_dataset_updated_reload_task": tasks.create_reload_on_dataset_update(
            "app", example("create_dataset_updated_reload_task.request")
        ),
    }


def test_every_operation_is_tried() -> None:
    assert list(calls()) == [operation.id for operation in OPERATIONS]


def ask(
    raw: httpx.Client, sandbox: SandboxTenant, call: Call[Any], operation: Operation | None = None, **more: Any
) -> httpx.Response:
    """The response to a call at the path of the contract that its operation is in, the older one if none is named."""
    root = SCHEDULING if operation is not None and operation.contract is scheduling() else V1
    address = Tenant.at(sandbox.url, tasks_path=root).address_of(call)
    body = {} if call.body is None else {"json": call.body}
    return raw.request(call.method, address, **{"headers": {"accept": call.accept}, **body, **more})


def problems_with(operation: Operation, response: httpx.Response) -> list[str]:
    """What the contract has against an answer."""
    declared = operation.answers.get(response.status_code, operation.otherwise)
    if declared is None:
        return [f"status {response.status_code} is not declared: {response.text}"]
    if not declared:
        return ["there is a body"] if response.content else []
    media = response.headers["content-type"].partition(";")[0]
    if media not in declared:
        return [f"{media} is not declared"]
    is_json = media == "application/json"
    problems = operation.contract.problems(declared[media], response.json() if is_json else response.text)
    if is_json and response.status_code < 400:
        members = operation.contract.members(declared[media], response.json())
        problems += [f"{place} is not declared" for place, schemas, declares in members if declares and not schemas]
    return problems


@each_operation
def test_an_answer_fits_the_contract_and_is_read(
    sandbox: SandboxTenant, raw: httpx.Client, client: Client, scheduling_client: Client, operation: Operation
) -> None:
    call = calls()[operation.id]
    sandbox.switch(start_reply="documented")
    furnish(sandbox)

    response = ask(raw, sandbox, call, operation)

    assert response.status_code == operation.success, response.text
    assert problems_with(operation, response) == []
    assert [entry.operation for entry in sandbox.request_log()] == [KNOWN_AS.get(operation.id, operation.id)]

    sandbox.reset()
    furnish(sandbox)
    assert is_read(client_for(operation, client, scheduling_client), call)


def client_for(operation: Operation, client: Client, scheduling_client: Client) -> Client:
    return scheduling_client if operation.contract is scheduling() else client


def is_read(client: Client, call: Call[Any]) -> bool:
    """Whether the answer is what the call says it is."""
    if call.answer is not Download:
        return isinstance(client.call(call), call.answer)
    received = BytesIO()
    client.download(call, lambda: nullcontext(received))
    return bool(received.getvalue())


@each_operation
def test_without_credentials_the_answer_is_a_documented_401(
    sandbox: SandboxTenant, raw: httpx.Client, operation: Operation
) -> None:
    for wrong in ("", "Bearer wrong"):
        headers = {"authorization": wrong} if wrong else {"authorization": "Basic x"}
        response = ask(raw, sandbox, calls()[operation.id], operation, headers=headers)

        assert response.status_code == 401
        assert problems_with(operation, response) == []


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if "{" in one.template and "/resources/" not in one.template],
    ids=lambda operation: operation.id,
)
def test_for_what_is_not_there_the_answer_is_a_documented_404(
    sandbox: SandboxTenant, raw: httpx.Client, operation: Operation
) -> None:
    response = ask(raw, sandbox, calls(*["no-such"] * 4)[operation.id], operation)

    assert response.status_code == 404
    assert problems_with(operation, response) == []


BAD_QUERIES = {
    "list_tasks": ["limit=0", "limit=101", "sort=color", "sort=createdAt"],
    "list_task_runs": ["limit=0", "limit=101", "sort=color", "sort=startedAt"],
    "list_resource_task_runs": ["limit=0", "limit=101", "sort=color"],
    "list_reload_tasks": ["limit=0", "limit=101", "partial=perhaps", "next=a&prev=b"],
    "list_automations": ["limit=0", "limit=201", "sort=color", "filter=name is what"],
    "list_automation_runs": ["limit=0", "limit=201", "sort=color", "filter=name is what"],
    "list_automation_usage": ["", "filter=color"],
    "list_sharing_tasks": ["limit=0", "limit=101", "sort=color", "role=guest", "type=color", "offset=-1"],
    "list_sharing_task_executions": ["limit=0", "limit=201", "sort=color", "status=cancelled", "next=a&prev=b"],
    "get_sharing_task_execution": ["status=asleep"],
    "list_scheduling_tasks": ["limit=0", "limit=101", "sort=color", "sort=name", "filter=name", "filter=color eq 1"],
    "list_task_parents": ["limit=0", "sort=%2Bcolor", "filter=name eq what"],
    "list_task_children": ["limit=101", "sort=createdAt", "filter=(enabled eq true"],
    "list_scheduling_task_runs": ["limit=0", "limit=101", "sort=color", "sort=startedAt"],
    "list_scheduling_resource_runs": ["limit=0", "limit=101", "sort=color"],
    "get_task_ancestors": ["level=0", "level=101", "withTask=perhaps"],
    "get_task_descendants": ["level=some"],
    "get_task_subgraph": ["level=-1"],
}


@pytest.mark.parametrize("operation", BAD_QUERIES)
def test_for_a_bad_query_the_answer_is_a_documented_400(
    sandbox: SandboxTenant, raw: httpx.Client, operation: str
) -> None:
    furnish(sandbox)
    for query in BAD_QUERIES[operation]:
        described = next(one for one in OPERATIONS if one.id == operation)
        root = SCHEDULING if described.contract is scheduling() else V1
        path = Tenant.at(sandbox.url, tasks_path=root).path_of(calls()[operation])
        response = raw.get(f"{path}?{query}")

        assert response.status_code == 400, query
        assert problems_with(described, response) == []


def spoiled(operation: Operation) -> Iterator[tuple[str, Any]]:
    """The documented body with one thing wrong."""
    assert operation.request is not None
    body = example(f"{operation.id}.request")
    if isinstance(body, list):
        first, *rest = body
        yield "one that is no list", first
        for name in ("op", "path"):
            yield f"without {name}", [{member: value for member, value in first.items() if member != name}, *rest]
            yield f"{name} is no word for that", [{**first, name: "test"}, *rest]
        return
    for name in operation.contract.word([operation.request], "required") or ():
        yield f"without {name}", {member: value for member, value in body.items() if member != name}
    for name, value in body.items():
        yield f"{name} of a wrong type", {**body, name: 17 if not isinstance(value, int) else "text"}


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.request is not None], ids=lambda operation: operation.id
)
def test_for_a_bad_body_the_answer_is_a_400(sandbox: SandboxTenant, raw: httpx.Client, operation: Operation) -> None:
    furnish(sandbox)
    for what, body in spoiled(operation):
        if "resourceId" in what:  # has no effect when it is sent, so nobody looks at it
            continue
        response = ask(raw, sandbox, calls()[operation.id], operation, json=body)

        assert response.status_code == 400, what
        assert problems_with(operation, response) == []


# The switches: where Qlik's documents are silent

WITHIN_THE_CONTRACT: list[tuple[str, dict[str, Any]]] = [
    *[("get_task_run_log", {"log_form": form}) for form in ("accept", "json", "text", "text_json")],
    *[("list_automation_runs", {"duration_form": form}) for form in ("integer", "string")],
    *[("list_automations", {"duration_form": form}) for form in ("integer", "string")],
    *[("list_task_runs", {"next_link": form}) for form in ("absolute", "relative", "other_host", "loop")],
    *[("list_automation_runs", {"next_link": form}) for form in ("absolute", "relative", "other_host", "loop")],
    *[("list_task_runs", {"task_times": form}) for form in ("nanoseconds", "milliseconds", "seconds")],
    *[("list_automation_runs", {"automation_times": form}) for form in ("microseconds", "seconds")],
    *[("list_automation_runs", {"automation_start_time": form}) for form in ("started", "created")],
    *[("list_task_runs", {"last_link": form}) for form in ("absent", "empty")],
    *[("list_automation_runs", {"last_link": form}) for form in ("absent", "empty")],
    ("list_task_runs", {"empty_page": True}),
    ("list_task_runs", {"waiting_task_run": "hidden"}),
    ("create_automation_run", {"api_context": "api_sync"}),
    *[("list_sharing_tasks", {"next_link": form}) for form in ("absolute", "relative", "other_host", "loop")],
    *[("list_sharing_task_executions", {"next_link": form}) for form in ("absolute", "relative", "other_host")],
    *[("list_sharing_task_executions", {"last_link": form}) for form in ("absent", "empty")],
    *[("list_sharing_task_executions", {"sharing_times": form}) for form in ("nanoseconds", "seconds")],
    *[("list_sharing_task_executions", {"execution_start_time": form}) for form in ("created", "started")],
    ("list_sharing_task_executions", {"workflow_id": "absent"}),
    ("list_reload_tasks", {"next_link": "relative"}),
    ("get_sharing_task_execution_file", {"file_length": "absent"}),
    *[("list_scheduling_tasks", {"next_link": form}) for form in ("absolute", "relative", "other_host", "loop")],
    *[("list_scheduling_tasks", {"last_link": form}) for form in ("absent", "empty", "null_href")],
    *[("list_scheduling_tasks", {"last_run_lag": lag}) for lag in (60.0, 3601.0, 1e6)],
    ("list_scheduling_tasks", {"waiting_task_run": "hidden"}),
    *[("get_task_subgraph", {"edges": form}) for form in ("to_root", "downstream")],
    *[("start_scheduling_task", {"start_reply": form}) for form in ("observed", "documented")],
]


@pytest.mark.parametrize(("operation", "switches"), WITHIN_THE_CONTRACT, ids=str)
def test_a_switch_within_the_contract_leaves_the_answer_there(
    sandbox: SandboxTenant, raw: httpx.Client, operation: str, switches: dict[str, Any]
) -> None:
    sandbox.switch(**switches)
    furnish(sandbox)

    described = next(one for one in OPERATIONS if one.id == operation)
    response = ask(raw, sandbox, calls()[operation], described)

    assert response.status_code == described.success
    assert problems_with(described, response) == []


def test_a_patch_that_is_answered_with_nothing_is_within_the_contract(
    sandbox: SandboxTenant, raw: httpx.Client
) -> None:
    sandbox.switch(patch_reply="no_content")
    furnish(sandbox)
    described = scheduling().operations["patch_scheduling_task"]

    response = ask(raw, sandbox, calls()["patch_scheduling_task"], described)

    assert response.status_code == 204
    assert problems_with(described, response) == []


@pytest.mark.parametrize("form", ["bare", "result", "code"])
def test_the_refusal_of_a_second_dataset_task_is_within_the_contract(
    sandbox: SandboxTenant, raw: httpx.Client, form: str
) -> None:
    sandbox.switch(scheduling_error_form=form)
    furnish(sandbox)
    described = scheduling().operations["create_dataset_updated_reload_task"]
    ask(raw, sandbox, calls()[described.id], described)

    response = ask(raw, sandbox, calls()[described.id], described)

    assert response.status_code == 409
    assert "CHO-031" in response.text
    assert problems_with(described, response) == []


EVERY_FORM = {
    "log_form": ("accept", "json", "text", "text_json"),
    "start_reply": ("observed", "documented", "empty"),
    "error_form": ("objects", "strings", "object"),
    "duration_form": ("integer", "string"),
    "next_link": ("absolute", "relative", "other_host", "loop"),
    "last_link": ("absent", "null", "empty", "null_href"),
    "empty_page": (True, False),
    "patch_reply": ("task", "no_content"),
    "edges": ("to_root", "downstream"),
    "last_run_lag": (0.0, 60.0, 1e6),
    "task_times": ("nanoseconds", "milliseconds", "seconds"),
    "automation_times": ("microseconds", "seconds"),
    "cancelled_task_status": ("ABORTED",),
    "api_context": ("a new word",),
    "workflow_id": ("present", "absent"),
    "sharing_times": ("nanoseconds", "milliseconds", "seconds"),
    "execution_start_time": ("created", "started"),
    "cancelled_sharing_task": ("a new word",),
    "file_type": ("specific", "octet-stream", "absent"),
    "file_length": ("present", "absent"),
}


@pytest.mark.parametrize(
    ("switch", "position"), [(switch, form) for switch, forms in EVERY_FORM.items() for form in forms]
)
def test_the_client_reads_every_form_of_an_answer(
    sandbox: SandboxTenant, client: Client, scheduling_client: Client, switch: str, position: Any
) -> None:
    assert hasattr(Switches(), switch)
    sandbox.switch(**{switch: position})
    furnish(sandbox)

    started = ("start_task", "start_scheduling_task", "patch_scheduling_task", "create_automation_run")
    for name, call in calls().items():
        if call.method == "GET" or name in started:
            described = next(one for one in OPERATIONS if one.id == name)
            assert is_read(client_for(described, client, scheduling_client), call), name
