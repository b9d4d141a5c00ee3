"""Reads and checks a Qlik Cloud connection: the tenant and the credentials. Its fields are in `connection`."""

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
    password, unknown, extra = _wrapped(password), _unknown(extra), _known(extra)
    _warn_of_unknown(unknown)
    given = {each.name: _value(each, extra.get(each.name)) for each in EXTRA_FIELDS}
    tenant = Tenant.at(
        _text("host", host),
        port=_port(port),
        tasks_path=given["tasks_api"],
        ca_bundle=given["ca_bundle"],
        connect_timeout=given["connect_timeout"],
        read_timeout=given["read_timeout"],
        request_timeout=given["request_timeout"],
        rate_limit_share=given["rate_limit_share"],
    )
    return tenant, _credentials(given["auth_type"], {**given, "login": _text("login", login), "password": password})


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


def _wrapped(secret: Any) -> SecretStr | None:
    """Return a secret so that it does not show, None if it is empty; a whole number is read as its digits."""
    from pydantic import SecretStr

    if isinstance(secret, SecretStr):
        secret = secret.get_secret_value()
    if isinstance(secret, int) and not isinstance(secret, bool):
        secret = str(secret)
    return SecretStr(secret.strip()) if isinstance(secret, str) and secret.strip() else None


def _known(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the extras that have a field here, with secrets wrapped; none where they are no JSON object."""
    members = extra if isinstance(extra, Mapping) else {}
    found = {each.name: members.get(each.name) for each in EXTRA_FIELDS}
    return {**found, "private_key": _wrapped(found["private_key"])}


def _value(each: Field, given: Any) -> Any:
    """Return a field's value: an address gives texts, a form gives nulls and empty texts for what was left out."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return each.default
    if each.choices:
        return _choice(each, given)
    if each.kind == "number":
        return _number(each, given)
    return given if each.look == "multiline" else _text(each.name, given)


def _choice(each: Field, given: object) -> str:
    """Return the word of a menu that is meant, whatever its letter case, blanks, hyphens and underscores."""
    words = each.choices or {}
    if isinstance(given, str):
        for word in words:
            if _bare(word) == _bare(given):
                return word
    raise InvalidArgumentError(each.name, given, "must be one of " + ", ".join(map(repr, words)))


def _bare(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word.casefold()).rstrip("/")


def _number(each: Field, given: object) -> float:
    number = math.nan
    if isinstance(given, (int, float, str)) and not isinstance(given, bool):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(given)
    if not 0 < number <= (each.most or math.inf) or not math.isfinite(number):
        raise InvalidArgumentError(each.name, given, each.allowed)
    return number


def _text(name: str, given: object) -> str | None:
    """Return a text without blanks around it, None if it is empty; a whole number is read as its digits."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if given is not None and not isinstance(given, str):
        raise InvalidArgumentError(name, None, "must be a text")
    return (given or "").strip() or None


def _port(given: object) -> int | None:
    """Return a port, from a number or its digits; a form gives 0 for what was left out. The tenant checks the rest."""
    if isinstance(given, str):
        given = given.strip() or None
        if given is not None and not (given.isascii() and given.isdigit() and len(given) < 10):
            raise InvalidArgumentError("port", given, "must be a whole number from 1 to 65535")
        given = int(given) if given else None
    return given  # type: ignore[return-value]  # whatever it is, Tenant.at checks it


# Warnings

_IGNORED = ("extra__", "_")
"""How the names of extras begin that other tools, or Airflow itself, add and nobody need hear of."""

_MEANT = {
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
    "method": "auth_type",
    "kid": "key_id",
    "user": "impersonated_user",
    "timeout": "request_timeout",
    "verify": "ca_bundle",
    "cert": "ca_bundle",
}
"""Fields that other providers name otherwise."""

_log = logging.getLogger(__name__)
_warned: set[str] = set()


def _unknown(extra: Mapping[str, Any] | None) -> list[str]:
    known = {each.name for each in EXTRA_FIELDS}
    names = [str(name) for name in extra] if isinstance(extra, Mapping) else []
    return [name for name in names if name not in known and not name.startswith(_IGNORED)]


def _warn_of_unknown(names: Iterable[str]) -> None:
    for name in names:
        meant = _meant(name)
        advice = f"did you mean {meant!r}?" if meant else f"the known ones are {', '.join(_names())}."
        shown = repr(printable(name, 60))
        _warn_once(f"The extra field {shown} of a Qlik Cloud connection is unknown and has no effect: {advice}")


def _meant(name: str) -> str | None:
    """Return the field that is probably meant by an unknown name."""
    word = re.sub(r"[\s-]+", "_", name.strip().casefold())
    if word in _MEANT:
        return _MEANT[word]
    return next(iter(difflib.get_close_matches(word, [*_names(), *STANDARD_FIELDS], 1)), None)


def _names() -> list[str]:
    return [each.name for each in EXTRA_FIELDS]


def _warn_of_unused(auth_type: str, given: Mapping[str, Any]) -> None:
    for each in EXTRA_FIELDS:
        if each.only_for and auth_type not in each.only_for and given[each.name]:
            _warn_once(
                f"The extra field {each.name!r} of a Qlik Cloud connection has no effect: it is for the authentication "
                f"method {' or '.join(map(repr, each.only_for))}, and {auth_type!r} is selected (auth_type)."
            )


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _log.warning(message)


# Credentials

_FIELD_OF = {
    "key": "password",
    "client_id": "login",
    "client_secret": "password",
    "user": "impersonated_user",
    "user_field": "impersonated_user_field",
}
"""The field of a connection, by the argument of the credentials that comes from it."""


def _credentials(auth_type: str, given: Mapping[str, Any]) -> Credentials:
    if auth_type == "api_key" and given["login"]:
        method = next((name for name in ("private_key", "impersonated_user") if given[name]), None)
        method = {"impersonated_user": "impersonation", None: "client_credentials"}.get(method, method)
        raise InvalidArgumentError(
            "auth_type",
            None,
            "a client id (login) is given, but API key is selected as the authentication method: "
            f"choose {method!r} ({AUTH_TYPES[str(method)]}), or leave the client id empty",
        )
    for name in _NEEDED[auth_type]:
        if not given[name]:
            raise InvalidArgumentError(
                name, None, f"must be given to sign in by {auth_type!r} ({AUTH_TYPES[auth_type]})"
            )
    _warn_of_unused(auth_type, given)
    try:
        return _made(auth_type, given)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(_FIELD_OF.get(error.argument, error.argument), error.given, error.allowed) from None


_NEEDED = {
    "api_key": ("password",),
    "client_credentials": ("login", "password"),
    "impersonation": ("login", "password", "impersonated_user"),
    "private_key": ("login", "private_key", "key_id"),
}
"""The fields that each authentication method needs."""


def _made(auth_type: str, given: Mapping[str, Any]) -> Credentials:
    from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, Impersonation, PrivateKey

    if auth_type == "client_credentials":
        return ClientCredentials(given["login"], given["password"], given["scope"])
    if auth_type == "impersonation":
        login, password, user = given["login"], given["password"], given["impersonated_user"]
        return Impersonation(login, password, user, given["impersonated_user_field"])
    if auth_type == "private_key":
        return PrivateKey(given["login"], given["private_key"], given["key_id"], given["scope"])
    return ApiKey(given["password"])
