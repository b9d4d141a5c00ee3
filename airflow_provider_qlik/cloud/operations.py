"""Any operation by name: the function that describes it, and the call that it makes.

All is read from the functions of `api` themselves, so none can be forgotten. ``python -m
airflow_provider_qlik.cloud.operations`` writes what other modules need without importing them into
``operation_table.py``.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from airflow_provider_qlik import operations
from airflow_provider_qlik.cloud import api
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.transport.download import Download

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
_WORDS = {str: "string", int: "integer", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Operation(operations.Operation):
    """The arguments and the result of an operation, and the function that describes its request."""

    function: Callable[..., Call[Any]]


def make(name: str, arguments: Mapping[str, Any]) -> Call[Any]:
    """Return the call of an operation, such as ``make("tasks.start", {"task_id": "…"})``.

    Raises InvalidArgumentError for an operation or argument that there is not, one that is missing or of a wrong type.
    """
    operations.check(name, arguments, rendered=True)
    return OPERATIONS[name].function(**arguments)


def _functions() -> Iterator[tuple[str, Callable[..., Call[Any]]]]:
    for family in pkgutil.iter_modules(api.__path__):
        module = import_module(f"{api.__name__}.{family.name}")
        for name, function in vars(module).items():
            own = inspect.isfunction(function) and function.__module__ == module.__name__
            if own and not name.startswith("_"):
                yield f"{family.name}.{name}", function


def _described(function: Callable[..., Call[Any]]) -> Operation:
    hints = get_type_hints(function)
    (answer,) = get_args(hints["return"])
    required: dict[str, str] = {}
    optional: dict[str, str] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        group = required if parameter.default is parameter.empty else optional
        group[name] = _plain(hints[name])
    return Operation(_method(function), _gives(answer), required, optional, function)


def _method(function: Any) -> str:
    """Return the HTTP method, as it stands in the code of the function, or of those that it calls in its own module.

    A call would show it, too, but needs valid arguments.
    """
    names = function.__code__.co_names
    helpers = [function.__globals__[name] for name in names if name.startswith("_") and name in function.__globals__]
    codes = [function.__code__, *(helper.__code__ for helper in helpers if inspect.isfunction(helper))]
    (method,) = {constant for code in codes for constant in code.co_consts if constant in _METHODS}
    return str(method)


def _gives(answer: Any) -> str:
    others = {NoneType: "nothing", str: "text", Download: "file"}
    return others.get(answer) or ("list" if issubclass(answer, Page) else "object")


def _plain(hint: Any) -> str:
    """Return a type in JSON's words, without None."""
    arguments = get_args(hint)
    if get_origin(hint) is Mapping:
        return "object" if arguments[1] is Any else f"object of {_plain(arguments[1])}s"
    if get_origin(hint) is Sequence:
        return f"array of {_plain(arguments[0])}s"
    if arguments:
        return " or ".join(dict.fromkeys(_plain(one) for one in arguments if one is not NoneType))
    return _WORDS[hint] if hint in _WORDS or not issubclass(hint, Shape) else "object"


OPERATIONS: dict[str, Operation] = {name: _described(function) for name, function in _functions()}
"""All operations by module and function, such as "tasks.start"."""


def table() -> str:
    """Return the text of ``operation_table.py``, not formatted yet."""
    rows = (
        f"    {json.dumps(name)}: {json.dumps([one.method, one.gives, one.required, one.optional])},\n"
        for name, one in OPERATIONS.items()
    )
    return (
        '"""What each operation takes and gives, see `operations.Operation`.\n\n'
        'Made by ``python -m airflow_provider_qlik.cloud.operations``: change the functions, not this.\n"""\n\n'
        "from __future__ import annotations\n\n"
        "TABLE: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {\n"
        + "".join(row.replace(": [", ": (", 1).replace("],\n", "),\n") for row in rows)
        + "}\n"
    )


if __name__ == "__main__":
    Path(operations.__file__).with_name("operation_table.py").write_text(table(), encoding="utf-8")
