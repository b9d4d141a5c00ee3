"""Items and spaces: what ids have which names."""

from __future__ import annotations

import pytest

from airflow_provider_qlik.cloud.api import catalog
from airflow_provider_qlik.cloud.models.catalog import ItemList, SpaceList
from airflow_provider_qlik.validation import InvalidArgumentError


def test_items_are_searched_by_type_name_and_space() -> None:
    call = catalog.items(resource_type="app", name="A + B", space_id="s", limit=100, next="c")

    assert call.path == "/api/v1/items"
    assert dict(call.query) == {
        "resourceType": "app",
        "name": "A + B",
        "spaceId": "s",
        "limit": "100",
        "next": "c",
    }
    assert catalog.items().query == ()


def test_spaces_are_searched_by_name() -> None:
    call = catalog.spaces(name="Sales", limit=1)

    assert (call.path, dict(call.query)) == ("/api/v1/spaces", {"name": "Sales", "limit": "1"})


@pytest.mark.parametrize("wrong", [0, 101, True, "10"])
def test_a_page_has_from_1_to_100_entries(wrong: int) -> None:
    for asks in (catalog.items, catalog.spaces):
        with pytest.raises(InvalidArgumentError, match="limit"):
            asks(limit=wrong)


def test_an_item_tells_the_id_of_what_it_stands_for() -> None:
    said = {"id": "item", "name": "Sales", "resourceId": "app", "resourceType": "app", "meta": {"tags": []}}
    page = ItemList.from_json({"data": [said, {"id": "bare"}], "links": {"next": {"href": "?next=c"}}})

    assert [item.resource_id for item in page.items] == ["app", None]
    assert page.next_query == (("next", "c"),)


def test_a_space_is_read_whatever_its_type() -> None:
    (space,) = SpaceList.from_json({"data": [{"id": "s", "name": "Sales", "type": "new"}]}).items

    assert (space.id, space.name, space.type) == ("s", "Sales", "new")
