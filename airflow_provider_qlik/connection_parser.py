"""Read and check a Qlik Cloud connection: the tenant and the credentials. Its fields are in `connection`."""

from __future__ import annotations

import contextlib
import difflib
import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.connection import AUTH_TYPES, EXTRA_FIELDS, STANDARD_FIELDS, Field
from airflow_provider_qlik.text import printable
from airflow_provider_qlik.validation import InvalidArgumentError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from airflow_provider_qlik.cloud import Credentials, Tenant


def parse(
    *,
    host: str | None,
    port: int | str | None = None,
    login: str | None = None,
    password: str | SecretStr | None = None,
    extra: Mapping[str, Any] | None = None,
) -> tuple[Tenant, Credentials]:
    """Return the tenant and the credentials of a connection. Nothing is sent.

    Raise InvalidArgumentError that names the field, for what is missing or impossible. Log a warning for each extra
    that is unknown or that the authentication method does not use, once in a process.
    """
    from airflow_provider_qlik.cloud import Tenant

    # From here on no local variable shows a secret.
    password, unknown, extra = _as_secret(password), _unknown_names(extra), _known_extras(extra)
    _warn_of_unknown(unknown)
    settings = {field.name: _value(field, extra.get(field.name)) for field in EXTRA_FIELDS}
    tenant = Tenant.at(
        _text("host", host),
        port=_port(port),
        tasks_path=settings["tasks_api"],
        ca_bundle=settings["ca_bundle"],
        connect_timeout=settings["connect_timeout"],
        read_timeout=settings["read_timeout"],
        request_timeout=settings["request_timeout"],
        rate_limit_share=settings["rate_limit_share"],
    )
    return tenant, _credentials(
        settings["auth_type"], {**settings, "login": _text("login", login), "password": password}
    )


class StoredConnection:
    """The fields of a connection as Airflow stores them, secrets included; it shows none of them.

    For local variables between reading a connection and `parse`: a dict of fields would show its password there.
    """

    __slots__ = ("_fields",)

    def __init__(
        self, host: str | None, port: int | None, login: str | None, password: str | None, extra: Mapping[str, Any]
    ) -> None:
        self._fields = {"host": host, "port": port, "login": login, "password": password, "extra": extra}

    def parse(self) -> tuple[Tenant, Credentials]:
        """Return the tenant and the credentials, as the function of this name does."""
        return parse(**self._fields)  # type: ignore[arg-type]  # parse checks each of them


# Reading fields


def _as_secret(secret: Any) -> SecretStr | None:
    """Return a secret so that it does not show, None if it is empty; a whole number is read as its digits."""
    from pydantic import SecretStr

    if isinstance(secret, SecretStr):
        secret = secret.get_secret_value()
    if isinstance(secret, int) and not isinstance(secret, bool):
        secret = str(secret)
    return SecretStr(secret.strip()) if isinstance(secret, str) and secret.strip() else None


