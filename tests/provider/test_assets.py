"""Assets of Qlik Cloud: their names and URIs, and what their events say about a run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_qlik import example_dags
from airflow_provider_qlik.assets import factories, qlik_app, qlik_automation, qlik_sharing_task, qlik_task
from airflow_provider_qlik.assets.uri import sanitize_uri
from airflow_provider_qlik.compat import hashes_alias_extras
from airflow_provider_qlik.lifecycle.asset_events import add_run_facts
from airflow_provider_qlik.operators.automations import QlikRunAutomationOperator
from airflow_provider_qlik.operators.reloads import QlikReloadAppOperator
from airflow_provider_qlik.operators.sharing_tasks import QlikRunSharingTaskOperator
from airflow_provider_qlik.operators.tasks import QlikRunTaskOperator
from airflow_provider_qlik.sandbox import Script, Tenant
from airflow_provider_qlik.sensors.automations import QlikAutomationRunSensor
from airflow_provider_qlik.validation import InvalidArgumentError
from tests.provider.conftest import FAST, InstallAirflow, Task, finish

HOST = "acme.eu.qlikcloud.com"
both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
on_airflow_3 = pytest.mark.skipif(not hasattr(Asset, "name"), reason="Airflow 2 only warns of an invalid URI")


def outlet_events() -> Any:
    """What Airflow itself gives a task for its outlets."""
    try:
        from airflow.sdk.execution_time.context import OutletEventAccessors
    except ImportError:
        from airflow.utils.context import OutletEventAccessors
    return OutletEventAccessors()


def alias_events(events: Any, alias: Any) -> list[tuple[str, dict[str, Any]]]:
    """The URIs of the assets that were added to an alias, and their extra."""
    accessor = events[alias]
    if hasattr(accessor, "asset_alias_events"):
        return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
    return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]


def tenant_host(tenant: Tenant) -> str:
    return urlsplit(tenant.url).netloc


def in_alias(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that the event of an alias has: where Airflow hashes them, neither lists nor mappings."""
    hashed = hashes_alias_extras()
    return {name: value for name, value in facts.items() if not (hashed and isinstance(value, (list, dict)))}


@pytest.mark.parametrize(
    ("asset", "uri"),
    [
        (qlik_app(HOST, "Sales-1"), f"qlik://{HOST}/apps/Sales-1"),
        (qlik_automation(HOST, "a"), f"qlik://{HOST}/automations/a"),
        (qlik_task(HOST, "t"), f"qlik://{HOST}/tasks/t"),
        (qlik_sharing_task(HOST, "s"), f"qlik://{HOST}/sharing-tasks/s"),
        (factories.create_asset(host=HOST, kind="sharing_task", resource_id="s"), f"qlik://{HOST}/sharing-tasks/s"),
        (qlik_app("http://127.0.0.1:8080", "a"), "qlik://127.0.0.1:8080/apps/a"),
        (qlik_app("[::1]:8080", "a"), "qlik://[::1]:8080/apps/a"),
        (qlik_app(HOST, "an id"), f"qlik://{HOST}/apps/an%20id"),
    ],
)
def test_name_and_uri_of_an_asset_are_the_same(asset: Any, uri: str) -> None:
    assert asset.uri == uri
    assert getattr(asset, "name", uri) == uri


@pytest.mark.parametrize(
    "host",
    [HOST, HOST.upper(), f"https://{HOST}", f"https://{HOST}/", f" {HOST}:443 ", f"{HOST}.", f"qlik://{HOST}"],
)
def test_two_spellings_are_one_asset(host: str) -> None:
    asset = qlik_app(host, " a b ")

    assert asset == qlik_app(HOST, "a b")
    with suppress(TypeError):  # the assets of Airflow 3.0 and 3.1 have no hash
        assert hash(asset) == hash(qlik_app(HOST, "a b"))


