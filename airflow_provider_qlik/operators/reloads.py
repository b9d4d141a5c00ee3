"""The operator that reloads apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_qlik.lifecycle.failures import skip
from airflow_provider_qlik.lifecycle.resources import AppArguments, literal
from airflow_provider_qlik.operators.logged_run import QlikLoggedRunOperator
from airflow_provider_qlik.validation import (
    InvalidArgumentError,
    checked_flag,
    checked_number,
    checked_text,
    checked_variables,
    checked_word,
)

IF_PENDING = ("fail", "wait", "skip")
MIN_WEIGHT, MAX_WEIGHT = 1, 10


class QlikReloadAppOperator(AppArguments, QlikLoggedRunOperator):
    """Reload an app.

    :param app_id: the id of the app.
    :param app_name: its name instead.
    :param space_name: the space of the app, beside its name.
    :param partial: reload partially. May be a template that renders to ``True`` or ``False``; Airflow shows it among
        the rendered templates as `partial_reload`.
    :param weight: the weight of the reload in Qlik Cloud: from 1 to 10.
    :param variables: values of variables of the load script: at most 20, names and values at most 256 characters.
    :param if_pending: what to do if a reload of the app is pending already, since Qlik runs one at a time: ``fail``,
        ``wait`` for that one (and never cancel it), or ``skip`` the task.
    :param fail_on_warnings: fail the task if the reload succeeded with warnings: Qlik names an error nevertheless, or
        its log has warnings or counts forced errors. A log that cannot be read does not fail the task.

    All other parameters are those of `QlikLoggedRunOperator` (`log_to`) and `QlikRunOperator`. Qlik lets a reload run
    for 3 hours and queue for 6.
    """

    # Airflow looks for the attribute; an attribute `partial` would hide the method that mapped tasks are made with.
    template_fields: Sequence[str] = (
        *AppArguments.arguments(),
        "partial_reload",
        "weight",
        "variables",
        *QlikLoggedRunOperator.template_fields,
    )
    template_fields_renderers = {"variables": "json"}  # noqa: RUF012 (as Airflow declares it)

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        partial: bool | str = False,
        weight: int | str | None = None,
        variables: Mapping[str, Any] | None = None,
        if_pending: str = "fail",
        fail_on_warnings: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.partial_reload = partial
        self.weight = weight
        self.variables = variables
        self.if_pending = checked_word("if_pending", if_pending, IF_PENDING)
        self.fail_on_warnings = checked_flag("fail_on_warnings", fail_on_warnings)
        self.check_resource()
        if literal(partial):
            checked_flag("partial", partial)
        if literal(weight):
            _checked_weight(weight)
        if isinstance(variables, Mapping) and all(map(literal, variables.values())):
            _variables(variables)

    def on_error(self, error: Exception) -> None:
        """Skip the task if another reload is pending and `if_pending` is ``skip``."""
        from airflow_provider_qlik.runs import ReloadPendingError

        if isinstance(error, ReloadPendingError) and self.if_pending == "skip":
            skip(error)

    def parameters(self) -> Mapping[str, Any]:
        """Return the parameters of the reload. Raises InvalidArgumentError that names the argument."""
        return {
            "partial": checked_flag("partial", self.partial_reload),
            "weight": None if self.weight is None else _checked_weight(self.weight),
            "variables": _variables(self.variables),
            "if_pending": self.if_pending,
        }


def _checked_weight(value: object) -> int:
    return checked_number("weight", value, MIN_WEIGHT, MAX_WEIGHT)


def _variables(value: object) -> dict[str, str] | None:
    """Return the variables as the API takes them. Raises InvalidArgumentError for other types and sizes."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidArgumentError("variables", value, "a mapping of texts to texts")
    allowed = "a mapping of texts to texts (whole numbers stand for their digits)"
    variables: dict[str, str] = {}
    for pair in value.items():
        if not all(isinstance(text, str | int) and not isinstance(text, bool) for text in pair):
            raise InvalidArgumentError("variables", dict([pair]), allowed)
        name, text = (checked_text("variables", part, allowed) for part in pair)
        variables[name] = text
    return checked_variables(variables)
