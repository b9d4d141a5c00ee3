"""Each switch of the sandbox stays within the contract, or within the forms that the client reads."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.cloud import Client
from airflow_provider_qlik.sandbox import Switches
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.contract.openapi import scheduling
from tests.contract.sandbox_calls import (
    OPERATIONS,
    calls,
    client_for,
    furnish,
    is_read,
    problems_with,
    send,
)

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
    *[("start_scheduling_task", {"start_response": form}) for form in ("observed", "documented")],
]


@pytest.mark.parametrize(("operation", "switches"), WITHIN_THE_CONTRACT, ids=str)
def test_a_response_stays_within_the_contract_with_each_switch(
    sandbox: SandboxTenant, raw: httpx.Client, operation: str, switches: dict[str, Any]
) -> None:
    sandbox.switch(**switches)
    furnish(sandbox)

    described = next(one for one in OPERATIONS if one.id == operation)
    response = send(raw, sandbox, calls()[operation], described)

    assert response.status_code == described.success
    assert problems_with(described, response) == []


def test_a_patch_response_without_a_body_is_within_the_contract(sandbox: SandboxTenant, raw: httpx.Client) -> None:
    sandbox.switch(patch_response="no_content")
    furnish(sandbox)
    described = scheduling().operations["patch_scheduling_task"]

    response = send(raw, sandbox, calls()["patch_scheduling_task"], described)

    assert response.status_code == 204
    assert problems_with(described, response) == []


@pytest.mark.parametrize("form", ["bare", "result", "code"])
def test_the_refusal_of_a_second_dataset_task_is_within_the_contract(
    sandbox: SandboxTenant, raw: httpx.Client, form: str
) -> None:
    sandbox.switch(scheduling_error_form=form)
    furnish(sandbox)
    described = scheduling().operations["create_dataset_updated_reload_task"]
    send(raw, sandbox, calls()[described.id], described)

    response = send(raw, sandbox, calls()[described.id], described)

    assert response.status_code == 409
    assert "CHO-031" in response.text
    assert problems_with(described, response) == []


EVERY_FORM = {
    "log_form": ("accept", "json", "text", "text_json"),
    "start_response": ("observed", "documented", "empty"),
    "error_form": ("objects", "strings", "object"),
    "duration_form": ("integer", "string"),
    "next_link": ("absolute", "relative", "other_host", "loop"),
    "last_link": ("absent", "null", "empty", "null_href"),
    "empty_page": (True, False),
    "patch_response": ("task", "no_content"),
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
def test_the_client_reads_every_form_of_a_response(
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
