"""Credentials: API keys, the OAuth client with its secret and key pairs, and issued tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.state.records import User
from airflow_provider_qlik.sandbox.state.shared import CLIENT, USER

TOKEN_LIFETIME = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated user, and a short name of the credentials."""

    user: User
    credential: str


@dataclass(frozen=True, slots=True)
class _Token:
    identity: Identity
    expires: datetime


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair of the OAuth client, as PEM."""

    key_id: str
    algorithms: tuple[str, ...]
    private_pem: str
    public_pem: str


class Access:
    """The tenant's credentials, and the identity behind each of them."""

    def __init__(self) -> None:
        self._first = (_secret("key"), secrets.token_hex(16), _secret("secret"))
        self._key_pairs: dict[str, KeyPair] = {}
        self._key_lock = Lock()
        self.reset()

    def reset(self) -> None:
        """Restore the first credentials and revoke all tokens. Key pairs stay, because generating them is slow."""
        self.api_key, self.client_id, self.client_secret = self._first
        self.token_lifetime = TOKEN_LIFETIME
        self.used_assertions: set[str] = set()
        self._keys: dict[str, User] = {}
        self._tokens: dict[str, _Token] = {}

    def rotate(self, credential: str) -> str:
        """Replace the API key or the client secret, and return the new one."""
        if credential == "api_key":
            self.api_key = _secret("key")
            return self.api_key
        if credential == "client_secret":
            self.client_secret = _secret("secret")
            return self.client_secret
        raise ValueError(f"rotate: {credential!r} is not one of 'api_key', 'client_secret'")

    def add_key(self, user: User) -> str:
        """Create an API key of a user, and return it."""
        key = _secret("key")
        self._keys[key] = user
        return key

    def issue_token(self, identity: Identity, now: datetime) -> tuple[str, datetime]:
        """Issue a token, and return it with the time at which it expires."""
        token, expires = _secret("token"), now + timedelta(seconds=self.token_lifetime)
        self._tokens[token] = _Token(identity, expires)
        return token, expires

    def revoke_tokens(self) -> None:
        """Revoke all tokens issued so far."""
        self._tokens.clear()

    def identify(self, authorization: str | None, now: datetime) -> Identity:
        """Return the identity behind an Authorization header. Raises ApiError (401) if it is unknown or expired."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            raise ApiError(401, "Unauthorized", "the request has no bearer token")
        if secrets.compare_digest(value.encode(), self.api_key.encode()):
            return Identity(USER, "api_key")
        if value in self._keys:
            return Identity(self._keys[value], "api_key")
        token = self._tokens.get(value)
        if token is None:
            raise ApiError(401, "Unauthorized", "the credentials are not known")
        if now >= token.expires:
            raise ApiError(401, "Unauthorized", "the token has expired")
        return token.identity

    def key_pair(self, kind: str) -> KeyPair:
        """Return the OAuth client's key pair: `rsa` (2048 bits) or `ec` (P-384), generated on first use."""
        with self._key_lock:
            if kind not in self._key_pairs:
                self._key_pairs[kind] = _make_key_pair(kind)
            return self._key_pairs[kind]

    def public_key(self, key_id: str, algorithm: str) -> str | None:
        """Return the public key with that id, or None if it may not be used with the algorithm."""
        for pair in self._key_pairs.values():
            if pair.key_id == key_id and algorithm in pair.algorithms:
                return pair.public_pem
        return None


def client_identity() -> Identity:
    """Return the identity of the OAuth client acting for itself."""
    return Identity(CLIENT, "client")


def _secret(kind: str) -> str:
    return f"sandbox-{kind}-{secrets.token_urlsafe(32)}"


def _make_key_pair(kind: str) -> KeyPair:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if kind == "rsa":
        algorithms: tuple[str, ...] = ("RS256", "RS512")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elif kind == "ec":
        algorithms = ("ES384",)
        key = ec.generate_private_key(ec.SECP384R1())
    else:
        raise ValueError(f"key pair: {kind!r} is not one of 'rsa', 'ec'")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(f"sandbox-{kind}-{secrets.token_hex(4)}", algorithms, private.decode(), public.decode())
