"""`POST /oauth/token`: the grants of the OAuth client."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Operation, ok
from airflow_provider_qlik.sandbox.state.access import Identity, client_identity
from airflow_provider_qlik.sandbox.state.times import stamp

TOKEN_PATH = "/oauth/token"

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_IMPERSONATION = "urn:qlik:oauth:user-impersonation"
_MAX_ASSERTION_SECONDS = 300
_LEEWAY_SECONDS = 10


def token(request: ApiRequest) -> Response:
    """Issue a token for the client itself, or for a user whom it may impersonate."""
    members = request.body
    if not isinstance(members, dict):
        raise ApiError(400, "Bad request", "the body must be a JSON object or a form")
    grant = _text(members, "grant_type")
    if grant not in ("client_credentials", _IMPERSONATION):
        raise ApiError(400, "Bad request", f"grant_type {grant!r} is not supported")
    if not isinstance(members.get("scope", ""), str):
        raise ApiError(400, "Bad request", "scope must be a string")
    _check_client(request, members)
    request.credential = "client"
    if request.tenant_state.switches.client == "disabled":
        raise ApiError(403, "Forbidden", "the OAuth client is disabled")
    identity = client_identity() if grant == "client_credentials" else _impersonated(request, members)
    request.credential = identity.credential
    value, expires = request.access.issue_token(identity, request.tenant_state.now)
    content: dict[str, Any] = {"access_token": value, "token_type": "bearer"}
    if request.tenant_state.switches.expiry in ("expires_in", "both"):
        content["expires_in"] = int(request.access.token_lifetime)
    if request.tenant_state.switches.expiry in ("expires_at", "both"):
        content["expires_at"] = stamp(expires, 3)
    return ok(content)


def _check_client(request: ApiRequest, members: dict[str, Any]) -> None:
    if "client_assertion" in members or "client_assertion_type" in members:
        if _text(members, "client_assertion_type") != _ASSERTION_TYPE:
            raise ApiError(400, "Bad request", f"client_assertion_type must be {_ASSERTION_TYPE}")
        _check_assertion(request, _text(members, "client_assertion"))
        if members.get("client_id", request.access.client_id) != request.access.client_id:
            raise ApiError(401, "Unauthorized", "client_id is not the one of the assertion")
        return
    client_id, secret = _text(members, "client_id"), _text(members, "client_secret")
    if client_id != request.access.client_id or not secrets.compare_digest(
        secret.encode(), request.access.client_secret.encode()
    ):
        raise ApiError(401, "Unauthorized", "the client is not known, or its secret is wrong")


def _check_assertion(request: ApiRequest, assertion: str) -> None:
    import jwt  # slow, because it loads cryptography; most sandboxes get no assertion

    try:
        header = jwt.get_unverified_header(assertion)
        algorithm, key_id = header.get("alg", ""), header.get("kid")
        if not key_id:
            raise ApiError(401, "Unauthorized", "client_assertion: the header has no kid")
        key = request.access.public_key(key_id, algorithm)
        if key is None:
            raise ApiError(401, "Unauthorized", f"client_assertion: no key {key_id} for {algorithm}")
        claims = jwt.decode(
            assertion,
            key,
            algorithms=[algorithm],
            audience=f"{request.base_url}{TOKEN_PATH}",
            issuer=request.access.client_id,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "jti"]},
        )
    except jwt.PyJWTError as error:
        raise ApiError(401, "Unauthorized", f"client_assertion: {error}") from error
    if claims["sub"] != request.access.client_id:
        raise ApiError(401, "Unauthorized", "client_assertion: sub is not the client")
    # The client signs by its own clock, so real time is used here, not the tenant's.
    if claims["exp"] > datetime.now(UTC).timestamp() + _MAX_ASSERTION_SECONDS + _LEEWAY_SECONDS:
        raise ApiError(401, "Unauthorized", "client_assertion: exp is more than 5 minutes ahead")
    if claims["jti"] in request.access.used_assertions:
        raise ApiError(401, "Unauthorized", "client_assertion: this jti was used before")
    request.access.used_assertions.add(claims["jti"])


def _impersonated(request: ApiRequest, members: dict[str, Any]) -> Identity:
    if "json" not in request.headers.get("content-type", ""):
        raise ApiError(400, "Bad request", "impersonation takes JSON only")
    lookup = members.get("user_lookup")
    if not isinstance(lookup, dict) or lookup.get("field") not in ("subject", "userId"):
        raise ApiError(400, "Bad request", "user_lookup must have the field subject or userId, and a value")
    if request.tenant_state.switches.client != "trusted":
        raise ApiError(403, "Forbidden", "the OAuth client is not trusted to impersonate")
    for user in request.tenant_state.users.values():
        if lookup.get("value") == (user.subject if lookup["field"] == "subject" else user.id):
            return Identity(user, f"user:{user.id}")
    raise ApiError(400, "Bad request", f"user_lookup matches no user: {lookup['field']} {lookup.get('value')!r}")


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, "Bad request", f"{name} is missing or not a string")
    return value


OPERATIONS = (Operation("token", "POST", (TOKEN_PATH,), "oauth", "tier_2", token, needs_credentials=False),)
