"""The pytest plugin, as pytest finds it in a user's environment: by its entry point, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENTRY_POINTS = PYPROJECT["project"]["entry-points"]["pytest11"]
HEAVY = ("airflow", "httpx", "pydantic", "starlette", "uvicorn", "jsonschema")
SHUFFLED = """
import random

def pytest_collection_modifyitems(items):
    random.Random(7).shuffle(items)
"""
IMPORT = f"""
import sys
import pytest
before = set(sys.modules)
import airflow_provider_qlik.pytest_plugin
new = set(sys.modules) - before
print(*sorted(name for name in new if name.startswith("airflow_provider_qlik")))
print(*(name for name in {HEAVY} if name in new))
"""


@pytest.fixture(autouse=True)
def _as_in_a_users_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    # Installed or not, the entry point is that of this checkout.
    info = tmp_path / "site" / "qlik_entry_point-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qlik-entry-point\nVersion: 1\n")
    lines = "".join(f"{name} = {module}\n" for name, module in ENTRY_POINTS.items())
    (info / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(info.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_it_imports_nothing_of_weight() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    ours, heavy = done.stdout.splitlines()
    assert ours.split() == ["airflow_provider_qlik", "airflow_provider_qlik.pytest_plugin"]
    assert heavy == ""


def test_a_session_without_its_fixtures_is_as_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import os, sys

        def test_nothing_is_loaded_and_nothing_is_set(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("qlik")
            assert [name for name in {HEAVY} if name in sys.modules] == []
            assert [name for name in os.environ if name.startswith("AIRFLOW")] == []
        """
    )
    run(pytester, "--strict-markers").assert_outcomes(passed=1)


def test_it_adds_no_option_to_the_command_line(pytester: pytest.Pytester) -> None:
    general, _, ini = run(pytester, "--help").stdout.str().partition("[pytest] configuration options")
    assert "qlik" not in general
    assert len(re.findall(r"^ +qlik_\w+ \(", ini, re.MULTILINE)) == 4


def test_it_can_be_turned_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_tenant(qlik_tenant): pass")
    result = run(pytester, "-p", "no:qlik")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'qlik_tenant' not found*"])


USES_THE_TENANT = """
import json, os
import pytest

@pytest.mark.parametrize("number", range(4))
def test_each_test_has_a_new_tenant(qlik_tenant, number):
    qlik_tenant.add_task("Refresh", id="refresh")  # refused if it is there already
    qlik_tenant.fault(operation="list_tasks", status=503)
    assert "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT" not in os.environ

def test_the_default_connection(qlik_tenant, qlik_connection):
    assert qlik_connection == "qlik_cloud_default"
    connection = json.loads(os.environ["AIRFLOW_CONN_QLIK_CLOUD_DEFAULT"])
    assert connection == {"conn_type": "qlik_cloud", "host": qlik_tenant.url, "password": qlik_tenant.api_key}

@pytest.mark.qlik_connection("sales", "hr")
def test_other_connections(qlik_connection):
    assert qlik_connection == "sales"
    assert {"AIRFLOW_CONN_SALES", "AIRFLOW_CONN_HR"} <= os.environ.keys()
    assert "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT" not in os.environ

def test_a_connection_of_the_user_returns(monkeypatch, request):
    monkeypatch.setenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT", "mine")
    request.getfixturevalue("qlik_connection")
    assert os.environ["AIRFLOW_CONN_QLIK_CLOUD_DEFAULT"] != "mine"
    request.addfinalizer(lambda: None)

@pytest.fixture(autouse=True)
def _nothing_stays():
    before = dict(os.environ)
    yield
    after = {name for name in os.environ if name.startswith("AIRFLOW_CONN")}
    assert after == {name for name in before if name.startswith("AIRFLOW_CONN")}
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_each_test_finds_the_tenant_as_new_in_any_order(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makeconftest(SHUFFLED)
    pytester.makepyfile(USES_THE_TENANT)
    run(pytester, "--strict-markers", *arguments).assert_outcomes(passed=7)


def test_what_the_process_knows_of_a_tenant_ends_with_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from airflow_provider_qlik.cloud.transport import paths
        from airflow_provider_qlik.cloud.transport.token_cache import SharedToken

        @pytest.mark.parametrize("number", range(2))
        def test_nothing_is_known(qlik_tenant, number):
            assert (paths._found, SharedToken._all) == ({}, {})
            paths.remember(qlik_tenant.url, "api/v1/tasks")
            SharedToken._all["a client"] = SharedToken()
        """
    )
    run(pytester).assert_outcomes(passed=2)