@pytest.mark.parametrize(
    "uri",
    [
        f"QLIK://{HOST}/apps/a%20b",
        f"qlik://{HOST.upper()}/apps/a%20b/",
        f"qlik://{HOST}:443//apps/a%20b//",
        f"qlik://{HOST}/apps/%61%20b?x=1#part",
    ],
)
def test_airflow_normalises_the_uri_of_an_asset(uri: str) -> None:
    asset = Asset(uri=uri)

    assert asset.uri == qlik_app(HOST, "a b").uri
    assert asset.normalized_uri == asset.uri
    assert sanitize_uri(urlsplit(asset.uri)) == urlsplit(asset.uri)


def test_two_spellings_are_one_asset_where_airflow_stores_it() -> None:
    try:
        from airflow.serialization.encoders import encode_asset_like as encode
    except ImportError:
        try:
            from airflow.serialization.serialized_objects import (  # type: ignore[attr-defined,no-redef]
                encode_asset_condition as encode,
            )
        except ImportError:
            from airflow.serialization.serialized_objects import (  # type: ignore[attr-defined,no-redef]
                encode_dataset_condition as encode,
            )
    stored = [json.dumps(encode(qlik_app(host, "a")), sort_keys=True) for host in (HOST, f"https://{HOST.upper()}/")]

    assert stored[0] == stored[1]
    assert f"qlik://{HOST}/apps/a" in stored[0]


def test_extra_and_group_reach_airflow() -> None:
    asset = qlik_app(HOST, "a", extra={"owner": "sales"}, group="qlik")

    assert asset.extra == {"owner": "sales"}
    assert getattr(asset, "group", "qlik") == "qlik"


@pytest.mark.parametrize(
    ("host", "app_id", "text"),
    [
        (HOST, "{{ params.app }}", "app_id: must be literal.*AssetAlias"),
        ("{{ var.value.host }}", "a", "host: must be literal"),
        (HOST, None, "app_id: must be literal"),
        (HOST, object(), "app_id: must be literal"),
        (HOST, "", "app_id: an id must not be empty"),
        (HOST, "a/b", "app_id: an id has no '/'"),
        ("", "a", "host: give the tenant's host, such as acme"),
        (None, "a", "host: give the tenant's host"),
        (f"{HOST}/hub", "a", "host: must be a host without"),
        (f"{HOST}?a=b", "a", "host: must be a host without"),
        (f"ftp://{HOST}", "a", "host: must be a host without"),
        ("tenant of mine", "a", "host: must be a host name in ASCII"),
        ("bücher.example", "a", "host: must be a host name in ASCII"),
        (f"{HOST}:port", "a", "host: is no address"),
    ],
)
def test_what_is_no_host_or_no_id_is_refused(host: Any, app_id: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        qlik_app(host, app_id)


def test_a_password_in_the_host_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidArgumentError, match="must not hold a user") as refused:
        qlik_app(f"https://user:geheim@{HOST}", "a")

    assert "geheim" not in str(refused.value)


def test_name_and_uri_cannot_be_given() -> None:
    with pytest.raises(InvalidArgumentError, match="name: cannot be given"):
        qlik_app(HOST, "a", name="sales")


@on_airflow_3
@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (f"qlik://{HOST}/app/a", "must be qlik://<host of the tenant>/<apps.*>/<id>"),
        (f"qlik://{HOST}/apps", "must be qlik://"),
        (f"qlik://{HOST}/apps/a/b", "must be qlik://"),
        (f"qlik://{HOST}/apps/a%2Fb", "an id has no '/'"),
        (f"qlik://{HOST}/apps/{{{{ params.app }}}}", "must be literal"),
        ("qlik:///apps/a", "give the tenant's host"),
    ],
)
def test_a_uri_that_can_never_have_an_event_is_an_error_of_the_dag(uri: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Asset(uri=uri)


def test_airflow_finds_handler_and_factory() -> None:
    from airflow.providers_manager import ProvidersManager

    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as Manager
    except ImportError:
        Manager = ProvidersManager  # type: ignore[assignment,misc]
    manager: Any = Manager()  # type: ignore[no-untyped-call]
    kind = "asset" if hasattr(manager, "asset_uri_handlers") else "dataset"

    assert getattr(manager, f"{kind}_uri_handlers")["qlik"] is sanitize_uri
    assert getattr(manager, f"{kind}_factories")["qlik"] is factories.create_asset
    assert "qlik" in getattr(manager, f"{kind}_to_openlineage_converters")


def test_the_handler_needs_the_standard_library_only() -> None:
    probe = (
        "import sys; before = set(sys.modules); import airflow_provider_qlik.assets.uri;"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(loaded - set(sys.stdlib_module_names) - {'airflow_provider_qlik'}))"
    )
    output = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


