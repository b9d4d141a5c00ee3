from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik.cloud import ApiKey, Client, ConnectError, RetryPolicy, Tenant
from airflow_provider_qlik.cloud.api import tasks
from airflow_provider_qlik.cloud.transport.tenant import _context, trust, trust_version
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.listener import Answer, Listener, listening
from tests.tls import SelfSigned, self_signed

ACME = "https://acme.eu.qlikcloud.com"


@pytest.mark.parametrize(
    ("pasted", "url"),
    [
        ("acme.eu.qlikcloud.com", ACME),
        ("https://acme.eu.qlikcloud.com", ACME),
        ("https://acme.eu.qlikcloud.com/", ACME),
        ("https://acme.eu.qlikcloud.com/api/v1", ACME),
        ("https://acme.eu.qlikcloud.com/api/v1/", ACME),
        ("acme.eu.qlikcloud.com/api/", ACME),
        ("  HTTPS://Acme.EU.QlikCloud.com \n", ACME),
        ("https://acme.eu.qlikcloud.com:443", ACME),
        ("https://acme.eu.qlikcloud.com:8443", f"{ACME}:8443"),
        ("acme.eu.qlikcloud.com:8443", f"{ACME}:8443"),
        ("acme.us.qlikcloudgov.com", "https://acme.us.qlikcloudgov.com"),
        ("analytics.acme.example", "https://analytics.acme.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://[::1]", "https://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        (f"https://{'a' * 63}.example", f"https://{'a' * 63}.example"),
    ],
)
def test_a_host_may_be_given_as_users_paste_it(pasted: str, url: str) -> None:
    assert Tenant.at(pasted).url == url


def test_the_port_may_be_given_apart_and_the_one_in_the_host_wins() -> None:
    assert Tenant.at("acme.eu.qlikcloud.com", port=8443).url == f"{ACME}:8443"
    assert Tenant.at("acme.eu.qlikcloud.com:9443", port=8443).url == f"{ACME}:9443"
    assert Tenant.at("acme.eu.qlikcloud.com", port=443).url == ACME


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (None, "give the tenant's address"),
        ("", "give the tenant's address"),
        ("   ", "give the tenant's address"),
        ("https://", "give the tenant's address"),
        ("//", "give the tenant's address"),
        ("acme corp.eu.qlikcloud.com", "give the tenant's address"),
        ("https://acme\\@elsewhere.example", "must not hold a user"),
        ("https://acme\\elsewhere.example", "give the tenant's address"),
        ("https://acme<script>.example", "give the tenant's address"),
        ("https://acme..example", "give the tenant's address"),
        ("https://%61cme.example", "give the tenant's address"),
        (f"https://{'a' * 64}.example", "63 characters"),
        (f"https://{'ä' * 60}.example", "not a valid host name"),
        (f"https://{'.'.join(['a' * 60] * 5)}.example", "253 characters"),
        ("https://xn--a.example", "not a valid host name"),
        ("https://xn--0.xn--0", "not a valid host name"),
        ("https://\uff41\uff43me.example", "not a valid host name"),
        ("https://ac\u0308²me.example", "give the tenant's address"),
        ("https://256.1.1.1", "not a valid host name"),
        ("https://[::1", "give the tenant's address"),
        ("https://acme.eu.qlikcloud.com:port", "no valid port"),
        ("https://acme.eu.qlikcloud.com:99999", "no valid port"),
        ("https://acme.eu.qlikcloud.com/sense/app/1", "without a path"),
        ("https://acme.eu.qlikcloud.com/api/v2", "without a path"),
        ("https://acme.eu.qlikcloud.com?tenant=1", "without a path"),
        ("https://acme.eu.qlikcloud.com#top", "without a path"),
        ("http://acme.eu.qlikcloud.com", "must be https"),
        ("http://10.0.0.1", "must be https"),
        ("http://127.0.0.1.elsewhere.example", "must be https"),
        ("http://localhost.elsewhere.example", "must be https"),
        ("ftp://acme.eu.qlikcloud.com", "must be https"),
        ("file:///etc/passwd", "give the tenant's address"),
    ],
)
def test_a_bad_host_is_refused_by_name(wrong: str | None, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why) as refused:
        Tenant.at(wrong)

    assert refused.value.argument == "host"


def test_a_password_in_the_host_is_refused_and_not_repeated() -> None:
    for host in ("https://me:hunter2@acme.eu.qlikcloud.com", "https://me:hunter2@acme.eu.qlikcloud.com:port/x?y"):
        with pytest.raises(InvalidArgumentError, match="host") as refused:
            Tenant.at(host)
        assert "hunter2" not in str(refused.value) + repr(refused.value)


def test_a_tenant_made_by_hand_is_checked_too() -> None:
    with pytest.raises(InvalidArgumentError, match="must be https"):
        Tenant("http://acme.eu.qlikcloud.com")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("connect_timeout", 0),
        ("connect_timeout", "10"),
        ("read_timeout", -1),
        ("read_timeout", None),
        ("read_timeout", 1e300),
        ("request_timeout", 0),
        ("request_timeout", float("inf")),
        ("rate_limit_share", "lots"),
        ("rate_limit_share", float("nan")),
        ("rate_limit_share", True),
        ("rate_limit_share", 0),
        ("rate_limit_share", None),
        ("port", 99999),
        ("port", -1),
        ("port", True),
        ("port", "https"),
        ("ca_bundle", "~nobody-of-that-name/ca.pem"),
        ("ca_bundle", f"/{'a' * 5000}"),
        ("ca_bundle", "/a\0b"),
        ("ca_bundle", 7),
        ("ca_bundle", "/no/such/file.pem"),
        ("tasks_path", "/api/v2/tasks"),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        Tenant.at(ACME, **{name: wrong})

    assert refused.value.argument == {"tasks_path": "tasks_api"}.get(name, name)


