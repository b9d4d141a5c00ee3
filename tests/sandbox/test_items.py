from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_qlik.sandbox import Tenant


def items(api: httpx.Client, **query: str) -> list[dict[str, Any]]:
    response = api.get("/api/v1/items", params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["data"])


def test_apps_and_automations_are_items_with_an_id_of_their_own(tenant: Tenant, api: httpx.Client) -> None:
    app_id, automation_id = tenant.add_app("Sales", space_id="space-1"), tenant.add_automation("Mail")
    app, automation = items(api)
    assert (app["resourceId"], app["resourceType"], app["name"]) == (app_id, "app", "Sales")
    assert (automation["resourceId"], automation["resourceType"]) == (automation_id, "automation")
    assert (app["spaceId"], app["ownerId"], "spaceId" in automation) == ("space-1", tenant.user_id, False)
    assert app["id"] not in (app_id, automation["id"])
    assert items(api)[0]["id"] == app["id"]


def test_a_name_matches_any_part_in_any_case(tenant: Tenant, api: httpx.Client) -> None:
    for name in ("Sales", "sales EMEA", "Finance"):
        tenant.add_app(name)
    assert [item["name"] for item in items(api, name="SALES")] == ["Sales", "sales EMEA"]
    assert items(api, name="Salesforce") == []


def test_two_apps_may_have_the_same_name(tenant: Tenant, api: httpx.Client) -> None:
    ids = [tenant.add_app("Sales", space_id="one"), tenant.add_app("Sales")]
    assert [item["resourceId"] for item in items(api, name="Sales")] == ids
    assert [item["resourceId"] for item in items(api, name="Sales", spaceId="one")] == ids[:1]
    assert [item["resourceId"] for item in items(api, name="Sales", spaceId="personal")] == ids[1:]


def test_items_are_filtered_by_type_and_resource(tenant: Tenant, api: httpx.Client) -> None:
    app_id, _ = tenant.add_app("Sales"), tenant.add_automation("Sales", spaceId="one")
    assert [item["resourceType"] for item in items(api, resourceType="automation", spaceId="one")] == ["automation"]
    assert [item["resourceId"] for item in items(api, resourceType="app", resourceId=app_id)] == [app_id]
    assert items(api, resourceType="note") == []
    assert api.get("/api/v1/items", params={"resourceId": app_id}).status_code == 400


def test_the_sort_of_items_requires_a_sign(tenant: Tenant, api: httpx.Client) -> None:
    for name in ("b", "a"):
        tenant.add_app(name)
        tenant.advance(1)
    assert [item["name"] for item in items(api)] == ["b", "a"]
    assert [item["name"] for item in items(api, sort="+name")] == ["a", "b"]
    assert [item["name"] for item in items(api, sort="-createdAt")] == ["a", "b"]
    assert api.get("/api/v1/items", params={"sort": "name"}).status_code == 400


def test_spaces_are_found_by_name(tenant: Tenant, api: httpx.Client) -> None:
    first, _ = tenant.add_space("Finance", type="managed"), tenant.add_space("Sales", id="sales")

    def spaces(**query: str) -> list[str]:
        return [space["id"] for space in api.get("/api/v1/spaces", params=query).json()["data"]]

    assert spaces() == [first, "sales"]
    assert spaces(name="FIN") == [first]
    assert spaces(type="shared") == ["sales"]
    assert spaces(ownerId=tenant.user_id, sort="-name") == ["sales", first]
    assert spaces(name="Marketing") == []


@pytest.mark.parametrize("path", ["/api/v1/items", "/api/v1/spaces"])
def test_lookups_require_credentials(anybody: httpx.Client, path: str) -> None:
    assert anybody.get(path).status_code == 401
