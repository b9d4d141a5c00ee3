from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Tenant

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IMPERSONATION = "urn:qlik:oauth:user-impersonation"


def by_secret(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    return {
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "grant_type": "client_credentials",
    } | changes


def as_user(tenant: Tenant, field: str, value: str) -> dict[str, Any]:
    return by_secret(tenant, grant_type=IMPERSONATION, user_lookup={"field": field, "value": value})


def by_key(tenant: Tenant, algorithm: str = "RS256", kid: str | None = "", **changes: Any) -> dict[str, Any]:
    key = tenant.ec_private_key if algorithm == "ES384" else tenant.private_key
    key_id = tenant.ec_key_id if algorithm == "ES384" else tenant.key_id
    claims = {
        "iss": tenant.client_id,
        "sub": tenant.client_id,
        "aud": f"{tenant.url}/oauth/token",
        "exp": int(time.time()) + 300,
        "jti": str(uuid4()),
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {} if kid is None else {"kid": kid or key_id}
    return {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jwt.encode(claims, key, algorithm, headers=header),
        "grant_type": "client_credentials",
    }


def token_for(anybody: httpx.Client, members: dict[str, Any]) -> str:
    response = anybody.post("/oauth/token", json=members)
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


def me(anybody: httpx.Client, token: str) -> httpx.Response:
    return anybody.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}, follow_redirects=True)


def test_an_api_key_authenticates_the_user(tenant: Tenant, anybody: httpx.Client) -> None:
    user = me(anybody, tenant.api_key).json()
    assert (user["id"], user["status"]) == (tenant.user_id, "active")
    assert user["assignedRoles"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic dTpw"])
def test_invalid_credentials_are_refused(anybody: httpx.Client, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    tasks = anybody.get("/api/v1/tasks", headers=headers)
    automations = anybody.get("/api/workflows/automations", headers=headers)
    assert (tasks.status_code, tasks.json()["errors"][0]["code"]) == (401, 401)
    assert (automations.status_code, automations.json()["errors"][0]["code"]) == (401, "AUTOMATIONS-401")


@pytest.mark.parametrize("form", ["json", "data"])
def test_a_client_secret_is_exchanged_for_a_token(tenant: Tenant, anybody: httpx.Client, form: str) -> None:
    members = by_secret(tenant, scope="user_default")
    response = anybody.post("/oauth/token", **{form: members})  # type: ignore[arg-type]
    content = response.json()
    assert (response.status_code, content["token_type"], content["expires_in"]) == (200, "bearer", 6 * 3600)
    assert me(anybody, content["access_token"]).json()["id"] == "user-client"


@pytest.mark.parametrize("field", ["subject", "userId"])
def test_a_trusted_client_impersonates_a_user(tenant: Tenant, anybody: httpx.Client, field: str) -> None:
    value = tenant.user_subject if field == "subject" else tenant.user_id
    token = token_for(anybody, as_user(tenant, field, value))
    assert me(anybody, token).json()["id"] == tenant.user_id
    assert tenant.request_log("get_me")[-1].credential == f"user:{tenant.user_id}"


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "ES384"])
def test_a_client_assertion_is_exchanged_for_a_token(tenant: Tenant, anybody: httpx.Client, algorithm: str) -> None:
    token = token_for(anybody, by_key(tenant, algorithm))
    assert me(anybody, token).json()["id"] == "user-client"


def test_an_assertion_may_come_as_a_form(tenant: Tenant, anybody: httpx.Client) -> None:
    assert anybody.post("/oauth/token", data=by_key(tenant)).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere/oauth/token"},
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"jti": None},
        {"exp": None},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 3600},
        {"kid": None},
        {"kid": "unknown"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_an_assertion_with_a_wrong_claim_is_401(tenant: Tenant, anybody: httpx.Client, changes: dict[str, Any]) -> None:
    assert anybody.post("/oauth/token", json=by_key(tenant, **changes)).status_code == 401


def test_an_assertion_signed_with_another_key_is_401(tenant: Tenant, anybody: httpx.Client) -> None:
    members = by_key(tenant, "ES384", kid=tenant.key_id)
    assert anybody.post("/oauth/token", json=members).status_code == 401
    assert anybody.post("/oauth/token", json=members | {"client_assertion": "no.jwt"}).status_code == 401


def test_an_assertion_is_accepted_only_once(tenant: Tenant, anybody: httpx.Client) -> None:
    members = by_key(tenant)
    statuses = [anybody.post("/oauth/token", json=members).status_code for _ in range(2)]
    assert statuses == [200, 401]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_secret": "wrong"}, 401),
        ({"client_id": "wrong"}, 401),
        ({"client_secret": None}, 400),
        ({"grant_type": "password"}, 400),
        ({"grant_type": None}, 400),
        ({"scope": ["a"]}, 400),
        ({"grant_type": IMPERSONATION}, 400),
        ({"grant_type": IMPERSONATION, "user_lookup": {"field": "email", "value": "x"}}, 400),
        ({"grant_type": IMPERSONATION, "user_lookup": {"field": "userId", "value": "nobody"}}, 400),
        ({"client_assertion_type": "other", "client_assertion": "x"}, 400),
    ],
)
def test_an_invalid_token_request_is_refused(
    tenant: Tenant, anybody: httpx.Client, changes: dict[str, Any], status: int
) -> None:
    response = anybody.post("/oauth/token", json=by_secret(tenant, **changes))
    assert response.status_code == status
    assert response.json()["traceId"]


