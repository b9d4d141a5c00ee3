"""The fields of a Qlik Cloud connection, in one table: both forms and `connection_parser` come from it.

Standard library only on import, and little of it: Airflow reads the form in every process, and Dag files import this
each time they are parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_qlik.validation import MAX_TIMEOUT

CONNECTION_TYPE = "qlik_cloud"
CONNECTION_NAME = "Qlik Cloud"
DEFAULT_CONNECTION_ID = "qlik_cloud_default"

AUTH_TYPES = {
    "api_key": "API key",
    "client_credentials": "OAuth, machine to machine",
    "impersonation": "OAuth, acting for a user",
    "private_key": "OAuth with a private key",
}
TASKS_API = {
    "auto": "Scheduling where the tenant has it, else Tasks v1",
    "/api/scheduling/tasks": "Scheduling",
    "/api/v1/tasks": "Tasks v1 (its predecessor)",
}


class Field(NamedTuple):
    """One field of the form. `kind` is its JSON type; `choices` makes a menu; `look` is password or multiline.

    `only_for` names the authentication methods that use it, if not all do; `allowed` says which numbers it takes.
    """

    name: str
    label: str
    help: str
    kind: str = "string"
    choices: Mapping[str, str] | None = None
    look: str | None = None
    least: float | None = None
    most: float | None = None
    default: Any = None
    only_for: tuple[str, ...] = ()
    allowed: str = ""

    def conn_field(self) -> dict[str, Any]:
        """The field as Airflow 3.2 and later read it from the provider info."""
        schema: dict[str, Any] = {"type": [self.kind, "null"]}
        if self.choices:
            schema |= {"enum": list(self.choices), "values_display": dict(self.choices)}
        if self.look:
            schema["format"] = self.look
        if self.least is not None:
            schema["minimum"] = self.least
        if self.most is not None:
            schema["maximum"] = self.most
        if self.default is not None:
            schema["default"] = self.default
        return {"label": self.label, "description": self.help, "schema": schema}


def _seconds(name: str, label: str, help: str, default: float) -> Field:
    return Field(
        name,
        label,
        help,
        kind="number",
        least=0.001,
        most=MAX_TIMEOUT,
        default=default,
        allowed=f"must be a number of seconds above 0 and at most {MAX_TIMEOUT}",
    )


STANDARD_FIELDS = {
    "host": ("Tenant address", "https://acme.eu.qlikcloud.com"),
    "port": ("Port", "443"),
    "login": ("OAuth client id", "not needed with an API key"),
    "password": ("API key or OAuth client secret", "not needed with a private key"),
}
"""Airflow's own fields: label and placeholder. What everyone needs is here, since these are open first."""

EXTRA_FIELDS = (
    Field(
        "auth_type",
        "Way of signing in",
        "API key: password alone. OAuth: login and password. Acting for a user: also whom. Private key: login and key.",
        choices=AUTH_TYPES,
        default="api_key",
    ),
    Field(
        "impersonated_user",
        "Act for this user",
        "Only for OAuth acting for a user: the user's subject or id.",
        only_for=("impersonation",),
    ),
    Field(
        "impersonated_user_field",
        "Find that user by",
        "Which of the two is given above.",
        choices={"subject": "Subject", "userId": "User id"},
        default="subject",
    ),
    Field(
        "private_key",
        "Private key",
        "Only for OAuth with a private key: RSA or EC P-384, PEM, unencrypted.",
        look="multiline",
        only_for=("private_key",),
    ),
    Field(
        "key_id",
        "Key id (kid)",
        "Only for OAuth with a private key: the name of its public half in Qlik Cloud.",
        only_for=("private_key",),
    ),
    Field(
        "scope",
        "OAuth scopes",
        "With blanks between; empty for all that the client has.",
        only_for=("client_credentials", "private_key"),
    ),
    Field("ca_bundle", "CA bundle", "Path of a PEM file with the authorities to trust, on each worker and triggerer."),
    _seconds("connect_timeout", "Time-out for connecting", "Seconds.", default=10),
    _seconds("read_timeout", "Time-out for an answer", "Seconds.", default=60),
    _seconds(
        "request_timeout",
        "Total time-out",
        "Seconds that one whole request may take, from connecting to the last byte. "
        "Downloads of files are bounded by progress instead.",
        default=120,
    ),
    Field(
        "rate_limit_share",
        "Share of the rate limits",
        "Part of the tenant's rate limits for one triggerer: 0.5 where two of them divide this user's.",
        kind="number",
        least=0.001,
        most=1,
        default=1,
        allowed="must be a number above 0 and at most 1",
    ),
    Field("tasks_api", "Tasks API", "Where the tenant's Tasks API lives.", choices=TASKS_API, default="auto"),
)


def conn_fields() -> dict[str, dict[str, Any]]:
    """The form's own fields, for the provider info (Airflow 3.2 and later)."""
    return {each.name: each.conn_field() for each in EXTRA_FIELDS}


def field_behaviour(hidden_fields: str = "hidden_fields") -> dict[str, Any]:
    """How Airflow's standard fields are named here, with their placeholders.

    The list of those that are not shown has another name in the provider info than from a hook: *hidden_fields*.
    """
    return {
        hidden_fields: ["schema"],
        "relabeling": {name: label for name, (label, _) in STANDARD_FIELDS.items()},
        "placeholders": {name: placeholder for name, (_, placeholder) in STANDARD_FIELDS.items()},
    }


def form_widgets() -> dict[str, Any]:
    """The same fields for the form of Airflow before 3.2, which is made of WTForms' simple fields.

    Airflow 3.0 and 3.1 make menus of those with `any_of` (that name, not `AnyOf`); 2.11 has none.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextAreaFieldWidget, BS3TextFieldWidget
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(each: Field) -> Any:
        words = f" One of: {', '.join(each.choices)}." if each.choices else ""
        common: dict[str, Any] = {
            "description": each.help + words,
            "default": each.default,
            "validators": [Optional(), any_of(list(each.choices))] if each.choices else [Optional()],
        }
        if each.look == "password":
            return PasswordField(each.label, widget=BS3PasswordFieldWidget(), **common)
        look = BS3TextAreaFieldWidget() if each.look == "multiline" else BS3TextFieldWidget()
        return StringField(each.label, widget=look, **common)

    return {each.name: widget(each) for each in EXTRA_FIELDS}
