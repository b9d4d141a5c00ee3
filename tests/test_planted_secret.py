"""The search for planted secrets finds one wherever it may show: what finds nothing must have looked."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, QlikCloudError, Tenant
from airflow_provider_qlik.cloud.api import automations, tasks
from airflow_provider_qlik.cloud.transport.client import Client
from airflow_provider_qlik.sandbox import Tenant as SandboxTenant
from tests.planted_secret import Search, any_of, note, searching

SECRET = "planted-secret-c0ffee-c0ffee"


def hits_of(leak: Callable[[], object]) -> list[str]:
    """Where the search finds a secret that somebody lets slip."""
    with searching() as search:
        search.plant(SECRET)
        leak()
    return search.hits()


def logged(level: int = logging.DEBUG, name: str = "some.library", **arguments: Any) -> Callable[[], None]:
    def leak() -> None:
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.log(level, *arguments.pop("message", ("nothing",)), **arguments)

    return leak


def an_error() -> Exception:
    error = QlikCloudError("nothing")
    error.__cause__ = ValueError(SECRET)
    return error


def test_a_record_of_any_logger_is_searched_whatever_its_level() -> None:
    assert hits_of(logged(message=(f"key {SECRET}",))) == ["the log of some.library: key <SECRET>"]
    assert hits_of(logged(message=("key %s", SECRET)))
    assert hits_of(logged(message=("%d of two", SECRET)))  # one that cannot be written
    assert hits_of(logged(extra={"headers": {"authorization": SECRET}})) == [
        "the log of some.library, its extras: {'headers': {'authorization': '<SECRET>'}}"
    ]
    assert "its exc_info" in hits_of(logged(exc_info=an_error()))[0]


def test_a_filter_that_masks_comes_too_late() -> None:
    logger = logging.getLogger("some.masked")

    def mask(record: logging.LogRecord) -> bool:
        record.msg = "***"
        return True

    logger.addFilter(mask)
    try:
        assert hits_of(logged(name="some.masked", message=(SECRET,)))
    finally:
        logger.removeFilter(mask)


def test_what_a_logger_shows_for_real_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    hits_of(logged(message=("hidden",)))
    hits_of(logged(logging.ERROR, message=("shown",)))
    assert [record.getMessage() for record in caplog.records] == ["shown"]


def test_the_text_of_an_error_is_searched_though_nobody_raises_it() -> None:
    assert hits_of(lambda: QlikCloudError(f"refused: {SECRET}"))[0].startswith("the text of QlikCloudError: ")


def test_causes_contexts_and_notes_of_errors_are_searched() -> None:
    noted = QlikCloudError("nothing")
    noted.add_note(SECRET)
    in_context = QlikCloudError("nothing")
    in_context.__context__ = ValueError(SECRET)
    for error in (an_error(), noted, in_context):
        assert hits_of(lambda error=error: note("here", error))[0].startswith("here: ")  # type: ignore[misc]


def test_what_a_client_raises_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any, call: Any) -> None:
        raise QlikCloudError("no") from ValueError(SECRET)

    monkeypatch.setattr(Client, "_send", fail)

    def leak() -> None:
        with (
            Client(Tenant.at("http://127.0.0.1:1"), ApiKey("0123456789abcdef")) as client,
            pytest.raises(QlikCloudError),
        ):
            client.call(tasks.get("t"))

    (hit,) = hits_of(leak)
    assert hit.startswith("what Client.call raised: ")


def test_how_things_look_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak() -> None:
        Client(Tenant.at("http://127.0.0.1:1"), ClientCredentials("client", SECRET)).close()

    assert hits_of(leak) == []
    with monkeypatch.context() as patch:
        patch.setattr(ClientCredentials, "__repr__", lambda self: self.client_secret.get_secret_value())
        assert hits_of(leak) == ["how credentials look: <SECRET>"]
    monkeypatch.setattr(Client, "__repr__", lambda self: SECRET)
    assert hits_of(leak) == ["how a client looks: <SECRET>"]


def test_what_signs_in_and_what_comes_over_the_wire_is_planted(sandbox: SandboxTenant) -> None:
    automation = sandbox.add_automation("Mail", run_mode="triggered")
    for credentials in (ApiKey(sandbox.api_key), ClientCredentials(sandbox.client_id, sandbox.client_secret)):
        with searching() as search, Client(Tenant.at(sandbox.url), credentials) as client:
            (token,) = client.call(automations.get(automation)).secrets
        secret = sandbox.api_key if isinstance(credentials, ApiKey) else sandbox.client_secret
        assert {token, secret} <= set(search.planted)
        assert len(search.planted) == (2 if isinstance(credentials, ApiKey) else 3)  # and the access token
        assert search.hits() == []
        assert {"how an answer looks", "how a call looks", "how a client looks", "an answer as JSON"} <= search.places


def test_each_line_of_a_private_key_is_searched_for() -> None:
    search = Search()
    search.plant(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\nshort\n-----END PRIVATE KEY-----\n")
    search.note("here", repr(f"a\n{SECRET}\nb"), "-----BEGIN PRIVATE KEY-----", "short")
    assert search.planted == [SECRET]
    assert len(search.hits()) == 1


def test_a_search_within_another_keeps_its_finds_to_itself(nothing_shows_a_secret: Search) -> None:
    nothing_shows_a_secret.plant(SECRET)
    assert hits_of(lambda: note("here", SECRET))
    assert nothing_shows_a_secret.hits() == []


@pytest.mark.xfail(strict=True, reason="a test that shows a secret fails")
@pytest.mark.usefixtures("shows_a_secret")
def test_a_test_that_shows_a_secret_fails() -> None:
    pass


@pytest.fixture
def shows_a_secret() -> None:
    with searching() as search:
        search.plant(SECRET)
        note("here", SECRET)
    assert not search.hits()


@pytest.mark.parametrize("text", ["ab", "abc", "abx", "b.c", "b(", "abce"])
def test_a_pattern_of_many_texts_finds_each_of_them_and_takes_the_longest(text: str) -> None:
    pattern = re.compile(any_of(["abc", "ab", "abx", "b.c", "b(", "abce"]))
    found = pattern.search(f"a bxc {text} ")
    assert found is not None
    assert found[0] == text


@pytest.mark.parametrize("text", ["", "a", "bxc", "ac", "b)"])
def test_a_pattern_of_many_texts_finds_nothing_else(text: str) -> None:
    assert re.search(any_of(["abc", "ab", "abx", "b.c", "b("]), text) is None
