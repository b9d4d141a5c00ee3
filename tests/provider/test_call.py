from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_qlik import operations
from airflow_provider_qlik.operators.call import QlikCallOperator
from airflow_provider_qlik.runs.existing import _SEARCHES
from airflow_provider_qlik.sandbox import Tenant
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import Task

NEW_TASK = {"name": "Morning", "specVersion": "1.0"}


def call(operation: str, arguments: Any = None, **others: Any) -> QlikCallOperator:
    return QlikCallOperator(task_id="call", operation=operation, arguments=arguments, **others)


def test_an_operation_is_called_by_name_and_its_answer_is_plain_json(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("Prepare", executionToken="a-secret-of-the-automation")
    answer = call("automations.get", {"automation_id": automation}).execute(task.context)
    assert (answer["id"], answer["name"], answer["runMode"]) == (automation, "Prepare", "manual")
    assert "a-secret-of-the-automation" not in json.dumps(answer)
    assert call("automations.disable", {"automation_id": automation}).execute(task.context) is None
    assert call("automations.get", {"automation_id": automation}).execute(task.context)["state"] == "disabled"


def test_secrets_in_what_nobody_has_described_are_masked_and_every_text_can_be_stored(
    tenant: Tenant, task: Task
) -> None:
    hook = {"apiKey": "hidden-1", "auth": [{"client_secret": "hidden-2", "user": "a\x00b"}], "tokensUsed": 5}
    automation = tenant.add_automation("Pre\x00pare", webhook=hook, access_token="hidden-3")
    answers = call("automations.get", {"automation_id": automation}), call("automations.list")
    for answer in (answers[0].execute(task.context), answers[1].execute(task.context)[0]):
        assert answer["webhook"] == {
            "apiKey": "***",
            "auth": [{"client_secret": "***", "user": "a\\x00b"}],
            "tokensUsed": 5,
        }
        assert answer["name"] == "Pre\\x00pare"
        assert "hidden" not in json.dumps(answer)


def test_a_list_is_fetched_whole_up_to_a_limit(tenant: Tenant, task: Task, logged: Callable[[], str]) -> None:
    for number in range(45):
        tenant.add_task(f"Task {number}")
    assert len(call("tasks.list").execute(task.context)) == 45
    tenant.clear_request_log()
    assert len(call("tasks.list", max_items=30).execute(task.context)) == 30
    assert len(tenant.request_log()) == 2, "where the tenant has its tasks is known by now"
    assert "more items than max_items=30" in logged()


def test_a_dag_can_create_the_same_thing_twice(tenant: Tenant, task: Task) -> None:
    first = call("tasks.create", {"task": NEW_TASK}, if_exists="return").execute(task.context)
    again = call("tasks.create", {"task": NEW_TASK}, if_exists="return").execute(task.context)
    assert again["id"] == first["id"]
    with pytest.raises(AirflowSkipException, match=f"exists already, with the id {first['id']}"):
        call("tasks.create", {"task": NEW_TASK}, if_exists="skip").execute(task.context)
    with pytest.raises(AirflowFailException, match=f"exists already, with the id {first['id']}"):
        call("tasks.create", {"task": NEW_TASK}, if_exists="fail").execute(task.context)
    assert len(tenant.request_log(operation="create_task")) == 1


@pytest.mark.parametrize("family", ["automations", "reload_tasks"])
def test_each_family_knows_what_is_there_already(tenant: Tenant, task: Task, family: str) -> None:
    app = tenant.add_app("Sales")
    tenant.switch(reload_tasks="supported")
    arguments = {
        "automations": {"automation": {"name": 'Say "hello"'}},
        "reload_tasks": {"reload_task": {"appId": app, "timeZone": "Europe/Rome", "recurrence": ["RRULE:FREQ=DAILY"]}},
    }[family]
    first = call(f"{family}.create", arguments, if_exists="return").execute(task.context)
    assert call(f"{family}.create", arguments, if_exists="return").execute(task.context)["id"] == first["id"]


DAILY = {"recurrence": "RRULE:FREQ=DAILY", "timezone": "Europe/Rome"}


@pytest.mark.parametrize(
    ("occasion", "reload", "another"),
    [
        ("on_schedule", DAILY, DAILY | {"recurrence": "RRULE:FREQ=WEEKLY"}),
        ("on_schedule", DAILY | {"name": "Daily"}, DAILY | {"name": "Again"}),
        ("on_schedule", DAILY | {"recurrence": ["RRULE:FREQ=DAILY"]}, DAILY | {"name": "Again"}),
        ("after_task", {"onTaskId": "first"}, {"onTaskId": "second"}),
        ("on_dataset_update", {}, None),
    ],
    ids=str,
)
def test_a_reload_task_that_is_there_already_is_not_created_again(
    tenant: Tenant, task: Task, occasion: str, reload: dict[str, Any], another: dict[str, Any] | None
) -> None:
    app = tenant.add_app("Sales", datasets=["sales.qvd"])
    for id in ("first", "second"):
        tenant.add_task(id, id=id)
    operation = f"tasks.create_reload_{occasion}"

    def created(body: dict[str, Any]) -> str:
        arguments = {"app_id": app, "reload": body}
        return str(call(operation, arguments, if_exists="return").execute(task.context)["id"])

    first = created(reload)
    assert created(reload) == first
    if another is not None:
        assert created(another) != first
    made = [entry for entry in tenant.request_log(method="POST") if "/actions/reload/" in entry.path]
    assert len(made) == (1 if another is None else 2)


def test_whatever_can_be_there_already_can_be_looked_for() -> None:
    assert set(_SEARCHES) == set(operations.CREATES)
    made = {name for name in operations.OPERATIONS if name.partition(".")[2].startswith("create")}
    assert made - set(operations.CREATES) == {"automations.create_run"}


def test_what_is_missing_fails_or_not_as_the_user_says(tenant: Tenant, task: Task) -> None:
    arguments = {"task_id": "gone"}
    with pytest.raises(AirflowFailException, match="404"):
        call("tasks.delete", arguments).execute(task.context)
    with pytest.raises(AirflowSkipException, match="404"):
        call("tasks.delete", arguments, if_missing="skip").execute(task.context)
    assert call("tasks.delete", arguments, if_missing="return").execute(task.context) is None


def test_numbers_and_booleans_may_come_from_templates(tenant: Tenant, task: Task) -> None:
    operator = call("automations.list", {"limit": "{{ params.limit }}", "list_all": "{{ params.all }}"})
    operator.arguments = {"limit": "5", "list_all": "True"}
    assert operator.execute(task.context) == []
    (entry,) = tenant.request_log()
    assert dict(entry.query) == {"limit": "5", "listAll": "true"}


@pytest.mark.parametrize(
    ("operation", "arguments", "others", "told"),
    [
        ("reload_task.create", {}, {}, "reload_tasks.create"),
        ("tasks.strat", {}, {}, "tasks.start"),
        (None, {}, {}, "operation"),
        ("tasks.get", {}, {}, "task_id"),
        ("tasks.get", {"id": "1"}, {}, "task_id"),
        ("tasks.get", {"task_id": 5}, {}, "task_id"),
        ("tasks.get", "1", {}, "arguments"),
        ("tasks.list", {"limit": "ten"}, {}, "limit"),
        (
            "sharing_tasks.execution_file",
            {"sharing_task_id": "1", "execution_id": "1", "file_alias": "1"},
            {},
            "download_to",
        ),
        ("tasks.get", {"task_id": "1"}, {"if_exists": "skip"}, "if_exists"),
        ("tasks.get", {"task_id": "1"}, {"if_missing": "skip"}, "if_missing"),
        ("tasks.delete", {"task_id": "1"}, {"if_missing": "cry"}, "if_missing"),
        ("tasks.list", {}, {"max_items": 0}, "max_items"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_when_the_dag_is_parsed(
    operation: Any, arguments: Any, others: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        call(operation, arguments, **others)


def test_a_bad_body_is_refused_before_anything_is_sent(tenant: Tenant, task: Task) -> None:
    with pytest.raises(AirflowFailException, match="specVersion must be given"):
        call("tasks.create", {"task": {"name": "Morning"}}).execute(task.context)
    assert tenant.request_log() == []
