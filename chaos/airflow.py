"""A real Airflow: its services as processes, and what a user can do through its REST API."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil

from chaos import features

CHAOS = Path(__file__).parent
SERVER = "api-server"
LOST_AFTER, LOOK_FOR_LOST_EVERY = (
    ("task_instance_heartbeat_timeout", "task_instance_heartbeat_timeout_detection_interval")
    if features.API_SERVER
    else ("scheduler_zombie_task_threshold", "zombie_detection_interval")
)
"""Airflow's settings, in seconds: a task without a heartbeat for so long is lost, and how often such are looked for."""
ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class Airflow:
    """The services of one Airflow below a folder, for the Dags in another. *database* is an address without driver."""

    def __init__(self, home: Path, database: str, dags: Path = CHAOS / "dags") -> None:
        self.home = home
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
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
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
                # Airflow 2: nobody has to sign in, see `set_up`.
                "auth_backends": "airflow.api.auth.backend.default",
            },
            "webserver": {"base_url": address, "secret_key": secrets.token_hex(32), "workers": 1},
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "dag_processor": {"min_file_process_interval": 3600},
            "scheduler": {
                # A killed worker is noticed after seconds, not minutes. Airflow 2 has other names for it.
                LOST_AFTER: 15,
                LOOK_FOR_LOST_EVERY: 3,
                "trigger_timeout_check_interval": 3,
            },
            # Each scenario has triggerers of its own: it breaks nobody else's.
            "triggerer": {"queues_enabled": features.QUEUES},
            # On a busy machine Airflow itself gives up on tasks, since its one API server answers late.
            "workers": {"execution_api_timeout": 30},
            "usage_data_collection": {"enabled": False},
        }
        ours = {
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for section, values in settings.items()
            for name, value in values.items()
        }
        paths = [str(CHAOS.parent), *filter(None, [theirs.get("PYTHONPATH")])]
        return theirs | ours | {"AIRFLOW_HOME": str(self.home), "PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "*"}

    # Services

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
                    raise RuntimeError(f"Airflow's API server does not answer: {self._log(SERVER)}") from error
                time.sleep(0.5)
        self._api = httpx.Client(
            base_url=f"{base}/api/{'v2' if features.API_SERVER else 'v1'}", headers=headers, timeout=60, trust_env=False
        )

    def start_triggerer(self, name: str, queue: str | None = None) -> None:
        """Start a triggerer for the tasks of one queue, or for those without a queue."""
        self._start(name, "triggerer", "--skip-serve-logs", *(["--queues", queue] if queue and features.QUEUES else []))

    def do(self, module: str, *arguments: str, given: str = "") -> str:
        """Run a module in the environment of this Airflow, and return its output. Raises RuntimeError if it fails."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command, cwd=self.home, env=self._environment, input=given, capture_output=True, text=True, check=False
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

    # What a user can do

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return the response of the REST API. Raises httpx.HTTPError."""
        assert self._api is not None, "Airflow has not been started"
        response = self._api.request(method, path, json=body, params=query)
        if response.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {response.status_code} {response.text[:500]}",
                request=response.request,
                response=response,
            )
        return response.json() if response.content else None

    def knows(self, dag_id: str) -> bool:
        """Return True if a Dag has been parsed."""
        try:
            self.ask("GET", f"/dags/{dag_id}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return False
            raise
        return True

    def connect(self, connection_id: str, **members: Any) -> None:
        """Add a Qlik Cloud connection to the metadata database."""
        body = {"connection_id": connection_id, "conn_type": "qlik_cloud", **members}
        body["extra"] = json.dumps(body.get("extra", {}))
        self.ask("POST", "/connections", body)

    def change(self, connection_id: str, **members: Any) -> None:
        """Change some members of a connection."""
        told = {**members, **({"extra": json.dumps(members["extra"])} if "extra" in members else {})}
        body = {"connection_id": connection_id, "conn_type": "qlik_cloud", **told}
        self.ask(
            "PATCH",
            f"/connections/{connection_id}",
            body,
            update_mask=list(members) if features.API_SERVER else ",".join(members),
        )

    def run(self, dag_id: str) -> str:
        """Start a run of a Dag, and return its id."""
        body = {"logical_date": None} if features.API_SERVER else {}
        return str(self.ask("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def instances(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        """Return the task instances of a run, as the REST API shows them."""
        answer = self.ask("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=1000)
        return list(answer["task_instances"])

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task instance, as a user does."""
        body = {"new_state": state, **({} if features.API_SERVER else {"dry_run": False})}
        self.ask("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", body)

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a whole Dag run, as a user does."""
        self.ask("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state})

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str]) -> None:
        """Clear task instances, as a user does."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        self.ask("POST", f"/dags/{dag_id}/clearTaskInstances", {**body, "reset_dag_runs": True})

    def triggerers(self) -> int:
        """Return how many triggerers have ever sent a heartbeat."""
        return self._count("select count(*) from job where job_type = 'TriggererJob'")

    def triggerers_alive(self) -> int:
        """Return how many triggerers have a recent heartbeat."""
        return self._count(
            "select count(*) from job where job_type = 'TriggererJob' and state = 'running'"
            " and latest_heartbeat > now() - interval '30 seconds'"
        )

    def _count(self, query: str) -> int:
        """Return the single number that a query gives. The REST API of Airflow 2 does not show jobs."""
        import psycopg2

        with closing(psycopg2.connect(self._database)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetchone()[0])

    def log_of(self, dag_id: str, run_id: str, task_id: str, names: str) -> str:
        """Return the contents of those log files of a task whose names match a pattern."""
        place = self.logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(place.rglob(names)) if path.is_file())


def kill_worker(pid: int) -> None:
    """Kill a task's process and the worker process above it (SIGKILL), as when the worker's machine is lost."""
    process = psutil.Process(pid)
    worker = process.parent()
    # Not waited for: they stay in the list of processes until the scheduler takes notice of them.
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
