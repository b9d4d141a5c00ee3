"""A migrated SQLite database of Airflow that is made once for each test session.

`initdb` takes one to five seconds of processor time, depending on the version of Airflow, and writes the file in many
small synchronous steps. Tests that run Airflow therefore get a copy of one template. The template lives in the
temporary folder of the session, which the processes of pytest-xdist share: the first one that needs it makes it, while
the others wait for a file lock. Each environment (each version of Airflow) has a session of its own, so a template
never serves another version.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

OUTPUT_LENGTH = 3000
"""Characters of the output of a migration that has failed, in the error."""


class MigrationError(Exception):
    """Airflow could not create its database."""


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder that all processes of this test session share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes wait for. It is released by the kernel if this process is killed."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def template(factory: pytest.TempPathFactory) -> Path:
    """Return the migrated database, which is made if this session has none yet. Raises MigrationError."""
    home = shared_folder(factory) / "qlik-airflow-template"
    home.mkdir(exist_ok=True)
    database, finished = home / "airflow.db", home / "finished"
    with locked(home / "lock"):
        if not finished.exists():
            database.unlink(missing_ok=True)
            code = "from airflow.utils.db import initdb; initdb()"
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, **settings(home, home)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                output = (done.stdout + done.stderr)[-OUTPUT_LENGTH:]
                raise MigrationError(f"Airflow could not create its database in {database}:\n{output}")
            with closing(sqlite3.connect(database)) as connection:
                # Some versions write ahead into a second file, which a copy of the first would lack.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finished.touch()
    return database


def settings(home: Path, dags: Path) -> dict[str, str]:
    """Return the environment variables of an Airflow with its home in one folder and its Dag files in another."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


def install(factory: pytest.TempPathFactory, home: Path) -> None:
    """Copy the migrated database into a home of Airflow. Raises MigrationError."""
    shutil.copyfile(template(factory), home / "airflow.db")


def installed(factory: pytest.TempPathFactory, home: Path, dags: Path) -> dict[str, str]:
    """Copy the migrated database into a home of Airflow; return the environment of a process that uses it.

    Raises MigrationError.
    """
    install(factory, home)
    return {**os.environ, **settings(home, dags)}
