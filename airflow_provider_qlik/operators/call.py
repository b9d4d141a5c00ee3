"""The operator that calls any operation of Qlik Cloud by its name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_qlik import operations
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.lifecycle.failures import fail, fail_for_good, skip
from airflow_provider_qlik.lifecycle.lineage import OpenLineageMethods
from airflow_provider_qlik.lifecycle.retry_policy import set_retry_policy
from airflow_provider_qlik.lifecycle.task_log import write
from airflow_provider_qlik.text import storable_json
from airflow_provider_qlik.validation import InvalidArgumentError, checked_count, checked_word

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

CHOICES = ("fail", "skip", "return")
CHANGES = ("update", "patch", "delete")


class QlikCallOperator(OpenLineageMethods, BaseOperator):
    """Call an operation of Qlik Cloud by its name, and return the response as plain JSON, with Qlik's own names.

    For example ``operation="automations.disable", arguments={"automation_id": "61f2…"}``.

    :param operation: the operation, such as ``tasks.create``: the module and function of
        `airflow_provider_qlik.cloud.api`. Checked when the Dag is parsed.
    :param arguments: its arguments by name. Checked when the Dag is parsed, templates when they are rendered.
    :param max_items: the maximum number of items of a list to return; a warning is logged if there are more.
    :param if_exists: for a create: first check if the object exists (by its name; a reload task, or a task that is
        created without a name, by its app and trigger), and then ``fail``, ``skip`` the task, or ``return`` the
        existing object. The default is not to check.
    :param if_missing: for an update, patch or delete of an object that does not exist: ``fail``, ``skip``, or
        ``return`` None.
    :param qlik_conn_id: the Airflow connection.
    """

    template_fields: Sequence[str] = ("operation", "arguments", "qlik_conn_id")
    template_fields_renderers = {"arguments": "json"}  # noqa: RUF012 (as Airflow declares it)
    ui_color = "#e8e3f3"

    def __init__(
        self,
        *,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        max_items: int = 1000,
        if_exists: str | None = None,
        if_missing: str = "fail",
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        set_retry_policy(self)
        self.operation = operation
        self.arguments = {} if arguments is None else arguments
        self.max_items = checked_count("max_items", max_items)
        self.if_exists = None if if_exists is None else checked_word("if_exists", if_exists, CHOICES)
        self.if_missing = checked_word("if_missing", if_missing, CHOICES)
        self.qlik_conn_id = qlik_conn_id
        operations.check(operation, self.arguments)
        if operation in operations.OPERATIONS:
            self._check_options()

    def execute(self, context: Context) -> Any:
        """Return the response as plain JSON."""
        from airflow_provider_qlik.cloud import NotFoundError, QlikCloudError
        from airflow_provider_qlik.cloud.operations import make
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        try:
            self.arguments = converted(self.operation, self.arguments)
            operations.check(self.operation, self.arguments, rendered=True)
            self._check_options()
            call = make(self.operation, self.arguments)
            if self.operation.startswith("reload_tasks."):
                write(self.log, logging.WARNING, operations.RELOAD_TASKS_DEPRECATED)
            with QlikCloudHook(self.qlik_conn_id) as hook:
                if self.if_exists is not None and (existing_object := self._find_existing(hook)) is not None:
                    return existing_object
                if operations.OPERATIONS[self.operation].pages:
                    return self._list(hook, call)
                return plain(hook.call(call))
        except NotFoundError as error:
            if self._verb not in CHANGES or self.if_missing == "fail":
                fail(error)
            if self.if_missing == "skip":
                skip(error)
            write(self.log, logging.INFO, error)
            return None
        except (QlikCloudError, InvalidArgumentError) as error:
            fail(error)

    @property
    def _verb(self) -> str:
        return self.operation.rpartition(".")[2]

    def _check_options(self) -> None:
        if operations.OPERATIONS[self.operation].result == "file":
            allowed = "give download_to= to QlikRunSharingTaskOperator: a file is no JSON"
            raise InvalidArgumentError("operation", self.operation, allowed)
        if self.if_exists is not None and self.operation not in operations.CREATES:
            raise InvalidArgumentError("if_exists", self.if_exists, f"goes with {', '.join(operations.CREATES)}")
        if self.if_missing != "fail" and self._verb not in CHANGES:
            raise InvalidArgumentError("if_missing", self.if_missing, f"goes with {', '.join(CHANGES)}")

    def _find_existing(self, hook: QlikCloudHook) -> Any:
        from airflow_provider_qlik.runs.existing import existing

        existing_object = hook.run_flow(existing(self.operation, self.arguments))
        if existing_object is None:
            return None
        text = f"{self.operation}: the object exists already, with the id {getattr(existing_object, 'id', None)}"
        if self.if_exists == "fail":
            fail_for_good(text)
        if self.if_exists == "skip":
            skip(text)
        write(self.log, logging.INFO, text)
        return plain(existing_object)

    def _list(self, hook: QlikCloudHook, call: Any) -> list[Any]:
        from airflow_provider_qlik.cloud.pages import all_items

        items = hook.run_flow(all_items(call, self.max_items + 1))
        if len(items) > self.max_items:
            text = f"{self.operation} has more items than max_items={self.max_items}: the others are left out"
            write(self.log, logging.WARNING, text)
        return [plain(item) for item in items[: self.max_items]]


def plain(response: Any) -> Any:
    """Return a response as JSON that Airflow can store, with Qlik's own names; secrets are masked by their names."""
    if hasattr(response, "model_dump"):
        from airflow_provider_qlik.cloud.models.writing import json_of

        response = json_of(response)
    # Loaded here: its patterns take longer to compile than this module to load, and Dag files are parsed often.
    from airflow_provider_qlik.masking import masked

    return storable_json(masked(response))


def converted(operation: str, arguments: Any) -> Any:
    """Return the arguments converted to the types that the operation takes.

    A template renders to a text, also for a number or a boolean; with ``render_template_as_native_obj`` it renders to a
    number for digits, also for a text. Floats and booleans are not converted to texts: the original text is lost.
    """
    if operation not in operations.OPERATIONS or not isinstance(arguments, Mapping):
        return arguments
    kinds = operations.OPERATIONS[operation].arguments
    return {name: _converted(kinds.get(name), value) for name, value in arguments.items()}


def _converted(kind: str | None, value: Any) -> Any:
    # "string or array of strings" takes either, "array of strings" a list of such.
    kinds = kind.split(" or ") if kind else []
    if isinstance(value, str):
        word = value.strip()
        if "integer" in kinds and "string" not in kinds and word.isdecimal():
            return int(word)
        if "boolean" in kinds and "string" not in kinds and word.lower() in {"true", "false"}:
            return word.lower() == "true"
    elif isinstance(value, int) and not isinstance(value, bool):
        return str(value) if "string" in kinds and "integer" not in kinds else value
    elif isinstance(value, Mapping) and "object of strings" in kinds:
        return {_converted("string", name): _converted("string", item) for name, item in value.items()}
    elif isinstance(value, list | tuple):
        inner = next(
            (name.removeprefix("array of ").removesuffix("s") for name in kinds if name.startswith("array")), None
        )
        return [_converted(inner, item) for item in value] if inner else value
    return value
