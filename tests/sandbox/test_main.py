from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from airflow_provider_qlik.sandbox import Tenant


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A tenant in a process of its own, and the lines it has printed when it is ready."""
    command = [sys.executable, "-m", "airflow_provider_qlik.sandbox", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        try:
            while (line := process.stdout.readline()) and not line.startswith("Ready"):
                lines.append(line.strip())
            yield process, lines
        finally:
            process.kill()


def printed_value(lines: list[str], label: str) -> str:
    return next(line.removeprefix(label).strip() for line in lines if line.startswith(label))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_runs_until_a_signal_and_ends_cleanly(number: signal.Signals) -> None:
    with started() as (process, lines):
        tenant = Tenant(printed_value(lines, "url"))
        assert tenant.api_key == printed_value(lines, "api key")
        process.send_signal(number)
        assert process.wait(5) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_command_serves_the_demo_content_and_the_control_api() -> None:
    with started("--demo", "--speed", "1000") as (_, lines):
        url, key = printed_value(lines, "url"), printed_value(lines, "api key")
        task_id = Tenant(url).add_task("Mine")
        response = httpx.get(f"{url}/api/v1/tasks", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        names = {task["name"] for task in response.json()["data"]}
        assert "Mine" in names
        assert len(names) > 1
        assert Tenant(url).runs(task_id) == []
        assert any("demo-sales" in line for line in lines)
        for resource_id in ("demo-north", "demo-south", "demo-report"):
            assert any(resource_id in line for line in lines)
            assert len(Tenant(url).runs(resource_id)) == 1


def test_the_command_prints_an_airflow_connection() -> None:
    with started() as (_, lines):
        exported = next(line for line in lines if line.startswith("export AIRFLOW_CONN_QLIK_CLOUD_DEFAULT="))
        connection = urlsplit(exported.partition("=")[2].strip("'"))
        host = unquote(connection.netloc.rpartition("@")[2])
        assert (connection.scheme, connection.password, host) == (
            "qlik-cloud",
            printed_value(lines, "api key"),
            printed_value(lines, "url"),
        )
