"""Any operation by name: its row in the table, and the arguments that are refused before a request is sent."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from airflow_provider_qlik import operations
from airflow_provider_qlik.cloud import api
from airflow_provider_qlik.cloud.api import reloads, sharing_tasks, tasks
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.models.tasks import Task
from airflow_provider_qlik.cloud.operations import FUNCTIONS, make
from airflow_provider_qlik.cloud.transport.download import Download
from airflow_provider_qlik.operation_table import TABLE
from airflow_provider_qlik.operations import OPERATIONS, check
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.contract.cases import ALL_CASES, arguments_of

JSON_TYPES: dict[Any, str] = {str: "string", int: "integer", bool: "boolean"}
RESULTS: dict[Any, str] = {NoneType: "nothing", str: "text", Download: "file"}
BY_FUNCTION = {function: name for name, function in FUNCTIONS.items()}


class FromAnotherTask:
    """Like Airflow's XComArg."""

    def resolve(self, context: Any) -> Any:
        raise AssertionError("not while the Dag is parsed")


def functions() -> dict[str, Callable[..., Call[Any]]]:
    """Return all public functions of the modules of `api`, in their order."""
    return {
        f"{family.name}.{name}": function
        for family in pkgutil.iter_modules(api.__path__)
        for module in [import_module(f"{api.__name__}.{family.name}")]
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


def described(function: Callable[..., Call[Any]]) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return result, required and optional arguments of a function, by its annotations."""
    hints = get_type_hints(function)
    (response_type,) = get_args(hints["return"])
    result = RESULTS.get(response_type) or ("list" if issubclass(response_type, Page) else "object")
    required: dict[str, str] = {}
    optional: dict[str, str] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        (required if parameter.default is parameter.empty else optional)[name] = json_type(hints[name])
    return result, required, optional


def json_type(hint: Any) -> str:
    """Return a type in JSON's words, without None."""
    inner = get_args(hint)
    if get_origin(hint) is Mapping:
        return "object" if inner[1] is Any else f"object of {json_type(inner[1])}s"
    if get_origin(hint) is Sequence:
        return f"array of {json_type(inner[0])}s"
    if inner:
        return " or ".join(dict.fromkeys(json_type(option) for option in inner if option is not NoneType))
    return JSON_TYPES[hint] if hint in JSON_TYPES or not issubclass(hint, Shape) else "object"


def test_the_table_has_a_row_for_each_function_in_the_same_order() -> None:
    assert list(TABLE) == list(functions())
    assert functions() == FUNCTIONS
    assert list(operations.OPERATIONS) == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_row_of_the_table_describes_its_function(name: str) -> None:
    _, *row = TABLE[name]

    assert tuple(row) == described(functions()[name])
    # The order is that in which errors list the arguments.
    assert [[*arguments] for arguments in row[1:]] == [[*arguments] for arguments in described(functions()[name])[1:]]


@pytest.mark.parametrize("name", sorted(set(TABLE) - {BY_FUNCTION[case.function] for case in ALL_CASES.values()}))
def test_the_method_in_the_table_is_that_of_the_call(name: str) -> None:
    operation = OPERATIONS[name]
    assert set(operation.required.values()) <= {"string"}

    assert FUNCTIONS[name](**dict.fromkeys(operation.required, "x")).method == operation.method


def test_all_operations_of_the_contracts_are_there_and_some_others() -> None:
    in_contract = {BY_FUNCTION[case.function] for case in ALL_CASES.values()}

    assert len(in_contract) == 49 + 9
    assert set(OPERATIONS) - in_contract == {
        *("automations.execute", "users.me", "catalog.items", "catalog.spaces", "apps.reload_log", "apps.reload_logs"),
        *("reloads.list", "reloads.start", "reloads.get", "reloads.cancel"),
    }


@pytest.mark.parametrize("case", ALL_CASES.values(), ids=ALL_CASES)
def test_the_description_of_an_operation_fits_its_call(case: Any) -> None:
    operation, call = OPERATIONS[BY_FUNCTION[case.function]], case.bare()

    assert operation.method == call.method
    assert operation.pages is hasattr(call.response_type, "next_query")
    assert (operation.result == "nothing") is (call.response_type is type(None))
    # What is said of the new task may be left out there.
    body = {"reload"} & {*operation.optional}
    assert set(operation.optional) == arguments_of(case.function) | body
    takes_body = (case.body is not None or case.member is not None) and not body
    assert len(operation.required) == len(case.needed) + takes_body


def test_a_call_is_made_by_name() -> None:
    assert make("tasks.start", {"task_id": "t", "source": "me"}) == tasks.start("t", source="me")
    assert make("tasks.start", {"task_id": "t", "source": None}) == tasks.start("t")
    assert make("reloads.start", {"app_id": "a", "variables": {"v": "1"}}) == reloads.start("a", variables={"v": "1"})
    changes = [{"op": "remove", "path": "/tags"}]
    assert make("sharing_tasks.patch", {"sharing_task_id": "s", "changes": changes}) == sharing_tasks.patch(
        "s", changes
    )
    assert make("sharing_tasks.list", {"role": ["owner"]}) == sharing_tasks.list(role="owner")


def test_a_shape_is_as_good_as_a_mapping() -> None:
    task = Task(name="A task", spec_version="1.0")

    assert make("tasks.create", {"task": task}) == tasks.create(task)


WRONG: list[tuple[object, object, str]] = [
    ("tasks.strat", {}, "operation: one of tasks.list, .*did you mean 'tasks.start'.*not 'tasks.strat'"),
    ("start_task", {}, "operation: an operation of apps, automations, .*users .*did you mean 'tasks.start'"),
    ("list_automations", {}, "did you mean 'automations.list'"),
    ("start", {}, "did you mean 'reloads.start' or 'tasks.start'"),
    ("xyz", {}, "operation: an operation of .*users, not 'xyz'"),
    ("", {}, "operation: an operation of .*users, not ''"),
    (None, {}, "operation: .*not 'None'"),
    (
        "tasks.start",
        {"id": "t"},
        r"arguments: tasks.start takes task_id, source \(did you mean 'task_id'\?\), not 'id'",
    ),
    ("tasks.start", {"task_id": "t", "sauce": "x"}, "did you mean 'source'"),
    ("users.me", {"x": 1}, "arguments: users.me takes no arguments, not 'x'"),
    ("tasks.start", {}, "arguments: tasks.start needs task_id"),
    ("tasks.run_log", {}, "arguments: tasks.run_log needs task_id and run_id"),
    ("tasks.start", {"task_id": None}, "task_id: tasks.start takes a string here, not 'None'"),
    ("tasks.start", {"task_id": 17}, "task_id: tasks.start takes a string here, not 17"),
    ("tasks.list", {"limit": "10"}, "limit: tasks.list takes an integer here, not '10'"),
    ("tasks.list", {"limit": True}, "limit: tasks.list takes an integer here, not True"),
    ("reload_tasks.list", {"partial": 1}, "partial: reload_tasks.list takes a boolean here, not 1"),
    ("tasks.create", {"task": "a task"}, "task: tasks.create takes an object here"),
    ("reloads.start", {"app_id": "a", "variables": {"v": 1}}, "variables: .*takes an object of strings here"),
    ("sharing_tasks.list", {"role": ["owner", 3]}, "role: .*takes a string or array of strings here"),
    ("sharing_tasks.list", {"role": {"owner": 1}}, "role: .*takes a string or array of strings here"),
    ("sharing_tasks.patch", {"sharing_task_id": "s", "changes": {}}, "changes: .*takes an array of objects here"),
    ("sharing_tasks.patch", {"sharing_task_id": "s", "changes": "x"}, "changes: .*takes an array of objects here"),
    ("tasks.start", None, "arguments: must be a mapping, not 'None'"),
    ("tasks.start", ["t"], "arguments: must be a mapping"),
]


@pytest.mark.parametrize(("operation", "arguments", "said"), WRONG)
def test_what_is_wrong_is_refused_by_name_with_what_was_meant(operation: Any, arguments: Any, said: str) -> None:
    for refuses in (check, make):
        with pytest.raises(InvalidArgumentError, match=said) as refused:
            refuses(operation, arguments)
        assert pickle.loads(pickle.dumps(refused.value)).args == refused.value.args


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(InvalidArgumentError, match="execution_token") as refused:
        check("automations.execute", {"automation_id": "a", "execution_token": ["very secret"]})

    assert "very secret" not in str(refused.value)


@pytest.mark.parametrize("open_one", ["{{ params.x }}", "{% if x %}1{% endif %}", FromAnotherTask()])
def test_what_is_known_only_when_the_task_runs_passes(open_one: Any) -> None:
    check(open_one, {"whatever": 1})
    check("tasks.list", open_one)
    check("tasks.list", {"limit": open_one, "sort": open_one})
    check("tasks.create", {"task": open_one})
    check("sharing_tasks.patch", {"sharing_task_id": open_one, "changes": [open_one, {}]})
    check("reloads.start", {"app_id": "a", "variables": {"v": open_one}})
    with pytest.raises(InvalidArgumentError, match="needs task_id"):
        check("tasks.start", {"source": open_one})
    with pytest.raises(InvalidArgumentError, match="operation"):
        check("tasks.strat", open_one)


def test_nothing_is_taken_for_a_template_once_the_task_runs() -> None:
    with pytest.raises(InvalidArgumentError, match="limit: tasks.list takes an integer here"):
        make("tasks.list", {"limit": "{{ params.limit }}"})
    assert make("tasks.start", {"task_id": "t", "source": "{{"}) == tasks.start("t", source="{{")


def test_a_dag_file_that_checks_an_operation_loads_no_client() -> None:
    code = (
        "import sys; from airflow_provider_qlik.operations import check;"
        " check('tasks.start', {'task_id': 't'});"
        " print([name for name in sys.modules if name.split('.')[0] in ('pydantic', 'httpx')"
        " or name.startswith('airflow_provider_qlik.cloud')])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"
