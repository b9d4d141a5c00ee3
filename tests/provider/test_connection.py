from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik.arguments import InvalidArgument
from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, Impersonation, PrivateKey
from airflow_provider_qlik.connection import EXTRA_FIELDS, SIGN_IN, conn_fields, field_behaviour, parse
from airflow_provider_qlik.sandbox import Tenant

HOST = "https://acme.eu.qlikcloud.com"


def test_a_tenant_and_an_api_key_are_enough() -> None:
    tenant, credentials = parse(host="acme.eu.qlikcloud.com", password="key")
    assert (tenant.url, credentials) == (HOST, ApiKey("key"))


def test_each_way_of_signing_in_takes_its_own_fields(tenant: Tenant) -> None:
    def credentials(**fields: Any) -> Any:
        return parse(host=HOST, **fields)[1]

    client = {"login": "client", "password": "secret"}
    assert credentials(**client, extra={"sign_in": "client_credentials"}) == ClientCredentials("client", "secret")
    assert credentials(
        **client,
        extra={"sign_in": "impersonation", "impersonated_user": "42", "impersonated_user_field": "userId"},
    ) == Impersonation("client", "secret", "42", "userId")
    key = {"sign_in": "private_key", "private_key": tenant.private_key, "key_id": tenant.key_id}
    assert credentials(login="client", extra=key) == PrivateKey("client", tenant.private_key.strip(), tenant.key_id)


def test_a_form_with_nulls_and_an_address_with_texts_mean_the_same() -> None:
    nulls: dict[str, Any] = {each.name: None for each in EXTRA_FIELDS}
    from_form = parse(host=HOST, port=0, login="", password="key", extra={**nulls, "read_timeout": 30})
    from_address = parse(host=HOST, password="key", extra={"read_timeout": "30", "scope": ""})
    assert from_form == from_address
    assert from_form[0].read_timeout == 30


def test_a_request_may_take_two_minutes_in_all_unless_the_connection_says_otherwise() -> None:
    assert parse(host=HOST, password="key")[0].request_timeout == 120
    assert parse(host=HOST, password="key", extra={"request_timeout": "7.5"})[0].request_timeout == 7.5


@pytest.mark.parametrize("pasted", [f"{HOST}/", f"{HOST}/api/v1", f"{HOST}/api/v1/", " acme.eu.qlikcloud.com "])
def test_an_address_is_taken_as_users_paste_it(pasted: str) -> None:
    assert parse(host=pasted, password="key")[0].url == HOST


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"host": None}, "host"),
        ({"host": "  "}, "host"),
        ({"host": f"{HOST}/sense/app/1"}, "host"),
        ({"host": f"{HOST}?x=1"}, "host"),
        ({"host": "http://acme.eu.qlikcloud.com"}, "host"),
        ({"host": "https://me:hidden@acme.eu.qlikcloud.com"}, "host"),
        ({"password": None}, "password"),
        ({"password": "  "}, "password"),
        ({"extra": {"sign_in": "password"}}, "sign_in"),
        ({"extra": {"sign_in": "client_credentials"}}, "login"),
        ({"login": "client", "password": None, "extra": {"sign_in": "client_credentials"}}, "password"),
        ({"login": "client", "extra": {"sign_in": "impersonation"}}, "impersonated_user"),
        ({"login": "client", "extra": {"sign_in": "private_key"}}, "private_key"),
        ({"login": "client", "extra": {"sign_in": "private_key", "private_key": "hidden"}}, "key_id"),
        (
            {"login": "client", "extra": {"sign_in": "private_key", "private_key": "hidden", "key_id": "1"}},
            "private_key",
        ),
        ({"extra": {"tasks_api": "/api/v2/tasks"}}, "tasks_api"),
        ({"extra": {"ca_bundle": "/no/such/file.pem"}}, "ca_bundle"),
        ({"extra": {"read_timeout": "soon"}}, "read_timeout"),
        ({"extra": {"connect_timeout": -1}}, "connect_timeout"),
        ({"extra": {"request_timeout": 0}}, "request_timeout"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_by_the_name_of_its_field(fields: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{argument}: ") as error:
        parse(**{"host": HOST, "password": "hidden", **fields})
    assert "hidden" not in str(error.value)


def test_the_form_has_a_menu_password_fields_and_a_multi_line_key() -> None:
    fields = conn_fields()
    assert fields["sign_in"]["schema"]["enum"] == list(SIGN_IN)
    assert fields["sign_in"]["schema"]["values_display"] == SIGN_IN
    assert fields["private_key"]["schema"]["format"] == "multiline"
    assert all("null" in field["schema"]["type"] for field in fields.values())
    assert "port" in field_behaviour()["relabeling"]


def test_no_field_that_users_must_read_has_a_name_that_airflow_masks() -> None:
    masked = ("token", "secret", "password", "private_key")
    assert [each.name for each in EXTRA_FIELDS if any(word in each.name for word in masked)] == ["private_key"]
