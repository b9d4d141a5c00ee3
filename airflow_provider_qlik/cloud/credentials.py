"""Who signs in: the four kinds of credentials, checked when they are made."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from airflow_provider_qlik.arguments import InvalidArgument, checked_word
from airflow_provider_qlik.cloud.errors import TOKEN_PATH
from airflow_provider_qlik.cloud.tenant import Tenant


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Signs in with an API key of a user."""

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        _sendable("key", self.key, "the API key")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Signs in as an OAuth client, machine to machine. `scope` is a list of scopes with blanks between, if any."""

    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None

    def __post_init__(self) -> None:
        _given("client_id", self.client_id, "the OAuth client id")
        _given("client_secret", self.client_secret, "the OAuth client secret")

    def token_request(self, tenant: Tenant) -> dict[str, Any]:
        """The body to ask a token with."""
        body = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.client_secret}
        return {**body, "scope": self.scope} if self.scope else body


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Signs in as an OAuth client that acts for a user, looked up by `user_field`: "subject" or "userId"."""

    client_id: str
    client_secret: str = field(repr=False)
    user: str
    user_field: str = "subject"

    def __post_init__(self) -> None:
        _given("client_id", self.client_id, "the OAuth client id")
        _given("client_secret", self.client_secret, "the OAuth client secret")
        _given("user", self.user, "the user to act for")
        checked_word("user_field", self.user_field, ("subject", "userId"))

    def token_request(self, tenant: Tenant) -> dict[str, Any]:
        """The body to ask a token with."""
        return {
            "grant_type": "urn:qlik:oauth:user-impersonation",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "user_lookup": {"field": self.user_field, "value": self.user},
        }


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """Signs in as an OAuth client by a private key (PEM), whose public half Qlik knows as `key_id`."""

    client_id: str
    private_key: str = field(repr=False)
    key_id: str
    scope: str | None = None

    def __post_init__(self) -> None:
        _given("client_id", self.client_id, "the OAuth client id")
        _given("private_key", self.private_key, "the private key in PEM form")
        _given("key_id", self.key_id, "the id (kid) under which Qlik knows the public key")
        _loaded(self.private_key)

    def token_request(self, tenant: Tenant) -> dict[str, Any]:
        """The body to ask a token with; each has an assertion of its own, good for two minutes."""
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": tenant.url + TOKEN_PATH,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + 120,
        }
        key, algorithm = _loaded(self.private_key)
        body = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, key, algorithm, headers={"kid": self.key_id}),
        }
        return {**body, "scope": self.scope} if self.scope else body


OAuth: TypeAlias = ClientCredentials | Impersonation | PrivateKey
Credentials: TypeAlias = ApiKey | OAuth


def _given(argument: str, value: object, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgument(argument, None, f"give {what}")


def _sendable(argument: str, value: object, what: str) -> None:
    _given(argument, value, what)
    if not fits_a_header(str(value).strip()):
        raise InvalidArgument(argument, None, f"{what} has characters that no header can hold")


def fits_a_header(value: str) -> bool:
    """Whether a text can stand in a header as it is."""
    return bool(value) and value.isascii() and value.isprintable()


@lru_cache(maxsize=16)
def _loaded(pem: str) -> tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, str]:
    """A private key and the JWT algorithm that fits it.

    Kept, since an RSA key is proved when it is loaded: that takes 30 ms for 2048 bits and 210 ms for 4096, and no other
    thread gets anywhere meanwhile, the event loop's neither.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise InvalidArgument("private_key", None, "must be an unencrypted private key in PEM form") from None
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return key, "ES384"
    raise InvalidArgument("private_key", None, "must be an RSA key or an EC key on curve P-384")
