"""The four kinds of credentials, checked when they are made.

Secrets are held as `SecretStr` from the first line of each constructor on, and unwrapped only in the expression that
signs or sends: tracebacks of Airflow and of error reporters show the local variables of each frame.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr

from airflow_provider_qlik.cloud.errors import TOKEN_PATH
from airflow_provider_qlik.cloud.transport.pem import pem_label, repaired
from airflow_provider_qlik.cloud.transport.tenant import Tenant
from airflow_provider_qlik.validation import InvalidArgumentError, checked_word

ASSERTION_AGE = 120
"""Seconds before now that an assertion says it was issued: a clock that is ahead by less is no reason to refuse it."""
ASSERTION_LIFETIME = 150
"""Seconds from now for which an assertion is valid: a clock that is behind by less is no reason to refuse it.

Qlik Cloud allows five minutes at most, from when it was issued and from its own time."""
MIN_KEY_BITS = 1024
"""Bits of an RSA key, at least: smaller ones have no room for the signature."""

_BEARER = re.compile(r"\s*(?:authorization\s*:\s*)?bearer(?:[\s:]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, init=False)
class ApiKey:
    """Signs in with an API key of a user."""

    key: SecretStr = field(repr=False)

    def __init__(self, key: str | SecretStr) -> None:
        key = _as_secret(key)
        _set(self, key=SecretStr(key.get_secret_value().strip()))
        _check_text("key", key, "the API key")
        if _BEARER.match(key.get_secret_value()):
            raise InvalidArgumentError(
                "key", None, "the API key must be given without 'Bearer': that is put before it here"
            )
        if not fits_a_header(key.get_secret_value().strip()):
            raise InvalidArgumentError("key", None, "the API key has characters that no header can hold")


@dataclass(frozen=True, slots=True, init=False)
class ClientCredentials:
    """Signs in as an OAuth client, machine to machine. `scope` is a list of scopes with blanks between, if any."""

    client_id: str
    client_secret: SecretStr = field(repr=False)
    scope: str | None = None

    def __init__(self, client_id: str, client_secret: str | SecretStr, scope: str | None = None) -> None:
        client_secret = _as_secret(client_secret)
        _set(self, client_id=client_id, client_secret=client_secret, scope=scope)
        _check_text("client_id", client_id, "the OAuth client id")
        _check_text("client_secret", client_secret, "the OAuth client secret")
        _check_scope(scope)

    @property
    def secret(self) -> SecretStr:
        """The secret part of these credentials."""
        return self.client_secret

    def token_request(self, tenant: Tenant, clock_offset: float = 0.0) -> dict[str, Any]:
        """Return the body of a token request; secrets in it are still wrapped, see `plain`."""
        body = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.client_secret}
        return {**body, "scope": self.scope} if self.scope else body


@dataclass(frozen=True, slots=True, init=False)
class Impersonation:
    """Signs in as an OAuth client that acts for a user, looked up by `user_field`: "subject" or "userId"."""

    client_id: str
    client_secret: SecretStr = field(repr=False)
    user: str
    user_field: str = "subject"

    def __init__(self, client_id: str, client_secret: str | SecretStr, user: str, user_field: str = "subject") -> None:
        client_secret = _as_secret(client_secret)
        _set(self, client_id=client_id, client_secret=client_secret, user=user, user_field=user_field)
        _check_text("client_id", client_id, "the OAuth client id")
        _check_text("client_secret", client_secret, "the OAuth client secret")
        _check_text("user", user, "the user to act for")
        checked_word("user_field", user_field, ("subject", "userId"))

    @property
    def secret(self) -> SecretStr:
        """The secret part of these credentials."""
        return self.client_secret

    def token_request(self, tenant: Tenant, clock_offset: float = 0.0) -> dict[str, Any]:
        """Return the body of a token request; secrets in it are still wrapped, see `plain`."""
        return {
            "grant_type": "urn:qlik:oauth:user-impersonation",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "user_lookup": {"field": self.user_field, "value": self.user},
        }


@dataclass(frozen=True, slots=True, init=False)
class PrivateKey:
    """Signs in as an OAuth client by a private key (PEM), whose public half Qlik knows as `key_id`."""

    client_id: str
    private_key: SecretStr = field(repr=False)
    key_id: str
    scope: str | None = None

    def __init__(self, client_id: str, private_key: str | SecretStr, key_id: str, scope: str | None = None) -> None:
        private_key = repaired(_as_secret(private_key))
        _set(self, client_id=client_id, private_key=private_key, key_id=key_id, scope=scope)
        _check_text("client_id", client_id, "the OAuth client id")
        _check_text("private_key", private_key, "the private key in PEM form")
        _check_text("key_id", key_id, "the id (kid) under which Qlik knows the public key")
        _check_scope(scope)
        _loaded(private_key)

    @property
    def secret(self) -> SecretStr:
        """The secret part of these credentials."""
        return self.private_key

    def token_request(self, tenant: Tenant, clock_offset: float = 0.0) -> dict[str, Any]:
        """Return the body of a token request; secrets in it are still wrapped, see `plain`.

        Each has an assertion of its own, by this machine's clock plus *clock_offset* in seconds.
        """
        now = int(time.time() + clock_offset)
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": tenant.url + TOKEN_PATH,
            "jti": str(uuid.uuid4()),
            "iat": now - ASSERTION_AGE,
            "exp": now + ASSERTION_LIFETIME,
        }
        key, algorithm = _loaded(self.private_key)
        body = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": SecretStr(jwt.encode(claims, key, algorithm, headers={"kid": self.key_id})),
        }
        return {**body, "scope": self.scope} if self.scope else body


OAuth: TypeAlias = ClientCredentials | Impersonation | PrivateKey
Credentials: TypeAlias = ApiKey | OAuth


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a token request with its secrets unwrapped, to be sent at once and kept nowhere."""
    return {
        name: member.get_secret_value() if isinstance(member, SecretStr) else member for name, member in body.items()
    }


