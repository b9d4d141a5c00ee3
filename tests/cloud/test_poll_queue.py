"""The queue of pending polls, by tables of events, without an event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from airflow_provider_qlik.cloud import Flow
from airflow_provider_qlik.cloud.call import Tier
from airflow_provider_qlik.cloud.flow import Poll
from airflow_provider_qlik.cloud.polling.poll import PendingPoll
from airflow_provider_qlik.cloud.polling.queue import BULK_LIST_INTERVAL_SHARE, JITTER, PollQueue, PollRequest


class Source:
    """A source of polls by the key "batch/name", which is never asked for anything here."""

    name = "source"
    tier = Tier.ONE

    def __init__(self, has_bulk_list: bool) -> None:
        self.has_bulk_list = has_bulk_list

    def poll(self, key: str) -> Flow[str]:
        raise AssertionError("polled")

    def poll_batch(self, keys: Sequence[str]) -> Flow[Mapping[str, str | Exception]]:
        raise AssertionError("polled")

    def poll_bulk_list(self, keys: Sequence[str], max_pages: int, audited: Sequence[str] = ()) -> Flow[dict[str, str]]:
        raise AssertionError("polled")

    def is_terminal(self, result: str) -> bool:
        return False


class Board:
    """A queue and its polls by name; times are in seconds."""

    def __init__(self, *, has_bulk_list: bool = False, draw: float = 0.0) -> None:
        self.source = Source(has_bulk_list)
        self.queue: PollQueue[str, str] = PollQueue(self.source, lambda: draw)
        self.polls: dict[str, PendingPoll[str, str]] = {}

    def schedule(self, key: str, now: float, min_delay: float, max_delay: float) -> None:
        poll = Poll(source=self.source, key=key, batch_key=key.partition("/")[0])
        pending = self.polls[key] = PendingPoll(poll, Future[Any]())
        self.queue.schedule(pending, now, min_delay, max_delay)

    def take(self, now: float) -> tuple[str | None, list[str]] | None:
        request = self.queue.take(now)
        self.request: PollRequest[str, str] | None = request
        return None if request is None else (request.batch_key, request.keys)

    def complete(self, *answered: str) -> None:
        assert self.request is not None
        self.queue.complete(self.request, dict.fromkeys(answered))


@pytest.mark.parametrize(
    ("polls", "moment", "taken"),
    [
        ({"a/1": (0, 5, 10)}, 9.9, None),
        ({"a/1": (0, 5, 10)}, 10, ("a", ["a/1"])),
        ({"a/1": (0, 5, 10), "a/2": (5, 5, 10)}, 10, ("a", ["a/1", "a/2"])),
        ({"a/1": (0, 5, 10), "a/2": (6, 5, 10)}, 10, ("a", ["a/1"])),
        ({"a/1": (0, 5, 10), "b/1": (0, 5, 9)}, 10, ("b", ["b/1"])),
        # Those that have waited longest come first in a batch.
        ({"a/1": (3, 5, 10), "a/2": (0, 5, 10), "a/3": (2, 0, 10)}, 10, ("a", ["a/2", "a/3", "a/1"])),
    ],
    ids=["not due", "due", "taken along", "too early to be taken along", "due first", "longest wait first"],
)
def test_which_polls_a_request_answers(
    polls: dict[str, tuple[float, float, float]], moment: float, taken: tuple[str, list[str]] | None
) -> None:
    board = Board()
    for key, when in polls.items():
        board.schedule(key, *when)
    assert board.take(moment) == taken


@pytest.mark.parametrize(("draw", "due"), [(0.0, 10.0), (1.0, 10 - JITTER * 5), (0.5, 10 - JITTER * 2.5)])
def test_jitter_makes_a_poll_due_earlier(draw: float, due: float) -> None:
    board = Board(draw=draw)
    board.schedule("a/1", 0, 5, 10)
    assert board.queue.first_due() == due


def test_a_poll_that_its_request_did_not_answer_is_due_at_once() -> None:
    board = Board()
    for key in ("a/1", "a/2"):
        board.schedule(key, 0, 0, 10)
    board.take(10)
    assert board.queue.first_due() is None
    board.complete("a/1")
    board.polls["a/1"].resolve("result")
    assert board.take(10) == ("a", ["a/2"])


def test_a_poll_that_becomes_due_while_its_batch_is_in_flight_is_deferred() -> None:
    board = Board()
    board.schedule("a/1", 0, 0, 10)
    board.take(10)
    board.schedule("a/2", 10, 0, 0)
    assert board.queue.take(11) is None
    board.complete("a/1")
    assert board.take(11) == ("a", ["a/2"])


def test_a_withdrawn_poll_is_never_due() -> None:
    board = Board()
    board.schedule("a/1", 0, 0, 10)
    board.schedule("b/1", 0, 0, 20)
    board.polls["a/1"].future.cancel()
    assert board.queue.first_due() == 20
    assert list(board.queue.waiting()) == [board.polls["b/1"]]


def test_a_bulk_list_answers_for_batches_from_three_on() -> None:
    board = Board(has_bulk_list=True)
    for number in range(2):
        board.schedule(f"{number}/x", 0, 0, 10)
    assert board.take(10) == ("0", ["0/x"])
    board.complete("0/x")
    for number in range(2, 5):
        board.schedule(f"{number}/x", 10, 0, 10)
    assert board.take(20) == (None, ["1/x", "2/x", "3/x", "4/x"])


def test_a_poll_that_becomes_due_while_the_bulk_list_is_in_flight_is_deferred() -> None:
    board = Board(has_bulk_list=True)
    for number in range(3):
        board.schedule(f"{number}/x", 0, 0, 10)
    board.take(10)
    board.schedule("late/x", 10, 0, 0)
    assert board.queue.take(11) is None
    board.complete("0/x", "1/x", "2/x")
    assert board.take(11) == ("late", ["late/x"])


@pytest.mark.parametrize(
    ("batches", "poll_delay", "since"),
    [
        (1, 100.0, 10.0),
        # A bulk list goes before polls that wait as long as others did, but no sooner than a part of their interval.
        (3, 5.0, 10 - 5.0),
        (3, 100.0, 10 - (100 - (BULK_LIST_INTERVAL_SHARE * 110 - 10))),
    ],
    ids=["batch", "bulk list", "bulk list under load"],
)
def test_since_when_the_next_request_counts_as_waiting(batches: int, poll_delay: float, since: float) -> None:
    board = Board(has_bulk_list=True)
    for number in range(batches):
        board.schedule(f"{number}/x", 0, 0, 10)
    board.queue.first_due()
    assert board.queue.waiting_since(10, poll_delay) == pytest.approx(since)
