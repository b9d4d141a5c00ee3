"""Secrets are known by the names that they stand beside, in JSON and in text, at any depth."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_qlik.masking import is_secret, masked, masked_text, secrets_in

SECRETS = [
    *("executionToken", "access_token", "X-Execution-Token", "refreshToken", "client_secret", "clientSecret", "SECRET"),
    *("password", "dbPassword", "client_assertion", "apiKey", "API_KEY", "api-key", "Authorization", "privateKey"),
    *("cookie", "Set-Cookie", "qCredentials", "jwt", "tokens"),
]
HARMLESS = [
    *("id", "name", "nextPageToken", "pageToken", "next_token", "continuationToken", "token_type", "tokenType", "keys"),
    *("expires_in", "tokenExpiresAt", "passwordPolicy", "author", "monkey", ""),
]


@pytest.mark.parametrize("name", SECRETS)
def test_a_name_of_a_secret_is_known_in_any_writing(name: str) -> None:
    assert is_secret(name)
    assert is_secret(name.upper())


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_of_something_else_is_left_alone(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize("name", SECRETS)
def test_texts_below_a_secrets_name_are_masked_at_any_depth_and_numbers_stay(name: str) -> None:
    value = {"a": [{"b": {name: "hidden-1"}}, {name: ["hidden-2", 5, {"x": "hidden-3"}]}], name: True, "n": {name: 5}}

    assert masked(value) == {"a": [{"b": {name: "***"}}, {name: ["***", 5, {"x": "***"}]}], name: True, "n": {name: 5}}
    found: list[str] = []
    secrets_in(value, found)
    assert found == ["hidden-1", "hidden-2", "hidden-3"]


def test_a_secret_that_is_short_is_masked_beside_its_name_and_nowhere_else() -> None:
    found: list[str] = []
    secrets_in({"token": "a", "secret": "*********"}, found)

    assert found == []
    assert masked({"token": "a"}) == {"token": "***"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"executionToken": "hidden", "id": "a"}', '{"executionToken": "***", "id": "a"}'),
        ('{"access_token":"hid\\"den", "id": 1}', '{"access_token":"***", "id": 1}'),
        ('{"a": {"access_token":"hid', '{"a": {"access_token":"***"'),
        ('{"access_token":"hid\\', '{"access_token":"***"'),
        ("{'client_secret': 'hidden'}", "{'client_secret': '***'}"),
        ('{"tokens": ["hidden", "hidden"], "n": 1}', '{"tokens": "***", "n": 1}'),
        ('{"secret": {"a": {"b": "hidden"}, "c": "hidden"}, "n": 1}', '{"secret": "***", "n": 1}'),
        ('{"body": "{\\"apiKey\\":\\"hidden\\",\\"b\\":1}"}', '{"body": "{\\"apiKey\\":\\"***\\",\\"b\\":1}"}'),
        ("access_token=hidden&b=c", "access_token=***&b=c"),
        ("https://acme.example/?api_key=hidden#x", "https://acme.example/?api_key=***"),
        ("password = 'hidden', user = 'a'", "password = ***, user = 'a'"),
        ("Authorization: Bearer hidden-hidden", "Authorization: ***"),
        ("x-execution-token: hidden\nhost: a", "x-execution-token: ***\nhost: a"),
        ("sent Bearer hidden-hidden.1", "sent Bearer ***"),
        *((text, text) for text in ("invalid token: expired", '{"tokensUsed": 5}', "error=invalid_token", "a: b", "")),
    ],
)
def test_a_secret_in_a_text_is_masked_in_whatever_form(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    "text", ['"' * 10**5, '{"token": ' * 10**4, '\\"a' * 10**5, "token" * 10**5, '"token":{' * 10**4, "x-token" * 10**4]
)
def test_no_text_takes_long(text: str) -> None:
    began = time.monotonic()
    masked_text(text)
    assert time.monotonic() - began < 5


def test_what_is_masked_is_json_still() -> None:
    value: Any = {"a": [None, 1.5, {"token": None}], "b": {}}
    assert masked(value) == value
    json.dumps(masked(value))
