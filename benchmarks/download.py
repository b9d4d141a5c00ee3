"""The memory that a download of a report of 200 MB takes.

A download that reads the whole body is measured for comparison. Each runs in a process of its own:
`python -m benchmarks.download URL METHOD`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Finding, Row
from benchmarks.servers import sandbox

MEGABYTES = 200
GOAL = 30


def run(short: bool = False) -> dict[str, Finding]:
    """Return the section that this benchmark writes."""
    with sandbox() as tenant:
        streamed, whole = (measured(tenant.url, method) for method in ("streamed", "whole"))
    finding = Finding(about=f"A report of {MEGABYTES} MB, streamed to a file as the package does, and read as a whole.")
    observed = f"{streamed:.1f} MB; read as a whole {whole:.1f} MB"
    finding.rows.append(Row("memory growth", f"< {GOAL} MB", observed, f"{streamed / whole:.3f}", streamed < GOAL))
    return {"download": finding}


def measured(url: str, method: str) -> float:
    """Return the growth in MB that a fresh process measures."""
    command = [sys.executable, "-m", "benchmarks.download", url, method]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(output.rpartition("grown ")[2])


def grown(url: str, method: str) -> float:
    """Return the growth in MB of the peak memory of this process by one download."""
    from airflow_provider_qlik.cloud import ApiKey, Client, Tenant
    from airflow_provider_qlik.cloud.api import sharing_tasks
    from airflow_provider_qlik.sandbox import File, Script, SharingScript
    from airflow_provider_qlik.sandbox import Tenant as Sandbox

    sandbox = Sandbox(url)
    sandbox.reset()
    task = sandbox.add_sharing_task("Report")
    sharing = SharingScript(Script(run=0, end="successful"), files=(File("report", "pdf", MEGABYTES * 1_000_000),))
    execution = sandbox.add_execution(task, started_ago=10, script=sharing)
    with Client(Tenant.at(url), ApiKey(sandbox.api_key)) as client, tempfile.TemporaryDirectory() as folder:
        client.call(sharing_tasks.execution(task, execution))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target = Path(folder) / "report.pdf"
        call = sharing_tasks.execution_file(task, execution, "report")
        if method == "streamed":
            client.download(call, lambda: target.open("wb"))
            assert target.stat().st_size == MEGABYTES * 1_000_000
        else:
            import httpx

            address = f"{url}{client.tenant.path_of(call)}"
            body = httpx.get(address, headers={"authorization": f"Bearer {sandbox.api_key}"}, timeout=60).content
            assert len(body) == MEGABYTES * 1_000_000
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    print(f"grown {grown(*sys.argv[1:])}")
