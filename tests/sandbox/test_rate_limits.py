from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from airflow_provider_qlik.sandbox import SandboxError, Script, Tenant

AUTOMATIONS = "/api/workflows/automations"


def statuses(api: httpx.Client, path: str, count: int) -> list[int]:
    return [api.get(path).status_code for _ in range(count)]


def test_a_tier_refuses_requests_beyond_its_limit(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(tier_1=3, window=60)
    assert statuses(api, AUTOMATIONS, 4) == [200, 200, 200, 429]
    refused = api.get(AUTOMATIONS)
    assert (refused.json()["errors"][0]["code"], refused.headers["retry-after"]) == ("HTTP-429", "60")
    assert refused.json()["traceId"]
    assert not tenant.request_log()[-1].carried_out


def test_a_tier_accepts_requests_again_after_retry_after(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(tier_1=1, window=60)
    api.get(AUTOMATIONS)
    tenant.advance(20)
    assert api.get(AUTOMATIONS).headers["retry-after"] == "40"
    tenant.advance(40)
    assert api.get(AUTOMATIONS).status_code == 200


def test_requests_are_counted_over_five_minutes(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(tier_1=1)
    assert statuses(api, AUTOMATIONS, 6) == [200] * 5 + [429]
    assert api.get(AUTOMATIONS).headers["retry-after"] == "300"


def test_an_exhausted_tier_refuses_on_all_its_paths_only(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(tier_1=1, window=60)
    assert api.get(AUTOMATIONS).status_code == 200
    assert api.get("/api/v1/users/me").status_code == 429
    assert api.get("/api/v1/tasks").status_code == 200
    assert api.post(AUTOMATIONS, json={"name": "A"}).status_code == 201


def test_each_tier_has_its_own_limit(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(tasks=1, tier_2=1, reloads=1, window=60)
    task_id = tenant.add_task()
    tenant.script(task_id, Script(end=None, cancellable=False))
    assert api.post(f"/api/v1/tasks/{task_id}/actions/start").status_code == 200
    assert api.get("/api/v1/tasks").status_code == 429
    cancel = f"/api/v1/reloads/{tenant.reloads()[0]['id']}/actions/cancel"
    assert [api.post(cancel).status_code for _ in range(2)] == [202, 429]
    assert api.post("/api/v1/reloads", json={"appId": "any"}).json()["errors"][0]["code"] == "HTTP-429"
    assert api.post(f"/api/scheduling/tasks/{task_id}/actions/start").status_code == 200
    assert api.post(AUTOMATIONS, json={"name": "A"}).status_code == 429


def test_each_user_has_their_own_count(tenant: Tenant, api: httpx.Client, anybody: httpx.Client) -> None:
    body = {
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "grant_type": "client_credentials",
    }
    token = anybody.post("/oauth/token", json=body).json()["access_token"]
    tenant.set_limits(tier_1=1, tier_2=1, window=60)
    assert statuses(api, AUTOMATIONS, 2) == [200, 429]
    assert anybody.get(AUTOMATIONS, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert anybody.post("/oauth/token", json=body).status_code == 429


def test_retry_after_may_be_a_date_or_absent(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(tier_1=1, window=60)
    tenant.switch(retry_after="date")
    api.get(AUTOMATIONS)
    until = parsedate_to_datetime(api.get(AUTOMATIONS).headers["retry-after"])
    assert timedelta(seconds=58) < until - tenant.now() <= timedelta(seconds=60)
    tenant.switch(retry_after="absent")
    assert "retry-after" not in api.get(AUTOMATIONS).headers


def test_the_rate_limits_are_enabled_by_default(tenant: Tenant, api: httpx.Client) -> None:
    tenant.set_limits(window=0.6)
    assert statuses(api, AUTOMATIONS, 11) == [200] * 10 + [429]


def test_an_unknown_limit_is_refused_by_name(tenant: Tenant) -> None:
    with pytest.raises(SandboxError, match="tier_3"):
        tenant.set_limits(tier_3=1)
    with pytest.raises(SandboxError, match="tier_1"):
        tenant.set_limits(tier_1=-1)


@pytest.mark.parametrize(
    ("method", "path", "tier"),
    [
        ("GET", "/api/v1/reloads", "tier_1"),
        ("POST", "/api/v1/reloads", "reloads"),
        ("GET", "/api/v1/apps/any/reloads/logs", "tier_1"),
        ("GET", "/api/v1/items", "tier_1"),
        ("GET", "/api/v1/spaces", "tier_1"),
        ("GET", "/api/v1/reload-tasks", "tier_1"),
        ("PUT", "/api/v1/reload-tasks/any", "tier_2"),
        ("GET", "/api/v1/sharing-tasks/any/executions/latest", "tier_1"),
        ("PATCH", "/api/v1/sharing-tasks/any", "tier_2"),
        ("POST", "/api/v1/sharing-tasks/actions/execute", "tier_2"),
    ],
)
def test_each_operation_counts_in_its_tier_and_needs_credentials(
    tenant: Tenant, api: httpx.Client, anybody: httpx.Client, method: str, path: str, tier: str
) -> None:
    assert anybody.request(method, path).status_code == 401
    tenant.set_limits(**{tier: 1}, window=60)
    responses = [api.request(method, path) for _ in range(2)]
    assert [response.status_code == 429 for response in responses] == [False, True]
    assert responses[1].json()["errors"][0]["code"] == "HTTP-429"
