"""A script or a notebook can use these layers: nothing in them needs Airflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

EVERYTHING = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
    importlib.import_module(module.name)
print(*(name for name in sys.modules if name.partition(".")[0] == "airflow"))
"""


@pytest.mark.parametrize("module", ["runs", "cloud", "lifecycle.trigger_event", "validation", "sandbox"])
def test_no_module_of_airflow_is_loaded(module: str) -> None:
    command = [sys.executable, "-c", EVERYTHING, f"airflow_provider_qlik.{module}"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (answer.stderr, answer.stdout.split()) == ("", [])
