from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import Tenant

AUTOMATIONS = "/api/workflows/automations"


def pages(api: httpx.Client, address: str) -> Iterator[dict[str, Any]]:
    """Every page from the first one on, by taking the query of each next link."""
    seen = set()
    query = urlsplit(address).query
    while query not in seen:
        seen.add(query)
        page = api.get(f"{urlsplit(address).path}?{query}").json()
        yield page
        href = ((page["links"].get("next") or {}).get("href")) or ""
        query = urlsplit(href).query or query


def with_runs(tenant: Tenant, count: int) -> str:
    task_id = tenant.add_task()
    for place in range(count):
        tenant.add_run(task_id, id=f"run-{place}", started_ago=1000 - place)
    return task_id


@pytest.mark.parametrize(
    ("family", "default", "most"),
    [("tasks", 20, 100), ("task runs", 20, 100), ("automations", 100, 200), ("runs", 10, 200)],
)
def test_each_list_has_its_own_page_sizes(
    tenant: Tenant, api: httpx.Client, family: str, default: int, most: int
) -> None:
    task_id, automation_id = tenant.add_task(id="first"), tenant.add_automation(id="other")
    for _ in range(default + 1):
        if family == "tasks":
            tenant.add_task()
        elif family == "automations":
            tenant.add_automation()
        else:
            tenant.add_run(task_id if family == "task runs" else automation_id)
    path = {
        "tasks": "/api/v1/tasks",
        "task runs": "/api/v1/tasks/first/runs",
        "automations": AUTOMATIONS,
        "runs": f"{AUTOMATIONS}/other/runs",
    }[family]
    assert len(api.get(path).json()["data"]) == default
    assert api.get(path, params={"limit": most}).status_code == 200
    for wrong in (most + 1, 0, -1, "many", ""):
        assert api.get(path, params={"limit": wrong}).status_code == 400


def test_the_pages_of_a_list_hold_every_item_once(tenant: Tenant, api: httpx.Client) -> None:
    task_id = with_runs(tenant, 5)
    found = list(pages(api, f"/api/v1/tasks/{task_id}/runs?limit=2&sort=%2BstartedAt"))
    assert [[run["id"] for run in page["data"]] for page in found] == [
        ["run-0", "run-1"],
        ["run-2", "run-3"],
        ["run-4"],
    ]
    assert ["prev" in page["links"] for page in found] == [False, True, True]
    assert all(page["links"]["self"]["href"].startswith(tenant.url) for page in found)


def test_a_next_link_keeps_the_sort_and_its_plus_encoded(tenant: Tenant, api: httpx.Client) -> None:
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs"
    href = api.get(path, params={"limit": 1, "sort": "+startedAt"}).json()["links"]["next"]["href"]
    assert href.startswith(f"{tenant.url}{path}?")
    assert "sort=%2BstartedAt" in href
    assert set(parse_qs(urlsplit(href).query)) == {"limit", "sort", "page"}


def test_automations_page_with_a_cursor(tenant: Tenant, api: httpx.Client) -> None:
    for place in range(3):
        tenant.add_automation(f"A{place}")
    found = list(pages(api, f"{AUTOMATIONS}?limit=2&sort=name"))
    assert [[one["name"] for one in page["data"]] for page in found] == [["A0", "A1"], ["A2"]]
    assert "cursor=" in found[0]["links"]["next"]["href"]
    assert "self" not in found[0]["links"]


def test_a_next_link_may_be_relative(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(next_link="relative")
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs"
    assert api.get(path, params={"limit": 1}).json()["links"]["next"]["href"].startswith(f"{path}?limit=1&page=")


def test_a_next_link_may_name_another_host(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(next_link="other_host")
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs"
    assert api.get(path, params={"limit": 1}).json()["links"]["next"]["href"].startswith("http://elsewhere.invalid/")
    with sandbox.serve() as elsewhere:
        tenant.switch(elsewhere=elsewhere.url)
        href = api.get(path, params={"limit": 1}).json()["links"]["next"]["href"]
        api.get(href)
        assert [entry.path for entry in elsewhere.journal()] == [path]


def test_a_next_link_may_lead_in_a_circle(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(next_link="loop")
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs?limit=1"
    first = api.get(path).json()
    assert api.get(first["links"]["next"]["href"]).json() == first


@pytest.mark.parametrize(("form", "link"), [("null", None), ("empty", {"href": ""}), ("null_href", {"href": None})])
def test_the_absent_link_of_a_last_page_has_several_forms(
    tenant: Tenant, api: httpx.Client, form: str, link: Any
) -> None:
    assert "next" not in api.get("/api/v1/tasks").json()["links"]
    tenant.switch(last_link=form)
    assert api.get("/api/v1/tasks").json()["links"]["next"] == link


def test_an_empty_page_may_come_in_the_middle(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(empty_page=True)
    found = list(pages(api, f"/api/v1/tasks/{with_runs(tenant, 3)}/runs?limit=2"))
    assert [len(page["data"]) for page in found] == [2, 0, 1]


def test_an_unencoded_plus_in_a_sort_is_refused_or_understood(tenant: Tenant, api: httpx.Client) -> None:
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs?sort=+startedAt"
    assert api.get(path).status_code == 400
    tenant.switch(plus_in_sort="lenient")
    assert [run["id"] for run in api.get(path).json()["data"]] == ["run-0", "run-1"]


@pytest.mark.parametrize("sort", ["startedAt", "+colour", "", "-"])
def test_a_sort_that_is_not_documented_is_refused(tenant: Tenant, api: httpx.Client, sort: str) -> None:
    assert api.get(f"/api/v1/tasks/{with_runs(tenant, 1)}/runs", params={"sort": sort}).status_code == 400


def test_a_cursor_that_was_not_given_out_is_refused(api: httpx.Client) -> None:
    assert api.get("/api/v1/tasks", params={"page": "2"}).status_code == 400
    assert api.get(AUTOMATIONS, params={"cursor": "zzz="}).status_code == 400
