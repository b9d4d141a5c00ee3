from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import airflow
import jsonschema
import pytest
import yaml

from airflow_provider_qlik.provider_info import get_provider_info

AIRFLOW = Path(airflow.__path__[0])


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_it_is_valid_against_the_schemas_of_airflow(schema: str) -> None:
    rules = json.loads((AIRFLOW / schema).read_text())
    info = get_provider_info()
    if schema.startswith("provider_info"):
        jsonschema.validate(info, rules)
    else:
        (connection,) = info["connection-types"]
        jsonschema.validate([connection], rules["properties"]["connection-types"])


def test_all_that_it_names_is_there() -> None:
    info = get_provider_info()
    modules = [
        module
        for part in ("operators", "sensors", "hooks", "triggers")
        for entry in info[part]
        for module in entry["python-modules"]
    ]
    assert len(modules) == 15
    for module in modules:
        importlib.import_module(module)
    for path in info["notifications"]:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name).__name__ == name
    module, _, name = info["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name).conn_type == info["connection-types"][0]["connection-type"]


def test_airflow_finds_it_by_its_entry_point() -> None:
    (entry,) = (each for each in entry_points(group="apache_airflow_provider") if "qlik" in each.value)
    assert entry.load()() == get_provider_info()
    assert get_provider_info()["versions"] == [version("airflow-provider-qlik")]


def test_airflow_shows_its_connection_form() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    assert manager.hooks["qlik_cloud"] is not None
    widgets = manager.connection_form_widgets
    if not widgets and importlib.util.find_spec("flask_appbuilder") is None:
        pytest.skip("Airflow before 3.2 reads form fields with Flask AppBuilder alone, its API server without")
    assert "extra__qlik_cloud__auth_type" in widgets
    assert manager.field_behaviours["qlik_cloud"]["relabeling"]["host"] == "Tenant URL"


def test_it_needs_the_standard_library_only() -> None:
    probe = (
        "import sys; before = set(sys.modules); import airflow_provider_qlik.provider_info as info;"
        "info.get_provider_info(); loaded = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(loaded - set(sys.stdlib_module_names) - {'airflow_provider_qlik'}))"
    )
    output = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_yaml_of_airflow_could_hold_it() -> None:
    assert yaml.safe_load(yaml.safe_dump(get_provider_info())) == get_provider_info()
