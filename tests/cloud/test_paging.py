"""Lists are gone through page by page, on the tenant's own host, and come to an end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from itertools import islice
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, AsyncClient, Client, InvalidResponseError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.api import apps, automations, tasks
from airflow_provider_qlik.cloud.models.tasks import TaskList, TaskRunList
from airflow_provider_qlik.cloud.pages import MAX_EMPTY_PAGES, EndlessListError, Pages, all_items
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.listener import Answer, Listener, Seen, listening

LINKS = ["absolute", "relative", "other_host"]


def furnish(sandbox: SandboxTenant, count: int = 7) -> list[str]:
    """The ids of so many runs, oldest first, and as many automations."""
    sandbox.add_task(id="t", resource_id="app")
    for place in range(count):
        sandbox.add_automation(f"Automation {place}", id=f"a-{place}")
    return [sandbox.add_run("t", started_ago=1000.0 - place, id=f"r-{place}") for place in range(count)]


@pytest.mark.parametrize("last", ["absent", "null", "empty", "null_href"])
@pytest.mark.parametrize("empty", [False, True], ids=["", "with empty pages"])
@pytest.mark.parametrize("link", LINKS)
def test_every_item_comes_once_whatever_form_the_links_have(
    sandbox: SandboxTenant, client: Client, link: str, empty: bool, last: str
) -> None:
    runs = furnish(sandbox)
    sandbox.switch(next_link=link, last_link=last, empty_page=empty)

    assert [run.id for run in client.iterate(tasks.runs("t", limit=2))] == runs[::-1]
    assert len({one.id for one in client.iterate(automations.list(limit=3))}) == 7
    assert {entry.status for entry in sandbox.request_log()} == {200}


def test_the_async_client_goes_the_same_way(sandbox: SandboxTenant, async_client: AsyncClient) -> None:
    runs = furnish(sandbox)

    async def ids() -> list[str]:
        async with async_client:
            return [run.id async for run in async_client.iterate(tasks.runs("t", limit=3))]

    assert asyncio.run(ids()) == runs[::-1]
    assert len(sandbox.request_log("list_task_runs")) == 3


@pytest.mark.parametrize(("taken", "pages"), [(0, 0), (1, 1), (2, 1), (3, 2), (6, 3), (7, 4), (100, 4)])
def test_no_page_is_asked_for_before_it_is_needed(
    sandbox: SandboxTenant, client: Client, taken: int, pages: int
) -> None:
    furnish(sandbox)

    list(islice(client.iterate(tasks.runs("t", limit=2)), taken))

    assert len(sandbox.request_log("list_task_runs")) == pages


def test_the_async_client_is_as_lazy(sandbox: SandboxTenant, async_client: AsyncClient) -> None:
    furnish(sandbox)

    async def three() -> None:
        async with async_client:
            runs = async_client.iterate(tasks.runs("t", limit=2))
            for _ in range(3):
                await anext(runs)

    asyncio.run(three())
    assert len(sandbox.request_log("list_task_runs")) == 2


def test_a_page_that_fails_is_asked_for_again_and_no_item_is_lost(sandbox: SandboxTenant, client: Client) -> None:
    runs = furnish(sandbox)
    items = client.iterate(tasks.runs("t", limit=2))
    first = [next(items).id, next(items).id]
    sandbox.fault("GET", status=502, times=2)

    assert first + [run.id for run in items] == runs[::-1]


@pytest.mark.parametrize("link", LINKS)
def test_a_plus_sign_in_sort_survives_the_links(sandbox: SandboxTenant, client: Client, link: str) -> None:
    runs = furnish(sandbox)
    sandbox.switch(next_link=link)

    assert [run.id for run in client.iterate(tasks.runs("t", limit=2, sort="+startedAt"))] == runs
    asked = [entry.raw_query for entry in sandbox.request_log("list_task_runs")]
    assert len(asked) == 4
    assert all("sort=%2BstartedAt" in query for query in asked)


def test_a_filter_survives_the_links(sandbox: SandboxTenant, client: Client) -> None:
    furnish(sandbox)
    sandbox.add_automation("Sales + more & less", id="wanted")
    text = 'name eq "Sales + more & less"'

    assert [one.id for one in client.iterate(automations.list(filter=text, limit=1))] == ["wanted"]


def test_a_list_that_links_to_itself_ends(sandbox: SandboxTenant, client: Client) -> None:
    furnish(sandbox)
    sandbox.switch(next_link="loop")

    assert len(list(client.iterate(tasks.runs("t", limit=2)))) == 2
    assert len(sandbox.request_log("list_task_runs")) == 1


# Links that no sandbox gives


def page(*ids: str, next: Any = None) -> dict[str, Any]:
    """A page of task runs."""
    return {"data": [{"id": id, "status": "RUNNING"} for id in ids], "links": {"next": next}}


def gone_through(listener: Listener, *pages: dict[str, Any]) -> list[str]:
    """The ids that come from a list with such pages."""
    listener.answers(*(Answer(200, body) for body in pages))
    with Client(Tenant.at(listener.url), ApiKey("very-secret"), retry_policy=RetryPolicy(max_attempts=1)) as client:
        return [run.id for run in client.iterate(tasks.runs("t", limit=5))]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_token_goes_to_no_other_host(listener: Listener, scheme: str) -> None:
    with listening() as elsewhere:
        link = elsewhere.url.replace("http", scheme) + "/api/v1/tasks/other/runs?page=2"

        assert gone_through(listener, page("a", next={"href": link}), page("b")) == ["a", "b"]
        assert elsewhere.seen == []
    assert [seen.target for seen in listener.seen] == ["/api/v1/tasks/t/runs?limit=5", "/api/v1/tasks/t/runs?page=2"]
    assert {seen.headers["host"] for seen in listener.seen} == {listener.url.removeprefix("http://")}


def test_the_token_goes_to_no_other_tenant(sandbox: SandboxTenant, client: Client) -> None:
    runs = furnish(sandbox)
    with listening() as elsewhere:
        sandbox.switch(next_link="other_host", other_host=elsewhere.url)
        assert len(list(client.iterate(tasks.runs("t", limit=2)))) == len(runs)
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    "link",
    [None, "", {}, {"href": None}, {"href": ""}, {"href": "string"}, {"href": "https://host/path"}, {"href": "?"}],
    ids=str,
)
def test_without_a_query_a_link_leads_nowhere(listener: Listener, link: Any) -> None:
    assert gone_through(listener, page("a", next=link), page("b")) == ["a"]


def test_a_list_without_links_ends(listener: Listener) -> None:
    assert gone_through(listener, {"data": [{"id": "a", "status": "s"}]}, page("b")) == ["a"]
    assert gone_through(listener, {"data": [{"id": "a", "status": "s"}], "links": None}, page("b")) == ["a"]


def test_a_link_may_be_a_bare_address(listener: Listener) -> None:
    assert gone_through(listener, page("a", next="/api/v1/tasks/t/runs?page=2"), page("b")) == ["a", "b"]


def test_a_link_that_makes_no_sense_is_an_error_and_no_end(listener: Listener) -> None:
    with pytest.raises(InvalidResponseError, match="link"):
        gone_through(listener, page("a", next={"href": "http://[::1?page=2"}), page("b"))


def test_a_longer_loop_ends_too(listener: Listener) -> None:
    links = [{"href": f"?page={number}"} for number in (1, 2, 3)]
    pages = [page("first", next=links[0]), page("one", next=links[1]), page("two", next=links[0])]

    assert gone_through(listener, *pages, page("never")) == ["first", "one", "two"]


def test_no_items_are_an_empty_list(listener: Listener) -> None:
    assert gone_through(listener, {"data": None}) == []
    assert gone_through(listener, page(next={"href": "?page=2"}), page("b")) == ["b"]


@pytest.mark.parametrize(
    ("link", "sent"),
    [
        ("?page=abc%2B%2F%3D&sort=%2BstartedAt", "page=abc%2B%2F%3D&sort=%2BstartedAt"),
        ("?sort=+startedAt&page=x", "sort=%2BstartedAt&page=x"),
        ("?page=ab+c/d==", "page=ab%2Bc%2Fd%3D%3D"),
        ("?filter=name+eq+%22a%2Bb%22&cursor=x", "filter=name%20eq%20%22a%2Bb%22&cursor=x"),
        ("?next=&limit=2", "next=&limit=2"),
        ("?page=a&page=b", "page=a&page=b"),
        ("?page=%C3%A4#fragment", "page=%C3%A4"),
    ],
)
def test_the_query_of_a_link_is_sent_as_it_was_meant(listener: Listener, link: str, sent: str) -> None:
    gone_through(listener, page("a", next={"href": link}), page("b"))

    assert listener.seen[1].target == f"/api/v1/tasks/t/runs?{sent}"


def test_only_one_page_is_held(listener: Listener) -> None:

    def answer(_: Seen) -> Answer:
        number = len(listener.seen)
        return Answer(200, page(f"a{number}", f"b{number}", next={"href": f"?page={number}"}))

    listener.answers(answer)
    held: list[weakref.ref[Any]] = []
    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        for count, run in enumerate(client.iterate(tasks.runs("t"))):
            held.append(weakref.ref(run))
            del run
            gc.collect()
            assert sum(ref() is not None for ref in held) <= 2
            if count == 9:
                break
    assert len(listener.seen) == 5


# Lists that are not as they should be


def test_an_item_on_two_pages_comes_once(listener: Listener) -> None:
    pages = [page("a", "b", next={"href": "?page=2"}), page("b", "c", "c", next={"href": "?page=3"}), page("a", "d")]

    assert gone_through(listener, *pages) == ["a", "b", "c", "d"]


def test_of_an_item_on_two_pages_all_items_have_the_copy_that_was_read_last(listener: Listener) -> None:
    first, second = page("a", "b", next={"href": "?page=2"}), page("b", "c")
    second["data"][0]["status"] = "SUCCEEDED"
    listener.answers(Answer(200, first), Answer(200, second))

    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        found = client.run_flow(all_items(tasks.runs("t")))

    assert [(run.id, run.status) for run in found] == [("a", "RUNNING"), ("b", "SUCCEEDED"), ("c", "RUNNING")]


def test_items_without_an_id_are_all_different(listener: Listener) -> None:
    listener.answers(Answer(200, {"data": [{"reloadId": "a"}, {"reloadId": "a"}]}))

    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        assert len(list(client.iterate(apps.reload_logs("app")))) == 2


def endless(listener: Listener, *ids: str) -> None:
    """Answers every request with such a page and a cursor that was never seen."""
    listener.answers(lambda _: Answer(200, page(*ids, next={"href": f"?page={len(listener.seen)}"})))


@pytest.mark.parametrize("ids", [(), ("a", "b")], ids=["empty", "always the same"])
def test_an_endless_list_ends_with_an_error(listener: Listener, ids: tuple[str, ...]) -> None:
    endless(listener, *ids)
    with Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)) as client:
        for walk in (
            lambda: list(client.iterate(tasks.runs("t"))),
            lambda: client.run_flow(all_items(tasks.runs("t"))),
        ):
            asked = len(listener.seen)
            with pytest.raises(EndlessListError, match="the list does not end: its last 50 pages") as raised:
                walk()
            assert MAX_EMPTY_PAGES <= len(listener.seen) - asked <= MAX_EMPTY_PAGES + 1
            assert raised.value.transient


def test_an_endless_list_ends_with_an_error_in_an_event_loop(listener: Listener) -> None:
    endless(listener)

    async def walk() -> None:
        async with AsyncClient(
            Tenant.at(listener.url), ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)
        ) as client:
            async for _ in client.iterate(tasks.runs("t")):
                pass

    with pytest.raises(EndlessListError):
        asyncio.run(walk())


def test_more_pages_than_can_be_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_qlik.cloud.pages.MAX_PAGES", 120)
    pages = Pages[Any](tasks.runs("t"))
    listed = [TaskRunList.from_json(page(f"r{number}", next={"href": f"?page={number}"})) for number in range(200)]

    with pytest.raises(EndlessListError, match="120 pages"):
        deque(map(pages.take, listed))


def test_fewer_empty_pages_in_a_row_are_no_end(listener: Listener) -> None:
    pages = [page(next={"href": f"?page={number}"}) for number in range(MAX_EMPTY_PAGES - 1)]

    assert gone_through(listener, *pages, page("a")) == ["a"]


# The way through, without any sending


def test_pages_are_followed_by_hand() -> None:
    pages = Pages[Any](tasks.runs("t", limit=1))
    assert pages.next_call == tasks.runs("t", limit=1)

    items = pages.take(TaskRunList.from_json(page("a", next={"href": "https://elsewhere.invalid/x?page=2&limit=1"})))
    assert [item.id for item in items] == ["a"]
    assert pages.next_call is not None
    assert pages.next_call.path == "{tasks}/t/runs"
    assert dict(pages.next_call.query) == {"page": "2", "limit": "1"}

    pages.take(TaskRunList.from_json(page("b")))
    assert pages.next_call is None


def test_a_page_knows_the_servers_clock(sandbox: SandboxTenant, client: Client) -> None:
    sandbox.set_speed(0)

    server_time = client.call(tasks.list()).server_time

    assert server_time == sandbox.now().replace(microsecond=0)
    assert "server_time" not in TaskList(data=[], server_time=server_time).model_dump()


def test_seen_tells_what_a_listener_saw(listener: Listener) -> None:
    gone_through(listener, page("a"))

    assert listener.seen == [Seen("GET", "/api/v1/tasks/t/runs?limit=5", listener.seen[0].headers, b"")]
    assert listener.seen[0].headers["authorization"] == "Bearer very-secret"