def _known_extras(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the extras that have a field here, with secrets wrapped; none where they are no JSON object."""
    members = extra if isinstance(extra, Mapping) else {}
    found = {field.name: members.get(field.name) for field in EXTRA_FIELDS}
    return {**found, "private_key": _as_secret(found["private_key"])}


def _value(field: Field, value: Any) -> Any:
    """Return the value of a field. A URI has texts only; a form has null or an empty text for an empty field."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return field.default
    if field.choices:
        return _choice(field, value)
    if field.type == "number":
        return _number(field, value)
    return value if field.format == "multiline" else _text(field.name, value)


def _choice(field: Field, value: object) -> str:
    """Return the value of a menu, ignoring letter case, blanks, hyphens and underscores."""
    words = field.choices or {}
    if isinstance(value, str):
        for word in words:
            if _normalised(word) == _normalised(value):
                return word
    raise InvalidArgumentError(field.name, value, "must be one of " + ", ".join(map(repr, words)))


def _normalised(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word.casefold()).rstrip("/")


def _number(field: Field, value: object) -> float:
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
    if not 0 < number <= (field.maximum or math.inf) or not math.isfinite(number):
        raise InvalidArgumentError(field.name, value, field.allowed)
    return number


def _text(name: str, value: object) -> str | None:
    """Return a text without blanks around it, None if it is empty; a whole number is read as its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(name, None, "must be a text")
    return (value or "").strip() or None


def _port(value: object) -> int | None:
    """Return a port, from a number or its digits; a form gives 0 for what was left out. The tenant checks the rest."""
    if isinstance(value, str):
        value = value.strip() or None
        if value is not None and not (value.isascii() and value.isdigit() and len(value) < 10):
            raise InvalidArgumentError("port", value, "must be a whole number from 1 to 65535")
        value = int(value) if value else None
    return value  # type: ignore[return-value]  # Tenant.at checks the type


# Warnings

_IGNORED = ("extra__", "_")
"""Prefixes of extras that Airflow or other tools add: they are ignored without a warning."""

_ALIASES = {
    "client_id": "login",
    "client_secret": "password",
    "api_key": "password",
    "token": "password",
    "url": "host",
    "tenant": "host",
    "base_url": "host",
    "auth_method": "auth_type",
    "authentication_method": "auth_type",
    "auth": "auth_type",
    "sign_in": "auth_type",
    "signin": "auth_type",
    "method": "auth_type",
    "kid": "key_id",
    "user": "impersonated_user",
    "timeout": "request_timeout",
    "verify": "ca_bundle",
    "cert": "ca_bundle",
}
"""Names of other providers for these fields, for the advice in a warning."""

_log = logging.getLogger(__name__)
_warned: set[str] = set()


def _unknown_names(extra: Mapping[str, Any] | None) -> list[str]:
    field_names = {field.name for field in EXTRA_FIELDS}
    names = [str(name) for name in extra] if isinstance(extra, Mapping) else []
    return [name for name in names if name not in field_names and not name.startswith(_IGNORED)]


def _warn_of_unknown(names: Iterable[str]) -> None:
    for name in names:
        closest = _closest_field(name)
        advice = f"did you mean {closest!r}?" if closest else f"the known ones are {', '.join(_names())}."
        shown = repr(printable(name, 60))
        _warn_once(f"The extra field {shown} of a Qlik Cloud connection is unknown and has no effect: {advice}")


def _closest_field(name: str) -> str | None:
    """Return the field that an unknown name probably stands for, or None."""
    word = re.sub(r"[\s-]+", "_", name.strip().casefold())
    if word in _ALIASES:
        return _ALIASES[word]
    return next(iter(difflib.get_close_matches(word, [*_names(), *STANDARD_FIELDS], 1)), None)


def _names() -> list[str]:
    return [field.name for field in EXTRA_FIELDS]


def _warn_of_unused(auth_type: str, settings: Mapping[str, Any]) -> None:
    for field in EXTRA_FIELDS:
        if field.only_for and auth_type not in field.only_for and settings[field.name]:
            methods = " or ".join(map(repr, field.only_for))
            _warn_once(
                f"The extra field {field.name!r} of a Qlik Cloud connection has no effect: it is for the authentication"
                f" method {methods}, and {auth_type!r} is selected (auth_type)."
            )


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _log.warning(message)


# Credentials

_FIELD_BY_ARGUMENT = {
    "key": "password",
    "client_id": "login",
    "client_secret": "password",
    "user": "impersonated_user",
    "user_field": "impersonated_user_field",
}
"""The field of the connection for each argument of the credentials."""


def _credentials(auth_type: str, settings: Mapping[str, Any]) -> Credentials:
    if auth_type == "api_key" and settings["login"]:
        method = next((name for name in ("private_key", "impersonated_user") if settings[name]), None)
        method = {"impersonated_user": "impersonation", None: "client_credentials"}.get(method, method)
        raise InvalidArgumentError(
            "auth_type",
            None,
            "a client ID (login) is given, but the authentication method is API key: "
            f"choose {method!r} ({AUTH_TYPES[str(method)]}), or leave the client ID empty",
        )
    for name in _REQUIRED_FIELDS[auth_type]:
        if not settings[name]:
            raise InvalidArgumentError(
                name, None, f"must be given for the authentication method {auth_type!r} ({AUTH_TYPES[auth_type]})"
            )
    _warn_of_unused(auth_type, settings)
    try:
        return _make_credentials(auth_type, settings)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            _FIELD_BY_ARGUMENT.get(error.argument, error.argument), error.value, error.allowed
        ) from None


_REQUIRED_FIELDS = {
    "api_key": ("password",),
    "client_credentials": ("login", "password"),
    "impersonation": ("login", "password", "impersonated_user"),
    "private_key": ("login", "private_key", "key_id"),
}
"""The fields that each authentication method requires."""


def _make_credentials(auth_type: str, settings: Mapping[str, Any]) -> Credentials:
    from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, Impersonation, PrivateKey

    if auth_type == "client_credentials":
        return ClientCredentials(settings["login"], settings["password"], settings["scope"])
    if auth_type == "impersonation":
        login, password, user = settings["login"], settings["password"], settings["impersonated_user"]
        return Impersonation(login, password, user, settings["impersonated_user_field"])
    if auth_type == "private_key":
        return PrivateKey(settings["login"], settings["private_key"], settings["key_id"], settings["scope"])
    return ApiKey(settings["password"])
