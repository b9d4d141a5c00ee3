"""The connection form as Airflow's own web server renders it, on any version of Airflow."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik.connection import AUTH_TYPES, EXTRA_FIELDS, STANDARD_FIELDS, TASKS_API
from tests.provider.conftest import InstallAirflow

API_SERVER = """
import sys
from fastapi.testclient import TestClient
from airflow.api_fastapi.app import create_app
with TestClient(create_app()) as client:
    token = client.get("/auth/token").raise_for_status().json()["access_token"]
    answer = client.get("/ui/connections/hook_meta", headers={"authorization": f"Bearer {token}"}).raise_for_status()
open(sys.argv[1], "w").write(answer.text)
"""
WEB_SERVER = """
import sys
from airflow.www.app import create_app
answer = create_app().test_client().get("/connection/add")
assert answer.status_code == 200
open(sys.argv[1], "w").write(answer.get_data(as_text=True))
"""
HAS_API_SERVER = importlib.util.find_spec("airflow.api_fastapi") is not None


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, install_airflow: InstallAirflow) -> str:
    """What the web server answers when somebody adds a connection."""
    home = tmp_path_factory.mktemp("form")
    # For the web server of Airflow 2: nobody has to sign in.
    (home / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')
    environment = {
        **install_airflow(home, home / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
    }
    script, place = API_SERVER if HAS_API_SERVER else WEB_SERVER, home / "form"
    done = subprocess.run(
        [sys.executable, "-c", script, str(place)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return Path(place).read_text()


@pytest.fixture(scope="module")
def form(rendered: str) -> dict[str, Any]:
    """The form as an API server describes it."""
    if not HAS_API_SERVER:
        pytest.skip("Airflow 2 renders the form as HTML")
    (found,) = (each for each in json.loads(rendered) if each["connection_type"] == "qlik_cloud")
    return dict(found)


@pytest.mark.whole_airflow
def test_it_has_all_fields_with_their_labels(form: dict[str, Any]) -> None:
    assert form["hook_name"] == "Qlik Cloud"
    shown = {name: field["schema"]["title"] for name, field in form["extra_fields"].items()}
    assert shown == {field.name: field.label for field in EXTRA_FIELDS}
    titles = {name: field["title"] for name, field in form["standard_fields"].items() if name in STANDARD_FIELDS}
    assert titles == {name: label for name, (label, _) in STANDARD_FIELDS.items()}
    assert form["standard_fields"]["url_schema"]["hidden"]


def test_it_has_menus(form: dict[str, Any]) -> None:
    fields = form["extra_fields"]
    assert fields["auth_type"]["schema"]["enum"] == list(AUTH_TYPES)
    assert fields["tasks_api"]["schema"]["enum"] == list(TASKS_API)
    assert fields["auth_type"]["value"] == "api_key"


def test_airflow_2_renders_all_fields(rendered: str) -> None:
    if HAS_API_SERVER:
        pytest.skip("Airflow 3 describes the form as JSON")
    inputs = set(re.findall(r"extra__qlik_cloud__(\w+)", rendered))
    assert inputs == {field.name for field in EXTRA_FIELDS}
    text = html.unescape(rendered)
    for label in [*(field.label for field in EXTRA_FIELDS), *(label for label, _ in STANDARD_FIELDS.values())]:
        assert label in text
