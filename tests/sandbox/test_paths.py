"""Where the tenant has what Qlik moves, and what it says of that."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import httpx
import pytest

from airflow_provider_qlik.sandbox import Tenant

V1, SCHEDULING = "/api/v1/tasks", "/api/scheduling/tasks"
AUTOMATIONS = "/api/v1/automations", "/api/workflows/automations"


@pytest.mark.parametrize(("where", "there"), [("both", (200, 200)), ("v1", (200, 404)), ("scheduling", (404, 200))])
def test_the_switch_selects_the_paths_of_tasks(
    tenant: Tenant, api: httpx.Client, where: str, there: tuple[int, int]
) -> None:
    task = tenant.add_task()
    tenant.switch(tasks_paths=where)
    for path in ("", f"/{task}", f"/{task}/runs"):
        assert (api.get(V1 + path).status_code, api.get(SCHEDULING + path).status_code) == there
    api.post(f"{V1}/{task}/actions/start")
    api.post(f"{SCHEDULING}/{task}/actions/start")
    assert len(tenant.runs(task)) == there.count(200)


@pytest.mark.parametrize(("where", "there"), [("v1", (403, 404)), ("both", (403, 403)), ("workflows", (404, 403))])
def test_the_switch_selects_the_path_of_execute(
    tenant: Tenant, api: httpx.Client, where: str, there: tuple[int, int]
) -> None:
    automation = tenant.add_automation(run_mode="triggered")
    tenant.switch(execute_paths=where)
    headers = {"x-execution-token": "wrong"}
    responses = [api.post(f"{path}/{automation}/actions/execute", headers=headers) for path in AUTOMATIONS]
    assert tuple(response.status_code for response in responses) == there


def test_an_unknown_path_has_three_forms_of_404(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(tasks_paths="v1")
    assert api.get(SCHEDULING).json()["errors"][0]["code"] == "HTTP-404"
    tenant.switch(no_route="text")
    assert api.get(SCHEDULING).text == "404 page not found\n"
    tenant.switch(no_route="page")
    assert "text/html" in api.get(SCHEDULING).headers["content-type"]
    assert api.get(SCHEDULING).status_code == 404


def test_the_rate_limit_tier_of_tasks_depends_on_the_path(tenant: Tenant, api: httpx.Client) -> None:
    task = tenant.add_task()
    tenant.set_limits(tasks=2, tier_1=1, tier_2=1, window=60)
    assert [api.get(SCHEDULING).status_code for _ in range(2)] == [200, 429]
    start = f"{SCHEDULING}/{task}/actions/start"
    assert [api.post(start).status_code for _ in range(2)] == [200, 429]
    assert api.get("/api/v1/reloads").status_code == 429, "tier 1 is used up"
    statuses = [api.get(V1).status_code, api.post(f"{V1}/{task}/actions/start").status_code, api.get(V1).status_code]
    assert statuses == [200, 200, 429]


def test_all_users_together_have_half_a_limit_for_each_of_them(
    tenant: Tenant, api: httpx.Client, anybody: httpx.Client
) -> None:
    body = {"client_id": tenant.client_id, "client_secret": tenant.client_secret, "grant_type": "client_credentials"}
    token = anybody.post("/oauth/token", json=body).json()["access_token"]
    other = {"Authorization": f"Bearer {token}"}
    tenant.set_limits(tier_1=4, window=60, tenant_users=1)
    assert [api.get(V1.replace("tasks", "reloads")).status_code for _ in range(3)] == [200, 200, 429]
    assert anybody.get("/api/v1/reloads", headers=other).status_code == 429, "others have used up what there is"
    tenant.set_limits(tenant_users=2)
    assert anybody.get("/api/v1/reloads", headers=other).status_code == 200


def test_only_deprecated_paths_have_deprecation_headers(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(deprecated_paths="/api/v1/tasks*", sunset="2026-12-31")
    headers = api.get(V1).headers
    assert headers["deprecation"] == "true"
    assert parsedate_to_datetime(headers["sunset"]).date().isoformat() == "2026-12-31"
    assert headers["link"].startswith("<https://qlik.dev/")
    assert "sunset" in api.get(f"{V1}/none").headers
    assert not {"deprecation", "sunset", "link"} & {*api.get(SCHEDULING).headers}


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ("iso_date", "2026-12-31"),
        ("iso_time", "2026-12-31T00:00:00Z"),
        ("epoch", "@1798675200"),
        ("nonsense", "when it is ready"),
    ],
)
def test_the_sunset_date_has_several_forms(tenant: Tenant, api: httpx.Client, form: str, header: str) -> None:
    tenant.switch(deprecated_paths="*", sunset="2026-12-31", sunset_form=form)
    assert api.get(V1).headers["sunset"] == header
    tenant.switch(sunset="")
    assert "sunset" not in api.get(V1).headers


def test_a_fault_response_has_deprecation_headers_too(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(deprecated_paths="*")
    tenant.fault(status=503)
    assert "deprecation" in api.get(V1).headers