def test_a_ca_bundle_that_holds_no_certificates_is_refused_by_name(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("not a certificate")

    with pytest.raises(InvalidArgumentError, match="ca_bundle"):
        Client(Tenant.at(ACME, ca_bundle=str(bundle)), ApiKey("key"))


def test_proxies_of_the_environment_are_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    listener.answers(Answer(200, {"data": []}))

    with Client(Tenant.at(listener.url), ApiKey("key")) as client:
        assert client.call(tasks.list()).items == []


@pytest.fixture
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    _context.cache_clear()


@pytest.mark.usefixtures("_nothing_of_this_machine")
@pytest.mark.parametrize("ca_bundle", [True, False])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_a_variable_that_names_nothing_readable_is_named(
    monkeypatch: pytest.MonkeyPatch, certificate: SelfSigned, variable: str, ca_bundle: bool
) -> None:
    monkeypatch.setenv(variable, "/nowhere/nowhere.pem")
    tenant = Tenant.at(ACME, ca_bundle=str(certificate.path) if ca_bundle else None)
    if ca_bundle and variable != "SSLKEYLOGFILE":
        Client(tenant, ApiKey("key")).close()
    else:
        with pytest.raises(
            InvalidArgumentError, match=f"^{variable}: must be .*No such file or directory.*/nowhere.pem"
        ):
            Client(tenant, ApiKey("key"))


@pytest.mark.usefixtures("_nothing_of_this_machine")
def test_a_file_of_the_environment_without_certificates_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (empty, tmp_path):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(InvalidArgumentError, match="^SSL_CERT_FILE: must be the path of a readable file"):
            Client(Tenant.at(ACME), ApiKey("key"))


@pytest.mark.usefixtures("_nothing_of_this_machine")
def test_certificates_of_the_environment_are_trusted_and_those_of_the_connection_go_before(
    monkeypatch: pytest.MonkeyPatch, certificate: SelfSigned, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{tmp_path}")
    trust(None)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    assert [each["serialNumber"] for each in trust(None).get_ca_certs()] == [serial_number(certificate)]
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert len(trust(str(certificate.path)).get_ca_certs()) == 1


def serial_number(certificate: SelfSigned) -> str:
    return str(ssl._ssl._test_decode_cert(str(certificate.path))["serialNumber"])  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_nothing_of_this_machine")
@pytest.mark.parametrize("variable", [None, "SSL_CERT_FILE"])
def test_certificates_that_are_replaced_on_disk_are_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str | None
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = self_signed(tmp_path / "old"), self_signed(tmp_path / "new")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(old.path.read_bytes())
    given = None if variable else str(bundle)
    if variable:
        monkeypatch.setenv(variable, str(bundle))

    before = trust(given), trust_version(given)
    assert (trust(given), trust_version(given)) == before, "kept while nothing changes"
    (tmp_path / "fresh.pem").write_bytes(new.path.read_bytes())
    os.replace(tmp_path / "fresh.pem", bundle)

    assert trust_version(given) != before[1]
    with listening(new.server()) as listener:
        listener.answers(Answer(200, {"data": []}))
        with Client(Tenant.at(listener.url, ca_bundle=given), ApiKey("key")) as client:
            assert client.call(tasks.list()).items == []
    bundle.unlink()
    assert trust_version(given).state == ()


def test_the_home_directory_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch, certificate: SelfSigned) -> None:
    monkeypatch.setenv("HOME", str(certificate.path.parent))
    tenant = Tenant.at(ACME, ca_bundle=f"~/{certificate.path.name}")
    assert tenant.ca_bundle == str(certificate.path)
    assert trust(f"~/{certificate.path.name}") is trust(str(certificate.path))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> SelfSigned:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_a_server_that_nobody_vouches_for_is_refused_and_is_sent_nothing(certificate: SelfSigned) -> None:
    with listening(certificate.server()) as listener:
        listener.answers(Answer(200, {"data": []}))
        with (
            Client(Tenant.at(listener.url), ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)) as client,
            pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.call(tasks.list())
        assert listener.seen == []


def test_a_server_that_the_ca_bundle_vouches_for_is_trusted(certificate: SelfSigned) -> None:
    with listening(certificate.server()) as listener:
        listener.answers(Answer(200, {"data": []}))
        with Client(Tenant.at(listener.url, ca_bundle=str(certificate.path)), ApiKey("key")) as client:
            assert client.call(tasks.list()).items == []


def test_a_certificate_for_another_name_is_refused(certificate: SelfSigned) -> None:
    with listening(certificate.server()) as listener:
        tenant = Tenant.at(listener.url.replace("127.0.0.1", "localhost"), ca_bundle=str(certificate.path))
        with (
            Client(tenant, ApiKey("key"), retry_policy=RetryPolicy(max_attempts=1)) as client,
            pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.call(tasks.list())
        assert listener.seen == []
