from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from airflow_provider_qlik import sandbox
from airflow_provider_qlik.sandbox import Tenant

AUTOMATIONS = "/api/workflows/automations"
SHARING = "/api/v1/sharing-tasks"


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
    [
        ("tasks", 20, 100),
        ("task runs", 20, 100),
        ("automations", 100, 200),
        ("runs", 10, 200),
        ("reloads", 10, 100),
        ("reload tasks", 10, 100),
        ("items", 10, 100),
        ("spaces", 10, 100),
        ("sharing tasks", 20, 100),
        ("executions", 20, 200),
    ],
)
def test_each_list_has_its_own_page_sizes(
    tenant: Tenant, api: httpx.Client, family: str, default: int, most: int
) -> None:
    lists: dict[str, tuple[Callable[[], str], str, str]] = {
        "tasks": (lambda: tenant.add_task(), "/api/v1/tasks", "data"),
        "task runs": (lambda: tenant.add_run("task"), "/api/v1/tasks/task/runs", "data"),
        "automations": (lambda: tenant.add_automation(), AUTOMATIONS, "data"),
        "runs": (lambda: tenant.add_run("automation"), f"{AUTOMATIONS}/automation/runs", "data"),
        "reloads": (lambda: tenant.add_run("app"), "/api/v1/reloads", "data"),
        "reload tasks": (lambda: tenant.add_reload_task("app"), "/api/v1/reload-tasks", "data"),
        "items": (lambda: tenant.add_app(), "/api/v1/items", "data"),
        "spaces": (lambda: tenant.add_space(), "/api/v1/spaces", "data"),
        "sharing tasks": (lambda: tenant.add_sharing_task(), SHARING, "sharingTasks"),
        "executions": (lambda: tenant.add_execution("sharing"), f"{SHARING}/sharing/executions", "executions"),
    }
    add, path, items = lists[family]
    tenant.add_app(id="app")
    tenant.add_task(id="task", resource_id="app")
    tenant.add_automation(id="automation")
    tenant.add_sharing_task(id="sharing", app_id="app")
    for _ in range(default + 1):
        add()
    assert len(api.get(path).json()[items]) == default
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


def test_a_next_link_may_lead_to_another_host(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(next_link="other_host")
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs"
    assert api.get(path, params={"limit": 1}).json()["links"]["next"]["href"].startswith("http://elsewhere.invalid/")
    with sandbox.serve() as elsewhere:
        tenant.switch(other_host=elsewhere.url)
        href = api.get(path, params={"limit": 1}).json()["links"]["next"]["href"]
        api.get(href)
        assert [entry.path for entry in elsewhere.request_log()] == [path]


def test_a_next_link_may_loop(tenant: Tenant, api: httpx.Client) -> None:
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


def test_an_unencoded_plus_in_a_sort_is_refused_or_accepted(tenant: Tenant, api: httpx.Client) -> None:
    path = f"/api/v1/tasks/{with_runs(tenant, 2)}/runs?sort=+startedAt"
    assert api.get(path).status_code == 400
    tenant.switch(plus_in_sort="lenient")
    assert [run["id"] for run in api.get(path).json()["data"]] == ["run-0", "run-1"]


@pytest.mark.parametrize("sort", ["startedAt", "+colour", "", "-"])
def test_a_sort_that_is_not_documented_is_refused(tenant: Tenant, api: httpx.Client, sort: str) -> None:
    assert api.get(f"/api/v1/tasks/{with_runs(tenant, 1)}/runs", params={"sort": sort}).status_code == 400


def test_an_unknown_cursor_is_refused(api: httpx.Client) -> None:
    assert api.get("/api/v1/tasks", params={"page": "2"}).status_code == 400
    assert api.get(AUTOMATIONS, params={"cursor": "zzz="}).status_code == 400


def with_executions(tenant: Tenant, count: int) -> str:
    task_id = tenant.add_sharing_task()
    for place in range(count):
        tenant.add_execution(task_id, id=f"{place}", started_ago=1000 - place)
    return f"{SHARING}/{task_id}/executions"


def test_sharing_lists_contain_counts(tenant: Tenant, api: httpx.Client) -> None:
    found = list(pages(api, f"{with_executions(tenant, 5)}?limit=2"))
    assert [[one["id"] for one in page["executions"]] for page in found] == [["0", "1"], ["2", "3"], ["4"]]
    assert [(page["totalCount"], page["currentPageCount"]) for page in found] == [(5, 2), (5, 2), (5, 1)]
    assert api.get(SHARING).json()["totalCount"] == 1


def test_sharing_links_contain_the_cursor(tenant: Tenant, api: httpx.Client) -> None:
    path = with_executions(tenant, 3)
    link = api.get(path, params={"limit": 1}).json()["links"]["next"]
    assert (link["type"], parse_qs(urlsplit(link["href"]).query)["next"]) == ("next", [link["token"]])
    page = api.get(path, params={"limit": 1, "next": link["token"]}).json()
    back = page["links"]["prev"]
    assert (page["executions"][0]["id"], back["type"]) == ("1", "prev")
    assert api.get(path, params={"limit": 1, "prev": back["token"]}).json()["executions"][0]["id"] == "0"


def test_sharing_lists_accept_an_offset_which_their_links_omit(tenant: Tenant, api: httpx.Client) -> None:
    page = api.get(with_executions(tenant, 4), params={"limit": 1, "offset": 2}).json()
    assert [one["id"] for one in page["executions"]] == ["2"]
    following = api.get(page["links"]["next"]["href"])
    assert [one["id"] for one in following.json()["executions"]] == ["3"]
    assert "offset" not in page["links"]["next"]["href"]
    assert api.get(SHARING, params={"offset": 99}).json()["sharingTasks"] == []
    for wrong in ("-1", "many", ""):
        assert api.get(SHARING, params={"offset": wrong}).status_code == 400


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/api/v1/reloads", ("next", "prev")),
        ("/api/v1/reload-tasks", ("next", "prev")),
        ("/api/v1/items", ("next", "prev")),
        (SHARING, ("page", "next")),
        (SHARING, ("next", "prev")),
    ],
)
def test_two_cursors_are_refused(api: httpx.Client, path: str, names: tuple[str, str]) -> None:
    assert api.get(path, params={names[0]: "MA=="}).status_code == 200
    assert api.get(path, params={names[1]: "MA=="}).status_code == 200
    assert api.get(path, params=dict.fromkeys(names, "MA==")).status_code == 400


def test_the_previous_page_has_a_cursor_parameter_of_its_own(tenant: Tenant, api: httpx.Client) -> None:
    app_id = tenant.add_app()
    for place in range(3):
        tenant.add_run(app_id, id=f"{place}", started_ago=place)
    last = list(pages(api, f"/api/v1/reloads?appId={app_id}&limit=2"))[-1]
    href = last["links"]["prev"]["href"]
    assert set(parse_qs(urlsplit(href).query)) == {"appId", "limit", "prev"}
    assert [one["id"] for one in api.get(href).json()["data"]] == ["0", "1"]


def test_a_sharing_list_may_loop_too(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(next_link="loop")
    first = api.get(with_executions(tenant, 2), params={"limit": 1}).json()
    assert api.get(first["links"]["next"]["href"]).json() == first