def digest(credentials: OAuth) -> bytes:
    """Return a hash of the secret, by which two credentials can be compared."""
    return hashlib.sha256(credentials.secret.get_secret_value().encode()).digest()


def fits_a_header(value: str) -> bool:
    """Return True if a text can stand in a header as it is."""
    return bool(value) and value.isascii() and value.isprintable()


def _as_secret(secret: object) -> SecretStr:
    """Return a secret wrapped, so that no traceback shows it; an empty one for anything but a text."""
    if isinstance(secret, SecretStr):
        return secret
    return SecretStr(secret if isinstance(secret, str) else "")


def _set(credentials: object, **members: object) -> None:
    """Set the members of a frozen instance that is being made, before they are checked: errors show its repr."""
    for name, member in members.items():
        object.__setattr__(credentials, name, member)


def _check_text(argument: str, value: object, what: str) -> None:
    if not _is_text(value):
        raise InvalidArgumentError(argument, None, f"give {what}")
    _check_unicode(argument, value, what)


def _check_unicode(argument: str, value: object, what: str) -> None:
    if not _is_unicode(value):
        raise InvalidArgumentError(
            argument, None, f"{what} has half of a character (a lone surrogate), so it cannot be sent"
        )


def _is_text(value: object) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return isinstance(text, str) and bool(text.strip())


def _is_unicode(value: object) -> bool:
    # No error from here: its traceback would show the secret.
    try:
        (value.get_secret_value() if isinstance(value, SecretStr) else str(value)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_scope(scope: object) -> None:
    if scope is not None and not isinstance(scope, str):
        raise InvalidArgumentError("scope", None, "must be a text, the scopes with blanks between")
    if scope:
        _check_unicode("scope", scope, "the scope")


@lru_cache(maxsize=16)
def _loaded(pem: SecretStr) -> tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, str]:
    """Return a private key and the JWT algorithm that fits it.

    The result is cached, since an RSA key is checked when it is loaded: that takes 30 ms for 2048 bits and 210 ms for
    4096, and the interpreter lock is held meanwhile, so the event loop stands still even if a thread loads the key.
    """
    key = _read_key(pem)
    if key is None:
        label = pem_label(pem)
        found = f" (this is a {label})" if label else ""
        raise InvalidArgumentError("private_key", None, f"must be an unencrypted private key in PEM form{found}")
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_KEY_BITS:
            raise InvalidArgumentError("private_key", None, f"must be an RSA key of at least {MIN_KEY_BITS} bits")
        return key, "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return key, "ES384"
    raise InvalidArgumentError("private_key", None, "must be an RSA key or an EC key on curve P-384")


def _read_key(pem: SecretStr) -> object:
    try:
        return load_pem_private_key(pem.get_secret_value().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
