"""The time that a Dag file needs to import operators, sensors and triggers, compared with similar packages.

Every process imports `airflow.sdk` first; what is measured is the time of all modules of operators, sensors and
triggers of one package after that. The packages take turns, so that a slow minute of the machine is slow for all.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.report import Finding, Row

ROUNDS = 9
THIS_PACKAGE = "this package"
PACKAGES = {
    THIS_PACKAGE: "airflow_provider_qlik",
    "Airbyte": "airflow.providers.airbyte",
    "dbt Cloud": "airflow.providers.dbt.cloud",
    "Databricks": "airflow.providers.databricks",
}
PROBE = """
import importlib, pkgutil, sys, time
import airflow.sdk
package = sys.argv[1]
names = []
for part in ("operators", "sensors", "triggers"):
    path = importlib.util.find_spec(f"{package}.{part}").submodule_search_locations
    names += [f"{package}.{part}.{module.name}" for module in pkgutil.iter_modules(path)]
began = time.perf_counter()
for name in names:
    importlib.import_module(name)
print(len(names), time.perf_counter() - began)
"""


def imported(package: str, compiled: str) -> tuple[int, float]:
    """Return how many modules a fresh process imports, and the milliseconds that takes. *compiled*: keep bytecode.

    What pip installs is compiled already, a checkout is not: so all are compiled in the same way, beforehand.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    command = [sys.executable, "-c", PROBE, package]
    probe = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    count, seconds = probe.stdout.split()[-2:]
    return int(count), 1000 * float(seconds)


def run(short: bool = False) -> dict[str, Finding]:
    """Return the section that this benchmark writes."""
    times: dict[str, list[float]] = {name: [] for name in PACKAGES}
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as compiled:
        for package in PACKAGES.values():
            imported(package, compiled)
        for _ in range(3 if short else ROUNDS):
            for name, package in PACKAGES.items():
                counts[name], milliseconds = imported(package, compiled)
                times[name].append(milliseconds)
    medians = {name: statistics.median(each) for name, each in times.items()}
    best = min(median for name, median in medians.items() if name != THIS_PACKAGE)
    median_here = medians[THIS_PACKAGE]
    finding = Finding(about=f"Median of {len(times[THIS_PACKAGE])} processes for each package, in turn.")
    for name, median in medians.items():
        observed = f"{median:.1f} ms ({min(times[name]):.1f} to {max(times[name]):.1f}), {counts[name]} modules"
        if name == THIS_PACKAGE:
            finding.rows.append(
                Row(name, "≤ 0.5 of the best", observed, f"{median_here / best:.2f}", median_here <= best / 2)
            )
        else:
            finding.rows.append(Row(name, "", observed, f"{median_here / median:.2f}"))
    return {"parsing": finding}
