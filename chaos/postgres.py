"""A PostgreSQL cluster of its own, for Airflow's metadata."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTS_WITHIN = 30.0
WHAT_TO_INSTALL = (
    "PostgreSQL is needed and was not found in /usr/lib/postgresql/*/bin or on the PATH: install the server,"
    " for example with `apt-get install postgresql` or `brew install postgresql`."
)


class MissingServerError(Exception):
    """Something that must be installed first."""


@contextmanager
def cluster(home: Path) -> Iterator[str]:
    """Run a PostgreSQL server below *home* until the block ends; yield the address of an empty database.

    It is reached by a socket in a folder of its own alone: nothing listens on a network address.
    """
    programs, data = find_programs(), home / "postgres"
    data.mkdir(mode=0o700)
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(data, user)
    log = (home / "postgres.log").open("ab")
    environment = {"PATH": str(programs), "LC_ALL": "C", "TZ": "UTC"}

    def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(programs / program), *arguments]
        return subprocess.Popen(command, cwd=data, env=environment, user=user, stdout=log, stderr=log)

    with log:
        if start("initdb", "-D", str(data), "-U", "airflow", "-A", "trust", "-E", "UTF8", "--no-sync").wait() != 0:
            raise RuntimeError(f"PostgreSQL's initdb failed: {(home / 'postgres.log').read_text()[-2000:]}")
        settings = {"listen_addresses": "", "unix_socket_directories": str(data), "fsync": "off"}
        settings |= {"synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server = start("postgres", "-D", str(data), *options)
        try:
            until = time.monotonic() + STARTS_WITHIN
            while start("pg_isready", "-q", "-h", str(data)).wait() != 0:
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"PostgreSQL did not start: {(home / 'postgres.log').read_text()[-2000:]}")
                time.sleep(0.2)
            yield f"://airflow@/postgres?host={data}"
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for who is still connected
            server.wait()


def find_programs() -> Path:
    """Return the folder of the newest PostgreSQL on this machine. Raises MissingServerError with what to install."""
    places = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    places.sort(key=lambda place: int(place.parent.name) if place.parent.name.isdigit() else 0, reverse=True)
    on_path = shutil.which("postgres")
    places += [Path(on_path).resolve().parent] if on_path else []
    for place in places:
        if all((place / program).exists() for program in ("initdb", "postgres", "pg_isready")):
            return place
    raise MissingServerError(WHAT_TO_INSTALL)