# Events


@both_modes
def test_the_event_of_an_outlet_has_the_facts_of_the_run(tenant: Tenant, task: Task, deferrable: bool) -> None:
    app = tenant.add_app("Sales")
    asset, other = qlik_app(tenant.url, app), Asset(uri="s3://bucket/file")
    operator = QlikReloadAppOperator(task_id="t", app_id=app, outlets=[asset, other], deferrable=deferrable, **FAST)
    events = outlet_events()
    events[asset].extra = {"of the user": 1}

    result = finish(operator, {**task.context, "outlet_events": events})

    assert events[asset].extra == {"of the user": 1, **result}
    assert events[asset].extra["run_id"] == task.pushed["run_id"]
    assert (events[asset].extra["kind"], events[asset].extra["state"]) == ("reload", "succeeded")
    assert events[asset].extra["link"].startswith(tenant.url)
    assert json.loads(json.dumps(events[asset].extra, allow_nan=False)) == events[asset].extra
    assert tenant.api_key not in json.dumps(events[asset].extra)
    assert events[other].extra == {}


@pytest.mark.parametrize("kind", ["task", "automation", "reload", "sharing_task"])
def test_an_alias_gets_the_asset_of_the_resource_that_was_run(tenant: Tenant, task: Task, kind: str) -> None:
    alias, host = AssetAlias("what-was-run"), tenant_host(tenant)
    arguments: dict[str, Any] = {"task_id": "t", "outlets": [alias], **FAST, "settle_time": 0.2}
    operator: Any
    if kind == "task":
        qlik_id = tenant.add_task("T")
        operator, uri = QlikRunTaskOperator(qlik_task_id=qlik_id, **arguments), f"qlik://{host}/tasks/{qlik_id}"
    elif kind == "automation":
        qlik_id = tenant.add_automation("A")
        operator = QlikRunAutomationOperator(automation_name="A", **arguments)
        uri = f"qlik://{host}/automations/{qlik_id}"
    elif kind == "reload":
        qlik_id = tenant.add_app("App")
        operator, uri = QlikReloadAppOperator(app_name="App", **arguments), f"qlik://{host}/apps/{qlik_id}"
    else:
        qlik_id = tenant.add_sharing_task("S")
        operator = QlikRunSharingTaskOperator(sharing_task_id=qlik_id, **arguments)
        uri = f"qlik://{host}/sharing-tasks/{qlik_id}"
    events = outlet_events()

    result = finish(operator, {**task.context, "outlet_events": events})

    assert alias_events(events, alias) == [(uri, in_alias(result))]


