"""Any operation of Qlik Cloud, by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_qlik import operations
from airflow_provider_qlik.compat import give_retry_policy
from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.lifecycle.deferral import fail, fail_for_good, skip
from airflow_provider_qlik.lifecycle.task_log import write
from airflow_provider_qlik.text import storable_json
from airflow_provider_qlik.validation import InvalidArgumentError, checked_count, checked_word

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

CHOICES = ("fail", "skip", "return")
CHANGES = ("update", "patch", "delete")


class QlikCallOperator(BaseOperator):
    """Calls any operation of Qlik Cloud by name, and returns its answer as plain JSON, with Qlik's own names.

    For example ``operation="automations.disable", arguments={"automation_id": "61f2…"}``.

    :param operation: the operation, such as ``tasks.create``: the module and function of
        `airflow_provider_qlik.cloud.api`. Checked when the Dag is parsed.
    :param arguments: its arguments by name. Checked when the Dag is parsed, but for templates; all of it is rendered.
    :param max_items: of a list, at most so many items are fetched and returned; a warning tells if there are more.
    :param if_exists: for a create: look first whether it is there already (by its name; a reload task, or one
        whose creator is given no name, by its app and what sets it off), and then ``fail``, ``skip`` the task, or
        ``return`` what is there. Without it nobody looks.
    :param if_missing: for an update, patch or delete of what is not there: ``fail``, ``skip``, or ``return`` nothing.
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
        give_retry_policy(self)
        self.operation = operation
        self.arguments = {} if arguments is None else arguments
        self.max_items = checked_count("max_items", max_items)
        self.if_exists = None if if_exists is None else checked_word("if_exists", if_exists, CHOICES)
        self.if_missing = checked_word("if_missing", if_missing, CHOICES)
        self.qlik_conn_id = qlik_conn_id
        operations.check(operation, self.arguments)
        if operation in operations.OPERATIONS:
            self._check_choices()

    def execute(self, context: Context) -> Any:
        """The answer."""
        from airflow_provider_qlik.cloud import NotFoundError, QlikCloudError
        from airflow_provider_qlik.cloud.operations import make
        from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

        try:
            self.arguments = converted(self.operation, self.arguments)
            operations.check(self.operation, self.arguments, rendered=True)
            self._check_choices()
            call = make(self.operation, self.arguments)
            if self.operation.startswith("reload_tasks."):
                write(self.log, logging.WARNING, operations.RELOAD_TASKS_DEPRECATED)
            with QlikCloudHook(self.qlik_conn_id) as hook:
                if self.if_exists is not None and (there := self._existing(hook)) is not None:
                    return there
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

    def _check_choices(self) -> None:
        if operations.OPERATIONS[self.operation].gives == "file":
            allowed = "give download_to= to QlikRunSharingTaskOperator: a file is no JSON"
            raise InvalidArgumentError("operation", self.operation, allowed)
        if self.if_exists is not None and self.operation not in operations.CREATES:
            raise InvalidArgumentError("if_exists", self.if_exists, f"goes with {', '.join(operations.CREATES)}")
        if self.if_missing != "fail" and self._verb not in CHANGES:
            raise InvalidArgumentError("if_missing", self.if_missing, f"goes with {', '.join(CHANGES)}")

    def _existing(self, hook: QlikCloudHook) -> Any:
        from airflow_provider_qlik.runs.existing import existing

        there = hook.run_flow(existing(self.operation, self.arguments))
        if there is None:
            return None
        what = f"{self.operation}: it is there already, as {getattr(there, 'id', None)}"
        if self.if_exists == "fail":
            fail_for_good(what)
        if self.if_exists == "skip":
            skip(what)
        write(self.log, logging.INFO, what)
        return plain(there)

    def _list(self, hook: QlikCloudHook, call: Any) -> list[Any]:
        from airflow_provider_qlik.cloud.pages import all_items

        items = hook.run_flow(all_items(call, self.max_items + 1))
        if len(items) > self.max_items:
            text = f"{self.operation} has more than max_items={self.max_items} items: cut there"
            write(self.log, logging.WARNING, text)
        return [plain(item) for item in items[: self.max_items]]


def plain(answer: Any) -> Any:
    """Return a response as JSON with Qlik's names that Airflow can store; secrets are masked by their names."""
    if hasattr(answer, "model_dump"):
        from airflow_provider_qlik.cloud.models.writing import json_of

        answer = json_of(answer)
    # Loaded here: its patterns take longer to compile than this module to load, and Dag files are parsed often.
    from airflow_provider_qlik.masking import masked

    return storable_json(masked(answer))


def converted(operation: str, arguments: Any) -> Any:
    """Return the arguments as the operation takes them, where a rendered template is of another type.

    A template gives texts, also where a number or a boolean is wanted; with ``render_template_as_native_obj`` it gives
    a number for digits, also where a text is wanted. Floats and booleans are no texts: what was written is lost.
    """
    if operation not in operations.OPERATIONS or not isinstance(arguments, Mapping):
        return arguments
    kinds = operations.OPERATIONS[operation].arguments
    return {name: _converted(kinds.get(name), given) for name, given in arguments.items()}


def _converted(kind: str | None, given: Any) -> Any:
    # "string or array of strings" takes either, "array of strings" a list of such.
    kinds = kind.split(" or ") if kind else []
    if isinstance(given, str):
        word = given.strip()
        if "integer" in kinds and "string" not in kinds and word.isdecimal():
            return int(word)
        if "boolean" in kinds and "string" not in kinds and word.lower() in {"true", "false"}:
            return word.lower() == "true"
    elif isinstance(given, int) and not isinstance(given, bool):
        return str(given) if "string" in kinds and "integer" not in kinds else given
    elif isinstance(given, Mapping) and "object of strings" in kinds:
        return {_converted("string", name): _converted("string", item) for name, item in given.items()}
    elif isinstance(given, list | tuple):
        inner = next(
            (one.removeprefix("array of ").removesuffix("s") for one in kinds if one.startswith("array")), None
        )
        return [_converted(inner, item) for item in given] if inner else given
    return given
