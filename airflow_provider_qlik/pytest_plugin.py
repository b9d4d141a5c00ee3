"""Fixtures for users' own tests: a Qlik Cloud tenant, a connection to it, and an Airflow database.

pytest loads this module in every session of an environment that has this package, also where no test uses it. So it
imports nothing but the standard library and pytest, adds no command-line option and changes nothing by itself:
everything else is loaded by the fixture that needs it. ``-p no:qlik`` leaves it out.

Airflow reads its home and its database from the environment when it is first imported. A fixture can set them only if
no test module, conftest or plugin has imported Airflow before. So the ini-file has a choice, `qlik_airflow_db`:

- ``on_use``: the first test that uses the fixture sets the home; Dags are imported in the tests.
- ``early``: the home is set when pytest begins, so that test modules may import Dags at their top.
- ``false``: the session has an Airflow of its own, and the fixture leaves it as it is.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from airflow_provider_qlik.sandbox import Tenant

INSTALL = 'pip install "airflow-provider-qlik[sandbox]"'
AIRFLOW_DB = ("on_use", "early", "false")
_AIRFLOW = ("airflow.configuration", "airflow.settings", "airflow.sdk.configuration")
"""Modules of Airflow that have read the environment as soon as they are imported."""
_CACHES = (
    ("airflow_provider_qlik.cloud.transport.token_cache", "forget_tokens"),
    ("airflow_provider_qlik.cloud.transport.paths", "forget"),
)
"""Functions that forget what this process knows of a tenant, each with its module."""
_home = pytest.StashKey["AirflowHome"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of the ini-file. There are no command-line options, which could clash with others."""
    parser.addini("qlik_airflow_db", "when qlik_airflow_db sets its home: on_use, early or false", None, "on_use")
    parser.addini("qlik_dags_folder", "the folder of Dag files for qlik_airflow_db; default: dags", None, "")
    parser.addini("qlik_conn_id", "the Airflow connection that qlik_connection sets", None, "qlik_cloud_default")
    parser.addini("qlik_tenant_speed", "seconds of qlik_tenant's time in a real second", None, "60")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set Airflow's home before a conftest imports Airflow, if `qlik_airflow_db` is ``early``."""
    _set_home_early(early_config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker. Where a conftest has loaded this plugin, set Airflow's home now if that is wanted."""
    config.addinivalue_line("markers", "qlik_connection(*conn_ids): the connections that the fixture of that name sets")
    _set_home_early(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restore the environment, and remove Airflow's home."""
    home = config.stash.get(_home, None)
    if home is not None:
        del config.stash[_home]
        home.close()


class AirflowHome:
    """A home of Airflow in a temporary folder, to which the environment leads until it is closed."""

    def __init__(self, dags: Path) -> None:
        from airflow_provider_qlik.testing import airflow_database

        self._folder = tempfile.TemporaryDirectory(prefix="qlik-airflow-", ignore_cleanup_errors=True)
        self._environment = pytest.MonkeyPatch()
        self.path = Path(self._folder.name)
        for name, value in airflow_database.settings(self.path, dags).items():
            self._environment.setenv(name, value)

    def close(self) -> None:
        """Restore the environment, and remove the folder."""
        self._environment.undo()
        self._folder.cleanup()


@pytest.fixture(scope="session")
def _qlik_server(request: pytest.FixtureRequest) -> Iterator[Tenant]:
    """Run one server for all tests of a process."""
    text = request.config.getini("qlik_tenant_speed")
    try:
        speed = float(text)
    except ValueError:
        _fail(f"qlik_tenant_speed is {text!r}: give a number above 0, such as 60")
    if not 0 < speed < float("inf"):
        _fail(f"qlik_tenant_speed is {text!r}: give a number above 0, such as 60")
    try:
        # Here, since only this loads starlette, uvicorn and jsonschema.
        from airflow_provider_qlik.sandbox.server import serve
    except ModuleNotFoundError as error:
        _fail(f"The fixture qlik_tenant needs the package {error.name}, which is not installed: {INSTALL}")
    with serve(speed) as tenant:
        yield tenant


@pytest.fixture
def qlik_tenant(_qlik_server: Tenant) -> Tenant:
    """Return a sandbox tenant of Qlik Cloud, as new in each test.

    The ini-setting `qlik_tenant_speed` says how many of its seconds pass in a real one (60).
    """
    _qlik_server.reset()
    for module, function in _CACHES:
        if module in sys.modules:
            getattr(sys.modules[module], function)()
    return _qlik_server


@pytest.fixture
def qlik_connection(request: pytest.FixtureRequest, qlik_tenant: Tenant) -> Iterator[str]:
    """Set an Airflow connection to `qlik_tenant` as an environment variable during the test, and return its id.

    The id is the ini-setting `qlik_conn_id` (``qlik_cloud_default``). ``@pytest.mark.qlik_connection("a", "b")`` sets
    other ones, and the first is returned.
    """
    marker = request.node.get_closest_marker("qlik_connection")
    ids = marker.args if marker is not None else (request.config.getini("qlik_conn_id"),)
    if not ids or (marker is not None and marker.kwargs) or not all(isinstance(each, str) and each for each in ids):
        _fail('The ids of qlik_connection are texts: @pytest.mark.qlik_connection("conn_id"), or qlik_conn_id')
    connection = {"conn_type": "qlik_cloud", "host": qlik_tenant.url, "password": qlik_tenant.api_key}
    with pytest.MonkeyPatch.context() as environment:
        for conn_id in ids:
            environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        yield ids[0]


@pytest.fixture(scope="session")
def qlik_airflow_db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Return the home of an Airflow with a migrated database, a temporary folder for all tests of a process.

    The ini-settings `qlik_airflow_db` and `qlik_dags_folder` are described in docs/testing.md. None with
    ``qlik_airflow_db = false``: then the database is that of the session.
    """
    from airflow_provider_qlik.testing import airflow_database

    try:
        home = _home_on_use(request.config)
        if home is not None:
            airflow_database.install(tmp_path_factory, home)
    except (pytest.UsageError, airflow_database.MigrationError) as error:
        _fail(str(error))
    return home


def _home_on_use(config: pytest.Config) -> Path | None:
    if _choice(config) == "false":
        return None
    if config.stash.get(_home, None) is None:
        if imported := _imported():
            raise pytest.UsageError(
                f"Airflow was imported ({imported}) before the fixture qlik_airflow_db could set its home, so it uses"
                f" {os.environ.get('AIRFLOW_HOME', '~/airflow')}. Import Dags and Airflow inside the tests, or write"
                " `qlik_airflow_db = early` into the ini-file of pytest. With `qlik_airflow_db = false` the tests use"
                " the database that Airflow has"
            )
        config.stash[_home] = AirflowHome(_dags_folder(config))
    return config.stash[_home].path


def _set_home_early(config: pytest.Config) -> None:
    if config.stash.get(_home, None) is not None or _choice(config) != "early":
        return
    if imported := _imported():
        raise pytest.UsageError(
            f"qlik_airflow_db is early, but Airflow was imported before ({imported}): by a plugin, or by the"
            " conftest that loads this one. Import Airflow in the tests, or write `qlik_airflow_db = false`"
        )
    config.stash[_home] = AirflowHome(_dags_folder(config))


def _imported() -> str | None:
    """Return a module by which Airflow has read the environment already, or None if it has not."""
    return next((name for name in _AIRFLOW if name in sys.modules), None)


def _choice(config: pytest.Config) -> str:
    choice = str(config.getini("qlik_airflow_db")).strip().lower()
    if choice not in AIRFLOW_DB:
        raise pytest.UsageError(f"qlik_airflow_db is {choice!r}: it may be {', '.join(AIRFLOW_DB)}")
    return choice


def _dags_folder(config: pytest.Config) -> Path:
    """Return the folder of the user's Dag files: the ini-setting, the environment's, or `dags`."""
    folder = config.getini("qlik_dags_folder") or os.environ.get("AIRFLOW__CORE__DAGS_FOLDER") or "dags"
    path: Path = config.rootpath / folder
    if not path.is_dir():
        raise pytest.UsageError(
            f"There is no folder {path}, where the Dag files should be: write `qlik_dags_folder = PATH` into the"
            " ini-file of pytest, from its own folder"
        )
    return path


def _fail(reason: str) -> NoReturn:
    pytest.fail(reason, pytrace=False)
