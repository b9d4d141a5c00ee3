"""Any operation by name: the function that describes it, and the call that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from airflow_provider_qlik import operations
from airflow_provider_qlik.cloud import api
from airflow_provider_qlik.cloud.call import Call
from airflow_provider_qlik.operation_table import TABLE


def make(name: str, arguments: Mapping[str, Any]) -> Call[Any]:
    """Return the call of an operation, such as ``make("tasks.start", {"task_id": "…"})``.

    Raises InvalidArgumentError for an operation or argument that there is not, one that is missing or of a wrong type.
    """
    operations.check(name, arguments, rendered=True)
    return FUNCTIONS[name](**arguments)


def _function(name: str) -> Callable[..., Call[Any]]:
    family, _, function_name = name.partition(".")
    function: Callable[..., Call[Any]] = getattr(import_module(f"{api.__name__}.{family}"), function_name)
    return function


FUNCTIONS: dict[str, Callable[..., Call[Any]]] = {name: _function(name) for name in TABLE}
"""The functions of all operations by module and function, such as "tasks.start"."""
