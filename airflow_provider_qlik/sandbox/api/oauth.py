"""`POST /oauth/token`: the ways in which an OAuth client gets a token."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox.access import Identity, client_identity
from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Operation, ok
from airflow_provider_qlik.sandbox.times import stamp

TOKEN_PATH = "/oauth/token"

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_IMPERSONATION = "urn:qlik:oauth:user-impersonation"
_MOST_ASSERTION_SECONDS = 300
_LEEWAY_SECONDS = 10


def token(asked: Asked) -> Response:
    """A token for the client itself, or for a user in whose name it may act."""
    members = asked.body
    if not isinstance(members, dict):
        raise Refused(400, "Bad request", "send a JSON object or a form")
    grant = _text(members, "grant_type")
    if grant not in ("client_credentials", _IMPERSONATION):
        raise Refused(400, "Bad request", f"grant_type {grant!r} is not supported")
    if not isinstance(members.get("scope", ""), str):
        raise Refused(400, "Bad request", "scope must be a string")
    _check_client(asked, members)
    asked.credential = "client"
    if asked.world.switches.client == "disabled":
        raise Refused(403, "Forbidden", "the OAuth client is disabled")
    identity = client_identity() if grant == "client_credentials" else _impersonated(asked, members)
    asked.credential = identity.credential
    value, expires = asked.access.give_token(identity, asked.world.now)
    reply: dict[str, Any] = {"access_token": value, "token_type": "bearer"}
    if asked.world.switches.expiry in ("expires_in", "both"):
        reply["expires_in"] = int(asked.access.token_lifetime)
    if asked.world.switches.expiry in ("expires_at", "both"):
        reply["expires_at"] = stamp(expires, 3)
    return ok(reply)


def _check_client(asked: Asked, members: dict[str, Any]) -> None:
    if "client_assertion" in members or "client_assertion_type" in members:
        if _text(members, "client_assertion_type") != _ASSERTION_TYPE:
            raise Refused(400, "Bad request", f"client_assertion_type must be {_ASSERTION_TYPE}")
        _check_assertion(asked, _text(members, "client_assertion"))
        if members.get("client_id", asked.access.client_id) != asked.access.client_id:
            raise Refused(401, "Unauthorized", "client_id is not the one of the assertion")
        return
    client_id, secret = _text(members, "client_id"), _text(members, "client_secret")
    if client_id != asked.access.client_id or not secrets.compare_digest(
        secret.encode(), asked.access.client_secret.encode()
    ):
        raise Refused(401, "Unauthorized", "the client is not known, or its secret is wrong")


def _check_assertion(asked: Asked, assertion: str) -> None:
    import jwt  # loads cryptography, which is slow; most sandboxes see no assertion

    try:
        header = jwt.get_unverified_header(assertion)
        algorithm, key_id = header.get("alg", ""), header.get("kid")
        if not key_id:
            raise Refused(401, "Unauthorized", "client_assertion: the header has no kid")
        key = asked.access.public_key(key_id, algorithm)
        if key is None:
            raise Refused(401, "Unauthorized", f"client_assertion: no key {key_id} for {algorithm}")
        claims = jwt.decode(
            assertion,
            key,
            algorithms=[algorithm],
            audience=f"{asked.base_url}{TOKEN_PATH}",
            issuer=asked.access.client_id,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "jti"]},
        )
    except jwt.PyJWTError as error:
        raise Refused(401, "Unauthorized", f"client_assertion: {error}") from error
    if claims["sub"] != asked.access.client_id:
        raise Refused(401, "Unauthorized", "client_assertion: sub is not the client")
    # The client signs by its own clock, so real time counts here, not the tenant's.
    if claims["exp"] > datetime.now(UTC).timestamp() + _MOST_ASSERTION_SECONDS + _LEEWAY_SECONDS:
        raise Refused(401, "Unauthorized", "client_assertion: exp is more than 5 minutes ahead")
    if claims["jti"] in asked.access.used_assertions:
        raise Refused(401, "Unauthorized", "client_assertion: this jti was used before")
    asked.access.used_assertions.add(claims["jti"])


def _impersonated(asked: Asked, members: dict[str, Any]) -> Identity:
    if "json" not in asked.headers.get("content-type", ""):
        raise Refused(400, "Bad request", "impersonation takes JSON only")
    lookup = members.get("user_lookup")
    if not isinstance(lookup, dict) or lookup.get("field") not in ("subject", "userId"):
        raise Refused(400, "Bad request", "user_lookup must have the field subject or userId, and a value")
    if asked.world.switches.client != "trusted":
        raise Refused(403, "Forbidden", "the OAuth client is not trusted to impersonate")
    for user in asked.world.users.values():
        if lookup.get("value") == (user.subject if lookup["field"] == "subject" else user.id):
            return Identity(user, f"user:{user.id}")
    raise Refused(400, "Bad request", f"user_lookup finds no user: {lookup['field']} {lookup.get('value')!r}")


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, "Bad request", f"{name} is missing or not a string")
    return value


OPERATIONS = (Operation("token", "POST", (TOKEN_PATH,), "oauth", "tier_2", token, needs_credentials=False),)
