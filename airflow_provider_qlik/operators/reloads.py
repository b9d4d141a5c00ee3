"""Reloads of Qlik Cloud's apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_qlik.arguments import InvalidArgument, checked_word
from airflow_provider_qlik.operators.run import QlikRunOperator
from airflow_provider_qlik.targets import AppTarget, literal

IF_PENDING = ("fail", "wait", "skip")
MOST_VARIABLES = 20
LONGEST_VARIABLE = 256


class QlikReloadAppOperator(AppTarget, QlikRunOperator):
    """Reloads an app.

    :param app_id: the id of the app.
    :param app_name: its name instead.
    :param space_name: the space of an app that is named.
    :param partial: reload partially.
    :param weight: the reload's weight, as Qlik counts it.
    :param variables: values of variables of the load script: at most 20, names and values at most 256 characters.
    :param if_pending: what to do when a reload of the app is pending already, since Qlik takes one at a time:
        ``fail``, ``wait`` for that one (and never cancel it), or ``skip`` the task.

    All other parameters are those of `QlikRunOperator`. Qlik lets a reload run for 3 hours and queue for 6.
    """

    template_fields: Sequence[str] = (*AppTarget.arguments(), "variables", *QlikRunOperator.template_fields)
    template_fields_renderers = {"variables": "json"}  # noqa: RUF012 (as Airflow declares it)

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_name: str | None = None,
        space_name: str | None = None,
        partial: bool = False,
        weight: int | None = None,
        variables: Mapping[str, str] | None = None,
        if_pending: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.app_name = app_name
        self.space_name = space_name
        self.partial_reload = partial  # `partial` is what mapped tasks are made with
        self.weight = weight
        self.variables = variables
        self.if_pending = checked_word("if_pending", if_pending, IF_PENDING)
        self.check_target()
        if isinstance(variables, Mapping) and all(map(literal, variables.values())):
            checked_variables(variables)

    def on_error(self, error: Exception) -> None:
        """Skips the task where another reload is pending, if that is wanted."""
        from airflow_provider_qlik.runs import ReloadPending

        if isinstance(error, ReloadPending) and self.if_pending == "skip":
            raise AirflowSkipException(str(error))

    def parameters(self) -> Mapping[str, Any]:
        """What Qlik is told of the reload."""
        if not isinstance(self.partial_reload, bool):
            raise InvalidArgument("partial", self.partial_reload, "True or False")
        if self.weight is not None and (isinstance(self.weight, bool) or not isinstance(self.weight, int)):
            raise InvalidArgument("weight", self.weight, "a whole number")
        return {
            "partial": self.partial_reload,
            "weight": self.weight,
            "variables": checked_variables(self.variables),
            "if_pending": self.if_pending,
        }


def checked_variables(given: object) -> dict[str, str] | None:
    """The variables as Qlik takes them."""
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise InvalidArgument("variables", given, "a mapping of texts to texts")
    if len(given) > MOST_VARIABLES:
        raise InvalidArgument("variables", f"{len(given)}", f"at most {MOST_VARIABLES} variables")
    for name, value in given.items():
        if len(name) > LONGEST_VARIABLE or len(value) > LONGEST_VARIABLE:
            raise InvalidArgument("variables", name, f"names and values have at most {LONGEST_VARIABLE} characters")
    return dict(given)
