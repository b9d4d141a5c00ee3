"""The services of a real Airflow as processes: settings, start, stop, kill and freeze."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil

from chaos import features

CHAOS = Path(__file__).parent
SERVER = "api-server"
LOST_AFTER, LOST_CHECK_INTERVAL = (
    ("task_instance_heartbeat_timeout", "task_instance_heartbeat_timeout_detection_interval")
    if features.API_SERVER
    else ("scheduler_zombie_task_threshold", "zombie_detection_interval")
)
"""Airflow's settings, in seconds: time without a heartbeat after which a task is lost; interval of that check."""


class Services:
    """The services of one Airflow below a folder, for the Dags in another. *database* is an address without driver."""

    def __init__(self, home: Path, database: str, dags: Path = CHAOS / "dags", *, queues: bool = True) -> None:
        self.home = home
        self._queues = queues and features.QUEUES
        self._dags = dags
        self.logs = home / "logs"
        self._services: dict[str, psutil.Popen] = {}
        self._lock = threading.Lock()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._database = f"postgresql{database}"
        self._environment = self._settings(database)
        self._api: httpx.Client | None = None

    def _settings(self, database: str) -> dict[str, str]:
        address = f"http://127.0.0.1:{self._port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        settings: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self._dags,
                "executor": "LocalExecutor",
                "load_examples": False,
                "dags_are_paused_at_creation": False,
                "parallelism": 40,
                "simple_auth_manager_all_admins": True,
                "execution_api_server_url": f"{address}/execution/",
                "fernet_key": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            },
            "database": {
                "sql_alchemy_conn": f"postgresql+psycopg2{database}",
                "sql_alchemy_conn_async": f"postgresql+asyncpg{database}",
            },
            "api": {
                "base_url": address,
                "secret_key": secrets.token_hex(32),
                "maximum_page_limit": 1000,
                # Airflow 2: no authentication, see `set_up`.
                "auth_backends": "airflow.api.auth.backend.default",
            },
            "webserver": {"base_url": address, "secret_key": secrets.token_hex(32), "workers": 1},
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "dag_processor": {"min_file_process_interval": 3600},
            "scheduler": {
                # A killed worker is noticed after seconds, not minutes. Airflow 2 has other names for these settings.
                LOST_AFTER: 15,
                LOST_CHECK_INTERVAL: 3,
                "trigger_timeout_check_interval": 3,
            },
            # Each scenario has triggerers of its own, so that scenarios do not affect each other.
            "triggerer": {"queues_enabled": self._queues},
            # On a busy machine Airflow itself fails tasks, since its only API server responds late.
            "workers": {"execution_api_timeout": 30},
            "usage_data_collection": {"enabled": False},
        }
        own = {
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for section, values in settings.items()
            for name, value in values.items()
        }
        paths = [str(CHAOS.parent), *filter(None, [inherited.get("PYTHONPATH")])]
        return inherited | own | {"AIRFLOW_HOME": str(self.home), "PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "*"}

    def set_up(self) -> None:
        """Create the tables of the metadata database."""
        (self.home / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')
        if self._start("migrate", "db", "migrate").wait(timeout=180) != 0:
            raise RuntimeError(f"Airflow's database could not be set up: {self._log('migrate')}")

    def start(self) -> None:
        """Start the API server (or web server), Dag processor and scheduler, and wait until they respond."""
        base, port, headers = f"http://127.0.0.1:{self._port}", str(self._port), {}
        if features.API_SERVER:
            self._start(SERVER, "api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1")
            self._start("dag-processor", "dag-processor")
        else:
            self._start(SERVER, "webserver", "--hostname", "127.0.0.1", "--port", port, "--workers", "1")
        self._start("scheduler", "scheduler", "--skip-serve-logs")
        until = time.monotonic() + 120
        while True:
            try:
                if features.API_SERVER:
                    token = httpx.get(f"{base}/auth/token", trust_env=False).raise_for_status().json()["access_token"]
                    headers["authorization"] = f"Bearer {token}"
                else:
                    httpx.get(f"{base}/health", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError as error:
                if time.monotonic() > until:
                    raise RuntimeError(f"Airflow's API server does not respond: {self._log(SERVER)}") from error
                time.sleep(0.5)
        self._api = httpx.Client(
            base_url=f"{base}/api/{'v2' if features.API_SERVER else 'v1'}", headers=headers, timeout=60, trust_env=False
        )

    def start_triggerer(self, name: str, queue: str | None = None) -> None:
        """Start a triggerer for the tasks of one queue, or for those without a queue."""
        self._start(name, "triggerer", "--skip-serve-logs", *(["--queues", queue] if queue and features.QUEUES else []))

    def do(self, module: str, *arguments: str, stdin: str = "") -> str:
        """Run a module in the environment of this Airflow, and return its output. Raises RuntimeError if it fails."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command, cwd=self.home, env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-3000:]}")
        return done.stdout

    def cpu_seconds(self, name: str) -> float:
        """Return the CPU seconds that a service and its children have used."""
        times = [process.cpu_times() for process in self._family(name)]
        return sum(each.user + each.system for each in times)

    def log(self, name: str) -> str:
        """Return the output of a service."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> int:
        """Kill a service and its children (SIGKILL), as when its machine is lost; return their number."""
        family = self._family(name)
        del self._services[name]
        return kill_all(family)

    def terminate(self, name: str) -> float:
        """Stop a service in order (SIGTERM), and return the seconds that it took."""
        family, began = self._family(name), time.monotonic()
        del self._services[name]
        family[0].terminate()
        psutil.wait_procs(family, timeout=60)
        took = time.monotonic() - began
        kill_all(family)
        return took

    def freeze(self, name: str) -> None:
        """Suspend a service and its children (SIGSTOP)."""
        for process in self._family(name):
            process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Resume a suspended service."""
        for process in self._family(name):
            process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill all services at once: there is nothing to save."""
        for name in self.services:
            self.kill(name)

    @property
    def services(self) -> list[str]:
        """Return the services that were started and not stopped."""
        return list(self._services)

    def died(self) -> list[str]:
        """Return the services that have ended by themselves."""
        return [name for name, process in self._services.items() if process.poll() is not None]

    def _family(self, name: str) -> list[psutil.Process]:
        process = self._services[name]
        try:
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return [process]

    def _start(self, name: str, *arguments: str) -> psutil.Popen:
        with self._lock, (self.home / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "airflow", *arguments]
            process = psutil.Popen(command, cwd=self.home, env=self._environment, stdout=log, stderr=log)
            if name != "migrate":
                self._services[name] = process
        return process

    def _log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")[-3000:]


def kill_worker(pid: int) -> None:
    """Kill a task's process and the worker process above it (SIGKILL), as when the worker's machine is lost."""
    process = psutil.Process(pid)
    worker = process.parent()
    # Not waited for: they stay zombies until the scheduler reaps them.
    kill_all([*([worker] if worker is not None else []), process, *process.children(recursive=True)], wait=0)


def kill_all(processes: Sequence[psutil.Process], wait: float = 10.0) -> int:
    """Kill the processes (SIGKILL), and return how many there were."""
    killed = 0
    for process in processes:
        try:
            process.kill()
            killed += 1
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=wait)
    return killed
