"""Who signs in: the four kinds of credentials, checked when they are made.

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
from airflow_provider_qlik.cloud.transport.pem import described, repaired
from airflow_provider_qlik.cloud.transport.tenant import Tenant
from airflow_provider_qlik.validation import InvalidArgumentError, checked_word

ASSERTION_AGE = 120
"""Seconds before now that an assertion says it was issued: a clock that is ahead by less is no reason to refuse it."""
ASSERTION_LIFETIME = 150
"""Seconds from now for which an assertion is valid: a clock that is behind by less is no reason to refuse it.

Qlik Cloud allows five minutes at most, from when it was issued and from its own time."""
MIN_KEY = 1024
"""Bits that an RSA key has at least; smaller ones have no room for the signature."""

_BEARER = re.compile(r"\s*(?:authorization\s*:\s*)?bearer(?:[\s:]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, init=False)
class ApiKey:
    """Signs in with an API key of a user."""

    key: SecretStr = field(repr=False)

    def __init__(self, key: str | SecretStr) -> None:
        key = _hidden(key)
        _set(self, key=SecretStr(key.get_secret_value().strip()))
        _check_given("key", key, "the API key")
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
        client_secret = _hidden(client_secret)
        _set(self, client_id=client_id, client_secret=client_secret, scope=scope)
        _check_given("client_id", client_id, "the OAuth client id")
        _check_given("client_secret", client_secret, "the OAuth client secret")
        _check_scope(scope)

    @property
    def secret(self) -> SecretStr:
        """The secret part of these credentials."""
        return self.client_secret

    def token_request(self, tenant: Tenant, clock_offset: float = 0.0) -> dict[str, Any]:
        """Return the body to ask for a token with; secrets in it are still wrapped, see `plain`."""
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
        client_secret = _hidden(client_secret)
        _set(self, client_id=client_id, client_secret=client_secret, user=user, user_field=user_field)
        _check_given("client_id", client_id, "the OAuth client id")
        _check_given("client_secret", client_secret, "the OAuth client secret")
        _check_given("user", user, "the user to act for")
        checked_word("user_field", user_field, ("subject", "userId"))

    @property
    def secret(self) -> SecretStr:
        """The secret part of these credentials."""
        return self.client_secret

    def token_request(self, tenant: Tenant, clock_offset: float = 0.0) -> dict[str, Any]:
        """Return the body to ask for a token with; secrets in it are still wrapped, see `plain`."""
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
        private_key = repaired(_hidden(private_key))
        _set(self, client_id=client_id, private_key=private_key, key_id=key_id, scope=scope)
        _check_given("client_id", client_id, "the OAuth client id")
        _check_given("private_key", private_key, "the private key in PEM form")
        _check_given("key_id", key_id, "the id (kid) under which Qlik knows the public key")
        _check_scope(scope)
        _loaded(private_key)

    @property
    def secret(self) -> SecretStr:
        """The secret part of these credentials."""
        return self.private_key

    def token_request(self, tenant: Tenant, clock_offset: float = 0.0) -> dict[str, Any]:
        """Return the body to ask for a token with; secrets in it are still wrapped, see `plain`.

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
    """Return what tells the secrets of two credentials apart without being one."""
    return hashlib.sha256(credentials.secret.get_secret_value().encode()).digest()


def fits_a_header(value: str) -> bool:
    """Return whether a text can stand in a header as it is."""
    return bool(value) and value.isascii() and value.isprintable()


def _hidden(secret: object) -> SecretStr:
    """Return a secret so that it does not show; what is no text is as good as none."""
    if isinstance(secret, SecretStr):
        return secret
    return SecretStr(secret if isinstance(secret, str) else "")


def _set(credentials: object, **members: object) -> None:
    """Set the members of a frozen instance that is being made: before anything is checked, so that it can be shown."""
    for name, member in members.items():
        object.__setattr__(credentials, name, member)


def _check_given(argument: str, value: object, what: str) -> None:
    if not _is_text(value):
        raise InvalidArgumentError(argument, None, f"give {what}")
    if not _is_unicode(value):
        raise InvalidArgumentError(
            argument, None, f"{what} has half of a character (a lone surrogate), so it cannot be sent"
        )


def _is_text(value: object) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return isinstance(text, str) and bool(text.strip())


def _is_unicode(value: object) -> bool:
    try:
        (value.get_secret_value() if isinstance(value, SecretStr) else str(value)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_scope(scope: object) -> None:
    if scope is not None and not isinstance(scope, str):
        raise InvalidArgumentError("scope", None, "must be a text, the scopes with blanks between")
    if scope and not _is_unicode(scope):
        raise InvalidArgumentError("scope", None, "has half of a character (a surrogate) and cannot be sent")


@lru_cache(maxsize=16)
def _loaded(pem: SecretStr) -> tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, str]:
    """Return a private key and the JWT algorithm that fits it.

    Kept, since an RSA key is proved when it is loaded: that takes 30 ms for 2048 bits and 210 ms for 4096, and no other
    thread gets anywhere meanwhile, the event loop's neither.
    """
    key = _read_key(pem)
    if key is None:
        other = described(pem)
        found = f" (this is a {other})" if other else ""
        raise InvalidArgumentError("private_key", None, f"must be an unencrypted private key in PEM form{found}")
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_KEY:
            raise InvalidArgumentError("private_key", None, f"must be an RSA key of at least {MIN_KEY} bits")
        return key, "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return key, "ES384"
    raise InvalidArgumentError("private_key", None, "must be an RSA key or an EC key on curve P-384")


def _read_key(pem: SecretStr) -> object:
    try:
        return load_pem_private_key(pem.get_secret_value().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
