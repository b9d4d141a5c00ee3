"""How much memory a report of 200 MB takes to download: `python benchmarks/download.py`. Goal: less than 30 MB more.

The sandbox runs in a process of its own, so that what is measured is the download alone. A like download that reads the
whole body stands beside it; the ratio is printed.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

MEGABYTES = 200
GOAL = 30


def main() -> int:
    """Measures both ways in processes of their own and prints a table."""
    if len(sys.argv) > 1:
        print(f"grown {grown(*sys.argv[1:])}")
        return 0
    command = [sys.executable, "-m", "airflow_provider_qlik.sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = next(found[1] for line in server.stdout if (found := re.search(r"^url\s+(http\S+)", line)))
            streamed, whole = (measured(url, way) for way in ("streamed", "whole"))
        finally:
            server.terminate()
    print(f"| {MEGABYTES} MB report | memory growth, MB |\n| --- | --- |")
    print(f"| streamed to a file | {streamed:.1f} |\n| read as a whole | {whole:.1f} |")
    print(f"\nratio {streamed / whole:.3f}; goal: below {GOAL} MB: {'met' if streamed < GOAL else 'missed'}")
    return 0 if streamed < GOAL else 1


def measured(url: str, way: str) -> float:
    """The growth in MB that a fresh process sees."""
    output = subprocess.run([sys.executable, __file__, url, way], capture_output=True, text=True, check=True).stdout
    return float(output.rpartition("grown ")[2])


def grown(url: str, way: str) -> float:
    """The growth in MB of the peak memory of this process by one download."""
    from airflow_provider_qlik.cloud import ApiKey, Client, Tenant
    from airflow_provider_qlik.cloud.api import sharing_tasks
    from airflow_provider_qlik.sandbox import File, Script, Sharing
    from airflow_provider_qlik.sandbox import Tenant as Sandbox

    sandbox = Sandbox(url)
    sandbox.reset()
    task = sandbox.add_sharing_task("Report")
    sharing = Sharing(Script(run=0, end="successful"), files=(File("report", "pdf", MEGABYTES * 1_000_000),))
    execution = sandbox.add_execution(task, started_ago=10, script=sharing)
    with Client(Tenant.at(url), ApiKey(sandbox.api_key)) as client, tempfile.TemporaryDirectory() as folder:
        client.call(sharing_tasks.execution(task, execution))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target = Path(folder) / "report.pdf"
        call = sharing_tasks.execution_file(task, execution, "report")
        if way == "streamed":
            client.download(call, lambda: target.open("wb"))
            assert target.stat().st_size == MEGABYTES * 1_000_000
        else:
            import httpx

            address = f"{url}{client.tenant.path_of(call)}"
            body = httpx.get(address, headers={"authorization": f"Bearer {sandbox.api_key}"}, timeout=60).content
            assert len(body) == MEGABYTES * 1_000_000
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    sys.exit(main())