@both_modes
def test_a_run_that_fails_leaves_no_facts(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("A")
    tenant.script(automation, Script(run=2, end="failed", error="no such table"))
    asset, alias, events = qlik_automation(tenant.url, automation), AssetAlias("alias"), outlet_events()
    operator = QlikRunAutomationOperator(
        task_id="t", automation_id=automation, outlets=[asset, alias], deferrable=deferrable, **FAST
    )

    with pytest.raises(Exception, match="no such table"):
        finish(operator, {**task.context, "outlet_events": events})

    assert events[asset].extra == {}
    assert alias_events(events, alias) == []


def test_a_run_that_has_only_been_started_has_no_facts_yet(tenant: Tenant, task: Task) -> None:
    automation = tenant.add_automation("A")
    asset, alias, events = qlik_automation(tenant.url, automation), AssetAlias("alias"), outlet_events()
    operator = QlikRunAutomationOperator(
        task_id="t", automation_id=automation, outlets=[asset, alias], wait_for_completion=False
    )

    context: Any = {**task.context, "outlet_events": events}
    operator.execute(context)

    assert events[asset].extra == {}
    assert alias_events(events, alias) == []


@both_modes
def test_a_sensor_puts_the_facts_of_the_run_into_its_events(tenant: Tenant, task: Task, deferrable: bool) -> None:
    automation = tenant.add_automation("A")
    run = tenant.add_run(automation)
    asset, events = qlik_automation(tenant.url, automation), outlet_events()
    sensor = QlikAutomationRunSensor(
        task_id="t", automation_id=automation, outlets=[asset], deferrable=deferrable, poke_interval=0.1
    )

    result = finish(sensor, {**task.context, "outlet_events": events})

    assert events[asset].extra == result
    assert result["run_id"] == run


def test_events_that_airflow_refuses_do_not_fail_a_run_that_has_succeeded(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    class Unknown(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            raise RuntimeError("the asset is not known")

    context: Any = {"outlet_events": Unknown()}
    with caplog.at_level("WARNING"):
        add_run_facts(context, [qlik_app(HOST, "a")], {"kind": "reload"}, logging.getLogger("task"))

    assert "An asset event is without the facts of the run: the asset is not known" in caplog.text


RUN_EXAMPLE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from qlik_update_asset import dag
run = dag.test()
states = {each.task_id: str(each.state) for each in run.get_task_instances()}
returned = {each.task_id: each.xcom_pull(task_ids=each.task_id) for each in run.get_task_instances()}
try:
    from airflow.models.asset import AssetEvent
    uri = lambda event: event.asset.uri
except ImportError:
    from airflow.models.dataset import DatasetEvent as AssetEvent
    uri = lambda event: event.dataset.uri
from airflow.utils.session import create_session
with create_session() as session:
    events = [(event.source_task_id, uri(event), event.extra) for event in session.query(AssetEvent)]
print("RESULT " + json.dumps({"states": states, "returned": returned, "events": events}))
"""


@pytest.mark.whole_airflow
@pytest.mark.skipif(hashes_alias_extras(), reason="dag.test() before Airflow 3.1 does not activate assets")
def test_airflow_stores_the_facts_with_the_asset(
    tenant: Tenant, tmp_path: Path, install_airflow: InstallAirflow
) -> None:
    tenant.add_app("Demo", id="demo-app")
    # Airflow runs Dags of its own folder only.
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(Path(example_dags.__path__[0]) / "qlik_update_asset.py", dags)
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key}
    environment = {
        **install_airflow(tmp_path, dags),
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection),
    }
    process = subprocess.run(
        [sys.executable, "-c", RUN_EXAMPLE, str(dags)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=180,
    )
    found = re.search(r"^RESULT (.*)$", process.stdout, re.MULTILINE)
    assert found, (process.stdout + process.stderr)[-4000:]
    result = json.loads(found[1])

    assert result["states"] == {"reload": "success", "reload_any": "success"}, process.stdout[-4000:]
    facts = {task_id: (uri, extra) for task_id, uri, extra in result["events"]}
    assert len(result["events"]) == 2
    assert facts["reload"][0] == "qlik://acme.eu.qlikcloud.com/apps/demo-app"
    assert facts["reload_any"][0] == f"qlik://{tenant_host(tenant)}/apps/demo-app"
    for task_id, (_, extra) in facts.items():
        expected = result["returned"][task_id]
        if task_id == "reload_any":
            expected = in_alias(expected)
        assert {name: extra[name] for name in expected} == expected
