"""The calls of every operation against a sandbox tenant, and the check of responses against the contract."""

from __future__ import annotations

from contextlib import nullcontext
from io import BytesIO
from typing import Any

import httpx
import pytest

from airflow_provider_qlik.cloud import Call, Client, Tenant
from airflow_provider_qlik.cloud.api import automations, reload_tasks, sharing_tasks, tasks
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.sandbox import File, Script, SharingScript
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.contract.openapi import Operation, contract, example, scheduling

OPERATIONS = [*contract().operations.values(), *scheduling().operations.values()]
V1, SCHEDULING = "/api/v1/tasks", "/api/scheduling/tasks"
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


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
    picture = SharingScript(files=(File("small-image", "image"),))
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


def send(
    raw: httpx.Client, sandbox: SandboxTenant, call: Call[Any], operation: Operation | None = None, **more: Any
) -> httpx.Response:
    """Send a call to the path of its operation's contract, and return the response. Without an operation: to v1."""
    root = SCHEDULING if operation is not None and operation.contract is scheduling() else V1
    address = Tenant.at(sandbox.url, tasks_path=root).address_of(call)
    body = {} if call.body is None else {"json": call.body}
    return raw.request(call.method, address, **{"headers": {"accept": call.accept}, **body, **more})


def problems_with(operation: Operation, response: httpx.Response) -> list[str]:
    """Return the differences between a response and the contract."""
    declared = operation.responses.get(response.status_code, operation.otherwise)
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


def client_for(operation: Operation, client: Client, scheduling_client: Client) -> Client:
    return scheduling_client if operation.contract is scheduling() else client


def is_read(client: Client, call: Call[Any]) -> bool:
    """Return True if the response has the type of the call."""
    if call.response_type is not Download:
        return isinstance(client.call(call), call.response_type)
    received = BytesIO()
    client.download(call, lambda: nullcontext(received))
    return bool(received.getvalue())
