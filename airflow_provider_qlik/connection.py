"""The fields of a Qlik Cloud connection, in one table: both forms and `connection_parser` come from it.

Standard library only on import, and little of it: Airflow reads the form in every process, and Dag files import this
each time they are parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_qlik.tasks_api import AUTO, SCHEDULING_TASKS, V1_TASKS
from airflow_provider_qlik.validation import MAX_TIMEOUT

CONNECTION_TYPE = "qlik_cloud"
CONNECTION_NAME = "Qlik Cloud"
DEFAULT_CONNECTION_ID = "qlik_cloud_default"

AUTH_TYPES = {
    "api_key": "API key",
    "client_credentials": "OAuth client credentials",
    "impersonation": "OAuth impersonation",
    "private_key": "OAuth private key",
}
TASKS_API = {
    AUTO: "Scheduling if the tenant has it, else Tasks v1",
    SCHEDULING_TASKS: "Scheduling",
    V1_TASKS: "Tasks v1 (predecessor of Scheduling)",
}


class Field(NamedTuple):
    """One field of the form.

    :param name: the name of the extra.
    :param label: its label in the form.
    :param help: the help text below it.
    :param type: its JSON type.
    :param choices: the values of a menu, with their labels.
    :param format: ``password`` or ``multiline``.
    :param minimum: the smallest number that the form takes.
    :param maximum: the largest number.
    :param default: the value of a field that is left empty.
    :param only_for: the authentication methods that use the field, if not all do.
    :param allowed: the text of the error for a number that is out of range.
    """

    name: str
    label: str
    help: str
    type: str = "string"
    choices: Mapping[str, str] | None = None
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    default: Any = None
    only_for: tuple[str, ...] = ()
    allowed: str = ""

    def conn_field(self) -> dict[str, Any]:
        """Return the field as Airflow 3.2 and later read it from the provider info."""
        schema: dict[str, Any] = {"type": [self.type, "null"]}
        if self.choices:
            schema |= {"enum": list(self.choices), "values_display": dict(self.choices)}
        if self.format:
            schema["format"] = self.format
        if self.minimum is not None:
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        if self.default is not None:
            schema["default"] = self.default
        return {"label": self.label, "description": self.help, "schema": schema}


def _seconds(name: str, label: str, help: str, default: float) -> Field:
    return Field(
        name,
        label,
        help,
        type="number",
        minimum=0.001,
        maximum=MAX_TIMEOUT,
        default=default,
        allowed=f"must be a number of seconds above 0 and at most {MAX_TIMEOUT}",
    )


STANDARD_FIELDS = {
    "host": ("Tenant URL", "https://acme.eu.qlikcloud.com"),
    "port": ("Port", "443"),
    "login": ("OAuth client ID", "not used with an API key"),
    "password": ("API key or OAuth client secret", "not used with a private key"),
}
"""Airflow's own fields: label and placeholder. The form shows them first, so what all users need is here."""

EXTRA_FIELDS = (
    Field(
        "auth_type",
        "Authentication method",
        "An API key needs the password field only. All OAuth methods need the client ID; client credentials and"
        " impersonation also need the client secret.",
        choices=AUTH_TYPES,
        default="api_key",
    ),
    Field(
        "impersonated_user",
        "Impersonated user",
        "The subject or ID of the user to act for. Used with OAuth impersonation only.",
        only_for=("impersonation",),
    ),
    Field(
        "impersonated_user_field",
        "Impersonated user lookup",
        "Whether the impersonated user is given as a subject or as a user ID.",
        choices={"subject": "Subject", "userId": "User ID"},
        default="subject",
    ),
    Field(
        "private_key",
        "Private key",
        "An unencrypted PEM key, RSA or EC P-384. Used with OAuth private key only.",
        format="multiline",
        only_for=("private_key",),
    ),
    Field(
        "key_id",
        "Key ID (kid)",
        "The ID of the public key in Qlik Cloud. Used with OAuth private key only.",
        only_for=("private_key",),
    ),
    Field(
        "scope",
        "OAuth scopes",
        "Scopes separated by spaces. If empty, the token has all scopes of the client.",
        only_for=("client_credentials", "private_key"),
    ),
    Field(
        "ca_bundle",
        "CA bundle",
        "The path of a PEM file with the trusted certificate authorities, on each worker and triggerer.",
    ),
    _seconds("connect_timeout", "Connect timeout (s)", "The time to establish a connection, in seconds.", default=10),
    _seconds(
        "read_timeout",
        "Read timeout (s)",
        "The time to wait for the next part of a response, in seconds.",
        default=60,
    ),
    _seconds(
        "request_timeout",
        "Request timeout (s)",
        "The time for one request from connecting to the last byte, in seconds. File downloads are limited by the read"
        " timeout instead.",
        default=120,
    ),
    Field(
        "rate_limit_share",
        "Rate limit share",
        "The fraction of the tenant's rate limits that one triggerer uses, such as 0.5 if two triggerers share the"
        " limits of this user.",
        type="number",
        minimum=0.001,
        maximum=1,
        default=1,
        allowed="must be a number above 0 and at most 1",
    ),
    Field(
        "tasks_api",
        "Tasks API",
        "The API that the tenant offers for tasks.",
        choices=TASKS_API,
        default="auto",
    ),
)


def conn_fields() -> dict[str, dict[str, Any]]:
    """Return the extra fields of the form, for the provider info (Airflow 3.2 and later)."""
    return {field.name: field.conn_field() for field in EXTRA_FIELDS}


def field_behaviour(hidden_fields: str = "hidden_fields") -> dict[str, Any]:
    """Return the labels and placeholders of Airflow's standard fields.

    *hidden_fields* is the key of the list of hidden fields: it differs between the provider info and a hook.
    """
    return {
        hidden_fields: ["schema"],
        "relabeling": {name: label for name, (label, _) in STANDARD_FIELDS.items()},
        "placeholders": {name: placeholder for name, (_, placeholder) in STANDARD_FIELDS.items()},
    }


def form_widgets() -> dict[str, Any]:
    """Return the extra fields as WTForms fields, for the form of Airflow before 3.2.

    Airflow 3.0 and 3.1 make menus of fields with `any_of` (that name, not `AnyOf`); 2.11 has none.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextAreaFieldWidget, BS3TextFieldWidget
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(field: Field) -> Any:
        values = f" One of: {', '.join(field.choices)}." if field.choices else ""
        common: dict[str, Any] = {
            "description": field.help + values,
            "default": field.default,
            "validators": [Optional(), any_of(list(field.choices))] if field.choices else [Optional()],
        }
        if field.format == "password":
            return PasswordField(field.label, widget=BS3PasswordFieldWidget(), **common)
        area = BS3TextAreaFieldWidget() if field.format == "multiline" else BS3TextFieldWidget()
        return StringField(field.label, widget=area, **common)

    return {field.name: widget(field) for field in EXTRA_FIELDS}