def test_the_settings_of_tenant_and_connection(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nqlik_conn_id = warehouse\nqlik_tenant_speed = 1000")
    pytester.makepyfile(
        """
        import os

        def test_settings(qlik_tenant, qlik_connection):
            assert qlik_connection == "warehouse"
            assert "AIRFLOW_CONN_WAREHOUSE" in os.environ
        """
    )
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "fixture", "said"),
    [
        ("qlik_tenant_speed = fast", "qlik_tenant", "*qlik_tenant_speed is 'fast': give a number above 0*"),
        ("qlik_tenant_speed = 0", "qlik_tenant", "*qlik_tenant_speed is '0': give a number above 0*"),
        ("qlik_conn_id =", "qlik_connection", "*The ids of qlik_connection are texts*"),
        ("qlik_dags_folder = there", "qlik_airflow_db", "*There is no folder */there, where the Dag files should be*"),
    ],
)
def test_a_bad_setting_is_named_where_it_is_used(pytester: pytest.Pytester, ini: str, fixture: str, said: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}")
    pytester.makepyfile(f"def test_something(): pass\n\ndef test_fixture({fixture}): pass")
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_unknown_choice_of_database_is_refused_at_the_start(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nqlik_airflow_db = no")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*qlik_airflow_db is 'no': it may be on_use, early, false*"])


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "jsonschema"])
def test_a_missing_package_is_named_with_the_extra_to_install(pytester: pytest.Pytester, package: str) -> None:
    pytester.makeconftest(f"import sys\nsys.modules[{package!r}] = None")
    pytester.makepyfile("def test_tenant(qlik_connection): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f'*needs the package {package}*pip install "airflow-provider-qlik?sandbox?"'])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_airflow_that_is_there_already_is_not_moved(pytester: pytest.Pytester) -> None:
    (pytester.path / "dags").mkdir()
    pytester.makepyfile(
        """
        import sys, types
        sys.modules["airflow.settings"] = types.ModuleType("airflow.settings")  # stands for `import airflow` here

        def test_database(qlik_airflow_db): pass
        """
    )
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Airflow was imported (airflow.settings) before*Import Dags and Airflow inside the*"])

    pytester.makeini("[pytest]\nqlik_airflow_db = false")
    run(pytester).assert_outcomes(passed=1)

    pytester.makeini("[pytest]\nqlik_airflow_db = early")
    result = run(pytester, "-p", "test_an_airflow_that_is_there_already_is_not_moved")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*qlik_airflow_db is early, but Airflow was imported before*"])


def test_the_environment_is_restored_and_the_home_removed_when_the_session_ends(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "dags").mkdir()
    pytester.makeini("[pytest]\nqlik_airflow_db = early")
    pytester.makepyfile(
        """
        import os

        def test_home():
            print("HOME", os.environ["AIRFLOW_HOME"])
        """
    )
    code = (
        "import os, sys, pytest; status = pytest.main(['-s', '-q', '-p', 'no:cacheprovider']);"
        " print('LEFT', *(name for name in os.environ if name.startswith('AIRFLOW')), *os.listdir(sys.argv[1]))"
    )
    temporary = pytester.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    done = subprocess.run([sys.executable, "-c", code, str(temporary)], capture_output=True, text=True, check=True)
    assert f"HOME {temporary}/qlik-airflow-" in done.stdout
    assert done.stdout.splitlines()[-1] == "LEFT"


@pytest.mark.whole_airflow
def test_the_example_of_the_documentation_works(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert files.keys() == {"pytest.ini", "dags/sales.py", "tests/test_sales.py", "tests/test_faults.py"}
    for name, text in files.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    pytester.makeconftest(SHUFFLED)

    run(pytester, "-n", "2").assert_outcomes(passed=3)

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert files["tests/test_sales.py"].partition("\n")[2] in readme


@pytest.mark.whole_airflow
def test_the_example_of_sensors_in_the_triggerer_works(pytester: pytest.Pytester) -> None:
    pytester.makeini(f"[pytest]\nqlik_dags_folder = {ROOT / 'airflow_provider_qlik/example_dags'}")
    pytester.makepyfile(
        """
        def test_example(qlik_tenant, qlik_connection, qlik_airflow_db):
            from airflow_provider_qlik.compat import renders_in_triggerer
            from airflow_provider_qlik.example_dags.qlik_wait_in_triggerer import dag

            for name in ("sales", "stock"):
                qlik_tenant.add_run(qlik_tenant.add_task(name, id=f"demo-nightly-{name}"), started_ago=60)
            assert [task.start_from_trigger for task in dag.tasks] == [renders_in_triggerer()] * 2
            run = dag.test()
            assert {str(task.state) for task in run.get_task_instances()} == {"success"}
        """
    )
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.whole_airflow
def test_airflow_moves_when_a_test_first_uses_it(pytester: pytest.Pytester) -> None:
    (pytester.path / "flows").mkdir()
    pytester.makeini("[pytest]\nqlik_dags_folder = flows")
    pytester.makepyfile(
        """
        import os, sqlite3, sys

        def test_before():
            assert "AIRFLOW_HOME" not in os.environ

        def test_database(qlik_airflow_db):
            from airflow.configuration import conf

            assert os.environ["AIRFLOW_HOME"] == str(qlik_airflow_db)
            assert conf.get("core", "dags_folder").endswith("/flows")
            url = conf.get("database", "sql_alchemy_conn")
            assert url == f"sqlite:///{qlik_airflow_db}/airflow.db"
            assert sqlite3.connect(url.removeprefix("sqlite:///")).execute("select count(*) from dag_run").fetchone()
            with open("home", "w") as file:
                file.write(str(qlik_airflow_db))
        """
    )
    run(pytester).assert_outcomes(passed=2)
    assert not Path((pytester.path / "home").read_text()).exists()