def test_impersonation_requires_json(tenant: Tenant, anybody: httpx.Client) -> None:
    members = by_secret(tenant, grant_type=IMPERSONATION)
    assert anybody.post("/oauth/token", data=members).status_code == 400


@pytest.mark.parametrize(
    ("client", "members", "status"),
    [
        ("untrusted", by_secret, 200),
        ("untrusted", lambda tenant: as_user(tenant, "userId", tenant.user_id), 403),
        ("disabled", by_secret, 403),
    ],
)
def test_the_grants_of_a_client_depend_on_its_state(
    tenant: Tenant,
    anybody: httpx.Client,
    client: str,
    members: Callable[[Tenant], dict[str, Any]],
    status: int,
) -> None:
    tenant.switch(client=client)
    assert anybody.post("/oauth/token", json=members(tenant)).status_code == status


def test_a_token_expires_by_the_tenants_clock(tenant: Tenant, anybody: httpx.Client) -> None:
    tenant.set_token_lifetime(60)
    token = token_for(anybody, by_secret(tenant))
    tenant.advance(59)
    assert me(anybody, token).status_code == 200
    tenant.advance(1)
    assert me(anybody, token).status_code == 401
    assert me(anybody, token_for(anybody, by_secret(tenant))).status_code == 200


def test_revoked_tokens_are_invalid(tenant: Tenant, anybody: httpx.Client) -> None:
    token = token_for(anybody, by_secret(tenant))
    tenant.revoke_tokens()
    assert me(anybody, token).status_code == 401


def test_rotated_credentials_are_invalid_until_a_reset(tenant: Tenant, anybody: httpx.Client) -> None:
    key, members = tenant.api_key, by_secret(tenant)
    assert tenant.rotate("api_key") == tenant.api_key != key
    assert tenant.rotate("client_secret") == tenant.client_secret != members["client_secret"]
    assert me(anybody, key).status_code == 401
    assert anybody.post("/oauth/token", json=members).status_code == 401
    assert me(anybody, tenant.api_key).status_code == 200
    tenant.reset()
    assert me(anybody, key).status_code == 200
    with pytest.raises(SandboxError, match="password"):
        tenant.rotate("password")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expiry", "members"),
    [("expires_in", {"expires_in"}), ("expires_at", {"expires_at"}), ("both", {"expires_in", "expires_at"})],
)
def test_the_expiry_of_a_token_has_several_forms(
    tenant: Tenant, anybody: httpx.Client, expiry: str, members: set[str]
) -> None:
    tenant.switch(expiry=expiry)
    content = anybody.post("/oauth/token", json=by_secret(tenant)).json()
    assert content.keys() - {"access_token", "token_type"} == members
    if "expires_at" in members:
        remaining = datetime.fromisoformat(content["expires_at"]) - tenant.now()
        assert remaining.total_seconds() == pytest.approx(6 * 3600, abs=0.001)


def test_me_is_a_redirect_the_user_or_a_redirect_to_another_host(tenant: Tenant, api: httpx.Client) -> None:
    response = api.get("/api/v1/users/me")
    assert (response.status_code, response.headers["location"]) == (
        301,
        f"{tenant.url}/api/v1/users/{tenant.user_id}",
    )
    tenant.switch(users_me="direct")
    assert api.get("/api/v1/users/me").json()["id"] == tenant.user_id
    tenant.switch(users_me="redirect_other_host")
    assert api.get("/api/v1/users/me").headers["location"].startswith("http://elsewhere.invalid/")


def test_an_unknown_user_is_404(api: httpx.Client) -> None:
    assert api.get("/api/v1/users/nobody").status_code == 404
