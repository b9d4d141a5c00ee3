from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_provider_qlik import connection_parser
from airflow_provider_qlik.cloud import ApiKey, ClientCredentials, Impersonation, PrivateKey
from airflow_provider_qlik.connection import AUTH_TYPES, EXTRA_FIELDS, conn_fields, field_behaviour
from airflow_provider_qlik.connection_parser import parse
from airflow_provider_qlik.sandbox import Tenant
from airflow_provider_qlik.validation import InvalidArgumentError

HOST = "https://acme.eu.qlikcloud.com"


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What is warned of; each warning comes once in a process, so none is left over from another test."""
    connection_parser._warned.clear()
    yield lambda: [record.getMessage() for record in caplog.records if record.name == connection_parser.__name__]
    connection_parser._warned.clear()


def test_a_tenant_and_an_api_key_are_enough() -> None:
    tenant, credentials = parse(host="acme.eu.qlikcloud.com", password="key")
    assert (tenant.url, credentials) == (HOST, ApiKey("key"))


def test_each_way_of_signing_in_takes_its_own_fields(tenant: Tenant) -> None:
    def credentials(**fields: Any) -> Any:
        return parse(host=HOST, **fields)[1]

    client = {"login": "client", "password": "secret"}
    assert credentials(**client, extra={"auth_type": "client_credentials"}) == ClientCredentials("client", "secret")
    assert credentials(
        **client,
        extra={"auth_type": "impersonation", "impersonated_user": "42", "impersonated_user_field": "userId"},
    ) == Impersonation("client", "secret", "42", "userId")
    key = {"auth_type": "private_key", "private_key": tenant.private_key, "key_id": tenant.key_id}
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
        ({"extra": {"auth_type": "password"}}, "auth_type"),
        ({"extra": {"auth_type": "client_credentials"}}, "login"),
        ({"login": "client", "password": None, "extra": {"auth_type": "client_credentials"}}, "password"),
        ({"login": "client", "extra": {"auth_type": "impersonation"}}, "impersonated_user"),
        ({"login": "client", "extra": {"auth_type": "private_key"}}, "private_key"),
        ({"login": "client", "extra": {"auth_type": "private_key", "private_key": "hidden"}}, "key_id"),
        (
            {"login": "client", "extra": {"auth_type": "private_key", "private_key": "hidden", "key_id": "1"}},
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
    with pytest.raises(InvalidArgumentError, match=f"^{argument}: ") as error:
        parse(**{"host": HOST, "password": "hidden", **fields})
    assert "hidden" not in str(error.value)


def test_the_form_has_a_menu_password_fields_and_a_multi_line_key() -> None:
    fields = conn_fields()
    assert fields["auth_type"]["schema"]["enum"] == list(AUTH_TYPES)
    assert fields["auth_type"]["schema"]["values_display"] == AUTH_TYPES
    assert fields["private_key"]["schema"]["format"] == "multiline"
    assert all("null" in field["schema"]["type"] for field in fields.values())
    assert "port" in field_behaviour()["relabeling"]


def test_each_field_is_there_once() -> None:
    names = [each.name for each in EXTRA_FIELDS]
    assert sorted(set(names)) == sorted(names)


def test_no_field_that_users_must_read_has_a_name_that_airflow_masks() -> None:
    masked = ("token", "secret", "password", "private_key")
    assert [each.name for each in EXTRA_FIELDS if any(word in each.name for word in masked)] == ["private_key"]


# What users mistake


def test_a_client_id_beside_an_api_key_is_a_method_that_was_not_selected() -> None:
    for extra in ({}, {"auth_type": "api_key"}, {"auth_type": None}):
        with pytest.raises(
            InvalidArgumentError, match="^auth_type: a client ID .* is given, but the authentication method is API key"
        ) as error:
            parse(host=HOST, login="my-client", password="secret", extra=extra)
        assert "choose 'client_credentials' (OAuth client credentials)" in str(error.value)
    with pytest.raises(InvalidArgumentError, match="choose 'private_key'"):
        parse(host=HOST, login="my-client", password="secret", extra={"private_key": "x"})
    with pytest.raises(InvalidArgumentError, match="choose 'impersonation'"):
        parse(host=HOST, login="my-client", password="secret", extra={"impersonated_user": "x"})
    assert parse(host=HOST, login="  ", password="secret")[1] == ApiKey("secret")


@pytest.mark.parametrize(
    "key", ["Bearer hidden", " bearer hidden", "Authorization: Bearer hidden", "BEARER\thidden", "bearer"]
)
def test_an_api_key_is_given_without_bearer(key: str) -> None:
    with pytest.raises(InvalidArgumentError, match="^password: the API key must be given without 'Bearer'") as error:
        parse(host=HOST, password=key)
    assert "hidden" not in str(error.value)
    assert parse(host=HOST, password="bearer-of-news")[1] == ApiKey("bearer-of-news")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("signin", "did you mean 'auth_type'?"),
        ("Sign-In", "did you mean 'auth_type'?"),
        ("auth_method", "did you mean 'auth_type'?"),
        ("read_time_out", "did you mean 'read_timeout'?"),
        ("client_secret", "did you mean 'password'?"),
        ("client_id", "did you mean 'login'?"),
        ("privatekey", "did you mean 'private_key'?"),
        ("x9", "the known ones are auth_type, "),
    ],
)
def test_an_unknown_extra_is_warned_of_once_with_what_is_probably_meant(
    name: str, advice: str, warnings: Callable[[], list[str]]
) -> None:
    for _ in range(3):
        assert parse(host=HOST, password="key", extra={name: "hidden"})[1] == ApiKey("key")
    (warning,) = warnings()
    assert warning.startswith(f"The extra field {name!r} of a Qlik Cloud connection is unknown")
    assert advice in warning
    assert "hidden" not in warning


def test_extras_of_airflow_and_of_other_tools_are_no_news(warnings: Callable[[], list[str]]) -> None:
    parse(host=HOST, password="key", extra={"extra__qlik_cloud__sign_in": "x", "__extra__": "{}", "_owner": "me"})
    parse(host=HOST, password="key", extra={each.name: None for each in EXTRA_FIELDS})
    assert warnings() == []


def test_a_field_of_another_authentication_method_is_warned_of(warnings: Callable[[], list[str]]) -> None:
    parse(
        host=HOST,
        login="client",
        password="secret",
        extra={"auth_type": "client_credentials", "impersonated_user": "anna", "scope": "user_default"},
    )
    (warning,) = warnings()
    assert "'impersonated_user'" in warning
    assert "'client_credentials' is selected" in warning


def test_a_warning_shows_control_characters_of_a_name(warnings: Callable[[], list[str]]) -> None:
    parse(host=HOST, password="key", extra={"x\x1b[31m" + "y" * 1000: "1"})
    (warning,) = warnings()
    assert "\x1b" not in warning
    assert len(warning) < 400


@pytest.mark.parametrize(
    "given",
    [" Client_Credentials ", "client-credentials", "CLIENT CREDENTIALS", "clientCredentials", "client__credentials\n"],
)
def test_a_word_of_a_menu_is_read_whatever_its_case_and_blanks(given: str) -> None:
    extra = {"auth_type": given, "tasks_api": " /API/scheduling/tasks/ "}
    tenant, credentials = parse(host=HOST, login="client", password="secret", extra=extra)
    assert credentials == ClientCredentials("client", "secret")
    assert tenant.tasks_path == "/api/scheduling/tasks"


@pytest.mark.parametrize(
    ("given", "path"), [(None, "auto"), ("", "auto"), ("Auto", "auto"), ("/api/v1/tasks", "/api/v1/tasks")]
)
def test_where_the_tasks_are_is_found_out_unless_it_is_said(given: str | None, path: str) -> None:
    tenant, _ = parse(host=HOST, password="key", extra={"tasks_api": given})
    assert tenant.tasks_path == path


@pytest.mark.parametrize("given", ["password", "api_keys", 1, True, ["api_key"], {"a": 1}])
def test_another_word_is_refused_with_those_there_are(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="^auth_type: must be one of 'api_key', 'client_credentials', "):
        parse(host=HOST, password="key", extra={"auth_type": given})


NO_NUMBERS = [
    "lots",
    True,
    False,
    "nan",
    float("nan"),
    "inf",
    float("inf"),
    "-inf",
    -1,
    "-0.5",
    0,
    "0",
    "0,5",
    [1],
    10**400,
]


@pytest.mark.parametrize("given", [*NO_NUMBERS, 1.01, "2"], ids=str)
def test_a_share_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="^rate_limit_share: must be a number above 0 and at most 1"):
        parse(host=HOST, password="key", extra={"rate_limit_share": given})


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout", "request_timeout"])
@pytest.mark.parametrize("given", [*NO_NUMBERS, "1e300", 86401], ids=str)
def test_a_time_out_that_is_none_is_refused(name: str, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}: must be a number of seconds above 0 and at most 86400"):
        parse(host=HOST, password="key", extra={name: given})


def test_numbers_given_as_texts_and_texts_given_as_numbers_are_read() -> None:
    extra = {"rate_limit_share": " 0.5 ", "read_timeout": "1e1", "auth_type": "private_key", "key_id": 7}
    tenant, _ = parse(host="127.0.0.1", port="8443", password="key", extra={**extra, "auth_type": "api_key"})
    assert (tenant.rate_limit_share, tenant.read_timeout, tenant.url) == (0.5, 10.0, "https://127.0.0.1:8443")
    number: Any = 20261127
    credentials = parse(host=HOST, login=number, password=number, extra={"auth_type": "client_credentials"})[1]
    assert credentials == ClientCredentials("20261127", "20261127")


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"host": True}, "host"),
        ({"host": ["acme"]}, "host"),
        ({"login": 1.5}, "login"),
        ({"password": True}, "password"),
        ({"password": {"key": "hidden"}}, "password"),
        ({"port": 70000}, "port"),
        ({"port": "https"}, "port"),
        ({"port": True}, "port"),
        ({"extra": {"ca_bundle": 5.5}}, "ca_bundle"),
        ({"extra": {"scope": ["hidden"]}}, "scope"),
        ({"extra": ["hidden"], "password": None}, "password"),
        ({"login": "a\ud83d", "extra": {"auth_type": "client_credentials"}}, "login"),
        ({"login": "a", "password": "hidden\ud83d", "extra": {"auth_type": "client_credentials"}}, "password"),
        (
            {"login": "a", "extra": {"auth_type": "private_key", "key_id": "1", "private_key": {"a": "hidden"}}},
            "private_key",
        ),
    ],
    ids=str,
)
def test_values_of_another_kind_are_refused_by_the_name_of_their_field(fields: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{argument}: ") as error:
        parse(**{"host": HOST, "password": "hidden", **fields})
    assert "hidden" not in str(error.value)


# Private keys that lost their shape


def key_pems() -> dict[str, str]:
    """One key of each kind and form."""
    encodings: dict[str, tuple[Any, serialization.PrivateFormat]] = {
        "PKCS 8": (rsa.generate_private_key(65537, 2048), serialization.PrivateFormat.PKCS8),
        "RSA": (rsa.generate_private_key(65537, 2048), serialization.PrivateFormat.TraditionalOpenSSL),
        "EC": (ec.generate_private_key(ec.SECP384R1()), serialization.PrivateFormat.TraditionalOpenSSL),
    }
    return {
        name: key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
        for name, (key, form) in encodings.items()
    }


PEMS = key_pems()
LOST: dict[str, Callable[[str], str]] = {
    "literal line ends": lambda pem: pem.replace("\n", "\\n"),
    "literal line ends of Windows": lambda pem: pem.replace("\n", "\\r\\n"),
    "line ends escaped twice": lambda pem: pem.replace("\n", "\\\\n"),
    "real and literal line ends": lambda pem: pem.replace("\n", "\\n\n"),
    "line ends of Windows": lambda pem: pem.replace("\n", "\r\n"),
    "line ends of old": lambda pem: pem.replace("\n", "\r"),
    "in quotes": lambda pem: f'"{pem.strip()}"',
    "in single quotes with literal line ends": lambda pem: "'" + pem.replace("\n", "\\n") + "' ",
    "in typographic quotes": lambda pem: f"\u201c{pem}\u201d",
    "base64": lambda pem: base64.b64encode(pem.encode()).decode(),
    "base64 in lines": lambda pem: base64.encodebytes(pem.encode()).decode(),
    "base64 for URLs without padding": lambda pem: base64.urlsafe_b64encode(pem.encode()).decode().rstrip("="),
    "base64 of literal line ends in quotes": lambda pem: base64.b64encode(LOST["in quotes"](pem).encode()).decode(),
    "blanks around": lambda pem: f"\n\t  {pem}  \n\n",
    "blanks before each line": lambda pem: pem.replace("\n", "\n    "),
    "a byte order mark": lambda pem: f"\ufeff{pem}",
    "one line with blanks": lambda pem: pem.replace("\n", " "),
    "one line": lambda pem: pem.replace("\n", ""),
    "lines between only": lambda pem: re.sub(r"(?<=[^-])\n(?=[^-])", "", pem),
    "no blanks at all": lambda pem: re.sub(r"\s", "", pem),
    "other text around": lambda pem: f"Bag Attributes\n    friendlyName: mine\n{pem}\nfrom here on more",
    "parameters before it": lambda pem: (
        f"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n{pem}"
    ),
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("kind", PEMS)
def test_a_private_key_that_lost_its_shape_is_the_same_key(kind: str, lost: str) -> None:
    def read(pem: str) -> Any:
        extra = {"auth_type": "private_key", "key_id": "kid", "private_key": pem}
        return parse(host=HOST, login="client", extra=extra)[1]

    assert read(LOST[lost](PEMS[kind])) == read(PEMS[kind]) == PrivateKey("client", PEMS[kind], "kid")


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        ("hidden", "must be an unencrypted private key in PEM form"),
        ("aGlkZGVu", "must be an unencrypted private key in PEM form"),
        ("-----BEGIN PRIVATE KEY-----hidden", "must be an unencrypted private key in PEM form"),
        (
            "-----BEGIN PRIVATE KEY-----hidden!-----END PRIVATE KEY-----",
            "must be an unencrypted private key in PEM form",
        ),
        ("-----BEGIN PUBLIC KEY-----\nhidden\n-----END PUBLIC KEY-----", "this is a public key"),
        ("-----BEGIN CERTIFICATE-----\nhidden\n-----END CERTIFICATE-----", "this is a certificate"),
        ("\ud83d hidden", "half of a character"),
    ],
)
def test_what_is_no_private_key_is_refused(pem: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^private_key: .*{why}") as error:
        parse(host=HOST, login="client", extra={"auth_type": "private_key", "key_id": "kid", "private_key": pem})
    assert "hidden" not in str(error.value)
